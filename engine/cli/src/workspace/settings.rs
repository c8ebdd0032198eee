//! `dripline.yaml`: what an operator decides about a workspace.

use std::{collections::BTreeSet, fmt, path::Path};

use dripline_delivery::{
    DEFAULT_TIMEOUT_MS, DeliveryConfig, OnUncertain, Rate, RatePeriod, RetryPolicy, Sender, SmtpConfig, Tls,
    Transport, UncertainRule,
};
use jiff::tz::TimeZone;
use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, Visitor},
};

use super::{retention::RetentionSettings, store::StoreSettings};
use crate::problem::Problem;

/// The settings' file name, which makes a folder a workspace.
pub(crate) const FILE: &str = "dripline.yaml";

/// The settings.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// From whom mails come.
    pub(crate) sender: SenderSettings,
    /// IANA name of the zone that holds where nothing else says one.
    #[serde(default = "default_time_zone")]
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
}

/// From whom mails come.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SenderSettings {
    /// The name that readers see.
    pub(crate) name: String,
    /// The address.
    pub(crate) email: String,
    /// Where answers go, if not to `email`.
    pub(crate) reply_to: Option<String>,
}

/// How mails leave.
#[derive(Debug, Clone, Default, Deserialize)]
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
#[derive(Debug, Clone, Deserialize)]
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
    pub(crate) connections: usize,
    /// How many mails it is given at most.
    #[serde(default, deserialize_with = "rate")]
    pub(crate) rate: Option<Rate>,
}

/// How a connection is secured.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
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
    let text = String::deserialize(deserializer)?;
    let wrong = || {
        de::Error::custom(format!(
            "`{text}` is not a rate; write for example `14 per second`, `600 per minute` or `5000 per hour`"
        ))
    };
    let (messages, period) = text.split_once(" per ").ok_or_else(wrong)?;
    let per = match period.trim() {
        "second" => RatePeriod::Second,
        "minute" => RatePeriod::Minute,
        "hour" => RatePeriod::Hour,
        _ => return Err(wrong()),
    };
    let messages = messages.trim().parse().ok().filter(|messages| (1..=1_000_000).contains(messages));
    Ok(Some(Rate { messages: messages.ok_or_else(wrong)?, per }))
}

fn default_time_zone() -> String {
    "UTC".into()
}

fn default_connections() -> usize {
    4
}

impl Settings {
    /// Reads the settings of the workspace at `root`.
    pub(super) fn read(root: &Path) -> Result<Self, Problem> {
        let path = root.join(FILE);
        let text = std::fs::read_to_string(&path).map_err(|error| Problem::io("read", &path, &error))?;
        Self::parse(&text).map_err(|(line, what)| {
            let place = line.map(|line| format!(":{line}")).unwrap_or_default();
            Problem::input(format!("{}{place}: {what}", path.display()))
                .with_help("`dripline init DIR` writes a dripline.yaml to compare with")
        })
    }

