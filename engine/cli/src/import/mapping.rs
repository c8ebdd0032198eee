//! What the columns of a file mean: by their headers, unless `--map` says otherwise.

use std::{collections::BTreeMap, str::FromStr};

use dripline_model::field::{Fields as KnownFields, is_cel_word, is_identifier};

use super::{
    error::Structure,
    typing::{Inference, ValueType},
};

/// The longest header, in characters.
const MAX_HEADER: usize = 200;

/// `--map HEADER=TARGET[:TYPE]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MapRule {
    header: String,
    target: String,
    value_type: Option<ValueType>,
}

impl MapRule {
    /// The rule that ignores a column.
    pub(crate) fn ignore(header: &str) -> Self {
        Self { header: header.into(), target: "-".into(), value_type: None }
    }

    /// The rule that takes a column for a field.
    pub(crate) fn to(header: &str, target: &str) -> Self {
        Self { header: header.into(), target: target.into(), value_type: None }
    }
}

impl FromStr for MapRule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (header, target) = text
            .rsplit_once('=')
            .filter(|(header, target)| !header.trim().is_empty() && !target.trim().is_empty())
            .ok_or("write HEADER=TARGET, for example \"E-mail (work)=email\"; HEADER=- ignores a column")?;
        let (target, value_type) = match target.split_once(':') {
            Some((target, name)) => (target, Some(name.trim().parse()?)),
            None => (target, None),
        };
        Ok(Self { header: header.trim().into(), target: target.trim().into(), value_type })
    }
}

/// The kinds of field that a row of a file has beside values of free choice.
pub(crate) trait Fields: Clone + PartialEq {
    /// What one row is, for messages.
    const ROW: &'static str;
    /// What two rows that mean the same share.
    const KEY: &'static str;
    /// What becomes of a row that shares it with an earlier one.
    const REPEATED: &'static str;
    /// Where values of free choice are found in expressions.
    const VALUES: &'static str;
    /// Names that no value may take.
    const RESERVED: &'static [&'static str];

    /// The field that a header means, and how good a name for it the header is (0 is best), given the header in
    /// lower case with `_` for everything that is not a letter, a digit or a dot.
    fn recognise(header: &str) -> Option<(Self, u8)>;

    /// The field that is the target of a `--map`.
    fn named(target: &str) -> Option<Self>;

    /// Whether several columns may be this field.
    fn may_repeat(&self) -> bool;

    /// The field as summaries name it.
    fn describe(&self) -> String;

    /// What is missing among these fields, as `(what, the targets that would provide it)`.
    fn missing(present: &[Self]) -> Option<(&'static str, &'static [&'static str])>;
}

/// What a column means.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Meaning<F> {
    /// Nothing.
    Ignored,
    /// A field with a meaning of its own.
    Field(F),
    /// A value under its own name.
    Value {
        /// The name.
        name: String,
        /// The type.
        value_type: ValueType,
        /// Whether the type was asked for; otherwise it is what all cells have.
        forced: bool,
        /// The only values that there may be, where `fields.yaml` lists them.
        allowed: Vec<String>,
    },
}

/// A column of a file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Column<F> {
    /// Its header.
    pub(crate) header: String,
    /// What it means.
    pub(crate) meaning: Meaning<F>,
}

/// The columns of a file, and what to tell about them.
#[derive(Debug, Clone)]
pub(crate) struct Mapping<F> {
    /// In the file's order.
    pub(crate) columns: Vec<Column<F>>,
    /// Sentences about columns that came to mean something else than their header says.
    pub(crate) notes: Vec<String>,
}

impl<F: Fields> Mapping<F> {
    /// Finds out what each column means.
    pub(crate) fn new(headers: &[String], rules: &[MapRule]) -> Result<Self, Structure> {
        check_headers(headers)?;
        for rule in rules {
            if !headers.contains(&rule.header) {
                let near = dripline_model::suggest::closest(&rule.header, headers.iter().map(String::as_str));
                return Err(Structure::MapNamesNoColumn {
                    header: rule.header.clone(),
                    near: near.map(str::to_owned),
                    found: headers.to_vec(),
                });
            }
        }
        let mut mapping = Self { columns: Vec::with_capacity(headers.len()), notes: Vec::new() };
        for (index, header) in headers.iter().enumerate() {
            let rule = rules.iter().rev().find(|rule| rule.header == *header);
            let meaning = match rule {
                Some(rule) => mapped(rule)?,
                None if header.is_empty() => {
                    mapping.notes.push(format!("column {} has no header and is ignored", index + 1));
                    Meaning::Ignored
                }
                None => mapping.by_header(header, headers)?,
            };
            mapping.columns.push(Column { header: header.clone(), meaning });
        }
        mapping.check_unique()?;
        let fields: Vec<F> = mapping.fields().cloned().collect();
        match F::missing(&fields) {
            Some((what, targets)) => Err(Structure::NoKey { what, targets, found: headers.to_vec() }),
            None => Ok(mapping),
        }
    }

