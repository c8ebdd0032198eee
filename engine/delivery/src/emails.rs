//! Compiled emails, kept.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use dripline_model::Digest;
use dripline_store::{Catalog, DueMessage};
use dripline_template::Email;
use tokio::sync::Mutex;

/// How many compiled emails are kept; more than that many kinds of email are seldom due at once.
const KEPT: usize = 256;

/// A template's name and the digests that it was published with.
type Key = (String, Arc<BTreeMap<String, Digest>>);

/// An email that can be rendered, or why it cannot.
type Compiled = Result<Arc<Email>, String>;

/// Each published email, compiled when it is first sent.
#[derive(Default)]
pub(crate) struct Emails {
    kept: Mutex<HashMap<Key, Compiled>>,
}

impl Emails {
    /// The email that `message` is to be; the inner error says why it cannot be rendered for anybody.
    pub(crate) async fn of(
        &self,
        catalog: &dyn Catalog,
        message: &DueMessage,
    ) -> dripline_store::Result<Compiled> {
        let key = (message.template.clone(), Arc::clone(&message.templates));
        let mut kept = self.kept.lock().await;
        if let Some(compiled) = kept.get(&key) {
            return Ok(compiled.clone());
        }
        let compiled = compile(catalog, &key).await?;
        if kept.len() >= KEPT {
            kept.clear();
        }
        kept.insert(key, compiled.clone());
        Ok(compiled)
    }
}

async fn compile(catalog: &dyn Catalog, (name, digests): &Key) -> dripline_store::Result<Compiled> {
    let mut sources = BTreeMap::new();
    for (path, digest) in digests.iter() {
        let Some(source) = catalog.template(digest).await? else {
            return Ok(Err(format!("template `{path}` ({}) is not in the store", digest.short())));
        };
        sources.insert(path.clone(), source);
    }
    Ok(Email::compile(name, &sources).map(Arc::new).map_err(|problems| {
        let problems: Vec<_> = problems
            .iter()
            .map(|problem| {
                format!("{}:{}:{}: {}", problem.path, problem.line, problem.column, problem.message)
            })
            .collect();
        format!("template `{name}` cannot be rendered: {}", problems.join("; "))
    }))
}
