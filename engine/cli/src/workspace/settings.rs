//! `dripline.yaml`: what an operator decides about a workspace.

use std::{borrow::Cow, collections::BTreeSet, fmt, path::Path};

use dripline_delivery::{
    DEFAULT_TIMEOUT_MS, DeliveryConfig, OnUncertain, Rate, RatePeriod, RetryPolicy, Sender, SmtpConfig, Tls,
    Transport, UncertainRule,
};
use dripline_workflow::{
    Code, Diagnostic, Source,
    document::{self, Document, Format},
};
use jiff::tz::TimeZone;
use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings, json_schema};
use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, Visitor},
};
use serde_json::{Value, json};

use super::{
    api::{self, ApiSettings},
    caps::{self, CapSettings},
    retention::{self, RetentionSettings},
    store::{self, StoreSettings},
};
use crate::problem::Problem;

/// The settings' file name, which makes a folder a workspace.
pub(crate) const FILE: &str = "dripline.yaml";

/// The settings.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// From whom mails come.
    pub(crate) sender: SenderSettings,
    /// IANA name of the zone that holds where nothing else says one.
    #[serde(default = "default_time_zone")]
    #[schemars(extend("format" = "time-zone"))]
    pub(crate) time_zone: String,
    /// Where contacts, runs and messages are kept.
    #[serde(default)]
    pub(crate) store: StoreSettings,
    /// Where a reader unsubscribes.
    pub(crate) unsubscribe_url: Option<String>,
    /// How mails leave.
    #[serde(default)]
    pub(crate) mail: MailSettings,
    /// How long what is kept.
    #[serde(default)]
    pub(crate) retention: RetentionSettings,
    /// How many emails a contact gets at most, from all campaigns together.
    #[serde(default)]
    pub(crate) caps: Vec<CapSettings>,
    /// When the files are published: by `dripline run` at its start, or only by `dripline publish`.
    #[serde(default)]
    pub(crate) publish: PublishSetting,
    /// Where `dripline serve` answers other programs, and whom.
    pub(crate) api: Option<ApiSettings>,
}

/// When the files are published.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PublishSetting {
    /// When `dripline run` starts.
    #[default]
    AtStart,
    /// By `dripline publish` alone.
    ByHand,
}

/// From whom mails come.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SenderSettings {
    /// The name that readers see.
    pub(crate) name: String,
    /// The address.
    #[schemars(extend("format" = "email-address"))]
    pub(crate) email: String,
    /// Where answers go, if not to `email`.
    #[schemars(extend("format" = "email-address"))]
    pub(crate) reply_to: Option<String>,
}

/// How mails leave.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MailSettings {
    /// The server; without one, mails stay in the built-in mailbox. Short for one of `transports`.
    pub(crate) smtp: Option<SmtpSettings>,
    /// Several servers, the preferred one first.
    #[serde(default)]
    pub(crate) transports: Vec<SmtpSettings>,
    /// What becomes of a mail of which nobody can know whether it arrived.
    #[serde(default)]
    pub(crate) on_uncertain: OnUncertainSetting,
}

/// An SMTP server.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SmtpSettings {
    /// What logs call it; by default its host.
    pub(crate) name: Option<String>,
    /// Name or address.
    pub(crate) host: String,
    /// Port; by default the customary one for `tls`.
    pub(crate) port: Option<u16>,
    /// How the connection is secured.
    #[serde(default)]
    pub(crate) tls: TlsSetting,
    /// User name.
    pub(crate) username: Option<String>,
    /// Name of the environment variable that holds the password.
    pub(crate) password_env: Option<String>,
    /// How many connections are open at a time.
    #[serde(default = "default_connections")]
    #[schemars(range(min = 1, max = 100))]
    pub(crate) connections: usize,
    /// How many mails it is given at most.
    #[serde(default, deserialize_with = "rate")]
    #[schemars(with = "String", extend("format" = "rate"))]
    pub(crate) rate: Option<Rate>,
}

/// How a connection is secured.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum TlsSetting {
    /// Not at all.
    None,
    /// By STARTTLS.
    #[default]
    Starttls,
    /// From the first byte on.
    Tls,
}

/// What becomes of a mail of which nobody can know whether it arrived: one word for all, or one for each class.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct OnUncertainSetting(UncertainRule);

