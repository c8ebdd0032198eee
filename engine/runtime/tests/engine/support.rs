//! An engine over an empty store, a clock that the test drives, and the real plugins.
#![allow(dead_code, reason = "each test file uses what it needs")]

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use dripline_delivery::{Deliverer, DeliveryConfig, RetryPolicy, Sender, Transport, UncertainRule};
use dripline_model::{
    Clock, Digest, DrivenClock, Manifest,
    id::ContactId,
    manifest::Grant,
    team::{Member, Representative, Team},
};
use dripline_plugin_host::{Host, HostConfig};
use dripline_runtime::{Engine, Options};
use dripline_store::{
    ContactFilter, ContactRow, EventRow, MessageFilter, NewSegment, NewVersion, PluginCode, RowResult,
    RunFilter, RunRow, Store, TimelineWhat,
    postgres::{PostgresConfig, PostgresStore},
    sqlite::SqliteStore,
};
use dripline_template::Templates;
use dripline_test_postgres::Server;
use dripline_workflow::{Environment, PluginInfo, Source};
use jiff::{Timestamp, tz::TimeZone};
use serde_json::{Value, json};

pub(crate) struct TestApp {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<DrivenClock>,
    host: Host,
    plugins: BTreeMap<String, (Vec<u8>, PluginInfo)>,
    templates: Templates,
}

pub(crate) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

impl TestApp {
    /// An app at 2024-01-01 with these templates.
    pub(crate) async fn new(templates: &[(&str, &str)]) -> Self {
        Self::over(Arc::new(SqliteStore::in_memory().await.unwrap()), templates).await
    }

    /// An app over a store that is empty.
    pub(crate) async fn over(store: Arc<dyn Store>, templates: &[(&str, &str)]) -> Self {
        let cache = std::env::temp_dir().join("dripline-test-cache");
        let host = Host::new(HostConfig { cache_dir: Some(cache), ..HostConfig::default() }).unwrap();
        let bundled = dripline_bundled::PLUGINS.iter().map(|bundled| bundled.wasm);
        let mut plugins = BTreeMap::new();
        for wasm in bundled.chain([dripline_bundled::MISBEHAVING]) {
            let plugin = host.load(wasm).await.unwrap();
            let manifest: Manifest = plugin.manifest().clone();
            let info =
                PluginInfo { grant: Grant::all_of(&manifest), digest: plugin.digest().clone(), manifest };
            plugins.insert(info.manifest.name.clone(), (wasm.to_vec(), info));
        }
        let templates =
            templates.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
        let app = Self {
            store,
            clock: Arc::new(DrivenClock::starting_at(at("2024-01-01T00:00:00Z"))),
            host,
            plugins,
            templates: Templates::from_sources(templates),
        };
        let reps: Vec<_> = ["ada", "bob"]
            .map(|key| Representative { key: key.to_owned(), name: key.to_uppercase(), email: None })
            .into();
        let members = vec![Member { rep: "ada".into(), weight: 2 }, Member { rep: "bob".into(), weight: 1 }];
        let team = Team { key: "sales".into(), name: "Sales".into(), members };
        app.store.put_teams(&reps, &[team]).await.unwrap();
        app
    }

    /// Publishes a workflow, which must be right.
    pub(crate) async fn publish(&self, text: &str) {
        let source = Source { path: "workflows/test.yaml".into(), text: text.to_owned() };
        let plugins = self.plugins.iter().map(|(name, (_, info))| (name.clone(), info.clone())).collect();
        let environment = Environment {
            plugins: &plugins,
            templates: &self.templates,
            teams: &BTreeSet::from(["sales".to_owned()]),
            dynamic_segments: &BTreeSet::new(),
            calendars: &Default::default(),
            attributes: None,
            inputs: None,
            default_time_zone: "UTC",
            now: None,
        };
        let checked = dripline_workflow::check(&source, &environment);
        let said: String = checked.diagnostics.iter().map(|diagnostic| diagnostic.render()).collect();
        let program = checked.program.unwrap_or_else(|| panic!("{said}"));
        let plugins = self
            .plugins
            .values()
            .map(|(wasm, info)| PluginCode {
                digest: info.digest.clone(),
                name: &info.manifest.name,
                version: &info.manifest.version,
                wasm,
            })
            .collect();
        let templates = program.templates.keys().map(|path| {
            let text = self.templates.get(path).unwrap();
            (Digest::of(text.as_bytes()), text)
        });
        let version = NewVersion { program: &program, source: text, plugins, templates: templates.collect() };
        self.store.publish(&version, self.clock.now()).await.unwrap();
    }

