//! What a published version says of dates and of queues.

use std::collections::BTreeSet;

use dripline_model::program::{Concurrency, Program};
use jiff::Timestamp;

use super::ms;
use crate::{
    error::{Raw, to_json},
    sets::Sets,
};

/// Makes the date triggers of a workflow those of its current version; without one it is retired. One that stays as it was
/// goes on with what is known. Where events do not queue any more, it is the turn of all that do.
pub(crate) async fn publish(
    sets: &mut impl Sets,
    workflow: i64,
    program: Option<&Program>,
    now: Timestamp,
) -> Raw<()> {
    let mut wanted = BTreeSet::new();
    let mut new = Vec::new();
    let known = sets.date_triggers_of(workflow).await?;
    for date in program.into_iter().flat_map(Program::dates) {
        let wording = date.words();
        if !known.iter().any(|(_, known)| *known == wording) && !wanted.contains(&wording) {
            new.push((wording.clone(), to_json("needs of a date trigger", &date.needs)?));
        }
        wanted.insert(wording);
    }
    let gone: Vec<i64> =
        known.iter().filter(|(_, known)| !wanted.contains(known)).map(|(id, _)| *id).collect();
    sets.drop_date_triggers(&gone).await?;
    sets.add_date_triggers(workflow, &new, ms(now)).await?;
    if program.is_none_or(|program| program.concurrency != Concurrency::Queue) {
        sets.release_held(workflow, ms(now)).await?;
    }
    Ok(())
}