impl JsonSchema for OnUncertainSetting {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "OnUncertain".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let word = json!({"enum": ON_UNCERTAIN});
        json_schema!({
            "anyOf": [word, {
                "type": "object",
                "additionalProperties": false,
                "properties": {"marketing": word, "transactional": word}
            }]
        })
    }
}

/// What an `on_uncertain` says, where there is one word.
const ON_UNCERTAIN: &[&str] = &["hold", "resend"];

impl<'de> Deserialize<'de> for OnUncertainSetting {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OnUncertainVisitor;

        impl<'de> Visitor<'de> for OnUncertainVisitor {
            type Value = UncertainRule;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`hold`, `resend`, or one of them for each of `marketing` and `transactional`")
            }

            fn visit_str<E: de::Error>(self, word: &str) -> Result<UncertainRule, E> {
                on_uncertain(word).map(UncertainRule::all)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<UncertainRule, A::Error> {
                let mut rule = UncertainRule::default();
                while let Some((class, word)) = map.next_entry::<String, String>()? {
                    let place = match class.as_str() {
                        "marketing" => &mut rule.marketing,
                        "transactional" => &mut rule.transactional,
                        other => {
                            return Err(de::Error::unknown_field(other, &["marketing", "transactional"]));
                        }
                    };
                    *place = on_uncertain(&word)?;
                }
                Ok(rule)
            }
        }

        deserializer.deserialize_any(OnUncertainVisitor).map(Self)
    }
}

fn on_uncertain<E: de::Error>(word: &str) -> Result<OnUncertain, E> {
    match word {
        "hold" => Ok(OnUncertain::Hold),
        "resend" => Ok(OnUncertain::Resend),
        other => Err(E::unknown_variant(other, ON_UNCERTAIN)),
    }
}

/// `14 per second`.
fn rate<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Rate>, D::Error> {
    parse_rate(&String::deserialize(deserializer)?).map(Some).map_err(de::Error::custom)
}

fn parse_rate(text: &str) -> Result<Rate, String> {
    let wrong = || {
        format!(
            "`{text}` is not a rate; write for example `14 per second`, `600 per minute` or `5000 per hour`"
        )
    };
    let (messages, period) = text.split_once(" per ").ok_or_else(wrong)?;
    let per = match period.trim() {
        "second" => RatePeriod::Second,
        "minute" => RatePeriod::Minute,
        "hour" => RatePeriod::Hour,
        _ => return Err(wrong()),
    };
    let messages = messages.trim().parse().ok().filter(|messages| (1..=1_000_000).contains(messages));
    Ok(Rate { messages: messages.ok_or_else(wrong)?, per })
}

fn default_time_zone() -> String {
    "UTC".into()
}

fn default_connections() -> usize {
    4
}

/// The forms that texts in the settings have to have.
const FORMATS: &[Format] = &[
    ("email-address", |text| {
        let is_address = email_address::EmailAddress::is_valid(text);
        is_address.then_some(()).ok_or_else(|| format!("`{text}` is not an email address"))
    }),
    ("time-zone", |text| match TimeZone::get(text) {
        Ok(_) => Ok(()),
        Err(_) => Err(format!("`{text}` is not a time zone; write for example Europe/Berlin")),
    }),
    ("rate", |text| parse_rate(text).map(drop)),
    ("cap-window", |text| caps::parse_window(text).map(drop)),
    ("retention", |text| retention::parse(text).map(drop)),
    ("postgres-url", |text| store::check_url(text)),
    ("timeout", |text| store::parse_timeout(text).map(drop)),
    ("socket-address", |text| api::parse_listen(text).map(drop)),
];

impl Settings {
    /// Reads the settings of the workspace at `root`.
    ///
    /// # Errors
    /// A file that cannot be read, or the first of its mistakes.
    pub(super) fn read(root: &Path) -> Result<Self, Problem> {
        let path = root.join(FILE);
        let text = std::fs::read_to_string(&path).map_err(|error| Problem::io("read", &path, &error))?;
        let source = Source { path: path.display().to_string(), text };
        Self::parse(&source).map_err(|mistakes| {
            let more = match mistakes.len() {
                0 | 1 => String::new(),
                more => format!(" (and {} more)", more - 1),
            };
            let first = mistakes.first();
            let place = first.map(|first| format!(":{}:{}", first.line, first.column)).unwrap_or_default();
            let what = first.map(|first| first.message.as_str()).unwrap_or_default();
            let help = first.and_then(|first| first.help.as_deref()).map(|help| format!("{help}; "));
            Problem::input(format!("{}{place}: {what}{more}", path.display())).with_help(format!(
                "{}`dripline check` shows every mistake with its line",
                help.unwrap_or_default()
            ))
        })
    }

