//! What happened to a contact, in words.

use dripline_model::score::Scores;
use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::{TimelineEntry, TimelineWhat};

impl TimelineEntry {
    /// Says of points that fade what is left of them at `now`.
    pub fn as_of(&mut self, scores: &Scores, now: Timestamp) {
        if let TimelineWhat::Score { score, points, taken_back: None, left, .. } = &mut self.what
            && let Some(law) = scores.law(score)
        {
            *left = Some(law.left(*points, self.at.as_millisecond(), now.as_millisecond()));
        }
    }

    /// What it says, as a word for what it is and a sentence. What came from outside stands in it as it came.
    pub fn line(&self) -> (&'static str, String) {
        match &self.what {
            TimelineWhat::Event { name, properties, live } => {
                let history = if *live { "" } else { " (history)" };
                ("event", format!("{name}{}{history}", properties_text(properties)))
            }
            TimelineWhat::Decision { workflow, step, path, kind, reason, .. } => {
                let path = path.as_ref().map(|path| format!(" on path {path}")).unwrap_or_default();
                let step = step.as_ref().map(|step| format!(", {step}{path}")).unwrap_or_default();
                (kind.words(), format!("{reason} [{workflow}{step}]"))
            }
            TimelineWhat::Score { score, points, total, because, taken_back, left, .. } => {
                let until = taken_back.map(|at| format!(" (worked out anew on {})", at.strftime("%Y-%m-%d")));
                let left = left.map(|left| format!(" ({left} of {points} left)"));
                let remark = until.or(left).unwrap_or_default();
                ("score", format!("{score} {points:+} = {total}: {because}{remark}"))
            }
            TimelineWhat::Message { id, subject, template, status, detail } => {
                let detail = detail.as_ref().map(|detail| format!(" ({detail})")).unwrap_or_default();
                ("mail", format!("{} {template} \"{subject}\" [mail {id}]{detail}", status.name()))
            }
            TimelineWhat::Assigned { rep, team, because } => {
                let team = team.as_ref().map(|team| format!(" of team {team}")).unwrap_or_default();
                ("assigned", format!("to {rep}{team}: {because}"))
            }
            TimelineWhat::Segment { segment, joined } => {
                ("segment", format!("{} {segment}", if *joined { "joined" } else { "left" }))
            }
            TimelineWhat::Consent { topic, given } => {
                ("consent", format!("{topic} {}", if *given { "given" } else { "withdrawn" }))
            }
        }
    }
}

fn properties_text(properties: &Map<String, Value>) -> String {
    if properties.is_empty() {
        return String::new();
    }
    let each: Vec<_> = properties.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    format!(" {{{}}}", each.join(", "))
}
