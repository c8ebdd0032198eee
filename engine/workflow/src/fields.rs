//! `fields.yaml`: which attributes contacts have, of which types, and to which topics they may consent.

use std::collections::{BTreeMap, BTreeSet};

use dripline_model::{
    contact::{CHANNEL_EMAIL, RESERVED_FIELDS},
    field::{Field, FieldType, Fields, is_cel_word, is_identifier},
};

use crate::{
    Code, Diagnostic, Source,
    read::entry,
    source::Report,
    yaml::{self, Entry, Kind, Node},
};

/// The file's name.
pub const FILE: &str = "fields.yaml";

/// Reads `fields.yaml`.
///
/// # Errors
/// Everything that is wrong with the file.
pub fn parse(source: &Source) -> Result<Fields, Vec<Diagnostic>> {
    let mut report = Report::new(source);
    let tree = yaml::parse(source, &mut report);
    let fields = tree.map(|tree| document(&tree, &mut report)).unwrap_or_default();
    if report.errors() > 0 { Err(report.into_diagnostics()) } else { Ok(fields) }
}

/// Complains of an attribute of a contact that is not declared, or whose value its field never has. What was only learnt from
/// contacts forbids nothing.
pub(crate) fn fits(entry: &Entry, fields: &Fields, report: &mut Report<'_>) {
    let name = entry.key.as_str();
    let Some(field) = fields.attribute(name) else {
        if fields.is_closed() {
            let diagnostic =
                report.error(Code::NotAField, &entry.key_span, format!("no field `{name}` is declared"));
            match dripline_model::suggest::closest(name, fields.names()) {
                Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
                None => diagnostic.help(format!("declare it in {FILE}: `{name}: text`")),
            };
        }
        return;
    };
    let value = entry.value.value();
    if let Some(objection) = field.objection(&value).filter(|_| field.declared) {
        let shown =
            entry.value.scalar().map_or_else(|| entry.value.what().to_owned(), |text| format!("`{text}`"));
        let diagnostic = report.error(
            Code::NotItsType,
            &entry.value.span,
            format!("{shown} {objection}, as the field `{name}` is declared"),
        );
        let near = entry
            .value
            .scalar()
            .and_then(|text| dripline_model::suggest::closest(text, field.values.iter().map(String::as_str)));
        if let Some(near) = near {
            diagnostic.help(format!("did you mean `{near}`?"));
        } else if matches!(field.field_type, Some(FieldType::Text | FieldType::Date | FieldType::Timestamp))
            && !value.is_string()
        {
            diagnostic.help("put it in quotes, so that it is text");
        } else if let Some(text) =
            value.as_str().filter(|text| text.parse::<f64>().is_ok() || *text == "true" || *text == "false")
        {
            diagnostic.help(format!("write it without quotes: {text}"));
        }
    }
}

/// Complains of a topic of consent that is not declared.
pub(crate) fn fits_topic(entry: &Entry, fields: &Fields, report: &mut Report<'_>) {
    let Some(topics) = fields.topics() else { return };
    if entry.key != CHANNEL_EMAIL && !topics.contains(&entry.key) {
        report
            .error(Code::NoTopic, &entry.key_span, format!("no topic `{}` is declared", entry.key))
            .suggest(&entry.key, topics.iter().map(String::as_str).chain([CHANNEL_EMAIL]));
    }
}

fn document(tree: &Node, report: &mut Report<'_>) -> Fields {
    let Some(entries) = report.read_mapping(tree, "the file", "`fields: {country: text}`") else {
        return Fields::default();
    };
    report.unknown_keys(entries, &["fields", "topics"], FILE);
    let mut attributes = BTreeMap::new();
    if let Some(list) = entry(entries, "fields").filter(|entry| !entry.value.is_null()) {
        let declared = report.read_mapping(&list.value, "`fields`", "{country: text, employees: integer}");
        for entry in declared.unwrap_or_default() {
            let is_named = name(entry, report);
            if let (Some(field), true) = (field(entry, report), is_named) {
                attributes.insert(entry.key.clone(), field);
            }
        }
    }
    let topics = entry(entries, "topics").filter(|entry| !entry.value.is_null());
    Fields::declared(attributes, topics.map(|entry| topics_of(&entry.value, report)))
}

/// Whether the entry's key can be an attribute's name.
fn name(entry: &Entry, report: &mut Report<'_>) -> bool {
    let key = entry.key.as_str();
    let why = if RESERVED_FIELDS.contains(&key) {
        format!("every contact has `contact.{key}` anyway, so no attribute can be called so")
    } else if is_cel_word(key) {
        format!("`{key}` is a word of CEL, so no attribute can be called so")
    } else if !is_name(key) {
        format!("`{key}` is no name of an attribute: letters, digits and `_`, and no digit first")
    } else {
        return true;
    };
    let slug = crate::workflow::slug(key, '_');
    let diagnostic = report.error(Code::FieldName, &entry.key_span, why);
    if slug != key && is_name(&slug) {
        diagnostic.help(format!("write `{slug}`"));
    }
    false
}

