//! The database server: what it clears away, who blocks it, and how many connections it leaves.

use dripline_store::{Condition, Database};

use super::finding::Findings;
use crate::{output::plural, workspace::Workspace};

/// The name of these checks.
const SERVER: &str = "server";

/// Looks at the server, where there is one.
pub(super) fn check(workspace: &Workspace, condition: &Condition, findings: &mut Findings) {
    let Database::Server(server) = &condition.database else { return };
    let before = findings.all().len();
    if !server.autovacuum {
        findings.error(
            SERVER,
            "autovacuum is off: the tables grow with every step of every run",
            "psql -c \"ALTER SYSTEM SET autovacuum = on\" -c \"ALTER SYSTEM SET track_counts = on\" -c \"SELECT pg_reload_conf()\"",
        );
    }
    for table in &server.without_autovacuum {
        findings.error(
            SERVER,
            format!("autovacuum is off for the table {table}"),
            format!("psql \"$DATABASE_URL\" -c 'ALTER TABLE {table} RESET (autovacuum_enabled)'"),
        );
    }
    for (process, seconds) in &server.idle_in_transaction {
        let minutes = plural(seconds.unsigned_abs() / 60, "minute");
        findings.warning(
            SERVER,
            format!("session {process} sits in a transaction for {minutes}: nothing is cleared away meanwhile"),
            format!(
                "psql -c 'SELECT pg_terminate_backend({process})'; idle_in_transaction_session_timeout ends such sessions"
            ),
        );
    }
    let (limit, others) = (server.connection_limit, server.connections_of_others);
    let wanted = workspace.settings().store.connections();
    let left = limit.saturating_sub(others);
    if wanted > left {
        findings.warning(
            SERVER,
            format!("a process opens up to {wanted} connections, and the server has room for {left}"),
            "lower `connections` or `workers` of `store.postgres` in dripline.yaml, or raise max_connections",
        );
    }
    if findings.all().len() == before {
        let connections = plural(left, "connection");
        findings.ok(
            SERVER,
            format!("autovacuum is on; there is room for {connections}, and a process opens up to {wanted}"),
        );
    }
}
