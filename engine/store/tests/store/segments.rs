//! Segments with rules: definitions, who has to be looked at, and when.

use std::sync::Arc;

use dripline_expression::{Expression, Scope};
use dripline_model::{
    Effect,
    contact::{EventNeeds, Needs},
    id::ContactId,
    segment::{FORMAT, Segment},
};
use dripline_store::{ContactRow, Membership, NewSegment, SegmentsPublished, Store, Timer};
use serde_json::json;

use crate::{stores, workspace::*};

pub(crate) fn segment(name: &str, rule: Option<&str>) -> Segment {
    let compiled = rule.map(|rule| Expression::compile_rule(rule, &Scope::default()).unwrap());
    Segment {
        format: FORMAT,
        name: name.into(),
        description: None,
        needs: compiled.as_ref().map(|rule| rule.needs().clone()).unwrap_or_default(),
        depends_on: compiled.iter().flat_map(|rule| rule.segments()).map(str::to_owned).collect(),
        rule: rule.map(str::to_owned),
    }
}

async fn publish_segments(store: &Arc<dyn Store>, segments: &[Segment]) -> SegmentsPublished {
    let new: Vec<NewSegment<'_>> =
        segments.iter().map(|segment| NewSegment { segment, source: "if: x" }).collect();
    store.publish_segments(&new, at(0)).await.unwrap()
}

/// Who has to be looked at at this instant.
async fn changed(store: &Arc<dyn Store>, seconds: i64) -> Vec<i64> {
    let mut batch = store.begin().await.unwrap();
    let has_work = batch.has_segment_work(at(seconds)).await.unwrap();
    let claimed = batch.claim_changed(at(seconds), 100).await.unwrap();
    assert!(has_work || claimed.is_empty());
    batch.commit().await.unwrap();
    claimed.into_iter().map(|changed| changed.contact.0).collect()
}

/// Goes over all contacts for new rules, as the engine does.
async fn finish_rules(store: &Arc<dyn Store>) {
    let mut batch = store.begin().await.unwrap();
    while let Some(from) = batch.unfinished_rules().await.unwrap() {
        let slice = batch.contacts_after(None, from, 2).await.unwrap();
        let to = slice.last().copied().unwrap_or(from);
        batch.advance_rules(from, to, slice.len() < 2).await.unwrap();
    }
    batch.commit().await.unwrap();
}

