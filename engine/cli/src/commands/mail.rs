//! `dripline mail`

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use dripline_model::{Clock as _, SystemClock, id::MessageId, message::MessageStatus};
use dripline_store::{Decision, MessageFilter, MessageRow, Store, Undecided};
use mail_parser::MessageParser;

use super::find_contact;
use crate::{
    args::{Format, Global, Listing},
    output::{
        HEADING, JsonList, Out, Tone, cell, clean, json, message_json, plural, time, toned, write_rows,
    },
    problem::{Exit, Problem},
    workspace::Workspace,
};

/// See the mails of campaigns; decide about those that got stuck
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List mails, the newest first
    List {
        #[command(flatten)]
        filter: FilterArgs,
        #[command(flatten)]
        listing: Listing,
    },
    /// Show a mail as its receiver reads it
    Show {
        /// The mail's id
        mail: i64,
        /// Print the exact message (RFC 5322)
        #[arg(long, conflicts_with = "json")]
        eml: bool,
        #[command(flatten)]
        format: Format,
    },
    /// Write mails as .eml files, which every mail program opens
    Export {
        /// The folder; made if it is not there
        #[arg(value_name = "DIR")]
        folder: PathBuf,
        #[command(flatten)]
        filter: FilterArgs,
    },
    /// List the mails of which nobody can know whether they arrived, or decide what becomes of them
    #[command(after_help = UNCERTAIN_HELP)]
    Uncertain {
        #[command(flatten)]
        which: Which,
        /// Send them again: they may arrive twice
        #[arg(long, group = "decision")]
        resend: bool,
        /// They did arrive: the server's log or the receiver says so
        #[arg(long, group = "decision")]
        sent: bool,
        /// Give them up: they are never sent again
        #[arg(long, group = "decision")]
        drop: bool,
        #[command(flatten)]
        listing: Listing,
    },
    /// Send mails again that failed
    Retry {
        #[command(flatten)]
        which: Which,
    },
}

const UNCERTAIN_HELP: &str = "\
A mail is uncertain when it was handed over and the server's answer never came, because the connection or the process \
ended in between. Look for its Message-ID (`dripline mail show ID --json`) in the server's log, and then say --sent, or \
--resend or --drop. Without one of these, the mails are listed.";

#[derive(Debug, clap::Args)]
struct Which {
    /// The mails' ids
    #[arg(value_name = "ID")]
    mails: Vec<i64>,
    /// All of them
    #[arg(long, conflicts_with = "mails")]
    all: bool,
}

