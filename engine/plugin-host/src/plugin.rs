//! A loaded plugin and its calls.

use std::{fmt, sync::Arc, time::Duration};

use dripline_model::{Digest, Manifest, Outcome, batch::Batch};

use crate::{
    error::{CallError, CallErrorKind, LoadErrorKind},
    lift,
    lower::Lowered,
    manifest::manifest,
    run::{self, Call},
    sandbox::{Failed, Sandbox},
};

/// A component that implements a kind of step. Clones share the compiled code.
#[derive(Clone)]
pub struct Plugin(Arc<Loaded>);

struct Loaded {
    manifest: Manifest,
    digest: Digest,
    sandbox: Sandbox,
}

/// What a plugin answers to a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// One for each turn, in their order.
    pub outcomes: Vec<Outcome>,
    /// The state cell's new value; `None` leaves it as it is.
    pub state: Option<Vec<u8>>,
}

/// Something that a plugin finds wrong with a configuration and that its schema cannot say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigProblem {
    /// JSON pointer into the configuration.
    pub pointer: String,
    /// What is wrong.
    pub message: String,
    /// What would be right.
    pub help: Option<String>,
}

impl Plugin {
    pub(crate) async fn describe(sandbox: Sandbox, digest: Digest) -> Result<Self, LoadErrorKind> {
        let described = sandbox.describe().await;
        let said = described.map_err(|Failed { kind, log }| LoadErrorKind::Describe { cause: kind, log })?;
        Ok(Self(Arc::new(Loaded { manifest: manifest(said)?, digest, sandbox })))
    }

    /// What the plugin says of itself.
    pub fn manifest(&self) -> &Manifest {
        &self.0.manifest
    }

    /// The digest of the component that was loaded.
    pub fn digest(&self) -> &Digest {
        &self.0.digest
    }

    /// Asks the plugin what is wrong with a configuration (JSON) that fits its schema.
    ///
    /// # Errors
    /// See [`crate::CallErrorKind`].
    pub async fn check(&self, config: &str) -> Result<Vec<ConfigProblem>, CallError> {
        let problems = self.0.sandbox.check(config).await.map_err(|failed| self.error(failed))?;
        Ok(problems
            .into_iter()
            .map(|problem| ConfigProblem {
                pointer: problem.pointer,
                message: problem.message,
                help: problem.help,
            })
            .collect())
    }

    /// Calls the plugin once with the whole batch.
    ///
    /// # Errors
    /// See [`crate::CallErrorKind`]. Nothing of an answer that breaks the contract in one place is kept.
    pub async fn call(&self, config: &str, batch: &Batch) -> Result<Answer, CallError> {
        Configured { plugin: self, config }.call(batch, self.0.sandbox.call_time()).await
    }

    /// Calls the plugin, and where that fails calls it with each half of the batch, until a turn that fails is alone
    /// and fails with its reason. So one poisonous contact stops nobody else.
    ///
    /// State goes through the halves in order; a call that fails leaves it as it was. Half of a batch that ran out of
    /// time gets half of that time, so that a turn which never ends costs about twice one call's limit and not one
    /// limit for each halving.
    pub async fn run(&self, config: &str, batch: Batch) -> Answer {
        run::run(&Configured { plugin: self, config }, batch, self.0.sandbox.limits()).await
    }

    fn error(&self, failed: impl Into<Failed>) -> CallError {
        let failed = failed.into();
        CallError { plugin: self.0.manifest.name.clone(), kind: failed.kind, log: failed.log }
    }
}

/// A step: a plugin with its configuration.
struct Configured<'a> {
    plugin: &'a Plugin,
    config: &'a str,
}

impl Call for Configured<'_> {
    async fn call(&self, batch: &Batch, time: Duration) -> Result<Answer, CallError> {
        let Loaded { manifest, sandbox, .. } = &*self.plugin.0;
        let lowered = Lowered::new(batch);
        let said = sandbox.run(self.config, lowered.batch(), (batch.now, lowered.seed()), time).await;
        said.and_then(|outcomes| {
            lift::answer(outcomes, batch.turns.len(), manifest, sandbox.limits()).map_err(Failed::from)
        })
        .map_err(|failed| self.plugin.error(failed))
    }

    fn error(&self, kind: CallErrorKind) -> CallError {
        self.plugin.error(kind)
    }
}

impl fmt::Debug for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Loaded { manifest, digest, .. } = &*self.0;
        f.debug_struct("Plugin")
            .field("name", &manifest.name)
            .field("version", &manifest.version)
            .field("digest", &digest.short())
            .finish_non_exhaustive()
    }
}
