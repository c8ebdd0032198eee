//! The helpers that templates may call.
//!
//! Beside Handlebars' own block helpers: `default`, `date`, `upper`, `lower`, and comparisons that, unlike the crate's,
//! take what is missing as null, so that a condition never fails for a contact that lacks the field.

use handlebars::{
    Context, Handlebars, Helper, HelperDef, JsonRender, JsonTruthy, RenderContext, RenderError,
    RenderErrorReason, ScopedJson,
};
use jiff::{Timestamp, civil, fmt::strtime, tz::TimeZone};
use serde_json::Value as Json;

/// A helper, by how it is called.
#[derive(Debug)]
pub(crate) struct Usage {
    pub(crate) name: &'static str,
    /// The least and most arguments.
    pub(crate) takes: std::ops::RangeInclusive<usize>,
    pub(crate) block: bool,
    pub(crate) example: &'static str,
}

const fn usage(name: &'static str, least: usize, most: usize, example: &'static str) -> Usage {
    Usage { name, takes: least..=most, block: false, example }
}

const fn block(name: &'static str, example: &'static str) -> Usage {
    Usage { name, takes: 1..=1, block: true, example }
}

/// Every helper.
pub(crate) const HELPERS: &[Usage] = &[
    block("if", "{{#if contact.first_name}}…{{/if}}"),
    block("unless", "{{#unless contact.first_name}}…{{/unless}}"),
    block("each", "{{#each contact.tags}}{{this}}{{/each}}"),
    block("with", "{{#with contact}}{{first_name}}{{/with}}"),
    usage("lookup", 2, 2, "{{lookup contact \"first_name\"}}"),
    usage("default", 2, 8, "{{default contact.first_name \"there\"}}"),
    usage("date", 1, 2, "{{date contact.renewal_date \"%d %B %Y\"}}"),
    usage("upper", 1, 1, "{{upper contact.country}}"),
    usage("lower", 1, 1, "{{lower contact.country}}"),
    usage("len", 1, 1, "{{len contact.tags}}"),
    usage("eq", 2, 2, "{{#if (eq contact.plan \"pro\")}}…{{/if}}"),
    usage("ne", 2, 2, "{{#if (ne contact.plan \"pro\")}}…{{/if}}"),
    usage("gt", 2, 2, "{{#if (gt contact.scores.fit 30)}}…{{/if}}"),
    usage("gte", 2, 2, "{{#if (gte contact.scores.fit 30)}}…{{/if}}"),
    usage("lt", 2, 2, "{{#if (lt contact.scores.fit 30)}}…{{/if}}"),
    usage("lte", 2, 2, "{{#if (lte contact.scores.fit 30)}}…{{/if}}"),
    usage("and", 1, 8, "{{#if (and contact.active contact.plan)}}…{{/if}}"),
    usage("or", 1, 8, "{{#if (or contact.plan contact.trial)}}…{{/if}}"),
    usage("not", 1, 1, "{{#if (not contact.plan)}}…{{/if}}"),
];

/// The helper with this name.
pub(crate) fn find(name: &str) -> Option<&'static Usage> {
    HELPERS.iter().find(|usage| usage.name == name)
}

/// A strict registry with the helpers.
pub(crate) fn registry(escape: fn(&str) -> String) -> Handlebars<'static> {
    let mut registry = Handlebars::new();
    registry.set_strict_mode(true);
    registry.register_escape_fn(escape);
    for name in ["log", "raw"] {
        registry.unregister_helper(name);
    }
    let ours: [(&'static str, Function); 13] = [
        ("default", default),
        ("date", date),
        ("upper", |helper| Ok(Json::String(text(helper, "upper")?.to_uppercase()))),
        ("lower", |helper| Ok(Json::String(text(helper, "lower")?.to_lowercase()))),
        ("eq", |helper| compare(helper, same)),
        ("ne", |helper| compare(helper, |left, right| !same(left, right))),
        ("gt", |helper| ordered(helper, std::cmp::Ordering::is_gt)),
        ("gte", |helper| ordered(helper, std::cmp::Ordering::is_ge)),
        ("lt", |helper| ordered(helper, std::cmp::Ordering::is_lt)),
        ("lte", |helper| ordered(helper, std::cmp::Ordering::is_le)),
        ("and", |helper| Ok(Json::Bool(helper.params().iter().all(|param| param.value().is_truthy(false))))),
        ("or", |helper| Ok(Json::Bool(helper.params().iter().any(|param| param.value().is_truthy(false))))),
        ("not", |helper| Ok(Json::Bool(!helper.params().iter().any(|param| param.value().is_truthy(false))))),
    ];
    for (name, function) in ours {
        registry.register_helper(name, Box::new(Computed(function)));
    }
    registry
}

