//! The server.

use std::{
    env, fs,
    fs::File,
    net::{Ipv4Addr, TcpListener},
    os::unix::{fs::chown, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use tokio_postgres::{Client, NoTls, error::SqlState};

use crate::{
    error::{Failed, Missing},
    installed::{User, command, programs},
    watchdog::Watchdog,
};

/// How long a server may take to get ready, recovery after a crash included.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// The ports that are tried where another process is quicker to take the free one.
const PORTS: u32 = 5;

/// What a server does for data to survive the machine's crash. A crash of the server itself loses nothing either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Everything: as in production.
    Full,
    /// Nothing: quick, for tests that crash nothing.
    None,
}

/// A PostgreSQL server. One that was started here is stopped and removed when it is dropped.
#[derive(Debug)]
pub struct Server {
    /// What stands before the database's name in a URL, and what stands after it.
    url: (String, String),
    port: u16,
    ours: Option<Ours>,
    databases: AtomicU32,
}

/// A server that was started here.
#[derive(Debug)]
struct Ours {
    postmaster: Mutex<Option<Child>>,
    /// Dropped after the postmaster's handle: stops it and removes the folder.
    _watchdog: Watchdog,
    programs: PathBuf,
    folder: PathBuf,
    user: Option<User>,
    port: u16,
    durability: Durability,
    /// Whether its disk is small.
    is_small: bool,
}

impl Server {
    /// The server of `TEST_DATABASE_URL`, or one that is started from the installed binaries, as durable as in
    /// production.
    pub async fn start() -> Result<Self, Missing> {
        Self::start_with(Durability::Full)
    }

    /// [`Server::start`] with a choice. It waits without a runtime, for a second or so.
    pub fn start_with(durability: Durability) -> Result<Self, Missing> {
        match env::var("TEST_DATABASE_URL") {
            Ok(url) => Self::at(&url).ok_or(Missing::Url),
            Err(_) => Self::start_own(durability),
        }
    }

    /// [`Server::start_with`], which never takes the server of `TEST_DATABASE_URL`: for tests that stop it and kill it.
    pub fn start_own(durability: Durability) -> Result<Self, Missing> {
        let programs = programs().ok_or(Missing::NotInstalled)?;
        Ok(Self::of(Ours::create(programs, durability, None)?))
    }

    /// The one server of this test process, started at the first use and not durable; for tests that leave it alone.
    ///
    /// `None` where there is none, which is said once, and is a failure in CI.
    pub fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<Server>> = OnceLock::new();
        SHARED.get_or_init(|| or_skip(Self::start_with(Durability::None))).as_ref()
    }

    /// A server of the caller's own, for tests that stop it and kill it; `None` as with [`Server::shared`].
    pub fn own(durability: Durability) -> Option<Self> {
        or_skip(Self::start_own(durability))
    }

    /// [`Server::own`], fully durable, with its data in a folder of a disk so small that it may be filled: the server keeps
    /// little log.
    pub fn on_small_disk(folder: &Path) -> Option<Self> {
        let created = programs()
            .ok_or(Missing::NotInstalled)
            .and_then(|programs| Ok(Ours::create(programs, Durability::Full, Some(folder))?));
        or_skip(created.map(Self::of))
    }

    fn of(ours: Ours) -> Self {
        Self {
            url: (format!("postgres://postgres@127.0.0.1:{}/", ours.port), String::new()),
            port: ours.port,
            ours: Some(ours),
            databases: AtomicU32::new(0),
        }
    }

    fn at(url: &str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let (rest, options) = rest
            .split_once('?')
            .map_or((rest, String::new()), |(rest, options)| (rest, format!("?{options}")));
        let authority = rest.split_once('/').map_or(rest, |(authority, _)| authority);
        let port = authority.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).unwrap_or(5432);
        Some(Self {
            url: (format!("{scheme}://{authority}/"), options),
            port,
            ours: None,
            databases: AtomicU32::new(0),
        })
    }

    /// The URL of a database of this server.
    pub fn url(&self, database: &str) -> String {
        let (before, after) = &self.url;
        format!("{before}{database}{after}")
    }

    /// Creates a database with nothing in it, and answers its URL. On the server of `TEST_DATABASE_URL` it stays.
    ///
    /// # Panics
    ///
    /// Where that fails: the test that asked cannot go on.
    pub async fn database(&self) -> String {
        #[expect(clippy::panic, reason = "the test that asked fails")]
        self.create_database().await.unwrap_or_else(|failed| panic!("no database to test with: {failed}"))
    }

    /// A copy of a database of this server that nobody uses any more, and its URL.
    ///
    /// # Panics
    ///
    /// As [`Server::database`].
    pub async fn copy(&self, url: &str) -> String {
        let (before, after) = &self.url;
        let name = url.strip_prefix(before.as_str()).unwrap_or(url);
        let name = name.strip_suffix(after.as_str()).unwrap_or(name);
        #[expect(clippy::panic, reason = "the test that asked fails")]
        self.create_from(name).await.unwrap_or_else(|failed| panic!("no database to test with: {failed}"))
    }

    async fn create_database(&self) -> Result<String, Failed> {
        // Not from template1, to which somebody may be connected.
        self.create_from("template0").await
    }

    async fn create_from(&self, template: &str) -> Result<String, Failed> {
        let number = self.databases.fetch_add(1, Ordering::Relaxed);
        let started = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_millis();
        let name = format!("dripline_test_{started}_{}_{number}", std::process::id());
        let failed = |doing| move |source| Failed::Database { doing, source };
        let (client, connection) = tokio_postgres::connect(&self.url("postgres"), NoTls)
            .await
            .map_err(failed("connect to the server"))?;
        let served = tokio::spawn(connection);
        let create = format!("CREATE DATABASE {name} TEMPLATE {template} ENCODING 'UTF8'");
        let created = self.once_alone(&client, template, &create).await;
        drop(client);
        let _ = served.await;
        created.map_err(failed("create a database"))?;
        Ok(self.url(&name))
    }

    /// Executes a statement that wants a database for itself: connections of processes that are gone end soon.
    async fn once_alone(
        &self,
        client: &Client,
        database: &str,
        sql: &str,
    ) -> Result<(), tokio_postgres::Error> {
        const END: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1";
        let started = Instant::now();
        loop {
            client.execute(END, &[&database]).await?;
            match client.batch_execute(sql).await {
                Err(error)
                    if error.code() == Some(&SqlState::OBJECT_IN_USE) && started.elapsed() < READY_WITHIN =>
                {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                done => return done,
            }
        }
    }

    /// The port on which it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where its data is, if it was started here.
    pub fn data_dir(&self) -> Option<PathBuf> {
        self.ours.as_ref().map(Ours::data)
    }

    /// Ends its connections and stops it in order; nothing happens to one that does not run.
    pub fn stop(&self) -> Result<(), Failed> {
        let ours = self.ours()?;
        ours.end(&mut ours.postmaster(), "-INT")
    }

    /// Kills it with SIGKILL; nothing happens to one that does not run.
    pub fn kill9(&self) -> Result<(), Failed> {
        let ours = self.ours()?;
        ours.end(&mut ours.postmaster(), "-KILL")
    }

    /// Starts it again on the same port and the same data, also where it ended by itself; nothing happens to one that runs.
    pub fn start_again(&self) -> Result<(), Failed> {
        let ours = self.ours()?;
        ours.start(&mut ours.postmaster())
    }

    /// [`Server::stop`] and [`Server::start_again`].
    pub fn restart(&self) -> Result<(), Failed> {
        self.stop()?;
        self.start_again()
    }

    fn ours(&self) -> Result<&Ours, Failed> {
        self.ours.as_ref().ok_or(Failed::NotOurs)
    }
}

