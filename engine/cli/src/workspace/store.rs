//! The `store:` of `dripline.yaml`: a file, or a PostgreSQL database.

use std::{
    borrow::Cow,
    env, fmt,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
};

use dripline_model::duration;
use dripline_store::{
    Migrated, Store,
    postgres::{self, PostgresConfig, PostgresStore},
    sqlite::SqliteStore,
};
use jiff::{SignedDuration, SpanRelativeTo};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, Visitor},
};

use super::settings::FILE;
use crate::problem::Problem;

/// What is right where a URL stands instead of a file.
const DATABASE: &str = "a database is written as `postgres: {url: …}` or `postgres: {url_env: …}`";

/// Where contacts, runs and messages are kept.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum StoreSettings {
    /// In an SQLite file, relative to the workspace.
    File(PathBuf),
    /// In a PostgreSQL database, which several processes may share.
    Postgres(Box<PostgresSettings>),
}

/// A PostgreSQL database.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PostgresSettings {
    /// `postgres://…`; better in the environment, since there is a password in it as a rule.
    #[serde(default, deserialize_with = "url")]
    #[schemars(with = "String", extend("format" = "postgres-url"))]
    url: Option<String>,
    /// Name of the environment variable that holds the URL.
    url_env: Option<String>,
    /// Batches that this process works on at a time; by default as many as the machine has cores.
    workers: Option<u16>,
    /// Connections that write at a time, and as many again that read; by default two for each worker and four more.
    connections: Option<u16>,
    /// How long to wait for a connection: `10s`.
    #[serde(default, deserialize_with = "milliseconds")]
    #[schemars(with = "String", extend("format" = "timeout"))]
    connect_timeout: Option<u64>,
    /// How long a single statement may take: `10m`.
    #[serde(default, deserialize_with = "milliseconds")]
    #[schemars(with = "String", extend("format" = "timeout"))]
    statement_timeout: Option<u64>,
}

impl Default for StoreSettings {
    fn default() -> Self {
        Self::File(".dripline/dripline.db".into())
    }
}

impl JsonSchema for StoreSettings {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Store".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [
                {"description": "A file, relative to the workspace.", "type": "string", "not": {"pattern": "^postgres(ql)?://"}},
                {
                    "type": "object",
                    "additionalProperties": false,
                    "required": ["postgres"],
                    "properties": {"postgres": generator.subschema_for::<PostgresSettings>()}
                }
            ]
        })
    }
}

impl<'de> Deserialize<'de> for StoreSettings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct StoreVisitor;

        impl<'de> Visitor<'de> for StoreVisitor {
            type Value = StoreSettings;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a file, or `postgres: {url_env: DATABASE_URL}`")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<StoreSettings, E> {
                if postgres::is_url(text) {
                    return Err(E::custom(DATABASE));
                }
                Ok(StoreSettings::File(text.into()))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<StoreSettings, A::Error> {
                let Some(key) = map.next_key::<String>()? else {
                    return Err(de::Error::missing_field("postgres"));
                };
                if key != "postgres" {
                    return Err(de::Error::unknown_field(&key, &["postgres"]));
                }
                let settings: PostgresSettings = map.next_value()?;
                if let Some(other) = map.next_key::<String>()? {
                    return Err(de::Error::unknown_field(&other, &["postgres"]));
                }
                if settings.url.is_some() == settings.url_env.is_some() {
                    return Err(de::Error::custom("postgres: write either `url` or `url_env`"));
                }
                Ok(StoreSettings::Postgres(Box::new(settings)))
            }
        }

        deserializer.deserialize_any(StoreVisitor)
    }
}

fn url<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let text = String::deserialize(deserializer)?;
    check_url(&text).map(|()| Some(text)).map_err(de::Error::custom)
}

/// Whether a text is a URL of PostgreSQL's.
pub(super) fn check_url(text: &str) -> Result<(), String> {
    if postgres::is_url(text) {
        return Ok(());
    }
    // Not the text itself: there may be a password in it.
    Err("it is no PostgreSQL URL; write for example `postgres://user@localhost/dripline`".to_owned())
}

