//! A filter as SQL. How filters go together is said here; each question in its words says a backend.

use dripline_model::filter::{Filter, Order, Test};

use crate::segments::indexable;

/// A value to bind.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Bind {
    Text(String),
    Float(f64),
    Integer(i64),
}

/// A condition on the contact `c`, with its values in the order of their places.
#[derive(Debug, Default)]
pub(crate) struct Condition {
    pub(crate) sql: String,
    pub(crate) binds: Vec<Bind>,
}

/// How a backend asks one question.
pub(crate) trait Dialect {
    /// A place for the value at `number`, from 1.
    fn place(&self, number: usize) -> String;
    /// The id of a word.
    fn word(&self, word: &str, binds: &mut Binds<'_>) -> String;
    /// About an attribute, the address, the key or the owner.
    fn field(&self, test: &Test, binds: &mut Binds<'_>) -> String;
    /// Whether a truth value in a column is this.
    fn flag(&self, column: &str, value: bool) -> String;
}

/// The values so far.
pub(crate) struct Binds<'b> {
    pub(crate) all: &'b mut Vec<Bind>,
    place: &'b dyn Fn(usize) -> String,
}

impl Binds<'_> {
    /// Adds a value; answers its place.
    pub(crate) fn add(&mut self, value: Bind) -> String {
        self.all.push(value);
        (self.place)(self.all.len())
    }

    /// Adds a text.
    pub(crate) fn text(&mut self, text: &str) -> String {
        self.add(Bind::Text(text.to_owned()))
    }
}

/// The condition that selects whom the filter selects.
pub(crate) fn condition(filter: &Filter, dialect: &impl Dialect) -> Condition {
    let mut binds = Vec::new();
    let sql = write(filter, dialect, &mut binds, false);
    Condition { sql, binds }
}

/// The same in two conditions, where an index finds few contacts by what they say of themselves and other tables are asked
/// for the rest: the second knows of `c` the id alone, and its places follow those of the first.
pub(crate) fn in_two(filter: &Filter, dialect: &impl Dialect) -> Option<(String, Condition)> {
    let Filter::All(parts) = filter else { return None };
    let (elsewhere, own): (Vec<Filter>, Vec<Filter>) = parts.iter().cloned().partition(is_elsewhere);
    if elsewhere.is_empty() || indexable(filter).0.is_empty() {
        return None;
    }
    let mut binds = Vec::new();
    let own = write(&Filter::All(own), dialect, &mut binds, true);
    let sql = write(&Filter::All(elsewhere), dialect, &mut binds, true);
    Some((own, Condition { sql, binds }))
}

/// Whether other tables answer it than that of the contacts.
fn is_elsewhere(filter: &Filter) -> bool {
    match filter {
        Filter::Everyone | Filter::Nobody => false,
        Filter::All(parts) | Filter::Any(parts) => parts.iter().all(is_elsewhere),
        Filter::Is(test) => match test {
            Test::Attribute(..) | Test::Email(_) | Test::ExternalId(_) | Test::CreatedAt(..) => false,
            Test::Owner(_)
            | Test::Score(..)
            | Test::Scored(..)
            | Test::Consent(..)
            | Test::Answered(..)
            | Test::Tag(..)
            | Test::Member(..)
            | Test::Events { .. } => true,
        },
    }
}

/// `is_few`: whether something beside this lets only few through, found by an index.
fn write(filter: &Filter, dialect: &impl Dialect, binds: &mut Vec<Bind>, is_few: bool) -> String {
    let joined = |parts: &[Filter], by: &str, is_few: bool, binds: &mut Vec<Bind>| {
        let parts: Vec<String> = parts.iter().map(|part| write(part, dialect, binds, is_few)).collect();
        format!("({})", parts.join(by))
    };
    match filter {
        Filter::Everyone => "1 = 1".to_owned(),
        Filter::Nobody => "1 = 0".to_owned(),
        Filter::All(parts) => {
            let is_few = is_few || !indexable(filter).0.is_empty();
            joined(parts, " AND ", is_few, binds)
        }
        Filter::Any(parts) => joined(parts, " OR ", is_few, binds),
        Filter::Is(test) => {
            let place = |number| dialect.place(number);
            let mut binds = Binds { all: binds, place: &place };
            question(test, dialect, &mut binds, is_few)
        }
    }
}