stores! {
    async fn definitions_follow_the_files(store: Arc<dyn Store>) {
        contacts(&store, 3).await;
        let before = store.revision().await.unwrap();
        let hot = segment("hot", Some("contact.scores.fit > 3"));
        let listed = segment("listed", None);
        let published = publish_segments(&store, &[hot.clone(), listed.clone()]).await;
        assert_eq!(published.published, ["hot", "listed"]);
        assert!(store.revision().await.unwrap() > before);
        let names = |segments: Vec<dripline_store::StoredSegment>| {
            segments
                .into_iter()
                .map(|segment| (segment.name, segment.definition.map(|segment| segment.rule), segment.evaluated_to))
                .collect::<Vec<_>>()
        };
        assert_eq!(names(store.segments().await.unwrap()), [
            ("hot".to_owned(), Some(hot.rule.clone()), Some(ContactId(0))),
            ("listed".to_owned(), Some(None), None),
        ]);
        assert_eq!(publish_segments(&store, &[hot.clone(), listed.clone()]).await, SegmentsPublished::default());

        finish_rules(&store).await;
        assert_eq!(store.segments().await.unwrap()[0].evaluated_to, None);
        // Another description is no other rule.
        let described = Segment { description: Some("Those to call".into()), ..hot.clone() };
        assert_eq!(publish_segments(&store, &[described, listed]).await.published, ["hot"]);
        assert_eq!(store.segments().await.unwrap()[0].evaluated_to, None);
        let other = segment("hot", Some("contact.scores.fit > 4"));
        let published = publish_segments(&store, &[other]).await;
        assert_eq!((published.published, published.withdrawn), (vec!["hot".to_owned()], vec!["listed".to_owned()]));
        assert_eq!(store.segments().await.unwrap()[0].evaluated_to, Some(ContactId(0)));
        assert_eq!(names(store.segments().await.unwrap())[1], ("listed".to_owned(), None, None));
    }

    async fn only_what_rules_look_at_has_to_be_looked_at(store: Arc<dyn Store>) {
        let ids = contacts(&store, 3).await;
        assert_eq!(changed(&store, 0).await, [0_i64; 0], "nobody, where there are no rules");
        let rule = "contact.country == \"DE\" && contact.scores.fit > 3 && events(\"visit\").count() > 1";
        publish_segments(&store, &[segment("hot", Some(rule))]).await;
        finish_rules(&store).await;
        let version = publish(&store, "w").await;
        let runs = runs_of(&store, &version, &ids, at(0)).await;
        let effects = |effects: Vec<Effect>, run: usize| turn(&runs[run], effects);
        apply(&store, &[
            effects(vec![Effect::AddTag("vip".into()), Effect::JoinSegment("x".into()), assign("ada")], 0),
            effects(vec![add_score("fit", 5, "size")], 1),
        ], at(10)).await;
        assert_eq!(changed(&store, 9).await, [0_i64; 0]);
        assert_eq!(changed(&store, 10).await, [ids[1].0]);
        assert_eq!(changed(&store, 10).await, [0_i64; 0], "once");
        let field = |name: &str| Effect::SetField { field: name.into(), value: json!("DE") };
        apply(&store, &[effects(vec![field("city")], 0), effects(vec![field("country")], 2)], at(10)).await;
        assert_eq!(changed(&store, 10).await, [ids[2].0]);

        // An event counts when its time has come; what is imported again is no change.
        import_events(&store, &[event(0, "other", at(5)), event(1, "visit", at(-50)), event(2, "visit", at(50))]).await;
        assert_eq!(changed(&store, 10).await, [ids[1].0]);
        assert_eq!(store.next_due().await.unwrap().map(|due| due <= at(50)), Some(true));
        assert_eq!(changed(&store, 50).await, [ids[2].0]);
        import_contacts(&store, &[row(0), ContactRow { tags: vec!["new".into()], ..row(1) }]).await;
        assert_eq!(changed(&store, 50).await, [ids[1].0]);
    }

    async fn rules_alone_change_their_segments(store: Arc<dyn Store>) {
        let ids = contacts(&store, 2).await;
        publish_segments(&store, &[segment("hot", Some("contact.scores.fit > 3"))]).await;
        finish_rules(&store).await;
        let version = publish(&store, "w").await;
        let runs = runs_of(&store, &version, &ids, at(0)).await;
        apply(&store, &[turn(&runs[0], vec![Effect::JoinSegment("hot".into())])], at(0)).await;
        assert!(load(&store, ids[0]).await.segments.is_empty(), "no step puts anybody into a segment with a rule");

        let membership = |contact, joins| Membership { contact, segment: "hot", joins };
        let mut batch = store.begin().await.unwrap();
        let timer = Timer { contact: ids[0], due: Some(at(100)), repeats: false };
        let calendar = Timer { contact: ids[1], due: Some(at(60)), repeats: true };
        let changes = [membership(ids[0], true), membership(ids[1], false)];
        batch.settle_segments(&changes, &[timer, calendar], at(1)).await.unwrap();
        batch.commit().await.unwrap();
        assert!(load(&store, ids[0]).await.segments.contains("hot"));
        assert_eq!(store.count_members("hot").await.unwrap(), 1);
        let mut batch = store.begin().await.unwrap();
        let events = batch.claim_events(at(1), 10).await.unwrap();
        assert_eq!(events.len(), 1, "who was no member does not leave");
        assert_eq!((events[0].event.name.as_str(), &events[0].event.properties["segment"]), ("segment.joined", &json!("hot")));
        batch.finish_events(&[events[0].id]).await.unwrap();
        batch.commit().await.unwrap();

        assert_eq!(store.next_calendar_change().await.unwrap(), Some(at(60)));
        assert_eq!(changed(&store, 59).await, [0_i64; 0]);
        assert_eq!(changed(&store, 60).await, [ids[1].0]);
        assert_eq!(changed(&store, 100).await, [ids[0].0, ids[1].0], "until whoever looked says otherwise");
        let mut batch = store.begin().await.unwrap();
        let none = |contact| Timer { contact, due: None, repeats: false };
        batch.settle_segments(&[membership(ids[0], false)], &[none(ids[0]), none(ids[1])], at(101)).await.unwrap();
        batch.commit().await.unwrap();
        assert_eq!(changed(&store, 1000).await, [0_i64; 0]);
        assert!(load(&store, ids[0]).await.segments.is_empty());
    }

    async fn past_events_are_loaded_by_name_and_time(store: Arc<dyn Store>) {
        let ids = contacts(&store, 2).await;
        let mut history = event(0, "visit", at(-20));
        history.live = false;
        history.properties = object(json!({"page": "pricing"}));
        import_events(&store, &[event(0, "visit", at(30)), history, event(0, "other", at(1)), event(0, "visit", at(-5000))]).await;
        let wanted = |within_ms, any| EventNeeds { within_ms, all_properties: any, ..EventNeeds::default() };
        let mut batch = store.begin().await.unwrap();
        let mut loaded = async |needs: EventNeeds, now| {
            let mut all = Needs::default();
            all.need_events("visit", &needs);
            let contacts = batch.load_contacts(&ids, &all, now).await.unwrap();
            assert!(contacts[1].events.is_empty());
            contacts[0].events["visit"]
                .iter()
                .map(|event| (event.at.as_second() - at(0).as_second(), event.properties.len()))
                .collect::<Vec<_>>()
        };
        assert_eq!(loaded(wanted(None, false), at(0)).await, [(-5000, 0), (-20, 0)]);
        assert_eq!(loaded(wanted(Some(20_001), true), at(0)).await, [(-20, 1)]);
        assert_eq!(loaded(wanted(Some(30_000), true), at(30)).await, [(30, 0)]);
    }
}
