use std::sync::Arc;

use dripline_model::{
    Effect,
    decision::{DecisionKind, RunStatus},
    id::ContactId,
    message::MessageStatus,
};
use dripline_store::{
    Activity, Advance, ContactFilter, Delivery, DeliveryResult, MessageFilter, Outgoing, RunFilter, Standing,
    Store, TimelineWhat,
};
use jiff::civil::date;
use serde_json::json;

use crate::{stores, workspace::*};

stores! {
    async fn a_timeline_tells_the_story_in_order(store: Arc<dyn Store>) {
        let mut imported = row(0);
        imported.consents = [("email".to_owned(), true)].into();
        import_contacts(&store, &[imported]).await;
        let ids = [ContactId(1)];
        let mut history = event(0, "visit", at(-5));
        history.live = false;
        import_events(&store, &[history, event(0, "future", at(1000))]).await;
        let version = publish(&store, "nurture").await;
        let mut run = runs_of(&store, &version, &ids, at(1)).await.remove(0);
        let mut first = turn(&run, vec![send_email("Hi"), add_score("fit", 20, "senior"), assign("anna")]);
        first.advance = Advance::To { node: 1, due: at(1), waited: false };
        apply(&store, &[first], at(1)).await;
        (run.node, run.turn) = (1, 1);
        let effects = vec![add_score("fit", 5, "big"), Effect::JoinSegment("hot".into())];
        apply(&store, &[turn(&run, effects)], at(1)).await;
        let timeline = store.timeline(ids[0]).await.unwrap();
        let lines: Vec<String> = timeline
            .iter()
            .map(|entry| {
                let second = entry.at.as_second() - at(0).as_second();
                let what = match &entry.what {
                    TimelineWhat::Event { name, live, .. } => format!("event {name} live={live}"),
                    TimelineWhat::Decision { kind, step, .. } => format!("{} {step:?}", kind.name()),
                    TimelineWhat::Score { points, total, because, .. } => format!("score {points} {total} {because}"),
                    TimelineWhat::Message { subject, status, .. } => format!("message {subject} {}", status.name()),
                    TimelineWhat::Assigned { rep, .. } => format!("assigned {rep}"),
                    TimelineWhat::Segment { segment, joined } => format!("segment {segment} {joined}"),
                    TimelineWhat::Consent { topic, given } => format!("consent {topic} {given}"),
                    other => format!("{other:?}"),
                };
                format!("{second} {what}")
            })
            .collect();
        insta::allow_duplicates! { insta::assert_snapshot!(lines.join("\n"), @r#"
        -5 event visit live=false
        0 consent email true
        1 enrolled None
        1 score 20 20 senior
        1 assigned anna
        1 message Hi queued
        1 done Some("first")
        1 score 5 25 big
        1 done Some("second")
        1 segment hot true
        "#); }
    }

    async fn contacts_are_listed_by_segment_and_page(store: Arc<dyn Store>) {
        let mut rows: Vec<_> = (0..3).map(row).collect();
        rows[2].attributes = object(json!({"title": "CTO"}));
        import_contacts(&store, &rows).await;
        let ids = [ContactId(1), ContactId(2), ContactId(3)];
        let version = publish(&store, "a").await;
        let runs = runs_of(&store, &version, &ids, at(1)).await;
        let joins: Vec<_> = runs[1..].iter().map(|run| turn(run, vec![Effect::JoinSegment("hot".into())])).collect();
        apply(&store, &joins, at(1)).await;
        let list = async |filter: ContactFilter, limit| {
            let contacts = store.list_contacts(&filter, limit).await.unwrap();
            contacts.into_iter().map(|contact| contact.id.0).collect::<Vec<_>>()
        };
        assert_eq!(list(ContactFilter::default(), 2).await, [1, 2]);
        assert_eq!(list(ContactFilter { after: Some(ContactId(2)), ..ContactFilter::default() }, 2).await, [3]);
        let hot = ContactFilter { segment: Some("hot".into()), ..ContactFilter::default() };
        assert_eq!(list(hot.clone(), 9).await, [2, 3]);
        let both = ContactFilter { id: Some(ContactId(3)), ..hot };
        let found = store.list_contacts(&both, 9).await.unwrap();
        assert_eq!(found[0].attributes["title"], json!("CTO"), "everything known");
        let cold = ContactFilter { segment: Some("cold".into()), ..ContactFilter::default() };
        assert!(list(cold, 9).await.is_empty());
    }

    async fn leads_come_with_the_reasons_that_still_hold(store: Arc<dyn Store>) {
        let ids = contacts(&store, 2).await;
        let version = publish(&store, "a").await;
        let mut runs = runs_of(&store, &version, &ids, at(1)).await;
        let clear = || Effect::ClearScore("fit".into());
        apply(&store, &[turn(&runs[0], vec![add_score("fit", 50, "once true")])], at(1)).await;
        runs[0].turn += 1;
        let effects = vec![
            clear(),
            add_score("fit", 10, "size"),
            add_score("intent", 7, "click"),
            add_score("intent", 7, "click"),
            assign("zoe"),
        ];
        apply(&store, &[turn(&runs[0], effects), turn(&runs[1], vec![assign("anna")])], at(2)).await;
        let leads = store.leads(10).await.unwrap();
        let owners: Vec<&str> = leads.iter().map(|lead| lead.rep.as_str()).collect();
        assert_eq!(owners, ["anna", "zoe"]);
        assert!(leads[0].reasons.is_empty());
        let reasons: Vec<(&str, i64, &str, u64)> = leads[1]
            .reasons
            .iter()
            .map(|reason| (reason.score.as_str(), reason.points, reason.because.as_str(), reason.times))
            .collect();
        assert_eq!(reasons, [("intent", 14, "click", 2), ("fit", 10, "size", 1)]);
        assert_eq!((leads[1].contact.scores["fit"], leads[1].assigned_at), (10, at(2)));
        assert_eq!(store.leads(1).await.unwrap().len(), 1);
    }

    async fn runs_are_listed_newest_first_by_any_filter(store: Arc<dyn Store>) {
        let mut rows: Vec<_> = (0..2).map(row).collect();
        rows[1].email = None;
        import_contacts(&store, &rows).await;
        let ids = [ContactId(1), ContactId(2)];
        let (a, b) = (publish(&store, "a").await, publish(&store, "b").await);
        let runs = runs_of(&store, &a, &ids, at(1)).await;
        runs_of(&store, &b, &ids[..1], at(2)).await;
        let mut over = turn(&runs[1], vec![]);
        (over.decision, over.advance) = (DecisionKind::Failed, Advance::End(RunStatus::Failed));
        apply(&store, &[over], at(3)).await;
        let list = async |filter: RunFilter| {
            let runs = store.list_runs(&filter, 10).await.unwrap();
            runs.iter().map(|run| format!("{} {} {}", run.workflow, run.contact_name, run.status.name())).collect()
        };
        let all: Vec<String> = list(RunFilter::default()).await;
        assert_eq!(all, ["b 0@example.com active", "a c-1 failed", "a 0@example.com active"]);
        let of_a: Vec<String> = list(RunFilter { workflow: Some("a".into()), ..RunFilter::default() }).await;
        assert_eq!(of_a, all[1..]);
        let failed: Vec<String> = list(RunFilter { status: Some(RunStatus::Failed), ..RunFilter::default() }).await;
        assert_eq!(failed, all[1..2]);
        let of_first: Vec<String> = list(RunFilter { contact: Some(ids[0]), ..RunFilter::default() }).await;
        assert_eq!(of_first, ["b 0@example.com active", "a 0@example.com active"]);
        let versions: Vec<_> = store.list_runs(&RunFilter::default(), 10).await.unwrap();
        let versions: Vec<_> = versions.iter().map(|run| run.version_id).collect();
        assert_eq!(versions, [b.version, a.version, a.version]);
        let none: Vec<String> = list(RunFilter { workflow: Some("none".into()), ..RunFilter::default() }).await;
        assert!(none.is_empty());
        let standing = store.standing().await.unwrap();
        let at_start = |version, status, runs| Standing { version, node: 0, status, are_paths: false, runs };
        let expected = [
            at_start(a.version, RunStatus::Active, 1),
            at_start(a.version, RunStatus::Failed, 1),
            at_start(b.version, RunStatus::Active, 1),
        ];
        assert_eq!(standing, expected);
    }

    async fn what_happened_since_an_instant_is_summed_up(store: Arc<dyn Store>) {
        let ids = contacts(&store, 3).await;
        let version = publish(&store, "a").await;
        let early = runs_of(&store, &version, &ids[..1], at(1)).await;
        apply(&store, &[turn(&early[0], vec![assign("anna")])], at(2)).await;
        let mut runs = runs_of(&store, &version, &ids[1..], at(10)).await;
        let branched = |run| {
            let mut turn = turn(run, vec![assign("zoe")]);
            (turn.decision, turn.reason) = (DecisionKind::Branched, "`x` holds".to_owned());
            turn
        };
        apply(&store, &[branched(&runs[0]), branched(&runs[1])], at(11)).await;
        runs[0].turn += 1;
        apply(&store, &[turn(&runs[0], vec![])], at(12)).await;
        let activity = store.activity(at(10)).await.unwrap();
        let counted: Vec<_> = activity
            .decisions
            .iter()
            .map(|count| (count.version, count.node, count.kind, count.decisions))
            .collect();
        let expected = [
            (version.version, None, DecisionKind::Enrolled, 2),
            (version.version, Some(0), DecisionKind::Done, 1),
            (version.version, Some(0), DecisionKind::Branched, 2),
        ];
        for count in expected {
            assert!(counted.contains(&count), "{count:?} in {counted:?}");
        }
        assert_eq!(counted.len(), expected.len());
        let visits: Vec<_> = activity.visits.iter().map(|visit| (visit.node, visit.runs)).collect();
        assert_eq!(visits, [(0, 2)], "each run once");
        let reasons: Vec<_> =
            activity.reasons.iter().map(|reason| (reason.reason.as_str(), reason.decisions)).collect();
        assert!(reasons.contains(&("`x` holds", 2)), "{reasons:?}");
        assert!(activity.reasons.iter().all(|reason| reason.kind != DecisionKind::Done));
        let assigned: Vec<_> = activity
            .assignments
            .iter()
            .map(|count| (count.rep.as_str(), count.assignments))
            .collect();
        assert_eq!(assigned, [("zoe", 2)]);
        assert_eq!(store.activity(at(100)).await.unwrap(), Activity::default());
    }

    async fn messages_are_listed_and_counted(store: Arc<dyn Store>) {
        let ids = contacts(&store, 3).await;
        let version = publish(&store, "a").await;
        let runs = runs_of(&store, &version, &ids, at(1)).await;
        let turns: Vec<_> = runs.iter().map(|run| turn(run, vec![send_email("Hi")])).collect();
        apply(&store, &turns, at(1)).await;
        let due = due_messages(&store, at(1)).await;
        let days = ["2024-02-29T00:00:00Z", "2024-02-29T23:59:59.999Z"];
        for (message, day) in due.iter().zip(days) {
            let outgoing = Outgoing { id: message.id, message_id: "id".into(), source: vec![] };
            store.mark_sending(&claimant("test"), &[outgoing], at(2), at(9)).await.unwrap();
            let sent = Delivery { id: message.id, result: DeliveryResult::Sent("ok".into()) };
            store.settle(&claimant("test"), &[sent], day.parse().unwrap()).await.unwrap();
        }
        assert_eq!(store.messages_by_template().await.unwrap(), [("welcome.html".to_owned(), 2)]);
        assert_eq!(store.messages_by_day().await.unwrap(), [(date(2024, 2, 29), 2)]);
        let list = async |filter: MessageFilter| {
            let messages = store.list_messages(&filter, 10).await.unwrap();
            messages.into_iter().map(|message| message.contact.0).collect::<Vec<_>>()
        };
        assert_eq!(list(MessageFilter::default()).await, [3, 2, 1]);
        let queued = MessageFilter { status: Some(MessageStatus::Queued), ..MessageFilter::default() };
        assert_eq!(list(queued).await, [3]);
        assert_eq!(list(MessageFilter { contact: Some(ids[1]), ..MessageFilter::default() }).await, [2]);
        let other = MessageFilter { template: Some("other".into()), ..MessageFilter::default() };
        assert!(list(other).await.is_empty());
        let counts = store.counts().await.unwrap();
        assert_eq!(counts.messages[..3].iter().map(|(_, count)| *count).collect::<Vec<_>>(), [1, 0, 2]);
        assert_eq!(counts.runs[0], (RunStatus::Active, 3));
    }
}
