//! A backtest as one page for the browser, with nothing that has to be fetched from anywhere.

use handlebars::Handlebars;
use serde_json::{Value, json};

use super::Backtest;
use crate::error::{Error, ErrorKind, Result};

const TEMPLATE: &str = include_str!("page.hbs");

/// The page of these scores. `title` says what was held against what, `notes` what has to be known of it.
///
/// # Errors
/// Only where the page's own template is broken.
pub fn page(title: &str, notes: &[String], scores: &[Backtest]) -> Result<String> {
    let broken = |error: String| Error { doing: "make the page", kind: ErrorKind::Page(error) };
    let mut registry = Handlebars::new();
    registry.set_strict_mode(true);
    registry.register_template_string("page", TEMPLATE).map_err(|error| broken(error.to_string()))?;
    let view = json!({
        "title": title,
        "notes": notes,
        "scores": scores.iter().map(view).collect::<Vec<_>>(),
    });
    registry.render("page", &view).map_err(|error| broken(error.to_string()))
}

fn view(test: &Backtest) -> Value {
    let widest = test.parts.iter().map(|part| part.rate).fold(test.rate, f64::max).max(f64::MIN_POSITIVE);
    json!({
        "score": test.score,
        "cases": test.cases,
        "conversions": test.conversions,
        "rate": percent(test.rate),
        "average": 100.0 * test.rate / widest,
        "auc": test.auc.map(|auc| json!({
            "value": format!("{:.3}", auc.value), "from": format!("{:.3}", auc.from), "to": format!("{:.3}", auc.to),
        })),
        "parts": test.parts.iter().map(|part| json!({
            "part": part.part,
            "points": if part.lowest == part.highest { part.highest.to_string() } else { format!("{} to {}", part.lowest, part.highest) },
            "cases": format!("{:.0}", part.cases),
            "conversions": format!("{:.1}", part.conversions),
            "rate": percent(part.rate),
            "lift": format!("{:.2}", part.lift),
            "captured": percent(part.captured),
            "width": 100.0 * part.rate / widest,
        })).collect::<Vec<_>>(),
        "calibration": test.calibration.as_ref().map(|calibration| json!({
            "brier": format!("{:.4}", calibration.brier),
            "of_share": format!("{:.4}", calibration.brier_of_share),
            "skill": format!("{:+.1} %", 100.0 * calibration.skill),
            "bins": calibration.bins.iter().map(|bin| json!({
                "cases": bin.cases, "expected": percent(bin.expected), "observed": percent(bin.observed),
            })).collect::<Vec<_>>(),
        })),
        "rules": test.rules.iter().map(|rule| json!({
            "because": rule.because,
            "cases": rule.cases,
            "mean_points": format!("{:+.1}", rule.mean_points),
            "rate_with": percent(rule.rate_with),
            "rate_without": rule.rate_without.map_or_else(|| "nobody".to_owned(), percent),
        })).collect::<Vec<_>>(),
    })
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}
