//! The engine's workplace: the sandbox with the built-in plugins, the templates, the team.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    path::Path,
    sync::Arc,
};

use dripline_delivery::{
    Deliverer, DeliveryConfig, OnUncertain, RetryPolicy, Sender, Transport, UncertainRule,
};
use dripline_model::{
    Clock, Digest,
    manifest::Grant,
    team::{Member, Representative, Team},
};
use dripline_plugin_host::{Host, HostConfig};
use dripline_runtime::{Engine, Options};
use dripline_store::{NewVersion, PluginCode, Store, StoredProgram};
use dripline_template::Templates;
use dripline_workflow::{Environment, PluginInfo, Source};
use jiff::{Timestamp, tz::TimeZone};

use crate::{
    Result,
    campaign::{MEMBERS, TEAM},
};

/// What it takes to publish and to run workflows.
pub(crate) struct Workshop {
    host: Host,
    plugins: BTreeMap<String, (&'static [u8], PluginInfo)>,
    templates: Templates,
}

impl Workshop {
    /// Loads the built-in plugins; compiled code is kept in `dir`.
    pub(crate) async fn open(dir: &Path) -> Result<Self> {
        let cache_dir = dir.join("dripline-bench-cache");
        std::fs::create_dir_all(&cache_dir)?;
        let host = Host::new(HostConfig { cache_dir: Some(cache_dir), ..HostConfig::default() })?;
        let mut plugins = BTreeMap::new();
        for bundled in dripline_bundled::PLUGINS {
            let plugin = host.load(bundled.wasm).await?;
            let manifest = plugin.manifest().clone();
            let info =
                PluginInfo { grant: Grant::all_of(&manifest), digest: plugin.digest().clone(), manifest };
            plugins.insert(bundled.name.to_owned(), (bundled.wasm, info));
        }
        Ok(Self { host, plugins, templates: templates() })
    }

    /// Puts the team in and publishes the workflow; answers its version.
    pub(crate) async fn publish(
        &self,
        store: &dyn Store,
        text: &str,
        now: Timestamp,
    ) -> Result<StoredProgram> {
        put_team(store).await?;
        let source = Source { path: "workflows/bench.yaml".into(), text: text.to_owned() };
        let plugins = self.plugins.iter().map(|(name, (_, info))| (name.clone(), info.clone())).collect();
        let environment = Environment {
            plugins: &plugins,
            templates: &self.templates,
            teams: &BTreeSet::from([TEAM.to_owned()]),
            dynamic_segments: &BTreeSet::new(),
            calendars: &Default::default(),
            attributes: None,
            inputs: None,
            default_time_zone: "UTC",
            now: None,
        };
        let checked = dripline_workflow::check(&source, &environment);
        let Some(program) = checked.program else {
            let said: String = checked.diagnostics.iter().map(|diagnostic| diagnostic.render()).collect();
            return Err(said.into());
        };
        let plugins = self.plugins.values().map(|(wasm, info)| PluginCode {
            digest: info.digest.clone(),
            name: &info.manifest.name,
            version: &info.manifest.version,
            wasm,
        });
        let templates = program.templates.keys().filter_map(|path| {
            let text = self.templates.get(path)?;
            Some((Digest::of(text.as_bytes()), text))
        });
        let version = NewVersion {
            program: &program,
            source: text,
            plugins: plugins.collect(),
            templates: templates.collect(),
        };
        let published = store.publish(&version, now).await?;
        Ok(store.program(published.version).await?.ok_or("what was just published is gone")?)
    }

    /// An engine over everything that is published in the store, with a sandbox of its own like a process of its own.
    pub(crate) async fn engine(
        &self,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        batch_size: usize,
    ) -> Result<Arc<Engine>> {
        let deliverer = Deliverer::new(Arc::clone(&store), Arc::clone(&clock), delivery(Transport::Mailbox))?;
        let grants =
            self.plugins.iter().map(|(name, (_, info))| (name.clone(), info.grant.clone())).collect();
        let options = Options { grants, time_zone: TimeZone::UTC, batch_size, ..Options::default() };
        Ok(Arc::new(Engine::start(store, self.host.clone(), clock, deliverer, options).await?))
    }
}

/// How mails leave.
pub(crate) fn delivery(transport: Transport) -> DeliveryConfig {
    DeliveryConfig {
        sender: Sender { name: "Bench".into(), email: "bench@dripline.example".into(), reply_to: None },
        unsubscribe_url: Some("https://dripline.example/unsubscribe".into()),
        transport,
        on_uncertain: UncertainRule::all(OnUncertain::Hold),
        retry: RetryPolicy::default(),
    }
}

async fn put_team(store: &dyn Store) -> Result<()> {
    let reps: Vec<_> = MEMBERS
        .iter()
        .map(|(key, name)| Representative { key: (*key).into(), name: (*name).into(), email: None })
        .collect();
    let members = reps.iter().map(|rep| Member { rep: rep.key.clone(), weight: 1 }).collect();
    let team = Team { key: TEAM.into(), name: "Sales".into(), members };
    Ok(store.put_teams(&reps, &[team]).await?)
}

/// A page of some four kilobytes in a layout, as campaigns send them.
fn templates() -> Templates {
    let mut page = String::from("{{#> bench/layout.html}}\n<h1>Good morning, {{contact.first_name}}</h1>\n");
    for paragraph in 1..=20 {
        let _ = writeln!(
            page,
            "<p>{paragraph}. What {{{{contact.company}}}} in {{{{contact.city}}}} could do next week: choose a purchase that has \
             to be approved, name the two people who say yes or no, send it off, and watch the answers come in.</p>"
        );
    }
    page.push_str("{{/bench/layout.html}}\n");
    let layout = "<!doctype html>\n<html lang=\"en\"><head><title>{{message.subject}}</title></head>\n<body>\n<main>\n\
        {{> @partial-block}}\n</main>\n<footer><p>{{sender.name}}, <a href=\"{{unsubscribe_url}}\">unsubscribe</a></p></footer>\n\
        </body></html>\n";
    let text = "Good morning, {{contact.first_name}}.\n\nHow is {{contact.company}} in {{contact.city}}?\n";
    let sources = [
        ("bench/layout.html", layout.to_owned()),
        ("bench/offer.html", page),
        ("bench/hello.txt", text.to_owned()),
    ];
    Templates::from_sources(sources.into_iter().map(|(path, text)| (path.to_owned(), text)).collect())
}
