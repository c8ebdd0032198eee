//! What went wrong with runs and mails, and waits for a person.

use dripline_model::{decision::RunStatus, message::MessageStatus};
use dripline_store::Store;

use super::finding::Findings;
use crate::output::plural;

/// Counts what failed.
pub(super) async fn check(store: &dyn Store, findings: &mut Findings) {
    let counts = match store.counts().await {
        Ok(counts) => counts,
        Err(error) => return findings.problem("runs", error.into()),
    };
    let runs = |status| counts.runs.iter().find(|(other, _)| *other == status).map_or(0, |(_, runs)| *runs);
    let mails =
        |status| counts.messages.iter().find(|(other, _)| *other == status).map_or(0, |(_, mails)| *mails);
    match runs(RunStatus::Failed) {
        0 => findings.ok("runs", "none failed"),
        failed => {
            let help =
                "dripline runs list --status failed; once the reason is mended: dripline runs retry --all";
            findings.warning("runs", format!("{} failed", plural(failed, "run")), help);
        }
    }
    let (failed, uncertain) = (mails(MessageStatus::Failed), mails(MessageStatus::Uncertain));
    if failed > 0 {
        let help = "dripline mail list --status failed; once the reason is mended: dripline mail retry --all";
        findings.warning("mails", format!("{} failed", plural(failed, "mail")), help);
    }
    if uncertain > 0 {
        let what = format!("nobody knows whether {} arrived", plural(uncertain, "mail"));
        findings.warning("mails", what, "dripline mail uncertain");
    }
    if failed + uncertain == 0 {
        findings.ok("mails", "none failed, none is uncertain");
    }
}
