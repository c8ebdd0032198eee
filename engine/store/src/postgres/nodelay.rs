//! Small packets that go out at once.
//!
//! A `COPY` ends with a packet of its own. Nagle's algorithm (RFC 896) holds it back until the server has acknowledged what
//! went before, and a server that has nothing to say yet does that after 40 ms (RFC 1122, 4.2.3.2): longer than the rest of a
//! small batch. sqlx 0.9.0 leaves the algorithm on, gives its sockets to nobody, and has it off again in the release that
//! follows (<https://github.com/transact-rs/sqlx/pull/4336>). Until then the sockets are looked for among this process's
//! files.

/// Turns Nagle's algorithm off for this process's connections to a port. Where the system does not allow that, everything
/// is only slower.
pub(super) fn send_at_once(port: u16) {
    #[cfg(target_os = "linux")]
    for socket in sockets(port).unwrap_or_default() {
        let _ = rustix::net::sockopt::set_tcp_nodelay(&socket, true);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = port;
}

/// This process's connections to a port: another handle of each.
#[cfg(target_os = "linux")]
fn sockets(port: u16) -> std::io::Result<Vec<std::os::fd::OwnedFd>> {
    use std::{fs, net::SocketAddr};

    use rustix::{
        net::getpeername,
        process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open},
    };

    let this = pidfd_open(getpid(), PidfdFlags::empty())?;
    let mut found = Vec::new();
    for file in fs::read_dir("/proc/self/fd")? {
        let file = file?;
        let Some(number) = file.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let is_socket =
            fs::read_link(file.path()).is_ok_and(|to| to.to_string_lossy().starts_with("socket:"));
        if !is_socket {
            continue;
        }
        // Another thread may have closed it by now.
        let Ok(socket) = pidfd_getfd(&this, number, PidfdGetfdFlags::empty()) else { continue };
        let peer = getpeername(&socket).ok().flatten().and_then(|peer| SocketAddr::try_from(peer).ok());
        if peer.is_some_and(|peer| peer.port() == port) {
            found.push(socket);
        }
    }
    Ok(found)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::{net::SocketAddr, str::FromStr as _};

    use dripline_test_postgres::Server;
    use rustix::net::{getsockname, sockopt::tcp_nodelay};
    use sqlx::{postgres::PgConnectOptions, query_scalar};

    use super::*;
    use crate::postgres::{PostgresConfig, PostgresStore};

    #[tokio::test]
    async fn every_connection_sends_at_once() {
        let Some(server) = Server::shared() else { return };
        let config = PostgresConfig::new(server.database().await);
        let port = PgConnectOptions::from_str(&config.url).unwrap().get_port();
        let store = PostgresStore::open(&config).await.unwrap();
        for pool in [&store.shared.writers, &store.shared.readers] {
            let mut conn = pool.acquire().await.unwrap();
            let own: i32 = query_scalar("SELECT inet_client_port()").fetch_one(&mut *conn).await.unwrap();
            let is_own = |socket: &std::os::fd::OwnedFd| {
                let name = SocketAddr::try_from(getsockname(socket).unwrap()).unwrap();
                i32::from(name.port()) == own
            };
            let socket = sockets(port).unwrap().into_iter().find(is_own).unwrap();
            assert!(tcp_nodelay(&socket).unwrap());
        }
    }
}
