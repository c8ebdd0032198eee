use std::{collections::BTreeSet, sync::Arc};

use dripline_model::{
    Digest,
    team::{Member, Representative, Team},
};
use dripline_store::{NewVersion, PluginCode, Store};

use crate::{stores, workspace::*};

fn rep(key: &str) -> Representative {
    Representative { key: key.into(), name: format!("Rep {key}"), email: None }
}

fn team(key: &str, members: &[(&str, u32)]) -> Team {
    let member = |(rep, weight): &(&str, u32)| Member { rep: (*rep).into(), weight: *weight };
    Team { key: key.into(), name: key.to_uppercase(), members: members.iter().map(member).collect() }
}

stores! {
    async fn a_version_is_published_when_it_differs_from_the_current_one(store: Arc<dyn Store>) {
        let first = publish(&store, "nurture").await;
        assert_eq!((first.number, first.is_new), (1, true));
        let same = publish(&store, "nurture").await;
        assert_eq!((same.version, same.number, same.is_new), (first.version, 1, false));

        let mut program = program("nurture");
        program.description = Some("changed".into());
        let wasm = b"\0asm".as_slice();
        let digest = Digest::of(wasm);
        let changed = NewVersion {
            program: &program,
            source: "# changed",
            plugins: vec![PluginCode { digest: digest.clone(), name: "score", version: "1.0.0", wasm }],
            templates: vec![(Digest::of(b"Hello"), "Hello")],
        };
        let second = store.publish(&changed, at(5)).await.unwrap();
        assert_eq!((second.workflow, second.number, second.is_new), (first.workflow, 2, true));
        assert_eq!(store.plugin(&digest).await.unwrap().as_deref(), Some(wasm));
        assert_eq!(store.plugin(&Digest::of(b"")).await.unwrap(), None);
        assert_eq!(store.template(&Digest::of(b"Hello")).await.unwrap().as_deref(), Some("Hello"));

        let stored = store.program(second.version).await.unwrap().unwrap();
        assert_eq!((&stored.program, stored.source.as_str()), (&program, "# changed"));
        assert_eq!((stored.published_at, &stored.digest), (at(5), &program.digest()));
        assert!(store.program(first.version).await.unwrap().is_some(), "runs may still stand on it");
        let back = publish(&store, "nurture").await;
        assert_eq!((back.number, back.is_new), (3, true), "going back is a version too");
        publish(&store, "a").await;
        let current = store.current_programs().await.unwrap();
        let current: Vec<(&str, i64)> =
            current.iter().map(|stored| (stored.program.name.as_str(), stored.number)).collect();
        assert_eq!(current, [("a", 1), ("nurture", 3)]);
    }

    async fn a_workflow_that_is_gone_is_retired_until_it_is_published_again(store: Arc<dyn Store>) {
        publish(&store, "a").await;
        publish(&store, "b").await;
        let names = BTreeSet::from(["b", "unknown"]);
        assert_eq!(store.retire_all_but(&names, at(1)).await.unwrap(), ["a"]);
        assert!(store.retire_all_but(&names, at(2)).await.unwrap().is_empty(), "once");
        assert_eq!(store.current_programs().await.unwrap().len(), 1);
        assert_eq!(publish(&store, "a").await.number, 2, "published anew");
        assert_eq!(store.current_programs().await.unwrap().len(), 2);
    }

    async fn teams_are_those_of_the_file(store: Arc<dyn Store>) {
        let reps = [rep("z"), rep("a")];
        let teams = [team("two", &[("z", 1), ("a", 3)]), team("one", &[]), team("odd", &[("stranger", 1), ("stranger", 2)])];
        store.put_teams(&reps, &teams).await.unwrap();
        assert_eq!(store.representatives().await.unwrap(), reps, "in the file's order");
        assert_eq!(store.teams().await.unwrap(), teams);
        store.put_teams(&reps[1..], &teams[1..2]).await.unwrap();
        assert_eq!(store.representatives().await.unwrap(), reps[1..]);
        assert_eq!(store.teams().await.unwrap(), teams[1..2]);
    }

    async fn every_change_of_what_is_published_is_a_revision(store: Arc<dyn Store>) {
        let mut seen = vec![store.revision().await.unwrap()];
        let mut changed = async || {
            let now = store.revision().await.unwrap();
            let changed = seen.last() != Some(&now);
            assert!(!changed || !seen.contains(&now));
            seen.push(now);
            changed
        };
        store.put_teams(&[rep("anna")], &[team("one", &[("anna", 1)])]).await.unwrap();
        assert!(changed().await);
        store.put_teams(&[rep("anna")], &[team("one", &[("anna", 1)])]).await.unwrap();
        assert!(!changed().await, "the same teams");
        store.put_teams(&[rep("anna")], &[team("one", &[("anna", 2)])]).await.unwrap();
        assert!(changed().await);
        publish(&store, "nurture").await;
        assert!(changed().await);
        publish(&store, "nurture").await;
        assert!(!changed().await, "the same version");
        store.retire_all_but(&BTreeSet::new(), at(1)).await.unwrap();
        assert!(changed().await);
        store.retire_all_but(&BTreeSet::new(), at(1)).await.unwrap();
        assert!(!changed().await, "retired already");
    }

    async fn who_leaves_keeps_the_leads(store: Arc<dyn Store>) {
        store.put_teams(&[rep("anna")], &[team("enterprise", &[("anna", 1)])]).await.unwrap();
        let ids = contacts(&store, 1).await;
        let version = publish(&store, "nurture").await;
        let run = runs_of(&store, &version, &ids, at(1)).await.remove(0);
        apply(&store, &[turn(&run, vec![assign("anna")])], at(2)).await;
        store.put_teams(&[], &[]).await.unwrap();
        let lead = store.leads(1).await.unwrap().remove(0);
        assert_eq!((lead.rep.as_str(), lead.rep_name.as_str()), ("anna", "Rep anna"));
        assert_eq!((lead.team.as_deref(), lead.because.as_str()), (Some("enterprise"), "next in turn"));
    }
}
