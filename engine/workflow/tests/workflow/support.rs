//! A workspace to check workflows in.

use std::collections::{BTreeMap, BTreeSet};

use dripline_model::{Digest, Manifest, field::Fields, manifest::Grant};
use dripline_template::Templates;
use dripline_workflow::{Checked, Environment, PluginInfo, Source, check};

/// The built-in plugins and `crm`, a third-party plugin of which nothing was granted but tags.
pub(crate) struct Workspace {
    plugins: BTreeMap<String, PluginInfo>,
    templates: Templates,
    teams: BTreeSet<String>,
    dynamic_segments: BTreeSet<String>,
    pub(crate) calendars: dripline_workflow::holidays::Calendars,
    attributes: Fields,
}

impl Workspace {
    pub(crate) fn new() -> Self {
        // As the plugins derive them.
        let manifests: Vec<Manifest> = serde_json::from_str(include_str!("../manifests.json")).unwrap();
        let plugins = manifests.into_iter().map(|manifest| {
            let mut grant = Grant::all_of(&manifest);
            if manifest.name == "crm" {
                grant.reads.clear();
                grant.effects.truncate(1);
            }
            let digest = Digest::of(manifest.name.as_bytes());
            (manifest.name.clone(), PluginInfo { manifest, digest, grant })
        });
        let templates = [
            ("layout.html", "<main>{{> @partial-block}}</main>"),
            ("trial/welcome.html", "{{#> layout.html}}<p>Hello {{contact.first_name}}</p>{{/layout.html}}"),
            ("trial/welcome.txt", "Hello {{contact.first_name}}"),
            ("trial/nudge.txt", "Still there?"),
            ("broken.html", "<p>\n{{#if contact.first_name}}\n</p>"),
        ];
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Self {
            plugins: plugins.collect(),
            templates: Templates::from_sources(
                templates.into_iter().map(|(path, text)| (path.to_owned(), text.to_owned())).collect(),
            ),
            teams: names(&["enterprise", "smb"]),
            dynamic_segments: names(&["by-rule"]),
            calendars: [("office".to_owned(), Default::default())].into(),
            attributes: [
                "birthday",
                "country",
                "employees",
                "first_name",
                "language",
                "renewal",
                "time_zone",
                "title",
            ]
            .into_iter()
            .collect(),
        }
    }

    /// Grants `crm` everything.
    pub(crate) fn generous(mut self) -> Self {
        for info in self.plugins.values_mut() {
            info.grant = Grant::all_of(&info.manifest);
        }
        self
    }

    /// Where this is known of contacts.
    pub(crate) fn knowing(mut self, fields: Fields) -> Self {
        self.attributes = fields;
        self
    }

    /// With these templates instead.
    pub(crate) fn with_templates(mut self, templates: &[(&str, &str)]) -> Self {
        let sources = templates.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned()));
        self.templates = Templates::from_sources(sources.collect());
        self
    }

    /// What a workflow may refer to.
    pub(crate) fn environment(&self) -> Environment<'_> {
        Environment {
            plugins: &self.plugins,
            templates: &self.templates,
            teams: &self.teams,
            dynamic_segments: &self.dynamic_segments,
            calendars: &self.calendars,
            attributes: Some(&self.attributes),
            inputs: None,
            default_time_zone: "Europe/Berlin",
            now: "2026-01-01T00:00:00Z".parse().ok(),
        }
    }

    pub(crate) fn check(&self, text: &str) -> (Source, Checked) {
        let environment = self.environment();
        let source = Source { path: "workflows/x.yaml".into(), text: text.into() };
        let checked = check(&source, &environment);
        (source, checked)
    }
}
