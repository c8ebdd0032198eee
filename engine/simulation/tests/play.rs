//! Simulations of a small campaign, with the real plugins.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use dripline_delivery::{DeliveryConfig, RetryPolicy, Sender, Transport, UncertainRule};
use dripline_model::{
    Digest, DrivenClock,
    manifest::Grant,
    program::Program,
    team::{Member, Representative, Team},
};
use dripline_plugin_host::{Host, HostConfig};
use dripline_runtime::Options;
use dripline_simulation::{Circumstances, Plan, Played, Report, Stage};
use dripline_store::{
    Catalog as _, ContactRow, EventRow, Ingest as _, NewVersion, PluginCode, Store, sqlite::SqliteStore,
};
use dripline_template::Templates;
use dripline_workflow::{
    Environment, PluginInfo, Source,
    behaviour::{self, Behaviour, Known},
};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

const CAMPAIGN: &str = "\
name: campaign
on: [{event: signed_up}, {event: email.clicked}]
enroll: {if: contact.consent.email, again: always}
steps:
  - id: welcome
    email: {template: welcome, subject: Hi}
  - wait: 1d
  - id: more
    email: {template: more, subject: More}
  - assign: {team: sales}
";

const BEHAVIOUR: &str = "\
mails:
  - {template: welcome, if: contact.number < 3, open: 0%}
  - template: welcome
    open: {chance: 70%, after: 5m..2d}
    click: {chance: 30%, after: 1m..1h}
    unsubscribe: 20%
    events: [{event: visit, when: opened, chance: 50%}]
  - {open: 50%}
events:
  - {on: visit, event: bought, chance: 50%, after: 1h..3d}
";

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// Plays 60 contacts, imported in this order, with batches of this size.
async fn play(order: impl Iterator<Item = u32>, batch_size: usize, seed: u64) -> (Stage, Plan, Played) {
    let store = Arc::new(SqliteStore::in_memory().await.unwrap());
    let cache = std::env::temp_dir().join("dripline-test-cache");
    let host = Host::new(HostConfig { cache_dir: Some(cache), ..HostConfig::default() }).unwrap();
    let (mut infos, mut codes, mut grants) = (BTreeMap::new(), Vec::new(), BTreeMap::new());
    for bundled in dripline_bundled::PLUGINS {
        let plugin = host.load(bundled.wasm).await.unwrap();
        let (manifest, digest) = (plugin.manifest().clone(), plugin.digest().clone());
        let grant = Grant::all_of(&manifest);
        grants.insert(manifest.name.clone(), grant.clone());
        codes.push((digest.clone(), manifest.name.clone(), manifest.version.clone(), bundled.wasm));
        infos.insert(manifest.name.clone(), PluginInfo { manifest, digest, grant });
    }
    let sources =
        ["welcome", "more"].map(|name| (format!("{name}.txt"), format!("{name} {{{{contact.number}}}}")));
    let templates = Templates::from_sources(sources.into());
    let environment = Environment {
        plugins: &infos,
        templates: &templates,
        teams: &BTreeSet::from(["sales".to_owned()]),
        attributes: None,
        now: None,
        inputs: None,
        default_time_zone: "UTC",
        dynamic_segments: &BTreeSet::new(),
        calendars: &Default::default(),
    };
    let checked = dripline_workflow::check(&Source { path: "w".into(), text: CAMPAIGN.into() }, &environment);
    let program: Program = checked.program.unwrap_or_else(|| panic!("{:?}", checked.diagnostics));

    let from = at("2024-01-01T00:00:00Z");
    let member = Member { rep: "ada".into(), weight: 1 };
    let team = Team { key: "sales".into(), name: "Sales".into(), members: vec![member] };
    let ada = Representative { key: "ada".into(), name: "Ada".into(), email: None };
    store.put_teams(&[ada], &[team]).await.unwrap();
    let version = NewVersion {
        program: &program,
        source: CAMPAIGN,
        plugins: codes
            .iter()
            .map(|(digest, name, version, wasm)| PluginCode { digest: digest.clone(), name, version, wasm })
            .collect(),
        templates: program
            .templates
            .keys()
            .map(|path| (Digest::of(templates.get(path).unwrap().as_bytes()), templates.get(path).unwrap()))
            .collect(),
    };
    store.publish(&version, from).await.unwrap();

    let numbers: Vec<u32> = order.collect();
    let contacts: Vec<ContactRow> = numbers
        .iter()
        .map(|number| ContactRow {
            external_id: Some(format!("c{number}")),
            email: Some(format!("c{number}@dripline.example")),
            attributes: json!({"number": number}).as_object().cloned().unwrap(),
            // One in ten never agreed.
            consents: BTreeMap::from([("email".to_owned(), number % 10 != 9)]),
            ..ContactRow::default()
        })
        .collect();
    let events: Vec<EventRow> = numbers
        .iter()
        .map(|number| EventRow {
            key: None,
            contact: format!("c{number}"),
            name: "signed_up".into(),
            at: from + SignedDuration::from_mins(7 * i64::from(*number)),
            properties: serde_json::Map::new(),
            live: true,
        })
        .collect();
    let mut import = store.begin_import().await.unwrap();
    import.upsert_contacts(&contacts, from).await.unwrap();
    import.insert_events(&events, from).await.unwrap();
    import.commit().await.unwrap();

    let known = Known { programs: &[&program], templates: &["welcome", "more"], fields: None };
    let source = Source { path: "b".into(), text: BEHAVIOUR.into() };
    let behaviour: Behaviour = behaviour::parse(&source, &known).unwrap();
    let delivery = DeliveryConfig {
        sender: Sender { name: "Test".into(), email: "test@dripline.example".into(), reply_to: None },
        unsubscribe_url: None,
        transport: Transport::Mailbox,
        on_uncertain: UncertainRule::default(),
        retry: RetryPolicy::default(),
    };
    let options = Options { grants, batch_size, ..Options::default() };
    let store: Arc<dyn Store> = store;
    let clock = Arc::new(DrivenClock::starting_at(from));
    let stage = Stage::set(store, host, clock, delivery, options).await.unwrap();
    let plan = Plan {
        from,
        until: at("2024-01-31T00:00:00Z"),
        tick: SignedDuration::from_mins(15),
        seed,
        behaviour,
        names: BTreeMap::new(),
        events: Vec::new(),
        enroll_all: Vec::new(),
        enrolments: Vec::new(),
    };
    let played = stage.play(&plan, |_| ()).await.unwrap();
    (stage, plan, played)
}