fn is_name(name: &str) -> bool {
    is_identifier(name) && name.len() <= 200
}

fn field(entry: &Entry, report: &mut Report<'_>) -> Option<Field> {
    let Kind::Mapping(entries) = &entry.value.kind else {
        // `country: text`
        let field_type = Some(field_type(&entry.value, report)?);
        return Some(Field { field_type, ..Field::default() });
    };
    let place = format!("the field `{}`", entry.key);
    report.unknown_keys(entries, &["type", "values", "description"], &place);
    let description = crate::read::entry(entries, "description")
        .and_then(|entry| report.read_text(&entry.value, "`description`"));
    let Some(declared) = crate::read::entry(entries, "type") else {
        let known = ["type", "values", "description"];
        if !crate::read::misspelt("type", &known, entries.iter().map(|entry| entry.key.as_str())) {
            report
                .error(Code::MissingKey, &entry.key_span, format!("{place} needs a `type`"))
                .help(format!("write for example {}: {{type: text}}", entry.key));
        }
        return None;
    };
    let field_type = field_type(&declared.value, report)?;
    let values = crate::read::entry(entries, "values").filter(|entry| !entry.value.is_null());
    let values = values.map(|entry| values_of(entry, field_type, report)).unwrap_or_default();
    Some(Field { field_type: Some(field_type), values, description, declared: true })
}

fn field_type(node: &Node, report: &mut Report<'_>) -> Option<FieldType> {
    let names = FieldType::ALL.map(FieldType::name);
    let Some(text) = node.scalar().filter(|_| !node.is_null()) else {
        report
            .wrong_type(node, "a field's type", "a word")
            .help(format!("it can be {}", crate::diagnostic::one_of(names).unwrap_or_default()));
        return None;
    };
    let found = FieldType::named(text);
    if found.is_none() {
        let other = match text {
            "string" | "str" | "varchar" => Some("text"),
            "int" => Some("integer"),
            "float" | "double" | "decimal" => Some("number"),
            "bool" => Some("boolean"),
            "datetime" | "time" => Some("timestamp"),
            _ => None,
        };
        let diagnostic = report.error(Code::FieldKind, &node.span, format!("there is no type `{text}`"));
        match other {
            Some(other) => diagnostic.help(format!("did you mean `{other}`?")),
            None => diagnostic.suggest(text, names),
        };
    }
    found
}

fn values_of(entry: &Entry, field_type: FieldType, report: &mut Report<'_>) -> Vec<String> {
    if field_type != FieldType::Text {
        report
            .error(
                Code::FieldValues,
                &entry.key_span,
                format!("a field of type {} cannot be limited to a list of values", field_type.name()),
            )
            .help("remove `values`, or make it `type: text`");
        return Vec::new();
    }
    let items = report.read_list(&entry.value, "`values`", "[free, pro]").unwrap_or_default();
    if items.is_empty() && matches!(entry.value.kind, Kind::List(_)) {
        report
            .error(Code::FieldValues, &entry.value.span, "no value is allowed")
            .help("name the values, or remove `values`");
    }
    let mut values: Vec<String> = Vec::with_capacity(items.len());
    for item in items {
        let Some(text) = report.read_text(item, "a value") else { continue };
        if values.contains(&text) {
            report.error(Code::FieldValues, &item.span, format!("`{text}` is there twice"));
        } else {
            values.push(text);
        }
    }
    values
}