fn question(test: &Test, dialect: &impl Dialect, binds: &mut Binds<'_>, is_few: bool) -> String {
    let exists =
        |is: bool, rows: String| format!("{}EXISTS (SELECT 1 FROM {rows})", if is { "" } else { "NOT " });
    match test {
        Test::Attribute(..) | Test::Email(_) | Test::ExternalId(_) | Test::Owner(_) => {
            dialect.field(test, binds)
        }
        Test::CreatedAt(order, ms) => {
            format!("c.created_at {} {}", order.sql(), binds.add(Bind::Integer(*ms)))
        }
        Test::Score(name, order, points) => {
            let word = dialect.word(name, binds);
            let points = binds.add(Bind::Float(*points));
            let value = format!(
                "(SELECT {} FROM contact_scores s WHERE s.contact_id = c.id AND s.score = {word})",
                match order {
                    Order::Greater | Order::GreaterOrEqual => "coalesce(s.most, s.value)",
                    Order::Less | Order::LessOrEqual => "coalesce(s.least, s.value)",
                    // Both ends have to be asked for.
                    Order::Equal | Order::NotEqual => "s.value",
                }
            );
            match order {
                Order::Greater | Order::GreaterOrEqual | Order::Less | Order::LessOrEqual => {
                    format!("coalesce({value}, 0) {} {points}", order.sql())
                }
                Order::Equal | Order::NotEqual => {
                    let fades = "contact_scores s WHERE s.contact_id = c.id AND s.curve IS NOT NULL";
                    let fades = exists(true, format!("{fades} AND s.score = {word}"));
                    format!("(coalesce({value}, 0) {} {points} OR {fades})", order.sql())
                }
            }
        }
        Test::Scored(name, is) => {
            let word = dialect.word(name, binds);
            exists(*is, format!("contact_scores s WHERE s.contact_id = c.id AND s.score = {word}"))
        }
        Test::Consent(topic, given) => {
            let word = dialect.word(topic, binds);
            let flag = dialect.flag("n.given", true);
            exists(*given, format!("consents n WHERE n.contact_id = c.id AND n.topic = {word} AND {flag}"))
        }
        Test::Answered(topic, is) => {
            let word = dialect.word(topic, binds);
            exists(*is, format!("consents n WHERE n.contact_id = c.id AND n.topic = {word}"))
        }
        Test::Tag(tag, has) => {
            let word = dialect.word(tag, binds);
            exists(*has, format!("contact_tags t WHERE t.contact_id = c.id AND t.tag = {word}"))
        }
        Test::Member(segment, is) => {
            let name = binds.text(segment);
            let id = format!("(SELECT g.id FROM segments g WHERE g.name = {name})");
            exists(*is, format!("segment_members m WHERE m.contact_id = c.id AND m.segment_id = {id}"))
        }
        Test::Events { name, after_ms, until_ms, order, count } => {
            let word = dialect.word(name, binds);
            let after = after_ms.map(|after| format!(" AND e.at > {}", binds.add(Bind::Integer(after))));
            let until = binds.add(Bind::Integer(*until_ms));
            let rows =
                format!("events e WHERE e.name = {word}{} AND e.at <= {until}", after.unwrap_or_default());
            let holds_for_none = order.holds(0.0, *count);
            let order: Order = if holds_for_none { order.opposite() } else { *order };
            let not = if holds_for_none { "NOT " } else { "" };
            let is_any = match order {
                Order::Greater | Order::GreaterOrEqual => order.holds(1.0, *count),
                Order::NotEqual => *count == 0.0,
                _ => false,
            };
            if is_few && is_any {
                // The first is enough.
                return exists(!holds_for_none, format!("{rows} AND e.contact_id = c.id"));
            }
            let count = binds.add(Bind::Float(*count));
            if is_few {
                // A seek for each of the few.
                format!("{not}(SELECT count(*) FROM {rows} AND e.contact_id = c.id) {} {count}", order.sql())
            } else {
                // The events in their order, once.
                let having = format!("count(*) {} {count}", order.sql());
                format!(
                    "c.id {not}IN (SELECT e.contact_id FROM {rows} GROUP BY e.contact_id HAVING {having})"
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use dripline_model::filter::{Is, Scalar};

    use super::*;

    struct Plain;

    impl Dialect for Plain {
        fn place(&self, number: usize) -> String {
            format!("?{number}")
        }

        fn word(&self, word: &str, binds: &mut Binds<'_>) -> String {
            binds.text(word)
        }

        fn field(&self, _: &Test, binds: &mut Binds<'_>) -> String {
            format!("c.field = {}", binds.text("x"))
        }

        fn flag(&self, column: &str, value: bool) -> String {
            format!("{column} = {value}")
        }
    }

    fn is(name: &str) -> Filter {
        Filter::Is(Test::Attribute(name.into(), Is::AnyOf(vec![Scalar::Text("x".into())])))
    }

    fn tag(tag: &str) -> Filter {
        Filter::Is(Test::Tag(tag.into(), true))
    }

    #[test]
    fn what_other_tables_say_is_asked_of_the_few_that_an_index_finds() {
        let mixed = Filter::Any(vec![tag("b"), is("y")]);
        let filter = Filter::All(vec![tag("a"), is("x"), mixed, Filter::Any(vec![tag("c"), tag("d")])]);
        let (own, Condition { sql, binds }) = in_two(&filter, &Plain).unwrap();
        insta::assert_snapshot!(format!("{own}\n{sql}\n{binds:?}"), @r#"
        (c.field = ?1 AND (EXISTS (SELECT 1 FROM contact_tags t WHERE t.contact_id = c.id AND t.tag = ?2) OR c.field = ?3))
        (EXISTS (SELECT 1 FROM contact_tags t WHERE t.contact_id = c.id AND t.tag = ?4) AND (EXISTS (SELECT 1 FROM contact_tags t WHERE t.contact_id = c.id AND t.tag = ?5) OR EXISTS (SELECT 1 FROM contact_tags t WHERE t.contact_id = c.id AND t.tag = ?6)))
        [Text("x"), Text("b"), Text("x"), Text("a"), Text("c"), Text("d")]
        "#);
    }

    #[test]
    fn where_no_index_finds_them_or_nothing_else_is_asked_there_is_one_condition() {
        for filter in [tag("a"), Filter::All(vec![tag("a"), tag("b")]), Filter::All(vec![is("x"), is("y")])] {
            assert!(in_two(&filter, &Plain).is_none(), "{filter:?}");
        }
    }
}
