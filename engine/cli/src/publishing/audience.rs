//! How many contacts a condition admits right now.

use dripline_expression::{Expression, Scope, Subject};
use dripline_model::{batch::ColumnType, filter::Filter};
use dripline_store::Store;
use jiff::Timestamp;
use serde::Serialize;

use crate::problem::Problem;

/// So many contacts are looked at one by one at most; of more, so many of them, evenly spread.
const MOST: usize = 20_000;

/// How many are loaded together.
const SLICE: usize = 1_000;

/// A number of contacts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Audience {
    /// How many.
    pub(crate) contacts: u64,
    /// How it is meant.
    pub(crate) how: Precision,
}

/// How a number is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Precision {
    /// Counted.
    Exact,
    /// Counted in a part, evenly spread.
    Estimated,
    /// No more than this: it depends on the event too.
    AtMost,
}

/// Counts whom a condition admits, if it can be read; everybody, without one.
pub(super) async fn admitted(
    store: &dyn Store,
    condition: Option<&str>,
    now: Timestamp,
) -> Result<Option<Audience>, Problem> {
    let Some(source) = condition else {
        let contacts = store.count_narrowed(&Filter::Everyone).await?;
        return Ok(Some(Audience { contacts, how: Precision::Exact }));
    };
    let compile =
        |event| Expression::compile(source, ColumnType::Boolean, &Scope { event, ..Scope::default() });
    // A condition that does not know the event without one knows it with one.
    let (condition, needs_event) = match (compile(false), compile(true)) {
        (Ok(condition), _) => (condition, false),
        (Err(_), Ok(condition)) => (condition, true),
        (Err(_), Err(_)) => return Ok(None),
    };
    let scores = store.declared_scores().await?;
    let narrowing = condition.narrow(now, &scores);
    if needs_event || narrowing.is_exact {
        let how = if needs_event { Precision::AtMost } else { Precision::Exact };
        return Ok(Some(Audience { contacts: store.count_narrowed(&narrowing.filter).await?, how }));
    }
    let narrowed = store.narrowed(&narrowing.filter).await?;
    let sample = spread(&narrowed, MOST);
    let mut holds = 0_u64;
    for slice in sample.chunks(SLICE) {
        // A transaction of its own for each, which is dropped: nobody waits for a count.
        let mut tx = store.begin().await?;
        let contacts = tx.load_contacts(slice, condition.needs(), now).await?;
        let admits = |contact: &&_| condition.test(&Subject::new(contact, None, now)) == Ok(true);
        holds += contacts.iter().filter(admits).count() as u64;
    }
    Ok(Some(Audience {
        contacts: scale(holds, sample.len(), narrowed.len()),
        how: if sample.len() == narrowed.len() { Precision::Exact } else { Precision::Estimated },
    }))
}

/// Up to `most` of them, evenly spread.
pub(super) fn spread<T: Copy>(all: &[T], most: usize) -> Vec<T> {
    let step = all.len().div_ceil(most.max(1)).max(1);
    all.iter().step_by(step).copied().collect()
}

/// What was counted in a part, for the whole.
pub(super) fn scale(counted: u64, part: usize, whole: usize) -> u64 {
    if part == whole || part == 0 {
        return counted;
    }
    let scaled = u128::from(counted) * whole as u128 / part as u128;
    u64::try_from(scaled).unwrap_or(u64::MAX)
}