fn milliseconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    parse_timeout(&String::deserialize(deserializer)?).map(Some).map_err(de::Error::custom)
}

/// A length of time in milliseconds.
pub(super) fn parse_timeout(text: &str) -> Result<u64, String> {
    let span = duration::parse(text)?;
    let length = span.to_duration(SpanRelativeTo::days_are_24_hours()).unwrap_or(SignedDuration::ZERO);
    match u64::try_from(length.as_millis()) {
        Ok(ms @ 1..) => Ok(ms),
        _ => Err(format!("`{text}` is not a length of time; write for example `10s`")),
    }
}

impl StoreSettings {
    /// Opens the store, and makes it if it is not there yet.
    pub(super) async fn open(&self, root: &Path) -> Result<Arc<dyn Store>, Problem> {
        Ok(match self {
            Self::File(file) => Arc::new(SqliteStore::open(&root.join(file)).await?),
            Self::Postgres(settings) => Arc::new(PostgresStore::open(&settings.config()?).await?),
        })
    }

    /// A copy of the store, which is only read.
    pub(super) async fn copy(&self, root: &Path) -> Result<Arc<dyn Store>, Problem> {
        Ok(match self {
            Self::File(file) => Arc::new(SqliteStore::copy_of(&root.join(file)).await?),
            Self::Postgres(settings) => Arc::new(PostgresStore::copy_of(&settings.config()?).await?),
        })
    }

    /// Brings the store's schema up to date.
    pub(super) async fn migrate(&self, root: &Path) -> Result<Migrated, Problem> {
        Ok(match self {
            Self::File(file) => SqliteStore::migrate(&root.join(file)).await?,
            Self::Postgres(settings) => PostgresStore::migrate(&settings.config()?).await?,
        })
    }

    /// Whether opening the store would make it.
    pub(super) fn is_missing(&self, root: &Path) -> bool {
        matches!(self, Self::File(file) if !root.join(file).exists())
    }

    /// Whether several processes may run the workflows of this store.
    pub(crate) fn is_shared(&self) -> bool {
        matches!(self, Self::Postgres(_))
    }

    /// The file, where it is one.
    pub(super) fn file(&self, root: &Path) -> Option<PathBuf> {
        match self {
            Self::File(file) => Some(root.join(file)),
            Self::Postgres(_) => None,
        }
    }

    /// How many connections to a server a process opens at most.
    pub(crate) fn connections(&self) -> u64 {
        match self {
            Self::File(_) => 0,
            Self::Postgres(settings) => 2 * u64::from(settings.connections()),
        }
    }

    /// How many batches a process works on at a time.
    pub(crate) fn workers(&self) -> usize {
        match self {
            // There is one writer.
            Self::File(_) => 1,
            Self::Postgres(settings) => settings.workers().into(),
        }
    }
}

impl PostgresSettings {
    fn workers(&self) -> u16 {
        let cores =
            || thread::available_parallelism().map_or(1, |cores| u16::try_from(cores.get()).unwrap_or(64));
        self.workers.unwrap_or_else(cores).max(1)
    }

    /// Those that write; as many again read.
    fn connections(&self) -> u16 {
        let workers = self.workers();
        self.connections.unwrap_or(2 * workers + 4).max(workers + 1)
    }

    fn config(&self) -> Result<PostgresConfig, Problem> {
        let url = match (&self.url, &self.url_env) {
            (Some(url), _) => url.clone(),
            (None, variable) => {
                let variable = variable.as_deref().unwrap_or_default();
                env::var(variable).map_err(|_| {
                    Problem::input(format!(
                        "the environment variable {variable}, which {FILE} names for the store, is not set"
                    ))
                    .with_help(format!(
                        "for example: export {variable}=postgres://user:password@localhost/dripline"
                    ))
                })?
            }
        };
        let mut config = PostgresConfig::new(url);
        config.connections = self.connections().into();
        config.connect_timeout_ms = self.connect_timeout.unwrap_or(config.connect_timeout_ms);
        config.statement_timeout_ms = self.statement_timeout.unwrap_or(config.statement_timeout_ms);
        Ok(config)
    }
}
