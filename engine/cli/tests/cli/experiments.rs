//! `dripline experiments`

use crate::support::TestWorkspace;

const WORKFLOW: &str = "name: subjects
on: {event: tried}
enroll: {again: always}
steps:
  - id: subject-line
    experiment:
      arms: {short: 1, long: 1}
      goal: {event: email.clicked, within: 3d}
      significance: 0.95
    paths:
      short:
        - score: {name: short, add: 1, because: short}
      long:
        - score: {name: long, add: 1, because: long}
";

#[test]
fn an_experiment_is_listed_shown_and_decided() {
    let workspace = TestWorkspace::new();
    let none = workspace.run(&["experiments", "list"]);
    assert!(none.out.starts_with("No experiments."), "{}", none.shown());
    workspace.write("workflows/subjects.yaml", WORKFLOW);
    let people: String = (1..=20).map(|n| format!("c{n},c{n}@dripline.example\n")).collect();
    workspace.write("people.csv", format!("external_id,email\n{people}"));
    let events: String = (1..=20).map(|n| format!("e{n},c{n},tried,2024-01-01T00:00:00Z\n")).collect();
    workspace.write("tried.csv", format!("event_id,contact,name,at\n{events}"));
    assert_eq!(workspace.run(&["import", "people.csv"]).code, 0);
    assert_eq!(workspace.run(&["check"]).code, 0);
    // Published first, so that the events find it.
    assert_eq!(workspace.run(&["run"]).code, 0);
    assert_eq!(workspace.run(&["events", "import", "--live", "tried.csv"]).code, 0);
    assert_eq!(workspace.run(&["run"]).code, 0);

    let shown = workspace.json(&["experiments", "show", "subjects"]);
    let number = |arm: usize, key: &str| shown["arms"][arm][key].as_u64().unwrap();
    assert_eq!(number(0, "entered") + number(1, "entered"), 20);
    assert_eq!((number(0, "counted"), number(1, "reached")), (0, 0), "the time of the goal is not over");
    assert_eq!(
        (&shown["goal"]["event"], &shown["winner"]),
        (&"email.clicked".into(), &serde_json::Value::Null)
    );
    let text = workspace.run(&["experiments", "show", "subjects", "subject-line"]);
    for part in ["goal: email.clicked within 3d", "when each has 500 contacts counted", "short", "long"] {
        assert!(text.out.contains(part), "{}", text.shown());
    }
    let list = workspace.run(&["experiments", "list"]);
    assert!(list.out.contains("subject-line  short, long  20"), "{}", list.shown());

    let wrong = workspace.run(&["experiments", "decide", "subjects", "subject-line", "shrt"]);
    assert_eq!((wrong.code, wrong.err.contains("it has short, long")), (1, true), "{}", wrong.shown());
    let nowhere = workspace.run(&["experiments", "show", "subjects", "subject"]);
    assert_eq!((nowhere.code, nowhere.err.contains("it has subject-line")), (1, true), "{}", nowhere.shown());
    let decided = workspace.run(&["experiments", "decide", "subjects", "subject-line", "long"]);
    assert_eq!(decided.code, 0, "{}", decided.shown());
    let shown = workspace.json(&["experiments", "show", "subjects"]);
    assert_eq!((&shown["winner"]["arm"], &shown["winner"]["by"]), (&"long".into(), &"hand".into()));
    let before = shown["arms"][1]["entered"].clone();
    workspace.write("again.csv", "event_id,contact,name,at\nlast,c1,tried,2024-01-01T00:00:01Z\n");
    assert_eq!(workspace.run(&["events", "import", "--live", "again.csv"]).code, 0);
    assert_eq!(workspace.run(&["run"]).code, 0);
    let timeline = workspace.run(&["contacts", "show", "c1"]);
    assert!(timeline.out.contains("goes by `long`, which won on"), "{}", timeline.shown());
    assert_eq!(workspace.json(&["experiments", "show", "subjects"])["arms"][1]["entered"], before);
}