type Function = for<'rc> fn(&Helper<'rc>) -> Result<Json, RenderError>;

/// A helper that works out a value from its arguments alone.
struct Computed(Function);

impl HelperDef for Computed {
    fn call_inner<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        _: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
    ) -> Result<ScopedJson<'rc>, RenderError> {
        (self.0)(helper).map(ScopedJson::Derived)
    }
}

/// The argument at `index`; in its absence, and where it is missing or null, an error as strict mode has it.
fn present<'h>(helper: &'h Helper<'_>, index: usize, name: &'static str) -> Result<&'h Json, RenderError> {
    let param = helper.param(index).ok_or(RenderErrorReason::ParamNotFoundForIndex(name, index))?;
    if param.is_value_missing() || param.value().is_null() {
        return Err(RenderError::strict_error(param.relative_path()));
    }
    Ok(param.value())
}

fn text(helper: &Helper<'_>, name: &'static str) -> Result<String, RenderError> {
    present(helper, 0, name).map(JsonRender::render)
}

/// The first argument that is there and is not blank.
fn default(helper: &Helper<'_>) -> Result<Json, RenderError> {
    let blank = |json: &Json| json.is_null() || json.as_str().is_some_and(|text| text.trim().is_empty());
    let found = helper.params().iter().find(|param| !param.is_value_missing() && !blank(param.value()));
    match found.or(helper.params().last()) {
        Some(param) if !param.is_value_missing() => Ok(param.value().clone()),
        _ => Err(RenderError::strict_error(helper.param(0).and_then(|param| param.relative_path()))),
    }
}

/// How `date` writes an instant when it is not told.
const DATE: &str = "%-d %B %Y";

/// An instant or a date in the form wanted (strftime), in the time zone `zone=` or UTC; a date without a time of day
/// is the same everywhere.
fn date(helper: &Helper<'_>) -> Result<Json, RenderError> {
    let text = text(helper, "date")?;
    let format = helper.param(1).and_then(|param| param.value().as_str()).unwrap_or(DATE);
    let zone = match helper.hash_get("zone").map(|zone| zone.value().render()) {
        Some(name) => TimeZone::get(&name).map_err(|_| other(format!("`{name}` is not a time zone")))?,
        None => TimeZone::UTC,
    };
    let written = if let Ok(at) = text.trim().parse::<Timestamp>() {
        strtime::format(format, &at.to_zoned(zone))
    } else if let Ok(local) = text.trim().parse::<civil::DateTime>() {
        strtime::format(format, local)
    } else {
        return Err(other(format!("\"{text}\" is not a date")));
    };
    written.map(Json::String).map_err(|_| other(format!("\"{format}\" is not a form of dates")))
}

/// Whether `date` understands this form.
pub(crate) fn is_date_format(format: &str) -> bool {
    strtime::format(format, &Timestamp::UNIX_EPOCH.to_zoned(TimeZone::UTC)).is_ok()
}

fn other(message: String) -> RenderError {
    RenderErrorReason::Other(message).into()
}

fn compare(helper: &Helper<'_>, holds: fn(&Json, &Json) -> bool) -> Result<Json, RenderError> {
    let value = |index| helper.param(index).map_or(&Json::Null, |param| param.value());
    Ok(Json::Bool(holds(value(0), value(1))))
}

/// Equal, whole and other numbers alike.
fn same(left: &Json, right: &Json) -> bool {
    left == right || left.as_f64().is_some_and(|left| right.as_f64() == Some(left))
}

/// Compares two numbers or two texts; anything else, and what is missing, is in no order.
fn ordered(helper: &Helper<'_>, holds: fn(std::cmp::Ordering) -> bool) -> Result<Json, RenderError> {
    let value = |index| helper.param(index).map_or(&Json::Null, |param| param.value());
    let (left, right) = (value(0), value(1));
    let ordering = match (left.as_str(), right.as_str()) {
        (Some(left), Some(right)) => Some(left.cmp(right)),
        _ => left.as_f64().zip(right.as_f64()).and_then(|(left, right)| left.partial_cmp(&right)),
    };
    Ok(Json::Bool(ordering.is_some_and(holds)))
}