/// Says how to get a server where there is none, and fails in CI, where a test that is skipped would go unseen.
fn or_skip(server: Result<Server, Missing>) -> Option<Server> {
    static SAID: OnceLock<()> = OnceLock::new();
    match server {
        Ok(server) => Some(server),
        #[expect(clippy::panic, reason = "the tests that call it fail")]
        Err(missing) if env::var_os("CI").is_some() => panic!("CI must have PostgreSQL: {missing}"),
        Err(missing) => {
            SAID.get_or_init(|| {
                eprintln!(
                    "PostgreSQL tests skipped: install postgresql or set TEST_DATABASE_URL ({missing})"
                );
            });
            None
        }
    }
}

impl Ours {
    fn create(programs: PathBuf, durability: Durability, disk: Option<&Path>) -> Result<Self, Failed> {
        // Its name is short: a socket's path holds a hundred bytes. Kept, because the watchdog removes it.
        let folder = tempfile::Builder::new()
            .prefix("pg-")
            .tempdir_in(disk.map_or_else(env::temp_dir, Path::to_owned))
            .map_err(Failed::io("create the server's folder"))?
            .keep();
        let user = User::instead_of_root();
        if let Some(user) = user {
            chown(&folder, Some(user.uid), Some(user.gid))
                .map_err(Failed::io("hand over the server's folder"))?;
        }
        // First, so that the folder is removed whatever fails from here on.
        let watchdog = Watchdog::start(&programs, &folder, user)?;
        let mut ours = Self {
            postmaster: Mutex::default(),
            _watchdog: watchdog,
            programs,
            folder,
            user,
            port: 0,
            durability,
            is_small: disk.is_some(),
        };
        ours.initialise()?;
        let mut tries = 0;
        loop {
            ours.port = free_port()?;
            tries += 1;
            let mut postmaster = ours.postmaster();
            match ours.start(&mut postmaster) {
                Ok(()) => break,
                Err(_) if tries < PORTS => {}
                Err(failed) => return Err(failed),
            }
        }
        Ok(ours)
    }

