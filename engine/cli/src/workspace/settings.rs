//! `dripline.yaml`: what an operator decides about a workspace.

use std::path::{Path, PathBuf};

use dripline_delivery::{
    DEFAULT_TIMEOUT_MS, DeliveryConfig, OnUncertain, RetryPolicy, Sender, SmtpConfig, Tls, Transport,
};
use jiff::tz::TimeZone;
use serde::Deserialize;

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
    /// The store's file, relative to the workspace.
    #[serde(default = "default_store")]
    pub(crate) store: PathBuf,
    /// Where a reader unsubscribes.
    pub(crate) unsubscribe_url: Option<String>,
    /// How mails leave.
    #[serde(default)]
    pub(crate) mail: MailSettings,
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
    /// The server; without one, mails stay in the built-in mailbox.
    pub(crate) smtp: Option<SmtpSettings>,
    /// What becomes of a mail of which nobody can know whether it arrived.
    #[serde(default)]
    pub(crate) on_uncertain: OnUncertainSetting,
}

/// An SMTP server.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SmtpSettings {
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

/// What becomes of a mail of which nobody can know whether it arrived.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum OnUncertainSetting {
    /// A person decides.
    #[default]
    Hold,
    /// It is sent again.
    Resend,
}

fn default_time_zone() -> String {
    "UTC".into()
}

fn default_store() -> PathBuf {
    ".dripline/dripline.db".into()
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
        if let Some(smtp) = &settings.mail.smtp {
            if smtp.username.is_some() != smtp.password_env.is_some() {
                let what = "mail.smtp: `username` and `password_env` come together or not at all";
                return Err((line_of("smtp"), what.into()));
            }
            if !(1..=100).contains(&smtp.connections) {
                return Err((line_of("connections"), "mail.smtp.connections: must be from 1 to 100".into()));
            }
        }
        Ok(settings)
    }

    /// What these settings mean for delivery; passwords come from the environment.
    pub(super) fn delivery_config(&self) -> Result<DeliveryConfig, Problem> {
        let transport = match &self.mail.smtp {
            None => Transport::Mailbox,
            Some(smtp) => Transport::Smtp(smtp.config()?),
        };
        Ok(DeliveryConfig {
            sender: Sender {
                name: self.sender.name.clone(),
                email: self.sender.email.clone(),
                reply_to: self.sender.reply_to.clone(),
            },
            unsubscribe_url: self.unsubscribe_url.clone(),
            transport,
            on_uncertain: match self.mail.on_uncertain {
                OnUncertainSetting::Hold => OnUncertain::Hold,
                OnUncertainSetting::Resend => OnUncertain::Resend,
            },
            retry: RetryPolicy::default(),
        })
    }
}

impl SmtpSettings {
    fn config(&self) -> Result<SmtpConfig, Problem> {
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
                })?;
                Some((username.clone(), password))
            }
            _ => None,
        };
        Ok(SmtpConfig {
            host: self.host.clone(),
            port: self.port.unwrap_or_else(|| tls.default_port()),
            tls,
            credentials,
            connections: self.connections,
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
        assert_eq!(settings.store, PathBuf::from(".dripline/dripline.db"));
        assert_eq!(settings.delivery_config().unwrap().transport, Transport::Mailbox);
    }

    #[test]
    fn the_port_follows_from_tls() {
        let port = |smtp: &str| {
            let text = format!("{SENDER}mail: {{smtp: {{host: localhost{smtp}}}}}\n");
            match Settings::parse(&text).unwrap().delivery_config().unwrap().transport {
                Transport::Smtp(smtp) => smtp.port,
                Transport::Mailbox => 0,
            }
        };
        assert_eq!(
            [port(""), port(", tls: none"), port(", tls: tls"), port(", port: 2525")],
            [587, 25, 465, 2525]
        );
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
                Settings::parse("").unwrap_err().1,
            ]
            .join("\n"),
            @"
        2: unknown field `time_zne`, expected one of `sender`, `time_zone`, `store`, `unsubscribe_url`, `mail`
        4: mail.smtp: unknown field `hots`, expected one of `host`, `port`, `tls`, `username`, `password_env`, `connections`
        3: mail.smtp.tls: unknown variant `ssl`, expected one of `none`, `starttls`, `tls`
        3: time_zone: `Berlin` is not a time zone; write for example Europe/Berlin
        3: mail.smtp: `username` and `password_env` come together or not at all
        2: mail: invalid type: sequence, expected struct MailSettings
        missing field `sender`
        "
        );
    }
}
