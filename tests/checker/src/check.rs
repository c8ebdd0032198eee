//! The check, from its parts.

use crate::{
    Accepted, Expected, Facts, Report, effects, mails,
    program::kind::{ENROLLED, NOT_ENROLLED},
    runs,
};

/// Compares what a store holds with itself, with what the server `accepted` (if mails went to one) and with what was
/// `expected`. The campaign must be over: what is still on its way counts as lost. Mails that are uncertain must be held.
pub fn check(facts: &Facts, accepted: Option<&Accepted>, expected: &Expected) -> Report {
    let turns = facts.decisions.iter().filter(|decision| ![ENROLLED, NOT_ENROLLED].contains(&decision.kind));
    let mut report = Report {
        contacts: facts.contacts.len(),
        runs: facts.runs.len(),
        turns: turns.count(),
        messages: facts.messages.len(),
        accepted: accepted.map_or(0, |accepted| accepted.values().sum()),
        ..Report::default()
    };
    runs::check(facts, &mut report);
    runs::check_events(facts, &mut report);
    runs::compare(facts, expected, &mut report);
    effects::check(facts, &mut report);
    effects::compare(facts, expected, &mut report);
    mails::check(facts, accepted, &mut report);
    report
}
