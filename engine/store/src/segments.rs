//! Segments: what the files say of them, and who is a member by a rule.

use std::collections::BTreeSet;

use async_trait::async_trait;
use dripline_model::{
    filter::{Filter, Narrowing},
    id::ContactId,
    segment::Segment,
};
use jiff::Timestamp;

use crate::Result;

/// Verbs on segments.
#[async_trait]
pub trait Segments: Send + Sync {
    /// Makes the definitions those of the files, and the catalog's revision another where that changes anything. Members
    /// of a segment whose rule is new or has changed are worked out anew, slice by slice; a segment whose file is gone
    /// keeps its members and is static from then on.
    async fn publish_segments(
        &self,
        segments: &[NewSegment<'_>],
        now: Timestamp,
    ) -> Result<SegmentsPublished>;

    /// All segments by name: those of the files, and those that steps made.
    async fn segments(&self) -> Result<Vec<StoredSegment>>;

    /// How many members a segment has.
    async fn count_members(&self, segment: &str) -> Result<u64>;

    /// How many contacts a filter selects. It is what a rule says only if the filter is exact.
    async fn count_narrowed(&self, filter: &Filter) -> Result<u64>;

    /// The contacts that a filter selects, in the order of their ids.
    async fn narrowed(&self, filter: &Filter) -> Result<Vec<ContactId>>;

    /// Makes the indexes by which these rules are found, and drops those that none of them needs any more.
    async fn index_for(&self, rules: &[Narrowing]) -> Result<()>;

    /// The earliest instant at which a membership may change because of the calendar.
    async fn next_calendar_change(&self) -> Result<Option<Timestamp>>;
}

/// What [`Segments::publish_segments`] takes.
#[derive(Debug, Clone)]
pub struct NewSegment<'a> {
    /// The checked definition.
    pub segment: &'a Segment,
    /// The file as the author wrote it.
    pub source: &'a str,
}

/// What [`Segments::publish_segments`] did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SegmentsPublished {
    /// Names of those that are new or changed.
    pub published: Vec<String>,
    /// Names of those whose file is gone.
    pub withdrawn: Vec<String>,
}

/// A segment as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSegment {
    /// Its name.
    pub name: String,
    /// What its file says; none where steps made it.
    pub definition: Option<Segment>,
    /// When that was published.
    pub published_at: Option<Timestamp>,
    /// Up to which contact a new rule has been evaluated; none when that is done.
    pub evaluated_to: Option<ContactId>,
    /// How many members it has.
    pub members: u64,
}

/// A contact that joins or leaves a segment because of its rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership<'a> {
    /// Who.
    pub contact: ContactId,
    /// Which segment.
    pub segment: &'a str,
    /// Whether the contact joins it.
    pub joins: bool,
}

/// When a contact has to be looked at again because time goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timer {
    /// Who.
    pub contact: ContactId,
    /// When; none where time changes nothing.
    pub due: Option<Timestamp>,
    /// Whether it is only because of the calendar, which never ends.
    pub repeats: bool,
}

/// The names of the attributes in a filter's conditions that all have to hold: first those that are compared for equality,
/// then one that is compared otherwise; and whether it counts events.
pub(crate) fn indexable(filter: &Filter) -> (Vec<(String, Kind)>, bool) {
    use dripline_model::filter::{Is, Test};
    let parts = match filter {
        Filter::All(parts) => parts.as_slice(),
        one => std::slice::from_ref(one),
    };
    let (mut equal, mut ranges) = (Vec::new(), Vec::new());
    for part in parts {
        let Filter::Is(Test::Attribute(name, is)) = part else { continue };
        match is {
            Is::AnyOf(values) => {
                let kinds: BTreeSet<Kind> = values.iter().map(Kind::of).collect();
                if let (1, Some(kind)) = (kinds.len(), kinds.first()) {
                    equal.push((name.clone(), *kind));
                }
            }
            Is::Number(..) => ranges.push((name.clone(), Kind::Number)),
            _ => {}
        }
    }
    equal.sort();
    equal.dedup();
    ranges.retain(|range| !equal.contains(range));
    // More would make every change of a contact dear.
    equal.truncate(MOST_EQUAL);
    equal.extend(ranges.into_iter().take(1));
    (equal, counts_events(filter))
}

const MOST_EQUAL: usize = 4;

/// What kind of value an index holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Text,
    Number,
    Boolean,
}

impl Kind {
    fn of(value: &dripline_model::filter::Scalar) -> Self {
        use dripline_model::filter::Scalar;
        match value {
            Scalar::Text(_) => Self::Text,
            Scalar::Number(_) => Self::Number,
            Scalar::Boolean(_) => Self::Boolean,
        }
    }
}

fn counts_events(filter: &Filter) -> bool {
    use dripline_model::filter::Test;
    match filter {
        Filter::All(parts) | Filter::Any(parts) => parts.iter().any(counts_events),
        Filter::Is(test) => matches!(test, Test::Events { .. }),
        Filter::Everyone | Filter::Nobody => false,
    }
}