    /// The settings in a file, or everything that is wrong with it.
    pub(super) fn parse(source: &Source) -> Result<Self, Vec<Diagnostic>> {
        let document = Document::parse(source)?;
        let mut mistakes = document.misfits(&Self::schema(), FORMATS);
        let value = document.value();
        mistakes.extend(
            contradictions(&value)
                .into_iter()
                .map(|(pointer, what)| document.complaint(Code::Settings, &pointer, &what, None)),
        );
        if !mistakes.is_empty() {
            mistakes.sort_by_key(|mistake| (mistake.line, mistake.column));
            return Err(mistakes);
        }
        serde_yaml::from_str(&source.text).map_err(|error| {
            let (line, column) = error.location().map_or((1, 1), |place| (place.line(), place.column()));
            vec![document::unreadable(source, line, column, &error.to_string())]
        })
    }

    /// What stands in for settings that cannot be read, where the other files are checked all the same.
    pub(super) fn stand_in() -> Self {
        Self {
            sender: SenderSettings { name: String::new(), email: String::new(), reply_to: None },
            time_zone: default_time_zone(),
            store: StoreSettings::default(),
            unsubscribe_url: None,
            mail: MailSettings::default(),
            retention: RetentionSettings::default(),
            caps: Vec::new(),
            publish: PublishSetting::default(),
            api: None,
        }
    }

    /// The JSON Schema of the file.
    pub(crate) fn schema() -> Value {
        let settings = SchemaSettings::draft07().with(|settings| settings.inline_subschemas = true);
        let schema = settings.into_generator().into_root_schema_for::<Self>();
        let mut schema = schema.to_value();
        if let Some(root) = schema.as_object_mut() {
            root.insert("title".into(), json!("Settings"));
            root.insert("description".into(), json!("What an operator decides about a workspace."));
        }
        schema
    }

    /// What these settings mean for delivery; passwords come from the environment.
    pub(super) fn delivery_config(&self) -> Result<DeliveryConfig, Problem> {
        let servers: Vec<SmtpConfig> =
            self.mail.servers().map(SmtpSettings::config).collect::<Result<_, _>>()?;
        let transport = if servers.is_empty() { Transport::Mailbox } else { Transport::Smtp(servers) };
        Ok(DeliveryConfig {
            sender: Sender {
                name: self.sender.name.clone(),
                email: self.sender.email.clone(),
                reply_to: self.sender.reply_to.clone(),
            },
            unsubscribe_url: self.unsubscribe_url.clone(),
            transport,
            on_uncertain: self.mail.on_uncertain.0,
            retry: RetryPolicy::default(),
        })
    }
}

impl MailSettings {
    /// The servers, the preferred one first.
    pub(crate) fn servers(&self) -> impl Iterator<Item = &SmtpSettings> {
        self.smtp.iter().chain(&self.transports)
    }
}

/// Settings that do not go together, each with the place of it as a JSON pointer.
fn contradictions(settings: &Value) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mail = settings.get("mail");
    let smtp = mail.and_then(|mail| mail.get("smtp")).filter(|smtp| !smtp.is_null());
    let transports = mail.and_then(|mail| mail.get("transports")).and_then(Value::as_array);
    if smtp.is_some() && transports.is_some_and(|transports| !transports.is_empty()) {
        let what = "mail: `smtp` is short for one of `transports`; write one or the other";
        found.push(("/mail/smtp".to_owned(), what.to_owned()));
    }
    let transports = transports.into_iter().flatten().enumerate();
    let servers = smtp.map(|smtp| ("/mail/smtp".to_owned(), smtp)).into_iter();
    let servers = servers.chain(transports.map(|(at, server)| (format!("/mail/transports/{at}"), server)));
    let mut names = BTreeSet::new();
    for (pointer, server) in servers {
        let text = |key: &str| server.get(key).and_then(Value::as_str);
        if text("username").is_some() != text("password_env").is_some() {
            let what = "`username` and `password_env` come together or not at all";
            found.push((pointer.clone(), what.to_owned()));
        }
        if let Some(name) = text("name").or_else(|| text("host"))
            && !names.insert(name)
        {
            found.push((pointer, format!("two mail servers are called `{name}`; give each a `name`")));
        }
    }
    let programs = settings.pointer("/api/tokens").and_then(Value::as_array);
    let mut names = BTreeSet::new();
    for (at, program) in programs.into_iter().flatten().enumerate() {
        if let Some(name) = program.get("name").and_then(Value::as_str)
            && !names.insert(name)
        {
            let what = format!("two programs are called `{name}`: what each did could not be told apart");
            found.push((format!("/api/tokens/{at}"), what));
        }
    }
    let postgres = settings.pointer("/store/postgres").and_then(Value::as_object);
    let has =
        |key: &str| postgres.is_some_and(|postgres| postgres.get(key).is_some_and(|value| !value.is_null()));
    if postgres.is_some() && has("url") == has("url_env") {
        found.push(("/store/postgres".to_owned(), "write either `url` or `url_env`".to_owned()));
    }
    found
}

