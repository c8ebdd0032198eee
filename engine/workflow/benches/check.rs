//! What it costs to check workflows; `docs/performance.md` holds the numbers.

#![expect(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};

use dripline_model::{Contact, Digest, Manifest, field::Fields, id::ContactId, manifest::Grant};
use dripline_template::Templates;
use dripline_workflow::{Environment, PluginInfo, Source, check, samples};
use serde_json::json;

fn main() {
    divan::main();
}

/// A workflow as the shipped ones are: scoring rules, mails with variants, waits and branches.
const WORKFLOW: &str = include_str!("../tests/workflow/valid.yaml");

/// Files of a large workspace.
const FILES: usize = 200;

fn plugins() -> BTreeMap<String, PluginInfo> {
    let manifests: Vec<Manifest> = serde_json::from_str(include_str!("../tests/manifests.json")).unwrap();
    let infos = manifests.into_iter().map(|manifest| {
        let grant = Grant::all_of(&manifest);
        let digest = Digest::of(manifest.name.as_bytes());
        (manifest.name.clone(), PluginInfo { manifest, digest, grant })
    });
    infos.collect()
}

fn contacts() -> Vec<Contact> {
    let contact = |id| {
        let mut contact = Contact::new(ContactId(id));
        let attributes = json!({"first_name": "Ada", "title": "Head", "country": "DE", "employees": 250});
        contact.attributes = attributes.as_object().unwrap().clone();
        contact.consents.insert("email".into(), true);
        contact
    };
    (1..=20).map(contact).collect()
}

#[divan::bench(sample_count = 10)]
fn two_hundred_files(bencher: divan::Bencher<'_, '_>) {
    let plugins = plugins();
    let template = "<p>Hello {{contact.first_name}}</p>".repeat(20);
    let templates = Templates::from_sources(BTreeMap::from([
        ("trial/welcome.html".to_owned(), template.clone()),
        ("trial/nudge.txt".to_owned(), template),
    ]));
    let names = ["country", "title", "employees", "first_name", "language", "time_zone", "renewal"];
    let fields: Fields = names.into_iter().collect();
    let teams: BTreeSet<String> = ["enterprise".to_owned(), "smb".to_owned()].into();
    let environment = Environment {
        plugins: &plugins,
        templates: &templates,
        teams: &teams,
        dynamic_segments: &BTreeSet::new(),
        calendars: &Default::default(),
        attributes: Some(&fields),
        inputs: None,
        default_time_zone: "Europe/Berlin",
        now: None,
    };
    let contacts = contacts();
    let files: Vec<Source> = (0..FILES)
        .map(|number| Source { path: format!("workflows/{number}.yaml"), text: WORKFLOW.to_owned() })
        .collect();
    bencher.bench_local(|| {
        let count = |source: &Source| {
            let checked = check(source, &environment);
            checked.diagnostics.len()
                + samples::check(source, &checked.configs, &environment, &contacts).len()
        };
        files.iter().map(count).sum::<usize>()
    });
}
