//! What is known of fields finds mistakes before there is a contact.

use std::collections::BTreeMap;

use dripline_expression::{Expression, Problem, Scope};
use dripline_model::{
    batch::ColumnType,
    field::{Field, FieldType, Fields, ValueTypes},
};
use serde_json::json;

fn fields() -> Fields {
    let field = |field_type| Field { field_type: Some(field_type), ..Field::default() };
    let plan = Field { values: vec!["free".into(), "pro".into()], ..field(FieldType::Text) };
    let declared = [
        ("title", field(FieldType::Text)),
        ("employees", field(FieldType::Integer)),
        ("active", field(FieldType::Boolean)),
        ("renewal", field(FieldType::Date)),
        ("plan", plan),
    ];
    let declared: BTreeMap<String, Field> =
        declared.into_iter().map(|(name, field)| (name.to_owned(), field)).collect();
    Fields::declared(declared, Some(["newsletter".to_owned()].into()))
        .learning([("seats".to_owned(), ValueTypes::of(&json!(3)))])
        .with_segments(["hot".to_owned()])
}

fn shown(source: &str, problems: &[Problem]) -> String {
    problems
        .iter()
        .map(|problem| {
            let help = problem.help.as_ref().map(|help| format!(" ({help})")).unwrap_or_default();
            format!("{:?} [{}] {}{help}\n", problem.kind, &source[problem.span.clone()], problem.message)
        })
        .collect()
}

fn problems(source: &str) -> String {
    let fields = fields();
    let scope = Scope { attributes: Some(&fields), event: false, inputs: None };
    match Expression::compile(source, ColumnType::Boolean, &scope) {
        Ok(_) => String::new(),
        Err(problems) => shown(source, &problems),
    }
}

