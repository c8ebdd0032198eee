//! Everything that is published together is there together, or not at all.

use std::sync::Arc;

use dripline_model::{
    Digest,
    decision::RunStatus,
    program::Program,
    score::{Score, Scores},
    segment::{self, Segment},
    team::{Member, Representative, Team},
};
use dripline_store::{
    ErrorKind, NewRelease, NewSegment, NewVersion, OlderRuns, Release, Released, Retirement, RunFilter,
    RunMove, Shared, Store, catalog_state,
};

use crate::{stores, workspace::*};

/// What the catalog is now.
async fn state(store: &Arc<dyn Store>) -> Digest {
    let last = store.publications(1).await.unwrap().pop();
    catalog_state(
        &store.current_programs().await.unwrap(),
        &store.segments().await.unwrap(),
        &store.representatives().await.unwrap(),
        &store.teams().await.unwrap(),
        last.and_then(|publication| publication.fields).as_deref(),
        &store.declared_scores().await.unwrap(),
    )
}

fn version(program: &Program, older_runs: OlderRuns) -> NewRelease<'_> {
    let version = NewVersion { program, source: "# source", plugins: vec![], templates: vec![] };
    NewRelease { version, older_runs, restores: None }
}

async fn release<'a>(store: &Arc<dyn Store>, versions: Vec<NewRelease<'a>>) -> Release<'a> {
    Release {
        made_for: state(store).await,
        versions,
        retired: vec![],
        shared: None,
        author: "anna",
        note: Some("because"),
    }
}

async fn put(store: &Arc<dyn Store>, release: &Release<'_>, second: i64) -> Released {
    store.release(release, at(second)).await.unwrap()
}

fn changed(name: &str) -> Program {
    let mut program = program(name);
    program.description = Some("changed".into());
    program
}

fn segment(name: &str) -> Segment {
    Segment {
        format: segment::FORMAT,
        name: name.into(),
        description: None,
        rule: Some("contact.consent.email".into()),
        needs: Default::default(),
        depends_on: vec![],
    }
}