impl SmtpSettings {
    /// What logs call it.
    pub(crate) fn name(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.host)
    }

    /// What these settings mean for delivery; the password comes from the environment.
    pub(crate) fn config(&self) -> Result<SmtpConfig, Problem> {
        let tls = match self.tls {
            TlsSetting::None => Tls::None,
            TlsSetting::Starttls => Tls::StartTls,
            TlsSetting::Tls => Tls::Tls,
        };
        let credentials = match (&self.username, &self.password_env) {
            (Some(username), Some(variable)) => {
                let password = std::env::var(variable).map_err(|_| {
                    Problem::input(format!(
                        "the environment variable {variable}, which {FILE} names for the SMTP password, is not set"
                    ))
                    .with_help(format!("set it where dripline is started: export {variable}=…"))
                })?;
                Some((username.clone(), password))
            }
            _ => None,
        };
        Ok(SmtpConfig {
            name: self.name().to_owned(),
            host: self.host.clone(),
            port: self.port.unwrap_or_else(|| tls.default_port()),
            tls,
            credentials,
            connections: self.connections,
            rate: self.rate,
            timeout_ms: DEFAULT_TIMEOUT_MS,
            extra_roots_pem: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SENDER: &str = "sender: {name: Demo, email: demo@dripline.example}\n";

    fn parse(text: &str) -> Result<Settings, Vec<Diagnostic>> {
        Settings::parse(&Source { path: FILE.into(), text: text.into() })
    }

    fn complaint(rest: &str) -> String {
        let mistakes = parse(&format!("{SENDER}{rest}")).unwrap_err();
        let shown = mistakes.iter().map(|mistake| {
            let help = mistake.help.as_ref().map(|help| format!(" ({help})")).unwrap_or_default();
            format!("{} {}:{} {}{help}", mistake.code, mistake.line, mistake.column, mistake.message)
        });
        shown.collect::<Vec<_>>().join("\n")
    }

    /// Whole settings, as the documentation has them.
    fn examples() -> Vec<&'static str> {
        let page = include_str!("../../../../docs/operating.md");
        let blocks = page.split("```yaml\n").skip(1).filter_map(|rest| rest.split("\n```").next());
        blocks.filter(|block| block.starts_with("sender:")).collect()
    }

    #[test]
    fn the_documentations_settings_are_right() {
        assert!(!examples().is_empty(), "the examples are gone");
        for example in examples() {
            parse(example).unwrap_or_else(|mistakes| panic!("{}", mistakes[0].render()));
        }
    }

    proptest! {
        /// Whatever is written, the answer is settings or complaints at places that can be shown.
        #[test]
        fn mutated_settings_are_answered(
            example in any::<prop::sample::Index>(),
            edits in prop::collection::vec((any::<prop::sample::Index>(), 0..12_usize, prop::sample::select(PIECES)), 1..6)
        ) {
            let mut text: Vec<char> = examples()[example.index(examples().len())].chars().collect();
            for (place, removed, piece) in edits {
                let at = place.index(text.len() + 1);
                let end = (at + removed).min(text.len());
                text.splice(at..end, piece.chars());
            }
            match parse(&text.into_iter().collect::<String>()) {
                Ok(settings) => _ = settings.delivery_config(),
                Err(mistakes) => {
                    prop_assert!(!mistakes.is_empty());
                    mistakes.iter().for_each(|mistake| drop(mistake.render()));
                }
            }
        }
    }

    /// Pieces that mean something to YAML or to settings.
    const PIECES: &[&str] = &[
        "\t",
        "\n",
        "  ",
        "- ",
        ": ",
        "#",
        "&a ",
        "*a",
        "!t ",
        "{",
        "}",
        "[",
        "]",
        "\"",
        "'",
        "~",
        "null",
        "true",
        "-1",
        "1e999",
        "99999999999999999999",
        "3d",
        "0s",
        "14 per second",
        "0 per hour",
        "smtp: ",
        "transports: ",
        "store: ",
        "postgres: ",
        "url: ",
        "rate: ",
        "tls",
        "resend",
        "Europe/Berlin",
        "\u{feff}",
        "\0",
        "漢",
    ];

    #[test]
    fn what_is_not_said_has_a_default() {
        let settings = parse(SENDER).unwrap();
        assert_eq!(settings.time_zone, "UTC");
        assert_eq!(settings.store, StoreSettings::File(".dripline/dripline.db".into()));
        assert_eq!(settings.delivery_config().unwrap().transport, Transport::Mailbox);
    }

    #[test]
    fn the_port_follows_from_tls() {
        let port = |smtp: &str| {
            let text = format!("{SENDER}mail: {{smtp: {{host: localhost{smtp}}}}}\n");
            match parse(&text).unwrap().delivery_config().unwrap().transport {
                Transport::Smtp(servers) => servers[0].port,
                Transport::Mailbox | Transport::Rehearsal(_) => 0,
            }
        };
        assert_eq!(
            [port(""), port(", tls: none"), port(", tls: tls"), port(", port: 2525")],
            [587, 25, 465, 2525]
        );
    }

    #[test]
    fn several_servers_have_an_order_names_and_rates() {
        let text = format!(
            "{SENDER}mail:\n  transports:\n    - {{name: own, host: a.example, rate: 14 per second}}\n    - {{host: b.example}}\n"
        );
        let Transport::Smtp(servers) = parse(&text).unwrap().delivery_config().unwrap().transport else {
            panic!("there are servers");
        };
        let found: Vec<_> = servers.iter().map(|server| (server.name.as_str(), server.rate)).collect();
        let rate = Rate { messages: 14, per: RatePeriod::Second };
        assert_eq!(found, [("own", Some(rate)), ("b.example", None)]);
    }

    #[test]
    fn what_is_uncertain_is_decided_for_all_or_by_class() {
        let rule = |setting: &str| {
            let text = format!("{SENDER}mail: {{on_uncertain: {setting}}}\n");
            let rule = parse(&text).unwrap().delivery_config().unwrap().on_uncertain;
            (rule.marketing, rule.transactional)
        };
        use OnUncertain::{Hold, Resend};
        assert_eq!(rule("hold"), (Hold, Hold));
        assert_eq!(rule("resend"), (Resend, Resend));
        assert_eq!(rule("{marketing: hold, transactional: resend}"), (Hold, Resend));
        assert_eq!(rule("{transactional: resend}"), (Hold, Resend));
    }

    #[test]
    fn a_cap_is_about_marketing_unless_it_says_otherwise() {
        let text = format!(
            "{SENDER}caps: [{{at_most: 3, in: 7d}}, {{channel: email, class: all, at_most: 1, in: 12h}}]\n"
        );
        let caps = parse(&text).unwrap().caps;
        let said: Vec<_> = caps.iter().map(|cap| cap.cap().to_string()).collect();
        assert_eq!(said, ["at most 3 marketing emails in 7d", "at most 1 email in 12h"]);
    }

    #[test]
    fn mistakes_are_named_with_their_line() {
        insta::assert_snapshot!(
            [
                complaint("time_zne: UTC\n"),
                complaint("mail:\n  smtp:\n    hots: localhost\n"),
                complaint("mail:\n  smtp: {host: x, tls: ssl}\n"),
                complaint("\ntime_zone: Berlin\n"),
                complaint("mail:\n  smtp: {host: x, username: me}\n"),
                complaint("mail: [\n"),
                complaint("store: {mysql: {url: x}}\n"),
                complaint("store:\n  postgres:\n    connections: 4\n"),
                complaint("store:\n  postgres: {url: http://x}\n"),
                complaint("store:\n  postgres: {url_env: X, connect_timeout: soon}\n"),
                complaint("mail:\n  smtp: {host: x, rate: fast}\n"),
                complaint("mail:\n  smtp: {host: x}\n  transports: [{host: y}]\n"),
                complaint("mail:\n  transports:\n    - {host: x}\n    - {host: x}\n"),
                complaint("mail:\n  on_uncertain: maybe\n"),
                complaint("mail:\n  on_uncertain: {news: hold}\n"),
                complaint("mail:\n  on_uncertain: 3\n"),
                complaint("retention:\n  events: 2y\n  mails: 90d\n"),
                complaint("retention:\n  events: 2y\n  decisions: long\n"),
                complaint("retention: {mail_bodies: 30m}\n"),
                complaint("caps:\n  - {at_most: 3, in: soon}\n"),
                complaint("caps:\n  - {at_most: 0, in: 7d}\n"),
                complaint("caps:\n  - {channel: sms, at_most: 1, in: 7d}\n"),
                complaint("caps:\n  - {class: news, at_most: 1, in: 0d}\n"),
                complaint("caps:\n  - {at_most: 3}\n"),
                parse("{}").unwrap_err().iter().map(|mistake| mistake.message.clone()).collect(),
                complaint(
                    "time_zone: Berlin\nstore: {postgres: {url: x, workers: many}}\nmail:\n  smtp: {host: x, username: me, tls: ssl}\nunsubscribe_url: 3\nretention: {mail_bodies: 30m}\n",
                ),
            ]
            .join("\n"),
            @r#"
        E0201 2:1 `dripline.yaml` has no key `time_zne` (did you mean `time_zone`?)
        E0201 4:5 `smtp` has no key `hots` (did you mean `host`?)
        E0720 3:24 `tls` cannot be `ssl` (it can be `none`, `starttls` or `tls`)
        E0720 3:12 `time_zone`: `Berlin` is not a time zone (write for example Europe/Berlin)
        E0720 3:3 `username` and `password_env` come together or not at all
        E0102 3:1 this is not YAML: while parsing a node, did not find expected node content (check the indentation and the brackets and quotation marks before this place)
        E0202 2:1 `store` needs the key `postgres` (`postgres`: A PostgreSQL database.)
        E0201 2:9 `store` has no key `mysql` (it can be `postgres`)
        E0720 3:3 write either `url` or `url_env`
        E0720 3:19 `url`: it is no PostgreSQL URL (write for example `postgres://user@localhost/dripline`)
        E0720 3:43 `connect_timeout`: `soon` is not a duration (write for example 30m, 4h, 3d or 2w)
        E0720 3:25 `rate`: `fast` is not a rate (write for example `14 per second`, `600 per minute` or `5000 per hour`)
        E0720 3:3 mail: `smtp` is short for one of `transports`; write one or the other
        E0720 5:7 two mail servers are called `x`; give each a `name`
        E0720 3:17 `on_uncertain` cannot be `maybe` (it can be `hold` or `resend`)
        E0201 3:18 `on_uncertain` has no key `news` (it can be `marketing` or `transactional`)
        E0720 3:17 `on_uncertain` cannot be `3` (it can be `hold` or `resend`)
        E0201 4:3 `retention` has no key `mails` (it can be `events`, `decisions` or `mail_bodies`)
        E0720 4:14 `decisions`: `long` is not a duration (write for example 30m, 4h, 3d or 2w)
        E0720 2:26 `mail_bodies`: `30m` is less than a day
        E0720 3:22 `in`: `soon` is not a duration (write for example 30m, 4h, 3d or 2w)
        E0720 3:15 `at_most` must be at least 1
        E0720 3:15 `channel` cannot be `sms` (it can be `email`)
        E0720 3:13 `class` cannot be `news` (it can be `marketing`, `transactional` or `all`)
        E0720 3:35 `in`: `0d` is no time at all
        E0202 3:5 item 1 of `caps` needs the key `in` (`in`: In how much time: `7d`.)
        `dripline.yaml` needs the key `sender`
        E0720 2:12 `time_zone`: `Berlin` is not a time zone (write for example Europe/Berlin)
        E0720 3:25 `url`: it is no PostgreSQL URL (write for example `postgres://user@localhost/dripline`)
        E0204 3:37 `workers` must be a whole number, but this is text
        E0720 5:3 `username` and `password_env` come together or not at all
        E0720 5:38 `tls` cannot be `ssl` (it can be `none`, `starttls` or `tls`)
        E0204 6:18 `unsubscribe_url` must be text, but this is a number (put it in quotes: "3")
        E0720 7:26 `mail_bodies`: `30m` is less than a day
        "#
        );
    }
}