    /// Gives columns that are declared fields their types.
    ///
    /// # Errors
    /// A rule that gives one another type.
    pub(crate) fn declare(&mut self, fields: &KnownFields) -> Result<(), Structure> {
        for Column { header, meaning } in &mut self.columns {
            let Meaning::Value { name, value_type, forced, allowed } = meaning else { continue };
            let Some(field) = fields.attribute(name).filter(|field| field.declared) else { continue };
            let Some(declared) = field.field_type.map(ValueType::of) else { continue };
            if *forced && *value_type != declared {
                return Err(Structure::Declared {
                    header: header.clone(),
                    name: name.clone(),
                    declared: declared.name(),
                });
            }
            (*value_type, *forced) = (declared, true);
            allowed.clone_from(&field.values);
        }
        Ok(())
    }

    /// Notes columns whose values are of another type than those that contacts have so far.
    pub(crate) fn compare(&mut self, fields: &KnownFields) {
        for Column { header, meaning } in &self.columns {
            let Meaning::Value { name, value_type, .. } = meaning else { continue };
            let Some(field) = fields.attribute(name).filter(|field| !field.declared) else { continue };
            if let Some(known) = field.field_type.filter(|known| !value_type.fits(*known)) {
                self.notes.push(format!(
                    "column `{header}` is {}, but all contacts that have `{}.{name}` have {} there: conditions that \
                     compare it hold for one kind only; declare its type in fields.yaml to have the other rejected",
                    value_type.name(),
                    F::VALUES,
                    known.name(),
                ));
            }
        }
    }

    /// Which columns' types are still to be inferred.
    pub(crate) fn inferred(&self) -> Vec<Option<Inference>> {
        let open = |column: &Column<F>| matches!(column.meaning, Meaning::Value { forced: false, .. });
        self.columns.iter().map(|column| open(column).then(Inference::default)).collect()
    }

    /// Settles the types of those columns.
    pub(crate) fn settle(&mut self, inferences: &[Option<Inference>]) {
        for (column, inference) in self.columns.iter_mut().zip(inferences) {
            if let (Meaning::Value { value_type, .. }, Some(inference)) = (&mut column.meaning, inference) {
                *value_type = inference.value_type();
            }
        }
    }

    fn fields(&self) -> impl Iterator<Item = &F> {
        self.columns.iter().filter_map(|column| match &column.meaning {
            Meaning::Field(field) => Some(field),
            _ => None,
        })
    }

    fn by_header(&mut self, header: &str, all: &[String]) -> Result<Meaning<F>, Structure> {
        if let Some((field, rank)) = recognise::<F>(header) {
            let better = |other: &String| {
                recognise::<F>(other).is_some_and(|(same, other)| same == field && other < rank)
            };
            if field.may_repeat() || !all.iter().any(better) {
                return Ok(Meaning::Field(field));
            }
        }
        let name = identifier(header);
        let values = F::VALUES;
        if F::RESERVED.contains(&name.as_str()) || is_cel_word(&name) || name.is_empty() {
            return Err(Structure::ReservedHeader { header: header.into(), values });
        }
        if name != header {
            self.notes.push(format!("column `{header}` becomes `{values}.{name}`"));
        }
        Ok(Meaning::Value { name, value_type: ValueType::Text, forced: false, allowed: Vec::new() })
    }

    /// No two columns may mean the same.
    fn check_unique(&self) -> Result<(), Structure> {
        let mut seen: BTreeMap<String, &str> = BTreeMap::new();
        for column in &self.columns {
            let meaning = match &column.meaning {
                Meaning::Ignored => continue,
                Meaning::Field(field) if field.may_repeat() => continue,
                Meaning::Field(field) => field.describe(),
                Meaning::Value { name, .. } => format!("{}.{name}", F::VALUES),
            };
            if let Some(first) = seen.insert(meaning.clone(), &column.header) {
                let second = column.header.clone();
                return Err(Structure::SameMeaning { first: first.to_owned(), second, meaning });
            }
        }
        Ok(())
    }
}

fn recognise<F: Fields>(header: &str) -> Option<(F, u8)> {
    let plain = |letter: char| if letter.is_ascii_alphanumeric() || letter == '.' { letter } else { '_' };
    F::recognise(&header.to_lowercase().chars().map(plain).collect::<String>())
}

fn mapped<F: Fields>(rule: &MapRule) -> Result<Meaning<F>, Structure> {
    let refuse =
        |why: String| Structure::BadMap { header: rule.header.clone(), target: rule.target.clone(), why };
    let field = F::named(&rule.target);
    match (rule.target.as_str(), field, rule.value_type) {
        ("-", _, None) => Ok(Meaning::Ignored),
        (_, Some(field), None) => Ok(Meaning::Field(field)),
        ("-", _, Some(_)) | (_, Some(_), Some(_)) => {
            Err(refuse("only values of your own have a type".into()))
        }
        (name, None, value_type) => {
            if F::RESERVED.contains(&name) || is_cel_word(name) {
                return Err(refuse("the name is reserved".into()));
            }
            if identifier(name) != name {
                return Err(refuse(
                    "a name has letters (a to z), digits and `_`, and begins with a letter".into(),
                ));
            }
            Ok(Meaning::Value {
                name: name.into(),
                value_type: value_type.unwrap_or(ValueType::Text),
                forced: value_type.is_some(),
                allowed: Vec::new(),
            })
        }
    }
}