    /// Publishes segments: name and rule. Those that were there before and are not now lose their rules.
    pub(crate) async fn segments(&self, segments: &[(&str, &str)]) {
        let sources = segments.iter().map(|(name, rule)| Source {
            path: format!("segments/{name}.yaml"),
            text: format!("name: {name}\nif: '{rule}'\n"),
        });
        let (files, diagnostics) = dripline_workflow::segments::check(sources.collect(), None);
        let said: String = diagnostics.iter().map(|diagnostic| diagnostic.render()).collect();
        let new = files.iter().map(|file| NewSegment {
            segment: file.segment.as_ref().unwrap_or_else(|| panic!("{said}")),
            source: &file.source.text,
        });
        self.store.publish_segments(&new.collect::<Vec<_>>(), self.clock.now()).await.unwrap();
    }

    /// Contacts `c1` … `cN`, with an address, consent to email, and what `attributes` makes of their number.
    pub(crate) async fn contacts(
        &self,
        count: u32,
        attributes: impl Fn(u32) -> serde_json::Value,
    ) -> Vec<ContactId> {
        let rows: Vec<_> = (1..=count)
            .map(|number| ContactRow {
                external_id: Some(format!("c{number}")),
                email: Some(format!("c{number}@dripline.example")),
                attributes: attributes(number).as_object().cloned().unwrap_or_default(),
                consents: BTreeMap::from([("email".to_owned(), true)]),
                ..ContactRow::default()
            })
            .collect();
        let mut import = self.store.begin_import().await.unwrap();
        let results = import.upsert_contacts(&rows, self.clock.now()).await.unwrap();
        import.commit().await.unwrap();
        results
            .into_iter()
            .map(|result| match result {
                RowResult::Inserted(id) | RowResult::Updated(id) | RowResult::Unchanged(id) => id,
                RowResult::Rejected(reason) => panic!("{reason}"),
            })
            .collect()
    }

    /// A live event for each of the contacts `c1` … `cN`.
    pub(crate) async fn events(&self, count: u32, name: &str, when: &str) {
        let rows: Vec<_> = (1..=count)
            .map(|number| EventRow {
                key: Some(format!("{name}/{when}/{number}")),
                contact: format!("c{number}"),
                name: name.to_owned(),
                at: at(when),
                properties: json!({"number": number}).as_object().cloned().unwrap(),
                live: true,
            })
            .collect();
        let mut import = self.store.begin_import().await.unwrap();
        import.insert_events(&rows, self.clock.now()).await.unwrap();
        import.commit().await.unwrap();
    }

    pub(crate) async fn engine(&self) -> Engine {
        self.engine_with(self.options()).await
    }

    /// Everything granted that was asked for.
    pub(crate) fn options(&self) -> Options {
        let grants =
            self.plugins.iter().map(|(name, (_, info))| (name.clone(), info.grant.clone())).collect();
        Options { grants, time_zone: TimeZone::UTC, ..Options::default() }
    }

    pub(crate) async fn engine_with(&self, options: Options) -> Engine {
        self.engine_of(Arc::clone(&self.store), self.clock.clone(), Transport::Mailbox, options).await
    }

    /// An engine over another store than the app's.
    pub(crate) async fn engine_over(&self, store: Arc<dyn Store>, options: Options) -> Engine {
        self.engine_of(store, self.clock.clone(), Transport::Mailbox, options).await
    }

    /// An engine that tells the time by another clock than the app's.
    pub(crate) async fn engine_by(&self, clock: Arc<dyn Clock>, options: Options) -> Engine {
        self.engine_of(Arc::clone(&self.store), clock, Transport::Mailbox, options).await
    }

