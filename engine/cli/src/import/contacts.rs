//! Rows of contacts.

use dripline_model::contact::RESERVED_FIELDS;
use dripline_store::{ContactRow, Import, RowResult};
use email_address::{EmailAddress, Options};
use jiff::Timestamp;

use super::{
    Entity,
    mapping::{Column, Fields, Meaning},
    typing::{read_boolean, read_time},
};

/// A contact's fields beside its attributes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ContactField {
    /// The address.
    Email,
    /// The caller's key.
    ExternalId,
    /// When the contact came to be.
    CreatedAt,
    /// Consent for a topic.
    Consent(String),
    /// Tags, separated by `;` or `,`.
    Tags,
}

impl Fields for ContactField {
    const ROW: &'static str = "contact";
    const KEY: &'static str = "the address or external id";
    const REPEATED: &'static str = "the later row updates the earlier";
    const VALUES: &'static str = "contact";
    const RESERVED: &'static [&'static str] = RESERVED_FIELDS;

    fn recognise(header: &str) -> Option<(Self, u8)> {
        Some(match header {
            "email" | "e_mail" | "email_address" | "e_mail_address" => (Self::Email, 0),
            "external_id" => (Self::ExternalId, 0),
            "id" => (Self::ExternalId, 1),
            "contact_id" => (Self::ExternalId, 2),
            "created_at" => (Self::CreatedAt, 0),
            "tags" => (Self::Tags, 0),
            _ => {
                let topic = header.strip_prefix("consent_").or_else(|| header.strip_prefix("consent."))?;
                (Self::Consent(topic.to_owned()).filter_topic()?, 0)
            }
        })
    }

    fn named(target: &str) -> Option<Self> {
        Some(match target {
            "email" => Self::Email,
            "external_id" => Self::ExternalId,
            "created_at" => Self::CreatedAt,
            "tag" | "tags" => Self::Tags,
            _ => Self::Consent(target.strip_prefix("consent.")?.to_owned()).filter_topic()?,
        })
    }

    fn may_repeat(&self) -> bool {
        *self == Self::Tags
    }

    fn describe(&self) -> String {
        match self {
            Self::Email => "email".into(),
            Self::ExternalId => "external_id".into(),
            Self::CreatedAt => "created_at".into(),
            Self::Consent(topic) => format!("consent.{topic}"),
            Self::Tags => "tags".into(),
        }
    }

    fn missing(present: &[Self]) -> Option<(&'static str, &'static [&'static str])> {
        let has_key = present.iter().any(|field| matches!(field, Self::Email | Self::ExternalId));
        (!has_key).then_some(("identifies the contact", &["email", "external_id"]))
    }
}

impl Meaning<ContactField> {
    /// Whether it says when the contact came to be.
    pub(crate) fn is_created_at(&self) -> bool {
        matches!(self, Self::Field(ContactField::CreatedAt))
    }
}

impl ContactField {
    /// Nothing for a consent whose topic is not a name.
    fn filter_topic(self) -> Option<Self> {
        let is_part = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
        match &self {
            Self::Consent(topic) if topic.is_empty() || !topic.chars().all(is_part) => None,
            _ => Some(self),
        }
    }
}

/// Contacts as what a file holds.
#[derive(Debug)]
pub(crate) struct Contacts;

impl Entity for Contacts {
    const OF_CONTACTS: bool = true;
    type Field = ContactField;
    type Row = ContactRow;

    fn row(&self, columns: &[Column<ContactField>], cells: &[&str]) -> Result<ContactRow, String> {
        let mut row = ContactRow::default();
        for (column, cell) in columns.iter().zip(cells).filter(|(_, cell)| !cell.is_empty()) {
            match &column.meaning {
                Meaning::Ignored => {}
                Meaning::Field(ContactField::Email) => row.email = Some(read_email(cell)?),
                Meaning::Field(ContactField::ExternalId) => row.external_id = Some((*cell).to_owned()),
                Meaning::Field(ContactField::CreatedAt) => row.created_at = Some(column.time(cell)?),
                Meaning::Field(ContactField::Consent(topic)) => {
                    let given = read_boolean(cell).ok_or_else(|| {
                        format!(
                            "`{cell}` in `{}` is neither yes nor no; write yes, no or nothing",
                            column.header
                        )
                    })?;
                    row.consents.insert(topic.clone(), given);
                }
                Meaning::Field(ContactField::Tags) => {
                    let tags = cell.split([';', ',']).map(str::trim).filter(|tag| !tag.is_empty());
                    row.tags.extend(tags.map(str::to_owned));
                }
                Meaning::Value { name, value_type, allowed, .. } => {
                    if !allowed.is_empty() && !allowed.iter().any(|value| value == cell) {
                        let all = allowed.join(", ");
                        return Err(format!("`{cell}` in `{}` is none of {all}", column.header));
                    }
                    row.attributes.insert(name.clone(), column.value(*value_type, cell)?);
                }
            }
        }
        if row.email.is_none() && row.external_id.is_none() {
            return Err("the row has neither an address nor an external id".into());
        }
        Ok(row)
    }

    fn key(row: &ContactRow) -> Option<&str> {
        row.email.as_deref().or(row.external_id.as_deref())
    }

    async fn put(
        import: &mut dyn Import,
        rows: &[ContactRow],
        now: Timestamp,
    ) -> dripline_store::Result<Vec<RowResult>> {
        import.upsert_contacts(rows, now).await
    }
}

impl<F> Column<F> {
    /// The instant in a cell of this column.
    pub(super) fn time(&self, cell: &str) -> Result<Timestamp, String> {
        read_time(cell).ok_or_else(|| {
            format!(
                "`{cell}` in `{}` is not a time; write 2024-01-31T09:30:00Z, 2024-01-31 09:30:00 (UTC) or 2024-01-31",
                self.header
            )
        })
    }

    /// The value in a cell of this column.
    pub(super) fn value(
        &self,
        value_type: super::typing::ValueType,
        cell: &str,
    ) -> Result<serde_json::Value, String> {
        value_type
            .read(cell)
            .ok_or_else(|| format!("`{cell}` in `{}` is not of type {}", self.header, value_type.name()))
    }
}

/// An address, checked (RFC 5321: a mailbox at a domain with a dot) and in lower case.
pub(super) fn read_email(cell: &str) -> Result<String, String> {
    let options = Options::default().with_required_tld().without_display_text().without_domain_literal();
    match EmailAddress::parse_with_options(cell, options) {
        Ok(address) => Ok(address.as_str().to_lowercase()),
        Err(error) => {
            let reason = error.to_string();
            let mut letters = reason.trim_end_matches('.').chars();
            let lower = letters.next().into_iter().flat_map(char::to_lowercase);
            Err(format!("`{cell}` is not an email address: {}", lower.chain(letters).collect::<String>()))
        }
    }
}
