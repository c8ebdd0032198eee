//! The mail servers: whether they are there and take us.

use std::sync::Arc;

use dripline_delivery::{Deliverer, probe};
use dripline_model::SystemClock;
use dripline_store::Store;

use super::finding::Findings;
use crate::workspace::{SmtpSettings, Workspace};

/// The name of these checks.
const MAIL: &str = "mail";

/// How long a server may be silent; who waits for a doctor has less time than a mail.
const TIMEOUT_MS: u64 = 10_000;

/// Looks at the settings for mail, and speaks to each server.
pub(super) async fn check(workspace: &Workspace, store: Option<&Arc<dyn Store>>, findings: &mut Findings) {
    addresses(workspace, store, findings);
    let servers: Vec<&SmtpSettings> = workspace.settings().mail.servers().collect();
    if servers.is_empty() {
        findings.ok(MAIL, "mails stay in the built-in mailbox: dripline.yaml names no server");
    }
    for server in servers {
        speak(server, findings).await;
    }
}

/// Whether the sender and the place to unsubscribe are what mails need.
fn addresses(workspace: &Workspace, store: Option<&Arc<dyn Store>>, findings: &mut Findings) {
    // A password that is not set is said for each server.
    let (Some(store), Ok(config)) = (store, workspace.delivery_config()) else { return };
    if let Err(error) = Deliverer::new(Arc::clone(store), Arc::new(SystemClock), config) {
        findings.error(
            MAIL,
            error.kind,
            "`sender`, `unsubscribe_url` and `mail` in dripline.yaml say how mails leave",
        );
    }
}

async fn speak(server: &SmtpSettings, findings: &mut Findings) {
    let name = server.name();
    let mut config = match server.config() {
        Ok(config) => config,
        Err(problem) => return findings.problem(MAIL, problem),
    };
    config.timeout_ms = TIMEOUT_MS;
    match probe(&config).await {
        Ok(()) => findings.ok(MAIL, format!("the server {name} takes us")),
        Err(reason) => findings.error(
            MAIL,
            format!("the server {name} does not take us: {reason}"),
            "`mail` in dripline.yaml names its host, port, tls, username and password_env",
        ),
    }
}