stores! {
    async fn a_release_is_recorded_with_its_author_and_note(store: Arc<dyn Store>) {
        let (one, two) = (program("one"), program("two"));
        let people = [Representative { key: "anna".into(), name: "Anna".into(), email: None }];
        let teams = [Team { key: "sales".into(), name: "Sales".into(), members: vec![Member { rep: "anna".into(), weight: 1 }] }];
        let warm = segment("warm");
        let segments = [NewSegment { segment: &warm, source: "# warm" }];
        let scores: Scores = [("fit".to_owned(), Score { max: Some(100), ..Score::default() })].into_iter().collect();
        let shared = Shared { representatives: &people, teams: &teams, segments: Some(&segments), fields: Some("# fields"), scores: &scores };
        let versions = vec![version(&one, OlderRuns::Stay), version(&two, OlderRuns::Stay)];
        let first = Release { shared: Some(shared.clone()), ..release(&store, versions).await };
        let before = store.revision().await.unwrap();
        let released = put(&store, &first, 1).await;
        assert_ne!(store.revision().await.unwrap(), before, "engines hear of it");
        assert_eq!(released.versions.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["one", "two"]);
        assert_eq!(released.segments.published, ["warm"]);
        assert_eq!(released.scores, ["fit"]);
        assert_eq!(*store.declared_scores().await.unwrap(), scores);
        assert!(released.teams && !released.fields, "of fields before the first publication nothing is known");
        assert_eq!(store.teams().await.unwrap(), teams);

        // The same again is nothing, and is not recorded.
        let versions = vec![version(&one, OlderRuns::Stay), version(&two, OlderRuns::Stay)];
        let again = Release { shared: Some(shared.clone()), ..release(&store, versions).await };
        assert!(put(&store, &again, 2).await.is_empty());
        assert_eq!(store.publications(9).await.unwrap().len(), 1);

        let two = changed("two");
        let second = Release {
            shared: Some(Shared { fields: None, ..shared }),
            retired: vec![Retirement { workflow: "one", end_runs: false }, Retirement { workflow: "nobody", end_runs: true }],
            note: None,
            ..release(&store, vec![version(&two, OlderRuns::Stay)]).await
        };
        let released = put(&store, &second, 3).await;
        assert_eq!(released.retired, [("one".to_owned(), 0)]);
        assert!(released.fields && !released.teams);
        let publications = store.publications(9).await.unwrap();
        assert_eq!(publications.len(), 2);
        let last = &publications[0];
        assert_eq!((last.author.as_str(), last.note.as_deref(), last.at), ("anna", None, at(3)));
        assert_eq!((&last.fields, last.changes.fields), (&None, true));
        assert_eq!(last.changes.published[0].workflow, "two");
        assert_eq!(last.changes.retired, ["one"]);
        assert_eq!(publications[1].fields.as_deref(), Some("# fields"));

        let history = store.history("two").await.unwrap().unwrap();
        let versions: Vec<_> = history.versions.iter().map(|one| (one.number, one.author.as_deref(), one.note.as_deref())).collect();
        assert_eq!(versions, [(2, Some("anna"), None), (1, Some("anna"), Some("because"))]);
        assert_eq!(history.retired_at, None);
        assert_eq!(store.history("one").await.unwrap().unwrap().retired_at, Some(at(3)));
        assert_eq!(store.history("nobody").await.unwrap(), None);
    }

    async fn a_release_that_was_made_for_another_catalog_changes_nothing(store: Arc<dyn Store>) {
        let (one, two) = (program("one"), program("two"));
        let stale = release(&store, vec![version(&one, OlderRuns::Stay)]).await;
        let quicker = release(&store, vec![version(&two, OlderRuns::Stay)]).await;
        put(&store, &quicker, 1).await;
        let (revision, known) = (store.revision().await.unwrap(), state(&store).await);
        let refused = store.release(&stale, at(2)).await.unwrap_err();
        assert!(matches!(refused.kind, ErrorKind::Superseded), "{refused}");
        assert_eq!((store.revision().await.unwrap(), state(&store).await), (revision, known.clone()));
        assert_eq!(store.current_programs().await.unwrap().len(), 1);
        assert_eq!(store.publications(9).await.unwrap().len(), 1);
        // A pause is nothing that a release is made for.
        let workflow = store.current_programs().await.unwrap()[0].workflow;
        store.pause(workflow, at(3)).await.unwrap();
        assert_eq!(state(&store).await, known);
        let again = release(&store, vec![version(&one, OlderRuns::Stay)]).await;
        assert_eq!(put(&store, &again, 4).await.versions.len(), 1);
    }

    async fn of_two_who_publish_at_once_one_is_told(store: Arc<dyn Store>) {
        let programs = [changed("one"), changed("two")];
        let (first, second) = (
            release(&store, vec![version(&programs[0], OlderRuns::Stay)]).await,
            release(&store, vec![version(&programs[1], OlderRuns::Stay)]).await,
        );
        let (one, other) = tokio::join!(store.release(&first, at(1)), store.release(&second, at(1)));
        let done = [&one, &other].iter().filter(|answer| answer.is_ok()).count();
        assert_eq!(done, 1, "{one:?} {other:?}");
        let refused = one.err().or(other.err()).unwrap();
        assert!(matches!(refused.kind, ErrorKind::Superseded), "{refused}");
        assert_eq!(store.current_programs().await.unwrap().len(), 1);
    }

    async fn runs_move_and_end_with_what_is_published(store: Arc<dyn Store>) {
        let ids = contacts(&store, 2).await;
        let (stays, moves, ends, goes) =
            (publish(&store, "stays").await, publish(&store, "moves").await, publish(&store, "ends").await, publish(&store, "goes").await);
        for workflow in [&stays, &moves, &ends, &goes] {
            runs_of(&store, workflow, &ids, at(1)).await;
        }
        let changed = ["stays", "moves", "ends"].map(changed);
        let to_second = RunMove { from: moves.version, node: 0, to: 1 };
        let all = Release {
            retired: vec![Retirement { workflow: "goes", end_runs: true }],
            ..release(&store, vec![
                version(&changed[0], OlderRuns::Stay),
                version(&changed[1], OlderRuns::Move(vec![to_second])),
                version(&changed[2], OlderRuns::End),
            ]).await
        };
        let released = put(&store, &all, 5).await;
        let runs: Vec<_> = released.versions.iter().map(|one| (one.name.as_str(), one.moved, one.ended)).collect();
        assert_eq!(runs, [("stays", 0, 0), ("moves", 2, 0), ("ends", 0, 2)]);
        assert_eq!(released.retired, [("goes".to_owned(), 2)]);
        let mut found = Vec::new();
        for workflow in ["stays", "moves", "ends", "goes"] {
            let filter = RunFilter { workflow: Some(workflow.into()), ..RunFilter::default() };
            let row = store.list_runs(&filter, 1).await.unwrap().remove(0);
            let decisions = store.run_decisions(row.run).await.unwrap();
            found.push((row.version, row.step, row.status, decisions.len(), row.reason.unwrap_or_default()));
        }
        assert_eq!(
            found,
            [
                (1, "first".to_owned(), RunStatus::Active, 1, "wanted it".to_owned()),
                (2, "second".to_owned(), RunStatus::Active, 2, "moved to version 2".to_owned()),
                (1, "first".to_owned(), RunStatus::Cancelled, 2, "ended, for version 2 was published".to_owned()),
                (1, "first".to_owned(), RunStatus::Cancelled, 2, "ended, for the workflow was retired".to_owned()),
            ]
        );
        let changes = store.publications(1).await.unwrap().remove(0).changes;
        assert_eq!((changes.published[1].moved, changes.published[2].ended), (2, 2));
    }

    async fn a_version_may_restore_an_older_one(store: Arc<dyn Store>) {
        publish(&store, "nurture").await;
        let second = changed("nurture");
        let new = release(&store, vec![version(&second, OlderRuns::Stay)]).await;
        put(&store, &new, 1).await;
        let first = program("nurture");
        let back = NewRelease { restores: Some(1), ..version(&first, OlderRuns::Stay) };
        let back = release(&store, vec![back]).await;
        assert_eq!(put(&store, &back, 2).await.versions[0].published.number, 3);
        let history = store.history("nurture").await.unwrap().unwrap();
        let versions: Vec<_> = history.versions.iter().map(|one| (one.number, one.restores, one.author.as_deref())).collect();
        assert_eq!(versions, [(3, Some(1), Some("anna")), (2, None, Some("anna")), (1, None, None)]);
        assert_eq!(history.versions[0].digest, history.versions[2].digest);
    }
}