#[test]
fn comparisons_that_never_fit_are_found() {
    let wrong = [
        "contact.employees > \"200\"",
        "contact.title == 3",
        "contact.employees.startsWith(\"2\")",
        "contact.active == \"yes\"",
        "contact.renewal < now",
        "contact.seats == \"3\"",
        "contact.title.first == \"x\"",
        "contact.title",
        "contact.employees in [\"1-9\", 200]",
        "contact.plan == \"prof\"",
        "contact.plan in [\"pro\", \"enterprise\"]",
        "\"fre\" != contact.plan",
        "contact.consent.newsleter",
        "contact.consent.partners",
        "\"hott\" in contact.segments",
        "contact.shoe_size > 3",
        "contact.title.startWith(\"VP\")",
    ];
    let all: String = wrong.iter().map(|source| problems(source)).collect();
    insta::assert_snapshot!(all, @r#"
    Types [contact.employees > "200"] `>` cannot compare a number with text (`contact.employees` is a whole number, as fields.yaml says)
    Types [contact.title == 3] text never equals a number (`contact.title` is text, as fields.yaml says)
    Types [contact.employees] `startsWith` cannot be asked of a number (for example contact.title.startsWith("VP"))
    Types [contact.active == "yes"] true or false never equals text (`contact.active` is true or false, as fields.yaml says)
    Types [contact.renewal < now] `<` cannot compare text with a timestamp (make a timestamp of it: timestamp(contact.renewal))
    Types [contact.seats == "3"] a number never equals text (`contact.seats` is a whole number, for all contacts that have it)
    Types [contact.title.first] `contact.title` is text and has no field `first`
    Types [contact.title] this gives text, but true or false is wanted here (compare it with something, or ask for its size)
    Types ["1-9"] `contact.employees` is never text (`contact.employees` is a whole number, as fields.yaml says)
    Value ["prof"] `contact.plan` is never "prof" (did you mean "pro"?)
    Value ["enterprise"] `contact.plan` is never "enterprise" (fields.yaml allows free, pro)
    Value ["fre"] `contact.plan` is never "fre" (did you mean "free"?)
    Topic [contact.consent.newsleter] there is no topic `newsleter` to consent to (did you mean `contact.consent.newsletter`?)
    Topic [contact.consent.partners] there is no topic `partners` to consent to (declare the topic `partners` in fields.yaml)
    Segment ["hott"] nothing puts contacts into a segment `hott` (did you mean "hot"?)
    Name [contact.shoe_size] no contact has `shoe_size` (declare `shoe_size` in fields.yaml)
    Function [startWith] the function `startWith` is unknown (did you mean contact.title.startsWith("VP")?)
    "#);
}

#[test]
fn comparisons_that_fit_are_left_alone() {
    for right in [
        "contact.employees > 200",
        "contact.employees > 2.5",
        "contact.active",
        "contact.title == \"VP\" || contact.active == true",
        "contact.plan != \"free\" && has(contact.plan)",
        "timestamp(contact.renewal) < now",
        "contact.renewal > \"2024-01-01\"",
        "contact.consent.email && contact.consent.newsletter",
        "\"hot\" in contact.segments",
        "contact.?title.orValue(\"\") == \"VP\"",
        "int(contact.title) > 3",
        "string(contact.employees) == \"3\"",
    ] {
        assert_eq!(problems(right), "", "{right}");
    }
}

#[test]
fn contradictions_are_found_and_nothing_else() {
    let contradictions = |source: &str| {
        let expression = Expression::compile(source, ColumnType::Boolean, &Scope::default()).unwrap();
        shown(source, expression.contradictions())
    };
    for fine in [
        "contact.a == \"x\" || contact.a == \"y\"",
        "contact.a > 3 && contact.a < 5",
        "contact.a >= 3 && contact.a <= 3",
        "contact.a in [1, 2] && contact.a != 1",
        "contact.a == \"x\" && contact.b == \"y\"",
        "has(contact.a) && !has(contact.b)",
        "contact.scores.a > 3 && contact.scores.b < 3",
        "contact.a > \"m\" && contact.a == \"z\"",
        "contact.tags.exists(t, t == \"a\") && contact.tags.exists(t, t == \"b\")",
        "contact.a && contact.b",
        "contact.a > 9007199254740992 && contact.a < 9007199254740994",
    ] {
        assert_eq!(contradictions(fine), "", "{fine}");
    }
    let all: String = [
        "contact.a == \"x\" && contact.a == \"y\"",
        "contact.a > 5 && contact.b && 3 > contact.a",
        "contact.a >= 3 && contact.a < 3",
        "contact.a in [\"x\", \"y\"] && contact.a == \"z\"",
        "contact.a in [1, 2] && contact.a > 2",
        "has(contact.a) && !has(contact.a)",
        "!has(contact.a) && contact.a == 3",
        "contact.a && !contact.a",
        "contact.c || (contact.a == 1 && contact.a == 2)",
        "contact.c && (contact.a < 1 && contact.a > 2 || contact.b)",
    ]
    .iter()
    .map(|source| contradictions(source))
    .collect();
    insta::assert_snapshot!(all, @r#"
    Contradiction [contact.a == "y"] this never holds together with what stands before it about `contact.a` (join alternatives with `||`, or write `in [ … ]`)
    Contradiction [3 > contact.a] this never holds together with what stands before it about `contact.a` (join alternatives with `||`, or write `in [ … ]`)
    Contradiction [contact.a < 3] this never holds together with what stands before it about `contact.a` (join alternatives with `||`, or write `in [ … ]`)
    Contradiction [contact.a == "z"] this never holds together with what stands before it about `contact.a` (join alternatives with `||`, or write `in [ … ]`)
    Contradiction [contact.a > 2] this never holds together with what stands before it about `contact.a` (join alternatives with `||`, or write `in [ … ]`)
    Contradiction [!has(contact.a] this never holds together with what stands before it about `contact.a` (join alternatives with `||`, or write `in [ … ]`)
    Contradiction [contact.a == 3] this never holds together with what stands before it about `contact.a` (join alternatives with `||`, or write `in [ … ]`)
    Contradiction [!contact.a] this never holds together with what stands before it about `contact.a` (join alternatives with `||`, or write `in [ … ]`)
    Contradiction [contact.a == 2] this never holds together with what stands before it about `contact.a` (join alternatives with `||`, or write `in [ … ]`)
    Contradiction [contact.a > 2] this never holds together with what stands before it about `contact.a` (join alternatives with `||`, or write `in [ … ]`)
    "#);
}
