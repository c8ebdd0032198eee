//! `events("visit.pricing_page").last("30d").count()`: what a contact's past events tell.
//!
//! A question is written out whole, so that it is known beforehand which events have to be loaded, and when an answer
//! changes because a window of time moves on.

use cel::common::{
    types::{CelDouble, CelInt},
    value::Val,
};
use dripline_model::contact::{EventNeeds, Needs, PastEvent};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value as Json;

use crate::{Subject, types::Type};

/// The methods of `events(…)`, with how to call them.
pub(crate) const METHODS: &[(&str, &str)] = &[
    ("last", r#"events("visit.pricing_page").last("30d").count() >= 3"#),
    ("count", r#"events("visit.pricing_page").count() >= 3"#),
    ("never", r#"events("visit.pricing_page").never()"#),
    ("sum", r#"events("order.paid").sum("amount") > 100"#),
    ("max", r#"events("order.paid").max("amount") > 100"#),
    ("min", r#"events("order.paid").min("amount") > 100"#),
    ("first", r#"events("trial.started").first().at"#),
];

/// How to begin.
pub(crate) const USAGE: &str = r#"events("visit.pricing_page").last("30d").count() >= 3"#;

/// The events that a question is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct History {
    pub(crate) name: String,
    /// Only the latest so long.
    pub(crate) within: Option<Window>,
}

/// A length of time that ends now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) written: String,
    pub(crate) length: SignedDuration,
}

/// A number, or yes or no, about events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Tally {
    Count,
    Never,
    Sum(String),
    Max(String),
    Min(String),
}

/// The first or the last event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    First,
    Last,
}

impl History {
    /// As an expression writes it.
    pub(crate) fn written(&self) -> String {
        let within = self.within.as_ref().map(|within| format!(".last(\"{}\")", within.written));
        format!("events(\"{}\"){}", self.name, within.unwrap_or_default())
    }

    /// Adds what is looked at.
    pub(crate) fn need(&self, needs: &mut Needs, property: Option<&str>, all_properties: bool) {
        let within_ms = self.within.as_ref().map(|within| {
            // A started millisecond counts: rather one event too many is loaded.
            i64::try_from(within.length.as_millis()).unwrap_or(i64::MAX).saturating_add(1)
        });
        let properties = property.map(str::to_owned).into_iter().collect();
        needs.need_events(&self.name, &EventNeeds { within_ms, properties, all_properties });
    }

    /// The events in question, in the order of their times.
    pub(crate) fn events<'v>(&self, subject: &Subject<'v>) -> &'v [PastEvent] {
        let all = subject.contact.events.get(&self.name).map(Vec::as_slice).unwrap_or_default();
        let until = all.partition_point(|event| event.at <= subject.now);
        let from = match self.start(subject.now) {
            Some(start) => all.partition_point(|event| event.at <= start),
            None => 0,
        };
        all.get(from..until).unwrap_or_default()
    }

    /// The first or the last of them.
    pub(crate) fn one<'v>(&self, which: Which, subject: &Subject<'v>) -> Option<&'v PastEvent> {
        let events = self.events(subject);
        match which {
            Which::First => events.first(),
            Which::Last => events.last(),
        }
    }

    /// After which instant events count.
    fn start(&self, now: Timestamp) -> Option<Timestamp> {
        let within = self.within.as_ref()?;
        Some(now.checked_sub(within.length).unwrap_or(Timestamp::MIN))
    }

    /// When the first of the events falls out of the window, which may change the answer.
    pub(crate) fn next_change(&self, subject: &Subject<'_>) -> Option<Timestamp> {
        let within = self.within.as_ref()?;
        self.events(subject).first()?.at.checked_add(within.length).ok()
    }
}

impl Tally {
    pub(crate) fn written(&self) -> String {
        match self {
            Self::Count => "count()".to_owned(),
            Self::Never => "never()".to_owned(),
            Self::Sum(property) => format!("sum(\"{property}\")"),
            Self::Max(property) => format!("max(\"{property}\")"),
            Self::Min(property) => format!("min(\"{property}\")"),
        }
    }

    pub(crate) fn gives(&self) -> Type {
        if *self == Self::Never { Type::Boolean } else { Type::Number }
    }

    pub(crate) fn property(&self) -> Option<&str> {
        match self {
            Self::Count | Self::Never => None,
            Self::Sum(property) | Self::Max(property) | Self::Min(property) => Some(property),
        }
    }

    /// The answer; none for the largest or smallest of no numbers.
    pub(crate) fn of(&self, events: &[PastEvent]) -> Option<Box<dyn Val>> {
        Some(match self {
            Self::Count => Box::new(CelInt::from(i64::try_from(events.len()).unwrap_or(i64::MAX))),
            Self::Never => Box::new(cel::common::types::CelBool::from(events.is_empty())),
            Self::Sum(property) => number(sum(numbers(events, property))),
            Self::Max(property) => {
                number(numbers(events, property).reduce(|a, b| if b.gt(&a) { b } else { a })?)
            }
            Self::Min(property) => {
                number(numbers(events, property).reduce(|a, b| if a.gt(&b) { b } else { a })?)
            }
        })
    }
}

/// A number of a property.
#[derive(Debug, Clone, Copy)]
enum Number {
    Whole(i64),
    Float(f64),
}

impl Number {
    fn float(self) -> f64 {
        match self {
            Self::Whole(whole) => whole as f64,
            Self::Float(float) => float,
        }
    }

    fn gt(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Whole(one), Self::Whole(other)) => one > other,
            _ => self.float() > other.float(),
        }
    }
}

/// The numbers among a property's values; what is missing or something else is passed over.
fn numbers<'e>(events: &'e [PastEvent], property: &'e str) -> impl Iterator<Item = Number> + 'e {
    events.iter().filter_map(|event| match event.properties.get(property)? {
        Json::Number(number) => match number.as_i64() {
            Some(whole) => Some(Number::Whole(whole)),
            None => number.as_f64().map(Number::Float),
        },
        _ => None,
    })
}

/// Whole as long as all are whole and the sum is not too large for that.
fn sum(numbers: impl Iterator<Item = Number>) -> Number {
    numbers.fold(Number::Whole(0), |sum, number| match (sum, number) {
        (Number::Whole(one), Number::Whole(other)) => {
            one.checked_add(other).map_or(Number::Float(one as f64 + other as f64), Number::Whole)
        }
        (sum, number) => Number::Float(sum.float() + number.float()),
    })
}

fn number(number: Number) -> Box<dyn Val> {
    match number {
        Number::Whole(whole) => Box::new(CelInt::from(whole)),
        Number::Float(float) => Box::new(CelDouble::from(float)),
    }
}
