//! What a marketer reads when an expression is wrong.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use dripline_expression::{Expression, Scope, Subject};
use dripline_model::{Contact, batch::ColumnType, field::Fields, id::ContactId};

/// The problems of a condition, each with the part of the source that it points at.
fn problems_of(source: &str, result: ColumnType) -> String {
    let attributes: Fields =
        ["title", "country", "employees", "renewal_date", "active"].into_iter().collect();
    let scope = Scope { attributes: Some(&attributes), event: false, inputs: None };
    let problems = Expression::compile(source, result, &scope).expect_err("the expression is wrong");
    let mut text = String::new();
    for problem in problems {
        let part = source.get(problem.span.clone()).expect("the span is within the source");
        text += &format!("[{part}] {}", problem.message);
        if let Some(help) = problem.help {
            text += &format!(" ({help})");
        }
        text.push('\n');
    }
    text
}

fn problems(sources: &[&str]) -> String {
    sources.iter().map(|source| problems_of(source, ColumnType::Boolean)).collect()
}

#[test]
fn syntax() {
    insta::assert_snapshot!(problems(&[
        "",
        " // nothing\n",
        "contact.country = \"DE\"",
        "contact.country == \"DE\" and contact.employees > 3",
        "contact.active & contact.active",
        "not contact.active",
        "contact.country == “DE”",
        "contact.country == \"DE",
        "(contact.active",
        "contact.active)",
        "[contact.active)",
        "contact.employees >=",
        "contact.employees >= && contact.active",
        "contact.employees 200",
        "größe > 3",
        "contact.title.matches(\"\\d+\")",
        "if == 3",
        "has(contact)",
        "contact.tags.exists(1, true)",
        "contact.employees > 99999999999999999999",
        "contact.title ==\n  \"é\" && # \"x\"",
        "contact.title == \"é\" contact.active",
        "a.b{c: 1}",
        "contact.",
        "?",
    ]), @r#"
    [] the expression is empty (write a condition, such as contact.country == "DE")
    [ // nothing
    ] the expression is empty (write a condition, such as contact.country == "DE")
    [=] `=` is not an operator (compare with `==`)
    [and] `and` is not an operator (write `&&`)
    [&] `&` is not an operator (join conditions with `&&`)
    [not] `not` is not an operator (write `!`)
    [“] “ is not a quotation mark here (put texts between " and ")
    ["DE] the text is never closed (end it with ")
    [(] `(` is never closed (add the `)` that belongs to it)
    [)] `)` closes nothing
    [)] `)` closes nothing (`[` is open here, so its closing bracket comes first)
    [>=] something is missing after `>=` (an operator needs a value on both of its sides)
    [&&] a value is missing between `>=` and `&&`
    [200] an operator is missing between `employees` and `200` (join conditions with `&&` or `||`, compare values with `==` or `>=`)
    [ö] `ö` has no meaning here (put texts between " and ")
    [\d] `\d` stands for nothing in a text (write the backslash twice, or put r before the text: r"\d+")
    [if] `if` is a reserved word and cannot be a name
    [contact] `has` asks for a field (write has(contact.title))
    [1] `1` cannot name the elements of a list (give a plain name first: contact.tags.exists(tag, tag == "vip"))
    [99999999999999999999] `99999999999999999999` is too large for a whole number (write it with a decimal point)
    [#] `#` has no meaning here
    [contact] an operator is missing between `"é"` and `contact` (join conditions with `&&` or `||`, compare values with `==` or `>=`)
    [{c: 1}] messages are not part of the language (write a map: {"key": value})
    [.] something is missing after `.` (an operator needs a value on both of its sides)
    [?] `?` is not expected here
    "#);
}

#[test]
fn names() {
    insta::assert_snapshot!(problems(&[
        "contcat.title == \"VP\"",
        "title == \"VP\"",
        "True",
        "DE == contact.country",
        "contact.titel == \"VP\" || contact.contry == \"DE\"",
        "has(contact.titel)",
        "contact[\"titel\"] == \"VP\"",
        "contact.titel == null",
        "contact.xyzzy == 3",
        "event.name == \"trial.started\"",
        "contact.tags.vip",
        "contact.scores.fit.x > 3",
        "now.year > 3",
        "contact.title.startswith(\"VP\")",
        "contact.tags.exist(t, t == \"vip\")",
        "contact.tags.exists(t == \"vip\")",
        "lower(contact.title) == \"x\"",
        "contact.title.frobnicate()",
        "size == 3",
        "contact.title.contains()",
        "contact.title.contains(contact.country, \"x\")",
        "contact.tags.exists(tag, tga == \"vip\")",
        "contact.title.replace(\"a\", \"b\") == \"x\"",
    ]), @r#"
    [contcat] `contcat` is unknown (did you mean `contact`?)
    [title] `title` is unknown (did you mean `contact.title`?)
    [True] `True` is unknown (did you mean `true`?)
    [DE] `DE` is unknown (attributes are written contact.NAME, and texts between " and ")
    [contact.titel] no contact has `titel` (did you mean `contact.title`?)
    [contact.contry] no contact has `contry` (did you mean `contact.country`?)
    [contact.titel] no contact has `titel` (did you mean `contact.title`?)
    [contact["titel"]] no contact has `titel` (did you mean `contact.title`?)
    [contact.titel] no contact has `titel` (did you mean `contact.title`?)
    [contact.xyzzy] no contact has `xyzzy`
    [event.name] `event` is not known here (use it in `enroll.if`, and keep what later steps need in a field of the contact)
    [contact.tags.vip] `contact.tags` is a list and has no field `vip` (write "vip" in contact.tags)
    [contact.scores.fit.x] `contact.scores.fit` is a number and has no field `x`
    [now.year] `now` is a timestamp and has no field `year`
    [startswith] the function `startswith` is unknown (did you mean contact.title.startsWith("VP")?)
    [exist] the function `exist` is unknown (did you mean contact.tags.exists(tag, tag == "vip")?)
    [exists] `exists` is not called like this (for example contact.tags.exists(tag, tag == "vip"))
    [lower] the function `lower` is unknown (did you mean contact.title.lowerAscii()?)
    [frobnicate] the function `frobnicate` is unknown
    [size] `size` is unknown (it is a function: size(contact.tags))
    [contains] `contains` does not take 0 arguments (for example contact.title.contains("VP"))
    [contains] `contains` does not take 2 arguments (for example contact.title.contains("VP"))
    [tga] `tga` is unknown (did you mean `tag`?)
    [replace] the function `replace` is unknown
    "#);
}

#[test]
fn types() {
    insta::assert_snapshot!(problems(&[
        "contact.tags",
        "1 + 2",
        "\"yes\"",
        "contact.scores.fit",
        "\"200\" == 200",
        "contact.scores.fit >= \"30\"",
        "contact.active && \"yes\"",
        "!contact.scores.fit",
        "contact.renewal_date < now",
        "contact.renewal_date.getMonth() == 3",
        "now - contact.created_at > \"30d\"",
        "contact.created_at > contact.renewal_date",
        "\"a\" + 1 == \"a1\"",
        "\"vip\" in \"vip, beta\"",
        "contact.scores.fit.startsWith(\"a\")",
        "contact.title.contains(3)",
        "contact.scores.fit ? true : false",
        "contact.tags > 3",
        "contact.email.exists(c, c == \"a\")",
        "-contact.email == 3",
        "contact.email[0] == \"a\"",
        "contact.title.matches(\"(vp\")",
        "contact.title.matches(contact.country)",
        "contact.title.matches(\"(?=x)\")",
        "now > timestamp(\"soon\")",
        "now - now > duration(\"1 month\")",
        "contact.tags.all(a, contact.tags.all(b, contact.tags.all(c, contact.tags.all(d, true))))",
    ]), @r#"
    [contact.tags] this gives a list, but true or false is wanted here (compare it with something, or ask for its size)
    [1 + 2] this gives a number, but true or false is wanted here (compare it with something: … >= 30)
    ["yes"] this gives text, but true or false is wanted here (compare it with something, or ask for its size)
    [contact.scores.fit] this gives a number, but true or false is wanted here (compare it with something: … >= 30)
    ["200" == 200] text never equals a number (leave the quotation marks off the number, or put both sides between them)
    [contact.scores.fit >= "30"] `>=` cannot compare a number with text (leave the quotation marks off the number, or put both sides between them)
    ["yes"] `&&` wants conditions, and this is text (a condition is true or false; compare the value with something)
    [contact.scores.fit] `!` wants conditions, and this is a number (a condition is true or false; compare the value with something)
    [contact.renewal_date < now] `<` cannot compare an attribute with a timestamp (make a timestamp of it: timestamp(contact.renewal_date))
    [contact.renewal_date] `getMonth` cannot be asked of an attribute (make a timestamp of it: timestamp(…))
    [now - contact.created_at > "30d"] `>` cannot compare a duration with text (a duration is written duration("30d"))
    [contact.created_at > contact.renewal_date] `>` cannot compare a timestamp with an attribute (make a timestamp of it: timestamp(contact.renewal_date))
    ["a" + 1] `+` does not go with text and a number (make a text of the number: string(…))
    ["vip, beta"] `in` wants a list after it, and this is text (to look inside a text use text.contains("…"))
    [contact.scores.fit] `startsWith` cannot be asked of a number (for example contact.title.startsWith("VP"))
    [3] `contains` wants text, and this is a number (for example contact.title.contains("VP"))
    [contact.scores.fit] `?` wants a condition before it, and this is a number
    [contact.tags > 3] `>` cannot compare a list with a number
    [contact.email] `exists` wants a list, and this is text (for example contact.tags.exists(tag, tag == "vip"))
    [contact.email] `-` wants a number, and this is text
    [contact.email] text has no elements
    ["(vp"] the pattern cannot be used: unclosed group (patterns are those of RE2, without look-around and back-references)
    [contact.country] the pattern of `matches` is written out, so that it is compiled only once (write it between " and ", or use `contains`)
    ["(?=x)"] the pattern cannot be used: look-around, including look-ahead and look-behind, is not supported (patterns are those of RE2, without look-around and back-references)
    ["soon"] "soon" is not a timestamp (write it like 2024-03-01 or 2024-03-01T09:30:00Z)
    ["1 month"] "1 month" is not a duration (write it like 30d, 12h or 1h 30m)
    [contact.tags.all(d, true)] at most 3 of `all`, `exists`, `map` and `filter` may stand inside each other
    "#);
    insta::assert_snapshot!(problems_of("contact.active == true", ColumnType::Integer), @"[contact.active == true] this gives true or false, but a number is wanted here");
    insta::assert_snapshot!(problems_of("contact.scores.fit", ColumnType::Timestamp), @"[contact.scores.fit] this gives a number, but a timestamp is wanted here");
    insta::assert_snapshot!(problems_of("contact.tags", ColumnType::Text), @"[contact.tags] this gives a list, but text is wanted here");
}

#[test]
fn what_would_overflow_the_stack_is_refused() {
    let nested = |open: &str, close: &str| format!("{}1{} == 1", open.repeat(10_000), close.repeat(10_000));
    let sources = [
        nested("(", ")").split_off(10_000 - 8_000),
        nested("(", ")"),
        "[".repeat(8_000),
        format!("{}true", "!(".repeat(5_000)),
        format!("contact{}", ".a".repeat(5_000)),
        format!("1{} == 1", " + 1".repeat(3_000)),
        format!("true{}", " ? true : true".repeat(1_000)),
        format!("contact{} == 1", "[0]".repeat(4_000)),
        format!("contact{}", ".title.trim()".repeat(1_000)),
    ];
    for source in sources {
        assert!(Expression::compile(&source, ColumnType::Boolean, &Scope::default()).is_err());
    }
    let problem = problems_of(&"(".repeat(100), ColumnType::Boolean);
    insta::assert_snapshot!(problem, @"[(] the expression nests too deeply (at most 24 brackets or `?` inside each other, and 64 operators or calls in a row)");
    let long = Expression::compile(&" ".repeat(20_000), ColumnType::Boolean, &Scope::default()).unwrap_err();
    insta::assert_snapshot!(long[0].message, @"the expression is 19 KiB long; at most 16 KiB are allowed");
}

#[test]
fn what_is_wide_but_not_deep_is_accepted() {
    let mut contact = Contact::new(ContactId(1));
    let attributes = serde_json::json!({"country": "DE", "active": true});
    contact.attributes = attributes.as_object().expect("an object").clone();
    let alternatives = vec!["contact.country == \"DE\""; 500].join(" || ");
    let countries = format!("contact.country in [{}]", vec!["\"DE\""; 2_000].join(", "));
    let sum = format!("{} > 100", vec!["contact.scores.fit"; 60].join(" + "));
    let wide = [sum, alternatives, countries, format!("{}contact.active", "!".repeat(60))];
    let subject = Subject::new(&contact, None, jiff::Timestamp::UNIX_EPOCH);
    for source in wide {
        let expression = Expression::compile(&source, ColumnType::Boolean, &Scope::default()).expect(&source);
        expression.test(&subject).expect(&source);
    }
}

#[test]
fn what_is_just_not_too_deep_leaves_room_on_the_stack() {
    let sources = [
        format!("{}1{} == 1", "(".repeat(24), ")".repeat(24)),
        format!("1{} == 1", " + 0".repeat(63)),
        format!("{}true", "true ? true : ".repeat(24)),
        format!("{}true{}", "(true ? !false : ".repeat(12), ")".repeat(12)),
        format!("{}[[true]]{} != []", "[".repeat(22), "]".repeat(22)),
        format!("\"a\"{} == \"a\"", ".trim()".repeat(31)),
    ];
    // Half of what a thread has by default.
    let thread = std::thread::Builder::new().stack_size(1 << 20).spawn(move || {
        let contact = Contact::new(ContactId(1));
        let subject = Subject::new(&contact, None, jiff::Timestamp::UNIX_EPOCH);
        for source in sources {
            let expression =
                Expression::compile(&source, ColumnType::Boolean, &Scope::default()).expect(&source);
            expression.test(&subject).expect(&source);
        }
    });
    thread.expect("a thread").join().expect("no panic");
}