    /// The settings in `text`, or what is wrong and in which line.
    fn parse(text: &str) -> Result<Self, (Option<usize>, String)> {
        let settings: Self = serde_yaml::from_str(text).map_err(|error| {
            let place = error.location();
            let what = error.to_string();
            // The place stands before the message already.
            let what = match place.as_ref().and_then(|_| what.rsplit_once(" at line ")) {
                Some((what, _)) => what.to_owned(),
                None => what,
            };
            (place.map(|place| place.line()), what)
        })?;
        let line_of = |key: &str| {
            text.lines().position(|line| line.trim_start().starts_with(key)).map(|index| index + 1)
        };
        for address in [Some(&settings.sender.email), settings.sender.reply_to.as_ref()].into_iter().flatten()
        {
            if !email_address::EmailAddress::is_valid(address) {
                return Err((line_of("sender"), format!("sender: `{address}` is not an email address")));
            }
        }
        if TimeZone::get(&settings.time_zone).is_err() {
            let what = format!(
                "time_zone: `{}` is not a time zone; write for example Europe/Berlin",
                settings.time_zone
            );
            return Err((line_of("time_zone"), what));
        }
        settings.mail.check().map_err(|(key, what)| (line_of(key), what))?;
        Ok(settings)
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

    /// What is wrong, and a key near which it stands.
    fn check(&self) -> Result<(), (&'static str, String)> {
        let (place, key) = if self.smtp.is_some() {
            ("mail.smtp".to_owned(), "smtp")
        } else {
            ("mail.transports".to_owned(), "transports")
        };
        if self.smtp.is_some() && !self.transports.is_empty() {
            let what = "mail: `smtp` is short for one of `transports`; write one or the other";
            return Err(("smtp", what.into()));
        }
        let mut names = BTreeSet::new();
        for smtp in self.servers() {
            if smtp.username.is_some() != smtp.password_env.is_some() {
                let what = format!("{place}: `username` and `password_env` come together or not at all");
                return Err((key, what));
            }
            if !(1..=100).contains(&smtp.connections) {
                return Err(("connections", format!("{place}.connections: must be from 1 to 100")));
            }
            if !names.insert(smtp.name()) {
                let what = format!("{place}: two of them are called `{}`; give each a `name`", smtp.name());
                return Err((key, what));
            }
        }
        Ok(())
    }
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
    use super::*;

    const SENDER: &str = "sender: {name: Demo, email: demo@dripline.example}\n";

    fn complaint(rest: &str) -> String {
        let (line, what) = Settings::parse(&format!("{SENDER}{rest}")).unwrap_err();
        format!("{}: {what}", line.map_or("?".into(), |line| line.to_string()))
    }

    #[test]
    fn what_is_not_said_has_a_default() {
        let settings = Settings::parse(SENDER).unwrap();
        assert_eq!(settings.time_zone, "UTC");
        assert_eq!(settings.store, StoreSettings::File(".dripline/dripline.db".into()));
        assert_eq!(settings.delivery_config().unwrap().transport, Transport::Mailbox);
    }

    #[test]
    fn the_port_follows_from_tls() {
        let port = |smtp: &str| {
            let text = format!("{SENDER}mail: {{smtp: {{host: localhost{smtp}}}}}\n");
            match Settings::parse(&text).unwrap().delivery_config().unwrap().transport {
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
        let Transport::Smtp(servers) = Settings::parse(&text).unwrap().delivery_config().unwrap().transport
        else {
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
            let rule = Settings::parse(&text).unwrap().delivery_config().unwrap().on_uncertain;
            (rule.marketing, rule.transactional)
        };
        use OnUncertain::{Hold, Resend};
        assert_eq!(rule("hold"), (Hold, Hold));
        assert_eq!(rule("resend"), (Resend, Resend));
        assert_eq!(rule("{marketing: hold, transactional: resend}"), (Hold, Resend));
        assert_eq!(rule("{transactional: resend}"), (Hold, Resend));
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
                Settings::parse("").unwrap_err().1,
            ]
            .join("\n"),
            @"
        2: unknown field `time_zne`, expected one of `sender`, `time_zone`, `store`, `unsubscribe_url`, `mail`, `retention`
        4: mail.smtp: unknown field `hots`, expected one of `name`, `host`, `port`, `tls`, `username`, `password_env`, `connections`, `rate`
        3: mail.smtp.tls: unknown variant `ssl`, expected one of `none`, `starttls`, `tls`
        3: time_zone: `Berlin` is not a time zone; write for example Europe/Berlin
        3: mail.smtp: `username` and `password_env` come together or not at all
        2: mail: invalid type: sequence, expected struct MailSettings
        2: store: unknown field `mysql`, expected `postgres`
        3: store: postgres: write either `url` or `url_env`
        3: store.postgres: it is no PostgreSQL URL; write for example `postgres://user@localhost/dripline`
        3: store.postgres: `soon` is not a duration; write for example 30m, 4h, 3d or 2w
        3: mail.smtp: `fast` is not a rate; write for example `14 per second`, `600 per minute` or `5000 per hour`
        3: mail: `smtp` is short for one of `transports`; write one or the other
        3: mail.transports: two of them are called `x`; give each a `name`
        3: mail.on_uncertain: unknown variant `maybe`, expected `hold` or `resend`
        3: mail.on_uncertain: unknown field `news`, expected `marketing` or `transactional`
        3: mail.on_uncertain: invalid type: integer `3`, expected `hold`, `resend`, or one of them for each of `marketing` and `transactional`
        4: retention: unknown field `mails`, expected one of `events`, `decisions`, `mail_bodies`
        3: retention: `long` is not a duration; write for example 30m, 4h, 3d or 2w
        2: retention: `30m` is less than a day
        missing field `sender`
        "
        );
    }
}