fn check_headers(headers: &[String]) -> Result<(), Structure> {
    for (index, header) in headers.iter().enumerate() {
        let characters = header.chars().count();
        if characters > MAX_HEADER {
            return Err(Structure::LongHeader { column: index + 1, characters, most: MAX_HEADER });
        }
        if header.chars().any(char::is_control) {
            return Err(Structure::Binary);
        }
        if looks_like_data(header) {
            return Err(Structure::NoHeader { found: headers.to_vec(), data: header.clone() });
        }
    }
    Ok(())
}

/// Addresses, numbers and dates name no column.
fn looks_like_data(header: &str) -> bool {
    email_address::EmailAddress::is_valid(header)
        || header.parse::<f64>().is_ok_and(f64::is_finite)
        || super::typing::read_time(header).is_some()
}

/// A name for use in expressions: `First Name` becomes `first_name`; what is a name already stays. Empty if nothing in
/// `header` can be part of a name.
fn identifier(header: &str) -> String {
    if is_identifier(header) {
        return header.to_owned();
    }
    let words: Vec<String> = header
        .split(|letter: char| !letter.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_ascii_lowercase)
        .collect();
    let name = words.join("_");
    if name.starts_with(|first: char| first.is_ascii_digit()) { format!("_{name}") } else { name }
}

#[cfg(test)]
mod tests {
    use super::{super::contacts::ContactField, *};

    fn map(headers: &[&str], rules: &[&str]) -> Result<Mapping<ContactField>, String> {
        let headers: Vec<String> = headers.iter().map(ToString::to_string).collect();
        let rules: Vec<MapRule> = rules.iter().map(|rule| rule.parse().unwrap()).collect();
        Mapping::new(&headers, &rules).map_err(|error| error.to_string())
    }

    fn meanings(headers: &[&str], rules: &[&str]) -> Vec<String> {
        let describe = |column: Column<ContactField>| match column.meaning {
            Meaning::Ignored => "-".to_owned(),
            Meaning::Field(field) => field.describe(),
            Meaning::Value { name, value_type, forced, .. } => {
                if forced {
                    format!("{name}:{}", value_type.name())
                } else {
                    name
                }
            }
        };
        map(headers, rules).unwrap().columns.into_iter().map(describe).collect()
    }

    #[test]
    fn headers_say_what_columns_mean() {
        assert_eq!(
            meanings(
                &["E-Mail", "ID", "First Name", "companySize", "consent_news", "Consent.email", "2nd"],
                &[]
            ),
            ["email", "external_id", "first_name", "companySize", "consent.news", "consent.email", "_2nd"],
        );
        assert_eq!(
            meanings(&["Contact ID", "", "Created at", "Tags"], &[])[1..],
            ["-", "created_at", "tags"]
        );
    }

    #[test]
    fn map_rules_win_over_headers() {
        let rules = ["a=b=email", "email=-", "ZIP=zip:text", "Plan=tag", "News?=consent.news"];
        assert_eq!(
            meanings(&["a=b", "email", "ZIP", "Plan", "News?"], &rules),
            ["email", "-", "zip:text", "tags", "consent.news"],
        );
    }

    #[test]
    fn columns_that_cannot_be_taken_are_refused_in_words() {
        for (headers, rules, expected) in [
            (
                &["name", "city"][..],
                &[][..],
                "no column identifies the contact; the columns are `name`, `city`",
            ),
            (&["email", "owner"], &[], "the header `owner` cannot be the name of a `contact` value"),
            (&["email", "in"], &[], "the header `in` cannot be the name of a `contact` value"),
            (&["email", "A b", "a-b"], &[], "the columns `A b` and `a-b` both mean `contact.a_b`"),
            (&["email", "e-mail"], &[], "the columns `email` and `e-mail` both mean `email`"),
            (&["anna@x.example", "Berlin"], &[], "the first line is data (`anna@x.example`), not a header"),
            (&["email"], &["emial=email"], "--map names the column `emial`, which is not in the file"),
            (&["email", "x"], &["x=scores"], "--map x=scores: the name is reserved"),
        ] {
            assert_eq!(map(headers, rules).unwrap_err(), expected);
        }
        let long = "x".repeat(1_000_000);
        assert!(
            map(&["email", &long], &[])
                .unwrap_err()
                .starts_with("the header of column 2 is 1000000 characters")
        );
    }

    #[test]
    fn a_rule_that_is_no_rule_says_how_to_write_one() {
        assert!("email".parse::<MapRule>().unwrap_err().contains("HEADER=TARGET"));
        assert!("zip=zip:number".parse::<MapRule>().unwrap_err().contains("integer"));
    }
}