    fn initialise(&self) -> Result<(), Failed> {
        let program = self.programs.join("initdb");
        let output = command(&program, self.user, &self.folder)
            .arg("--pgdata")
            .arg(self.data())
            .args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"])
            .args(self.is_small.then_some("--wal-segsize=1"))
            .stdin(Stdio::null())
            .output()
            .map_err(Failed::io("run initdb"))?;
        if output.status.success() {
            return Ok(());
        }
        Err(Failed::Program { program, said: String::from_utf8_lossy(&output.stderr).trim().to_owned() })
    }

    fn start(&self, postmaster: &mut Option<Child>) -> Result<(), Failed> {
        if let Some(running) = postmaster {
            if running.try_wait().map_err(Failed::io("look at the server"))?.is_none() {
                return Ok(());
            }
            *postmaster = None;
        }
        let started = Instant::now();
        loop {
            let log = File::create(self.log()).map_err(Failed::io("create the server's log"))?;
            let errors = log.try_clone().map_err(Failed::io("create the server's log"))?;
            let mut child =
                self.postgres().stdout(log).stderr(errors).spawn().map_err(Failed::io("start postgres"))?;
            let ended = loop {
                if self.is_ready(child.id()) {
                    break false;
                }
                if child.try_wait().map_err(Failed::io("wait for postgres"))?.is_some() {
                    break true;
                }
                if started.elapsed() > READY_WITHIN {
                    *postmaster = Some(child);
                    self.end(postmaster, "-KILL")?;
                    return Err(self.not_ready());
                }
                thread::sleep(Duration::from_millis(10));
            };
            if !ended {
                *postmaster = Some(child);
                return Ok(());
            }
            // What is left of a server that was killed holds its shared memory until it notices.
            let said = fs::read_to_string(self.log()).unwrap_or_default();
            if !said.contains("still in use") || started.elapsed() > READY_WITHIN {
                return Err(self.not_ready());
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn postgres(&self) -> Command {
        let mut command = command(&self.programs.join("postgres"), self.user, &self.folder);
        command.arg("-D").arg(self.data()).arg("-k").arg(&self.folder).arg("-p").arg(self.port.to_string());
        for setting in [
            "listen_addresses=127.0.0.1",
            "max_connections=200",
            "shared_buffers=128MB",
            "timezone=UTC",
            "log_timezone=UTC",
        ] {
            command.args(["-c", setting]);
        }
        if self.is_small {
            command.args(["-c", "max_wal_size=8MB", "-c", "min_wal_size=2MB"]);
        }
        if self.durability == Durability::None {
            for setting in ["fsync=off", "synchronous_commit=off", "full_page_writes=off"] {
                command.args(["-c", setting]);
            }
        }
        // Out of reach of Ctrl-C, like its watchdog, which stops it.
        command.stdin(Stdio::null()).process_group(0);
        command
    }

    /// Whether the server with this process id takes connections: it says so on the last line of its lock file.
    fn is_ready(&self, process: u32) -> bool {
        let said = fs::read_to_string(self.data().join("postmaster.pid")).unwrap_or_default();
        said.lines().next() == Some(&process.to_string())
            && said.lines().nth(7).is_some_and(|line| line.trim() == "ready")
    }

    /// Sends the signal and waits for the end.
    fn end(&self, postmaster: &mut Option<Child>, signal: &str) -> Result<(), Failed> {
        let Some(mut child) = postmaster.take() else { return Ok(()) };
        let doing = "stop the server";
        Command::new("kill").args([signal, &child.id().to_string()]).status().map_err(Failed::io(doing))?;
        child.wait().map_err(Failed::io(doing))?;
        Ok(())
    }

    fn not_ready(&self) -> Failed {
        let said = fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<_> = said.lines().rev().take(5).collect();
        Failed::NotReady { said: lines.into_iter().rev().collect::<Vec<_>>().join("; ") }
    }

    fn postmaster(&self) -> MutexGuard<'_, Option<Child>> {
        self.postmaster.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn log(&self) -> PathBuf {
        self.folder.join("log")
    }
}

fn free_port() -> Result<u16, Failed> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(Failed::io("find a free port"))?;
    Ok(listener.local_addr().map_err(Failed::io("find a free port"))?.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn answer(url: &str) -> Result<i32, tokio_postgres::Error> {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
        tokio::spawn(connection);
        Ok(client
            .query_one("SELECT count(*)::int FROM pg_tables WHERE schemaname = 'public'", &[])
            .await?
            .get(0))
    }

    async fn create_a_table(url: &str) {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
        tokio::spawn(connection);
        client.batch_execute("CREATE TABLE mine (id int)").await.unwrap();
    }

    #[tokio::test]
    async fn a_server_lives_and_dies_with_its_handle() {
        let Some(server) = Server::own(Durability::Full) else { return };
        let (one, other) = (server.database().await, server.database().await);
        create_a_table(&one).await;
        assert_eq!((answer(&one).await.unwrap(), answer(&other).await.unwrap()), (1, 0));

        server.restart().unwrap();
        assert_eq!(answer(&one).await.unwrap(), 1);
        server.kill9().unwrap();
        assert!(answer(&one).await.is_err());
        server.start_again().unwrap();
        assert_eq!(answer(&one).await.unwrap(), 1);

        let folder = server.data_dir().unwrap().parent().map(Path::to_owned).unwrap();
        drop(server);
        assert!(answer(&one).await.is_err());
        assert!(!folder.exists(), "{} is left", folder.display());
    }

    #[tokio::test]
    async fn the_shared_server_is_one() {
        let (Some(one), Some(other)) = (Server::shared(), Server::shared()) else { return };
        assert_eq!(one.port(), other.port());
        assert_eq!(answer(&one.database().await).await.unwrap(), 0);
    }

    #[test]
    fn a_named_server_keeps_its_options() {
        let server = Server::at("postgres://me:pw@db.example:6432/main?sslmode=disable").unwrap();
        assert_eq!(server.url("x"), "postgres://me:pw@db.example:6432/x?sslmode=disable");
        assert_eq!(server.port(), 6432);
        assert!(matches!(server.kill9(), Err(Failed::NotOurs)));
        assert!(Server::at("nonsense").is_none());
    }
}
