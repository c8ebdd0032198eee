//! The result of tests as JUnit XML, in the form that CI systems read
//! (<https://github.com/testmoapp/junitxml>): a suite for each file.

use std::fmt::Write as _;

use dripline_simulation::case::Failure;

use super::Ran;

/// The result as XML.
pub(super) fn report(ran: &[Ran]) -> String {
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    // Writing to a String cannot fail.
    let _ = writeln!(xml, "<testsuites name=\"dripline test\"{}>", sums(ran));
    for of_file in ran.chunk_by(|one, other| one.file == other.file) {
        let Some(first) = of_file.first() else { continue };
        let file = escaped(&first.file);
        let _ = writeln!(xml, "  <testsuite name=\"{file}\"{}>", sums(of_file));
        for one in of_file {
            let (name, seconds) = (escaped(&one.name), one.took.as_secs_f64());
            let _ = write!(xml, "    <testcase name=\"{name}\" classname=\"{file}\" time=\"{seconds:.3}\"");
            let failures = &one.outcome.failures;
            match failures.first() {
                None => xml.push_str("/>\n"),
                Some(first) => {
                    let message = format!("{}: expected {}", first.contact, first.expected);
                    let told: Vec<String> = failures.iter().map(|failure| told(&one.file, failure)).collect();
                    let _ = write!(
                        xml,
                        ">\n      <failure message=\"{}\">{}</failure>\n    </testcase>\n",
                        escaped(&message),
                        escaped(&told.join("\n"))
                    );
                }
            }
        }
        xml.push_str("  </testsuite>\n");
    }
    xml.push_str("</testsuites>\n");
    xml
}

fn sums(ran: &[Ran]) -> String {
    let failed = ran.iter().filter(|one| !one.outcome.failures.is_empty()).count();
    let seconds: f64 = ran.iter().map(|one| one.took.as_secs_f64()).sum();
    format!(" tests=\"{}\" failures=\"{failed}\" errors=\"0\" time=\"{seconds:.3}\"", ran.len())
}

fn told(file: &str, failure: &Failure) -> String {
    let mut told =
        format!("{file}:{}: {}\nexpected: {}\nhappened:\n", failure.line, failure.contact, failure.expected);
    failure.happened.iter().for_each(|line| told.push_str(&format!("  {line}\n")));
    if !failure.why.is_empty() {
        told.push_str("why:\n");
        failure.why.iter().for_each(|line| told.push_str(&format!("  {line}\n")));
    }
    told
}

/// The text in XML. What XML cannot hold (XML 1.0 §2.2) becomes the character for what cannot be read.
fn escaped(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, character| {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(character),
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            character if character.is_control() => out.push('\u{fffd}'),
            character => out.push(character),
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use dripline_simulation::case::Outcome;

    use super::*;

    #[test]
    fn a_report_is_xml_whatever_the_names_are() {
        let failure = Failure {
            line: 7,
            contact: "mia".into(),
            expected: "mail `a<b>`".into(),
            happened: vec!["no \"mails\" & more\u{1b}".into()],
            why: Vec::new(),
        };
        let ran = |name: &str, failures: Vec<Failure>| Ran {
            file: "w/a.test.yaml".into(),
            name: name.into(),
            line: 1,
            outcome: Outcome { failures, mails: 0 },
            took: Duration::from_millis(1500),
        };
        insta::assert_snapshot!(report(&[ran("one", Vec::new()), ran("<two>", vec![failure])]), @r#"
        <?xml version="1.0" encoding="UTF-8"?>
        <testsuites name="dripline test" tests="2" failures="1" errors="0" time="3.000">
          <testsuite name="w/a.test.yaml" tests="2" failures="1" errors="0" time="3.000">
            <testcase name="one" classname="w/a.test.yaml" time="1.500"/>
            <testcase name="&lt;two&gt;" classname="w/a.test.yaml" time="1.500">
              <failure message="mia: expected mail `a&lt;b&gt;`">w/a.test.yaml:7: mia
        expected: mail `a&lt;b&gt;`
        happened:
          no &quot;mails&quot; &amp; more�
        </failure>
            </testcase>
          </testsuite>
        </testsuites>
        "#);
    }
}
