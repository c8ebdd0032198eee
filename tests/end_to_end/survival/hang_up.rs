//! The mail server dies when it has a message and has not said so.

use super::campaign::Campaign;
use crate::smtp::{Ending, Receiver};

/// Every seventh message is kept and not acknowledged, every eleventh neither.
fn moody(message: u64) -> Ending {
    match message {
        _ if message % 7 == 3 => Ending::KeepAndDie,
        _ if message % 11 == 5 => Ending::Die,
        _ => Ending::Answer,
    }
}

fn is_hung_up_on(campaign: &Campaign) {
    let receiver = Receiver::with_manner(moody);
    campaign.workspace.send_through(receiver.port, "");
    campaign.finish();
    let report = campaign.assert_clean(&receiver, "after the server died now and then");
    let dead = (0..report.messages as u64).filter(|message| moody(*message) != Ending::Answer).count();
    assert_eq!(report.uncertain, dead, "each message without an answer is uncertain: {report}");

    campaign.finish();
    let later = campaign.assert_clean(&receiver, "after another run");
    assert_eq!(later, report, "what is uncertain is held");
}

#[test]
fn a_server_that_dies_before_its_answer_leaves_mails_uncertain_and_none_is_sent_again() {
    is_hung_up_on(&Campaign::new(120));
}

#[test]
fn a_server_that_dies_before_its_answer_leaves_mails_of_a_shared_store_uncertain() {
    if let Some(campaign) = Campaign::in_shared_postgres(120) {
        is_hung_up_on(&campaign);
    }
}
