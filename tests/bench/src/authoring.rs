//! What an author waits for: the check of a large workspace, a simulation of two months, conditions of one contact.

use std::{
    fmt::Write as _,
    fs,
    hint::black_box,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use dripline_expression::{Expression, Scope, Subject};
use dripline_model::{Contact, batch::ColumnType, id::ContactId};
use jiff::Timestamp;
use serde_json::json;

use crate::{Result, people, report::Report, startup::done, statistics::median};

/// Checking many workflow files, simulating many contacts over 60 days, and ten conditions for one contact
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The program; build it with `cargo build --release`
    #[arg(long, default_value = "target/release/dripline")]
    pub(crate) binary: PathBuf,
    /// How many workflow files are checked
    #[arg(long, default_value_t = 200)]
    files: u32,
    /// How many contacts are simulated
    #[arg(long, default_value_t = 10_000)]
    contacts: u32,
    /// Over how many days
    #[arg(long, default_value_t = 60)]
    days: u32,
    /// How often each is done
    #[arg(long, default_value_t = 5)]
    repeat: usize,
}

/// The smallest run that goes everywhere.
pub(crate) const SMOKE: &[&str] = &["--files", "3", "--contacts", "20", "--days", "5", "--repeat", "1"];

/// The ten conditions of `cargo bench -p dripline-expression`, as scoring rules and branches have them.
const CONDITIONS: [&str; 10] = [
    r#"contact.country == "DE""#,
    r#"contact.country in ["DE", "AT", "CH"]"#,
    "contact.employees >= 200",
    r#"contact.title.matches("(?i)vp|head|chief")"#,
    "contact.scores.fit + contact.scores.intent >= 30",
    "contact.consent.email",
    r#""webinar" in contact.tags && !("customer" in contact.tags)"#,
    r#"has(contact.phone) || contact.email.endsWith(".edu")"#,
    r#"now - contact.created_at > duration("30d")"#,
    r#"contact.plan == "trial" ? contact.visits * 2 > 10 : contact.visits > 10"#,
];

/// How many contacts' conditions are timed together.
const ROUND: u32 = 10_000;

/// What contacts do with mails in the simulation.
const BEHAVIOUR: &str = "mails:\n  - {open: 40%, click: 8%}\n";

pub(crate) fn execute(args: &Args, dir: &Path) -> Result<Report> {
    let note = format!(
        "{} files; {} contacts over {} days; medians of {}",
        args.files, args.contacts, args.days, args.repeat
    );
    let mut report = Report::new("authoring", note, &["what", "of", "median", "unit"]);
    let folder = tempfile::Builder::new().prefix("dripline-bench-").tempdir_in(dir)?;
    let workspace = folder.path().join("campaigns");
    let binary = std::path::absolute(&args.binary)?;
    done(Command::new(&binary).arg("init").arg(&workspace))?;
    let in_workspace = |words: &[&str]| {
        let mut command = Command::new(&binary);
        command.args(words).current_dir(&workspace);
        command
    };
    let medium = |command: &dyn Fn() -> Command| -> Result<f64> {
        // Once to warm up: the plugins are compiled the first time.
        done(&mut command())?;
        let times = (0..args.repeat).map(|_| done(&mut command())).collect::<Result<Vec<_>>>()?;
        Ok(median(&times))
    };

    let contacts = contacts_csv(args.contacts);
    fs::write(workspace.join("many.csv"), contacts)?;
    fs::write(workspace.join("many-events.csv"), events_csv(args.contacts))?;
    fs::write(workspace.join("behaviour.yaml"), BEHAVIOUR)?;
    let length = format!("{}d", args.days);
    let ms = medium(&|| {
        in_workspace(&[
            "simulate",
            "--contacts",
            "many.csv",
            "--events",
            "many-events.csv",
            "--from",
            "2024-01-01",
            "--for",
            &length,
            "--behaviour",
            "behaviour.yaml",
        ])
    })?;
    report.row(vec![
        json!(format!("dripline simulate, {length}")),
        json!(args.contacts),
        json!(ms),
        json!("ms"),
    ]);

    let workflow = fs::read_to_string(workspace.join("workflows/welcome.yaml"))?;
    for number in 1..args.files {
        let copy = workflow.replacen("name: welcome", &format!("name: welcome-{number}"), 1);
        fs::write(workspace.join(format!("workflows/welcome-{number}.yaml")), copy)?;
    }
    let ms = medium(&|| in_workspace(&["check"]))?;
    report.row(vec![json!("dripline check"), json!(args.files), json!(ms), json!("ms")]);

    let ns = conditions(args.repeat)?;
    report.row(vec![
        json!("ten conditions for one contact"),
        json!(CONDITIONS.len()),
        json!(ns),
        json!("ns"),
    ]);
    Ok(report)
}

/// Contacts as `dripline import` takes them.
fn contacts_csv(count: u32) -> String {
    let mut csv = "external_id,email,first_name,title,country,employees,consent_email\n".to_owned();
    for number in 1..=count {
        let all = people::attributes(number);
        let text = |name: &str| {
            all.get(name)
                .map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
                .unwrap_or_default()
        };
        let key = people::key(number);
        // Writing to a String cannot fail.
        let _ = writeln!(
            csv,
            "{key},{key}@customer.example,{},{},{},{},true",
            text("first_name"),
            text("title"),
            text("country"),
            text("employees")
        );
    }
    csv
}

/// Everybody signs up, spread over the first thirty days.
fn events_csv(count: u32) -> String {
    let mut csv = "event_id,contact,name,at\n".to_owned();
    for number in 1..=count {
        let (day, minute) = (1 + number % 30, number % 1_440);
        let _ = writeln!(
            csv,
            "{number},{},signed_up,2024-01-{day:02}T{:02}:{:02}:00Z",
            people::key(number),
            minute / 60,
            minute % 60
        );
    }
    csv
}

/// Nanoseconds for all conditions of one contact.
fn conditions(repeat: usize) -> Result<f64> {
    let compile = |source: &str| {
        Expression::compile(source, ColumnType::Boolean, &Scope::default())
            .map_err(|problems| format!("{source}: {problems:?}"))
    };
    let expressions =
        CONDITIONS.iter().map(|source| compile(source)).collect::<std::result::Result<Vec<_>, _>>()?;
    let mut contact = Contact::new(ContactId(1));
    contact.email = Some("ada@customer.example".to_owned());
    contact.attributes = people::attributes(1);
    contact.scores.insert("fit".to_owned(), 20);
    contact.consents.insert("email".to_owned(), true);
    contact.tags.insert("webinar".to_owned());
    let now: Timestamp = "2026-01-01T00:00:00Z".parse()?;
    let times: Vec<f64> = (0..repeat)
        .map(|_| {
            let started = Instant::now();
            for _ in 0..ROUND {
                let subject = Subject::new(black_box(&contact), None, now);
                black_box(expressions.iter().filter(|one| one.test(&subject) == Ok(true)).count());
            }
            started.elapsed().as_secs_f64() * 1e9 / f64::from(ROUND)
        })
        .collect();
    Ok(median(&times))
}
