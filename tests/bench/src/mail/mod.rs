//! Mails a second over real SMTP: the deliverer against the same bytes pushed by hand.

mod by_hand;
mod sink;

use std::{path::Path, sync::Arc, time::Instant};

use dripline_delivery::{Deliverer, SmtpConfig, Tls, Transport};
use dripline_model::{Clock, SystemClock};
use dripline_store::{MessageFilter, Store};
use serde_json::json;

use self::{by_hand::Letter, sink::Sink};
use crate::{
    Result, campaign, people,
    place::{Database, Kind, Place},
    report::Report,
    statistics::{median, rate},
    workshop::{Workshop, delivery},
};

/// Mails a second to an SMTP server that takes everything: rendered, recorded and sent, against sent alone
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where the outbox is
    #[arg(long, value_enum, value_delimiter = ',', default_value = "sqlite")]
    store: Vec<Kind>,
    /// How many mails
    #[arg(long, default_value_t = 20_000)]
    mails: u32,
    /// How many connections
    #[arg(long, value_delimiter = ',', default_value = "1,10,50")]
    connections: Vec<usize>,
    /// How often the two take turns
    #[arg(long, default_value_t = 3)]
    repeat: usize,
}

/// The smallest run that goes everywhere.
pub(crate) const SMOKE: &[&str] = &["--mails", "70", "--connections", "1,3", "--repeat", "1"];

pub(crate) async fn execute(args: &Args, dir: &Path) -> Result<Report> {
    let note = format!(
        "deliverer and sender in turn, {} times each; medians, and the median of each pair's ratio",
        args.repeat
    );
    let columns =
        ["store", "mails", "bytes each", "connections", "deliverer mails/s", "by hand mails/s", "ratio"];
    let mut report = Report::new("mail", note, &columns);
    let workshop = Workshop::open(dir).await?;
    for kind in &args.store {
        let place = Place::new(*kind, dir).await?;
        report.postgres = report.postgres.take().or(place.postgres().await?);
        let queued = queue(&workshop, &place, args.mails).await?;
        for connections in &args.connections {
            let (mut deliverer, mut by_hand, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
            let mut bytes = 0;
            for _ in 0..args.repeat.max(1) {
                let (letters, seconds) = deliver(&place, &queued, args.mails, *connections).await?;
                bytes = letters.first().map_or(0, Letter::len);
                let hand_seconds = push(letters, args.mails, *connections).await?;
                deliverer.push(rate(args.mails.into(), seconds));
                by_hand.push(rate(args.mails.into(), hand_seconds));
                ratios.push(hand_seconds / seconds);
            }
            report.row(vec![
                json!(kind.name()),
                json!(args.mails),
                json!(bytes),
                json!(connections),
                json!(median(&deliverer)),
                json!(median(&by_hand)),
                json!(median(&ratios)),
            ]);
        }
        place.remove(queued).await?;
    }
    Ok(report)
}

/// A database with this many mails in the outbox.
async fn queue(workshop: &Workshop, place: &Place, mails: u32) -> Result<Database> {
    let database = place.empty().await?;
    let store = database.open().await?;
    let now = SystemClock.now();
    let program = workshop.publish(store.as_ref(), campaign::MAILING, now).await?;
    let contacts = people::import(store.as_ref(), 1, mails, now).await?;
    people::enrol(store.as_ref(), &program, &contacts, contacts.len(), now).await?;
    let engine = workshop.engine(Arc::clone(&store), Arc::new(SystemClock), 1_000).await?;
    engine.settle(SystemClock.now()).await?;
    drop(engine);
    drop(store);
    Ok(database)
}

/// Delivers what is queued; answers the letters as they were sent, and how long it took.
async fn deliver(
    place: &Place,
    queued: &Database,
    mails: u32,
    connections: usize,
) -> Result<(Vec<Letter>, f64)> {
    let database = place.copy(queued).await?;
    let store = database.open().await?;
    let sink = Sink::start()?;
    let smtp = SmtpConfig {
        name: "sink".into(),
        host: "127.0.0.1".into(),
        port: sink.port(),
        tls: Tls::None,
        credentials: None,
        connections,
        rate: None,
        timeout_ms: 60_000,
        extra_roots_pem: None,
    };
    let deliverer =
        Deliverer::new(Arc::clone(&store), Arc::new(SystemClock), delivery(Transport::Smtp(vec![smtp])))?;
    let started = Instant::now();
    let delivered = deliverer.deliver_due().await?;
    let seconds = started.elapsed().as_secs_f64();
    deliverer.close().await;
    if delivered.sent != u64::from(mails) || sink.received() != u64::from(mails) {
        return Err(format!("{delivered:?} and {} received, not {mails}", sink.received()).into());
    }
    drop(deliverer);
    let letters = letters(store.as_ref(), mails).await?;
    drop(store);
    place.remove(database).await?;
    Ok((letters, seconds))
}

async fn letters(store: &dyn Store, mails: u32) -> Result<Vec<Letter>> {
    let sent = store.list_messages(&MessageFilter::default(), mails as usize).await?;
    let mut letters = Vec::with_capacity(sent.len());
    for row in sent {
        let (_, source) = store.message(row.id).await?.ok_or("a message is gone")?;
        letters.push(Letter::new(&row.to, &source.ok_or("a message has no source")?));
    }
    Ok(letters)
}

/// Pushes the letters to a server of their own; answers how long it took.
async fn push(letters: Vec<Letter>, mails: u32, connections: usize) -> Result<f64> {
    let sink = Sink::start()?;
    let started = Instant::now();
    by_hand::send(letters, sink.port(), connections).await?;
    let seconds = started.elapsed().as_secs_f64();
    if sink.received() == u64::from(mails) {
        Ok(seconds)
    } else {
        Err(format!("{} were received, not {mails}", sink.received()).into())
    }
}