    /// An engine whose messages go this way.
    pub(crate) async fn engine_through(&self, transport: Transport, options: Options) -> Engine {
        self.engine_of(Arc::clone(&self.store), self.clock.clone(), transport, options).await
    }

    /// An engine of another process, as it were: with a store and a clock of its own.
    pub(crate) async fn engine_of(
        &self,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        transport: Transport,
        options: Options,
    ) -> Engine {
        let config = DeliveryConfig {
            sender: Sender { name: "Test".into(), email: "test@dripline.example".into(), reply_to: None },
            unsubscribe_url: None,
            transport,
            on_uncertain: UncertainRule::default(),
            retry: RetryPolicy::default(),
        };
        let deliverer = Deliverer::new(Arc::clone(&store), Arc::clone(&clock), config).unwrap();
        Engine::start(store, self.host.clone(), clock, deliverer, options).await.unwrap()
    }

    /// Runs until nothing is left to do, and answers the moments at which something was.
    pub(crate) async fn run(&self) -> Vec<String> {
        let mut moments = Vec::new();
        let engine = self.engine().await;
        engine.fast_forward(&self.clock, |moment| moments.push(moment.now.to_string())).await.unwrap();
        moments
    }

    pub(crate) async fn runs(&self) -> Vec<RunRow> {
        let mut runs = self.store.list_runs(&RunFilter::default(), 10_000).await.unwrap();
        runs.sort_by_key(|run| run.run);
        runs
    }

    /// The decisions of a contact, oldest first: `step: kind, reason`.
    pub(crate) async fn decisions(&self, contact: ContactId) -> Vec<String> {
        let entries = self.store.timeline(contact).await.unwrap();
        entries
            .into_iter()
            .filter_map(|entry| match entry.what {
                TimelineWhat::Decision { step, kind, reason, .. } => {
                    Some(format!("{}: {}, {reason}", step.as_deref().unwrap_or("-"), kind.name()))
                }
                _ => None,
            })
            .collect()
    }

    /// Templates and receivers of all messages, in order.
    pub(crate) async fn mails(&self) -> Vec<(String, String)> {
        let mut rows = self.store.list_messages(&MessageFilter::default(), 10_000).await.unwrap();
        rows.sort_by_key(|row| row.id);
        rows.into_iter().map(|row| (row.template, row.to)).collect()
    }

    pub(crate) async fn contact(&self, id: ContactId) -> dripline_model::Contact {
        let filter = ContactFilter { id: Some(id), ..ContactFilter::default() };
        self.store.list_contacts(&filter, 1).await.unwrap().remove(0)
    }
}

/// One live event of a contact.
pub(crate) async fn event(app: &TestApp, contact: &str, name: &str, when: &str, properties: Value) {
    let row = EventRow {
        key: None,
        contact: contact.to_owned(),
        name: name.to_owned(),
        at: at(when),
        properties: properties.as_object().cloned().unwrap(),
        live: true,
    };
    let mut import = app.store.begin_import().await.unwrap();
    import.insert_events(&[row], at(when)).await.unwrap();
    import.commit().await.unwrap();
}

/// Sets attributes of a contact as an import does.
pub(crate) async fn set(app: &TestApp, contact: &str, when: &str, attributes: Value) {
    let row = ContactRow {
        external_id: Some(contact.to_owned()),
        attributes: attributes.as_object().cloned().unwrap(),
        ..ContactRow::default()
    };
    let mut import = app.store.begin_import().await.unwrap();
    import.upsert_contacts(&[row], at(when)).await.unwrap();
    import.commit().await.unwrap();
}

/// Runs a body over a fresh app on each kind of store that there is.
pub(crate) async fn on_each_store(templates: &[(&str, &str)], body: impl AsyncFn(TestApp)) {
    body(TestApp::new(templates).await).await;
    let Some(server) = Server::shared() else { return };
    let config = PostgresConfig { connections: 4, ..PostgresConfig::new(server.database().await) };
    let store = PostgresStore::open(&config).await.unwrap();
    body(TestApp::over(Arc::new(store), templates).await).await;
}