/// What became of each mail, in an order that is not that of sending.
fn told(played: &Played) -> Vec<String> {
    let mut told: Vec<String> = played
        .mails
        .iter()
        .map(|mail| {
            format!(
                "{} {} {} {:?} {:?} {:?} {:?}",
                mail.to, mail.step, mail.at, mail.failure, mail.opened, mail.clicked, mail.unsubscribed
            )
        })
        .collect();
    told.sort();
    told
}

#[tokio::test]
async fn the_same_seed_gives_the_same_whatever_the_order_and_the_batches() {
    let (_, _, played) = play(0..60, 1_000, 7).await;
    let (_, _, backwards) = play((0..60).rev(), 7, 7).await;
    assert_eq!(told(&played), told(&backwards));
    assert_eq!(played.reactions, backwards.reactions);
    let (_, _, other) = play(0..60, 1_000, 8).await;
    assert_ne!(told(&played), told(&other), "another seed is another draw");
}

#[tokio::test]
async fn contacts_react_as_the_behaviour_says() {
    let (stage, plan, played) = play(0..60, 1_000, 7).await;
    let of = |step: &str| played.mails.iter().filter(|mail| mail.step == step).collect::<Vec<_>>();
    let welcomes = of("welcome");
    assert!(welcomes.iter().all(|mail| mail.failure.is_none()));
    let opened = welcomes.iter().filter(|mail| mail.opened.is_some()).count();
    assert!(
        opened * 10 > welcomes.len() * 5 && opened * 10 < welcomes.len() * 9,
        "{opened} of {}",
        welcomes.len()
    );
    for number in 0..3 {
        let address = format!("c{number}@dripline.example");
        assert!(welcomes.iter().filter(|mail| mail.to == address).all(|mail| mail.opened.is_none()));
    }
    for mail in welcomes {
        assert!(mail.clicked.is_none() || mail.opened.is_some_and(|opened| Some(opened) < mail.clicked));
    }
    // A click starts the campaign once more, while the run before waits or after it has ended.
    assert!(of("welcome").len() > 54, "{}", of("welcome").len());
    // Who unsubscribed gets nothing any more.
    for left in played.mails.iter().filter(|mail| mail.unsubscribed.is_some()) {
        let later = |mail: &&dripline_simulation::Mail| {
            mail.contact == left.contact && Some(mail.at) > left.unsubscribed && mail.failure.is_none()
        };
        assert!(!played.mails.iter().any(|mail| later(&mail)), "{}", left.to);
    }
    assert!(played.mails.iter().any(|mail| mail.unsubscribed.is_some()), "somebody did");
    // Opened, clicked, visited, bought: events that are in the store.
    let bought = async |name: &str| {
        let mut number = 0;
        for contact in stage.store().list_contacts(&Default::default(), 100).await.unwrap() {
            let timeline = stage.store().timeline(contact.id).await.unwrap();
            number += timeline.iter().filter(|entry| entry.line().1.starts_with(name)).count();
        }
        number
    };
    assert!(bought("visit").await > bought("bought").await && bought("bought").await > 0);

    let around = Circumstances { max_per_week: 1, ..Circumstances::default() };
    let report = Report::of(&stage, &plan, &played, around).await.unwrap();
    assert_eq!(report.totals.contacts, 60);
    assert_eq!(report.totals.mails, report.days.iter().map(|day| day.mails).sum::<u64>());
    assert_eq!(report.totals.mails, report.mails.iter().map(|mail| mail.sent).sum::<u64>());
    assert_eq!(report.days.len(), 31);
    let funnel = report.funnels.first().unwrap();
    assert_eq!((funnel.refused > 0, funnel.steps.len()), (true, 4));
    let ended: u64 = funnel.ends.iter().map(|end| end.runs).sum();
    assert_eq!(ended, funnel.entered);
    assert!(report.pressure.over > 0 && report.pressure.contacts.iter().all(|contact| contact.mails > 1));
    let leads: u64 = report.representatives.iter().map(|rep| rep.leads).sum();
    assert_eq!(leads, report.totals.assignments);
    let page = dripline_simulation::page(&report).unwrap();
    assert!(page.contains("campaign") && page.contains("</html>"));
}
