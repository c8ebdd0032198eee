//! The workflows that are measured, and what the yardsticks must know of them.

use dripline_model::{id, program::NodeIndex};
use dripline_store::StoredProgram;

use crate::Result;

/// The team that takes the leads: members with equal shares, by key and name.
pub(crate) const TEAM: &str = "sales";
/// Its members.
pub(crate) const MEMBERS: &[(&str, &str)] =
    &[("ada", "Ada Alt"), ("bob", "Bob Bach"), ("cem", "Cem Can"), ("dana", "Dana Dorn")];

/// A rule of the score: what the workflow says, and the same in Rust.
pub(crate) struct Rule {
    cel: &'static str,
    /// What it gives.
    pub(crate) points: i64,
    /// Why.
    pub(crate) because: &'static str,
    /// Whether it holds.
    pub(crate) holds: fn(&Facts<'_>) -> bool,
}

/// The attributes that the rules look at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts<'a> {
    pub(crate) country: &'a str,
    pub(crate) industry: &'a str,
    pub(crate) seniority: &'a str,
    pub(crate) title: &'a str,
    pub(crate) plan: &'a str,
    pub(crate) employees: i64,
    pub(crate) visits: i64,
}

/// The ten rules.
pub(crate) const RULES: [Rule; 10] = [
    Rule {
        cel: r#"contact.country in ["DE", "AT", "CH"]"#,
        points: 10,
        because: "home market",
        holds: |facts| matches!(facts.country, "DE" | "AT" | "CH"),
    },
    Rule {
        cel: "contact.employees >= 200",
        points: 15,
        because: "company size",
        holds: |facts| facts.employees >= 200,
    },
    Rule {
        cel: "contact.employees >= 1000",
        points: 10,
        because: "large company",
        holds: |facts| facts.employees >= 1_000,
    },
    Rule {
        cel: r#"contact.seniority in ["vp", "c_suite"]"#,
        points: 20,
        because: "decides on budgets",
        holds: |facts| matches!(facts.seniority, "vp" | "c_suite"),
    },
    Rule {
        cel: r#"contact.title.startsWith("Head")"#,
        points: 10,
        because: "leads a department",
        holds: |facts| facts.title.starts_with("Head"),
    },
    Rule {
        cel: r#"contact.industry == "logistics""#,
        points: 15,
        because: "an industry that we know",
        holds: |facts| facts.industry == "logistics",
    },
    Rule {
        cel: r#"contact.industry == "retail""#,
        points: -10,
        because: "an industry that we do not serve",
        holds: |facts| facts.industry == "retail",
    },
    Rule { cel: "contact.visits >= 3", points: 5, because: "came back", holds: |facts| facts.visits >= 3 },
    Rule {
        cel: "contact.visits >= 10",
        points: 10,
        because: "comes often",
        holds: |facts| facts.visits >= 10,
    },
    Rule {
        cel: r#"contact.plan == "trial""#,
        points: 15,
        because: "tries the product",
        holds: |facts| facts.plan == "trial",
    },
];

/// What decides between the two mails.
const GATE: i64 = 40;

/// What the five steps say of themselves, word for word as the engine writes it down, so that a yardstick writes rows of
/// the same size.
pub(crate) mod words {
    use super::{GATE, Rule};

    /// The score's name, its step and the workflow.
    pub(crate) const FIT: &str = "fit";
    pub(crate) const OFFER: &str = "bench/offer";
    pub(crate) const HELLO: &str = "bench/hello";
    pub(crate) const TOPIC: &str = "news";
    pub(crate) const EXIT: &str = "handed to sales";

    /// Whether the score is high enough for the offer.
    pub(crate) fn is_hot(score: i64) -> bool {
        score >= GATE
    }