#[derive(Debug, clap::Args)]
struct FilterArgs {
    /// Only to this contact: id, external id or address
    #[arg(long, value_name = "CONTACT")]
    contact: Option<String>,
    /// Only in this state
    #[arg(long)]
    status: Option<Status>,
    /// Only of this template
    #[arg(long, value_name = "NAME")]
    template: Option<String>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Status {
    Queued,
    Sending,
    Sent,
    Failed,
    Uncertain,
    Dropped,
}

impl From<Status> for MessageStatus {
    fn from(status: Status) -> Self {
        match status {
            Status::Queued => Self::Queued,
            Status::Sending => Self::Sending,
            Status::Sent => Self::Sent,
            Status::Failed => Self::Failed,
            Status::Uncertain => Self::Uncertain,
            Status::Dropped => Self::Dropped,
        }
    }
}

impl FilterArgs {
    async fn resolve(&self, store: &dyn Store) -> Result<MessageFilter, Problem> {
        let contact = match &self.contact {
            Some(contact) => Some(find_contact(store, contact).await?),
            None => None,
        };
        Ok(MessageFilter {
            contact,
            status: self.status.map(MessageStatus::from),
            template: self.template.clone(),
        })
    }
}

pub(crate) async fn execute(args: &Args, global: &Global, out: &mut Out) -> Result<Exit, Problem> {
    let store = Workspace::find(global.workspace.as_deref())?.open_store().await?;
    let store = store.as_ref();
    match &args.command {
        Command::List { filter, listing } => {
            list(store, &filter.resolve(store).await?, *listing, out).await?
        }
        Command::Show { mail, eml, format } => show(store, MessageId(*mail), *eml, *format, out).await?,
        Command::Export { folder, filter } => {
            export(store, folder, &filter.resolve(store).await?, out).await?
        }
        Command::Uncertain { which, resend, sent, drop, listing } => {
            let decisions = [(resend, Decision::Resend), (sent, Decision::Sent), (drop, Decision::Drop)];
            match decisions.into_iter().find_map(|(chosen, decision)| chosen.then_some(decision)) {
                Some(decision) => decide(store, MessageStatus::Uncertain, which, decision, out).await?,
                None if which.all || !which.mails.is_empty() => {
                    return Err(Problem::input("what becomes of these mails?").with_help(
                        "add --resend, --sent or --drop; `dripline mail uncertain --help` explains them",
                    ));
                }
                None => {
                    let filter =
                        MessageFilter { status: Some(MessageStatus::Uncertain), ..MessageFilter::default() };
                    list(store, &filter, *listing, out).await?;
                }
            }
        }
        Command::Retry { which } => {
            decide(store, MessageStatus::Failed, which, Decision::Resend, out).await?
        }
    }
    Ok(Exit::Success)
}

async fn list(
    store: &dyn Store,
    filter: &MessageFilter,
    listing: Listing,
    out: &mut Out,
) -> Result<(), Problem> {
    // One more than is shown tells whether there are more.
    let mails = store.list_messages(filter, listing.limit().saturating_add(1)).await?;
    if listing.format.json {
        return Ok(JsonList::write(out, &mails, listing.limit(), message_json)?);
    }
    let headers = [
        "mail",
        "to",
        "subject",
        "template",
        "status",
        "workflow",
        "queued (UTC)",
        "next try (UTC)",
        "sent (UTC)",
    ];
    write_rows(out, &mails, listing.limit(), "No mails.", headers, |mail| {
        [
            cell(mail.id),
            cell(&mail.to),
            cell(&mail.subject),
            cell(&mail.template),
            status_cell(mail),
            cell(&mail.workflow),
            cell(time(mail.queued_at)),
            cell(mail.due_at.map(time).unwrap_or_default()),
            cell(mail.sent_at.map(time).unwrap_or_default()),
        ]
    })?;
    Ok(())
}

/// Does what a person decided with mails that stand so; with none of them if one stands otherwise.
async fn decide(
    store: &dyn Store,
    status: MessageStatus,
    which: &Which,
    decision: Decision,
    out: &mut Out,
) -> Result<(), Problem> {
    if !which.all && which.mails.is_empty() {
        return Err(Problem::input("which mails?").with_help(format!(
            "name their ids, or say --all; `dripline mail list --status {}` shows them",
            status.name()
        )));
    }
    for id in &which.mails {
        let (mail, _) = find(store, MessageId(*id)).await?;
        if mail.status != status {
            let (is, wanted) = (mail.status.name(), status.name());
            return Err(Problem::input(format!(
                "mail {id} is not {wanted}: it is {is}; nothing was changed"
            ))
            .with_help(format!("`dripline mail list --status {wanted}` shows those that are")));
        }
    }
    let ids = (!which.all).then(|| which.mails.iter().copied().map(MessageId).collect());
    let changed = store.decide(&Undecided { status, ids }, decision, SystemClock.now()).await?;
    let mails = plural(changed, "mail");
    match decision {
        _ if changed == 0 && status == MessageStatus::Failed => writeln!(out, "No mail has failed.")?,
        _ if changed == 0 => writeln!(out, "No mail is {}.", status.name())?,
        Decision::Resend => writeln!(out, "{mails} will be sent again; `dripline run` sends.")?,
        Decision::Sent => writeln!(out, "{mails} recorded as sent.")?,
        Decision::Drop => writeln!(out, "{mails} dropped.")?,
    }
    Ok(())
}

async fn find(store: &dyn Store, id: MessageId) -> Result<(MessageRow, Option<Vec<u8>>), Problem> {
    store.message(id).await?.ok_or_else(|| {
        Problem::input(format!("there is no mail {id}")).with_help("`dripline mail list` shows them")
    })
}

async fn show(
    store: &dyn Store,
    id: MessageId,
    eml: bool,
    format: Format,
    out: &mut Out,
) -> Result<(), Problem> {
    let (mail, source) = find(store, id).await?;
    if format.json {
        return Ok(json(out, &message_json(&mail))?);
    }
    if eml {
        let source = source.ok_or_else(|| {
            let yet = if mail.sent_at.is_some() { "any more" } else { "yet" };
            Problem::input(format!("mail {id} has no message {yet}: it is {}", mail.status.name()))
        })?;
        return Ok(out.write_all(&source)?);
    }
    let sent = mail.sent_at.map(|at| format!(" on {} UTC", time(at))).unwrap_or_default();
    let detail = mail.detail.as_ref().map(|detail| format!(" ({})", clean(detail))).unwrap_or_default();
    writeln!(out, "{HEADING}{}{HEADING:#}", clean(&mail.subject))?;
    writeln!(out, "  to        {}", clean(&mail.to))?;
    writeln!(out, "  status    {}{sent}{detail}", mail.status.name())?;
    if let Some(due) = mail.due_at {
        writeln!(out, "  next try  {} UTC", time(due))?;
    }
    writeln!(out, "  template  {}", clean(&mail.template))?;
    writeln!(out, "  because   {} of {}, run {}", mail.step, mail.workflow, mail.run)?;
    match source.as_deref().and_then(|source| MessageParser::default().parse(source)) {
        None if mail.sent_at.is_some() => writeln!(out, "\nIts text is not kept any more.")?,
        None => writeln!(out, "\nIt is rendered when it is sent.")?,
        Some(message) => {
            let body = message.body_text(0).unwrap_or_default();
            writeln!(out)?;
            for line in body.lines() {
                writeln!(out, "{}", clean(line))?;
            }
        }
    }
    Ok(())
}

async fn export(
    store: &dyn Store,
    folder: &Path,
    filter: &MessageFilter,
    out: &mut Out,
) -> Result<(), Problem> {
    fs::create_dir_all(folder).map_err(|error| Problem::io("make", folder, &error))?;
    let (mut written, mut unrendered) = (0, 0);
    for mail in store.list_messages(filter, u32::MAX as usize).await? {
        let Some((_, Some(source))) = store.message(mail.id).await? else {
            unrendered += 1;
            continue;
        };
        let path = folder.join(file_name(&mail));
        fs::write(&path, source).map_err(|error| Problem::io("write", &path, &error))?;
        written += 1;
    }
    writeln!(out, "{} written to {}", plural(written, "mail"), folder.display())?;
    if unrendered > 0 {
        writeln!(
            out,
            "{} not rendered yet or not kept any more, and so left out",
            plural(unrendered, "mail")
        )?;
    }
    Ok(())
}

/// `000012-anna-north.example.eml`: nothing of an address can lead out of the folder.
fn file_name(mail: &MessageRow) -> String {
    let to: String = mail
        .to
        .chars()
        .take(100)
        .map(|letter| if letter.is_ascii_alphanumeric() || "._+-".contains(letter) { letter } else { '-' })
        .collect();
    format!("{:06}-{to}.eml", mail.id.0)
}

fn status_cell(mail: &MessageRow) -> comfy_table::Cell {
    let tone = match mail.status {
        MessageStatus::Queued | MessageStatus::Sending => return cell(mail.status.name()),
        MessageStatus::Sent => Tone::Good,
        MessageStatus::Failed => Tone::Bad,
        MessageStatus::Uncertain => Tone::Warning,
        MessageStatus::Dropped => Tone::Faint,
    };
    toned(mail.status.name(), tone)
}