/// A list of topics, or a mapping from each to a word about it.
fn topics_of(node: &Node, report: &mut Report<'_>) -> BTreeSet<String> {
    let named: Vec<(String, &std::ops::Range<usize>)> = match &node.kind {
        Kind::Mapping(entries) => entries
            .iter()
            .map(|entry| {
                if !entry.value.is_null() && entry.value.span != entry.key_span {
                    report.read_text(&entry.value, "a topic's description");
                }
                (entry.key.clone(), &entry.key_span)
            })
            .collect(),
        Kind::List(items) => {
            items.iter().filter_map(|item| Some((report.read_text(item, "a topic")?, &item.span))).collect()
        }
        Kind::Scalar(..) => {
            report.wrong_type(node, "`topics`", "a list or a mapping").help("write for example [newsletter]");
            return BTreeSet::new();
        }
    };
    let mut topics = BTreeSet::new();
    for (topic, span) in named {
        let part = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
        if topic.is_empty() || topic.len() > 100 || !topic.chars().all(part) {
            let slug = crate::workflow::slug(&topic, '_');
            let diagnostic = report.error(
                Code::TopicName,
                span,
                format!("`{topic}` is no name of a topic: letters, digits and `_`"),
            );
            if !slug.is_empty() {
                diagnostic.help(format!("write `{slug}`"));
            }
        } else if topic == CHANNEL_EMAIL {
            report
                .error(Code::TopicName, span, "`email` is the channel as a whole, and always there")
                .help("remove it");
        } else if !topics.insert(topic.clone()) {
            report.error(Code::TopicName, span, format!("`{topic}` is there twice"));
        }
    }
    topics
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Fields, Vec<Diagnostic>> {
        super::parse(&Source { path: FILE.into(), text: text.into() })
    }

    #[test]
    fn types_values_and_topics_are_read() {
        let fields = parse(
            "fields:\n  country: text\n  plan: {type: text, values: [free, pro], description: What they pay for}\n\
             \x20 seats: {type: integer}\ntopics:\n  newsletter: once a month\n  tips:\n",
        )
        .unwrap();
        let plan = fields.attribute("plan").unwrap();
        assert_eq!((plan.values.len(), plan.declared, plan.field_type), (2, true, Some(FieldType::Text)));
        assert_eq!(plan.description.as_deref(), Some("What they pay for"));
        assert!(fields.is_closed() && fields.attribute("country").unwrap().declared);
        assert_eq!(fields.names().collect::<Vec<_>>(), ["country", "plan", "seats"]);
        assert_eq!(fields.topics().unwrap().iter().collect::<Vec<_>>(), ["newsletter", "tips"]);
        assert_eq!(parse("fields: {a: text}").unwrap().topics(), None);
        assert_eq!(parse("topics: [a]").unwrap().topics().unwrap().len(), 1);
    }

    #[test]
    fn every_mistake_is_placed() {
        let text = "field: {}\nfields:\n  email: text\n  in: text\n  2nd: text\n  Job title: text\n  a: strin\n  b: datetime\n\
            \x20 c: {typ: text}\n  d: {description: x}\n  e: {type: integer, values: [1]}\n  f: {type: text, values: []}\n\
            \x20 g: {type: text, values: [a, a, 3]}\n  h: 3\n  i: [text]\n  j:\ntopics: [news letter, email, tips, tips]\n";
        let rendered: Vec<String> = parse(text)
            .unwrap_err()
            .iter()
            .map(|d| {
                let help = d.help.clone().unwrap_or_default();
                format!("{} {}:{} {} ({help})", d.code, d.line, d.column, d.message)
            })
            .collect();
        insta::assert_snapshot!(rendered.join("\n"), @r#"
        E0201 1:1 fields.yaml has no key `field` (did you mean `fields`?)
        E0711 3:3 every contact has `contact.email` anyway, so no attribute can be called so ()
        E0711 4:3 `in` is a word of CEL, so no attribute can be called so ()
        E0711 5:3 `2nd` is no name of an attribute: letters, digits and `_`, and no digit first ()
        E0711 6:3 `Job title` is no name of an attribute: letters, digits and `_`, and no digit first (write `job_title`)
        E0710 7:6 there is no type `strin` (it can be `text`, `number`, `integer`, `boolean`, `date` or `timestamp`)
        E0710 8:6 there is no type `datetime` (did you mean `timestamp`?)
        E0201 9:7 the field `c` has no key `typ` (did you mean `type`?)
        E0202 10:3 the field `d` needs a `type` (write for example d: {type: text})
        E0712 11:22 a field of type integer cannot be limited to a list of values (remove `values`, or make it `type: text`)
        E0712 12:27 no value is allowed (name the values, or remove `values`)
        E0712 13:31 `a` is there twice ()
        E0204 13:34 a value must be text, but this is a number (put it in quotes: "3")
        E0710 14:6 there is no type `3` (it can be `text`, `number`, `integer`, `boolean`, `date` or `timestamp`)
        E0204 15:6 a field's type must be a word, but this is a list (it can be `text`, `number`, `integer`, `boolean`, `date` or `timestamp`)
        E0204 16:3 a field's type must be a word, but this is nothing (it can be `text`, `number`, `integer`, `boolean`, `date` or `timestamp`)
        E0713 17:10 `news letter` is no name of a topic: letters, digits and `_` (write `news_letter`)
        E0713 17:23 `email` is the channel as a whole, and always there (remove it)
        E0713 17:36 `tips` is there twice ()
        "#);
    }
}