    /// Why the score is what it is.
    pub(crate) fn score<'r>(total: i64, held: impl Iterator<Item = &'r Rule>) -> String {
        let held: Vec<String> = held.map(|rule| format!("{} {:+}", rule.because, rule.points)).collect();
        if held.is_empty() {
            format!("fit {total}: no rule holds")
        } else {
            format!("fit {total}: {}", held.join(", "))
        }
    }

    /// Which way the branch went.
    pub(crate) fn branch(hot: bool) -> String {
        format!("`contact.scores.fit >= {GATE}` {}", if hot { "holds" } else { "does not hold" })
    }

    /// Which template is sent.
    pub(crate) fn template(hot: bool) -> &'static str {
        if hot { OFFER } else { HELLO }
    }

    /// That it was queued.
    pub(crate) fn queued(hot: bool) -> String {
        format!("queued {}", template(hot))
    }

    /// The subject of the mail.
    pub(crate) fn subject(hot: bool, first_name: &str) -> String {
        if hot { format!("An offer for {first_name}") } else { format!("Hello {first_name}") }
    }

    /// Who got the lead.
    pub(crate) fn assigned(name: &str) -> String {
        format!("{name}, 1 of {} shares of {}", super::MEMBERS.len(), super::TEAM)
    }
}

fn score() -> String {
    let rule = |Rule { cel, points, because, .. }: &Rule| {
        format!("        - {{if: '{cel}', add: {points}, because: {because}}}\n")
    };
    let rules: String = RULES.iter().map(rule).collect();
    format!("  - id: fit\n    score:\n      name: fit\n      rules:\n{rules}")
}

/// Five steps for each contact: score, branch, mail, owner, end. The two ways of the branch meet again.
pub(crate) fn five_steps() -> String {
    format!(
        "name: five-steps
on: manual
steps:
{score}  - id: gate
    if: contact.scores.fit >= {GATE}
    then:
      - id: offer
        email: {{template: bench/offer, subject: 'An offer for {{{{contact.first_name}}}}', topic: news}}
    else:
      - id: hello
        email: {{template: bench/hello, subject: 'Hello {{{{contact.first_name}}}}', topic: news}}
  - id: owner
    assign: {{team: {TEAM}, by: round_robin}}
  - id: done
    exit: {exit}
",
        score = score(),
        exit = words::EXIT
    )
}

/// A lead is routed: the visit is scored, and whoever is good enough, which here is everybody, gets an owner.
pub(crate) fn routing() -> String {
    format!(
        "name: routing
on: {{event: {VISIT}}}
enroll: {{again: always}}
steps:
{score}  - id: gate
    if: contact.scores.fit < -100
    then:
      - exit: not hot yet
  - id: owner
    assign: {{team: {TEAM}, by: round_robin, keep_owner: false}}
  - id: done
    exit: {exit}
",
        score = score(),
        exit = words::EXIT
    )
}

/// The event that starts [`routing`].
pub(crate) const VISIT: &str = "visit.pricing_page";

/// A run sleeps for a month, then scores and ends.
pub(crate) fn sleepers() -> String {
    format!("name: sleepers\non: manual\nsteps:\n  - id: sleep\n    wait: 30d\n{}", score())
}

/// One mail to everybody.
pub(crate) const MAILING: &str = "name: mailing
on: manual
steps:
  - id: offer
    email: {template: bench/offer, subject: 'An offer for {{contact.first_name}}', topic: news}
";

/// Where the steps of [`five_steps`] stand in its program, and what else its rows name.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) workflow: i64,
    pub(crate) version: i64,
    pub(crate) fit: NodeIndex,
    pub(crate) gate: NodeIndex,
    pub(crate) offer: NodeIndex,
    pub(crate) hello: NodeIndex,
    pub(crate) owner: NodeIndex,
    pub(crate) done: NodeIndex,
    /// The key of the state cell of the team.
    pub(crate) state_key: String,
}

impl Plan {
    /// The plan of a published version of [`five_steps`].
    pub(crate) fn of(stored: &StoredProgram) -> Result<Self> {
        let StoredProgram {
            workflow: id::WorkflowId(workflow),
            version: id::VersionId(version),
            program,
            ..
        } = stored;
        let node = |name: &str| {
            let position = program.nodes.iter().position(|node| node.id == name);
            let position = position.ok_or_else(|| format!("the program has no step `{name}`"))?;
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(NodeIndex::try_from(position)?)
        };
        let owner = node("owner")?;
        let step = program.node(owner).and_then(|node| node.plugin_step());
        Ok(Self {
            workflow: *workflow,
            version: *version,
            fit: node("fit")?,
            gate: node("gate")?,
            offer: node("offer")?,
            hello: node("hello")?,
            owner,
            done: node("done")?,
            state_key: step
                .and_then(|step| step.state_key.clone())
                .ok_or("the step `owner` keeps no state")?,
        })
    }
}
