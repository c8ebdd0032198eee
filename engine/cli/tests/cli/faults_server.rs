//! A store on a server that cannot be used: what is wrong is said, and the database is left as it is.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;

use dripline_test_postgres::{Durability, Server};
use insta::assert_snapshot;
use tokio_postgres::NoTls;

use crate::support::{Answer, TestWorkspace, steady};

/// Waits for it.
pub(crate) fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new().unwrap().block_on(work)
}

/// Executes statements, and answers the first value of the last one's first row, if there is one.
pub(crate) fn sql(url: &str, statements: &str) -> Option<String> {
    block_on(async {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
        tokio::spawn(connection);
        let answers = client.simple_query(statements).await.unwrap();
        answers.iter().rev().find_map(|answer| match answer {
            tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        })
    })
}

/// A workspace whose store is the database that `DATABASE_URL` names.
pub(crate) fn on_server() -> TestWorkspace {
    let workspace = TestWorkspace::new();
    let settings = workspace.read("dripline.yaml");
    workspace.write(
        "dripline.yaml",
        format!(
            "{settings}\nstore: {{postgres: {{url_env: DATABASE_URL, workers: 2, connect_timeout: 5s}}}}\n"
        ),
    );
    workspace
}

fn list(workspace: &TestWorkspace, url: &str) -> Answer {
    workspace.run_with(&[("DATABASE_URL", url)], &["contacts", "list"])
}

/// How many tables there are.
fn tables(url: &str) -> Option<String> {
    sql(url, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
}

#[test]
fn a_url_that_leads_nowhere() {
    let _steady = steady();
    let workspace = on_server();
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let shown: Vec<String> = [
        "db.example.org",
        "http://localhost/dripline",
        "postgres://localhost:port/dripline",
        "postgres://somebody:secret@no-such-host.invalid/dripline",
        &format!("postgres://somebody:secret@{nobody}/dripline"),
    ]
    .map(|url| list(&workspace, url).shown())
    .into();
    let shown = shown.join("\n");
    assert!(!shown.contains("secret"), "{shown}");
    assert_snapshot!(shown, @"
    [exit 1]
    error: failed to open the store: its URL cannot be read: it does not begin with postgres://
    help: write it as postgres://USER:PASSWORD@HOST:5432/DATABASE

    [exit 1]
    error: failed to open the store postgres://localhost:5432/dripline: its URL cannot be read: it does not begin with postgres://
    help: write it as postgres://USER:PASSWORD@HOST:5432/DATABASE

    [exit 1]
    error: failed to open the store: its URL cannot be read: invalid port number
    help: write it as postgres://USER:PASSWORD@HOST:5432/DATABASE

    [exit 74]
    error: failed to open the store postgres://no-such-host.invalid:5432/dripline: error communicating with database: failed to lookup address information: Name or service not known
    help: is the server up, is the database made, may this user in? `store` in dripline.yaml says which; psql asks the same

    [exit 74]
    error: failed to open the store postgres://127.0.0.1:[port]/dripline: error communicating with database: Connection refused (os error 111)
    help: is the server up, is the database made, may this user in? `store` in dripline.yaml says which; psql asks the same
    ");
    assert_snapshot!(workspace.run(&["contacts", "list"]).shown(), @"
    [exit 1]
    error: the environment variable DATABASE_URL, which dripline.yaml names for the store, is not set
    help: for example: export DATABASE_URL=postgres://user:password@localhost/dripline
    ");
}

#[test]
fn a_database_or_a_user_that_is_not_there() {
    let _steady = steady();
    let Some(server) = Server::shared() else { return };
    let workspace = on_server();
    assert_snapshot!(list(&workspace, &server.url("dripline_none")).shown(), @r#"
    [exit 74]
    error: failed to open the store postgres://127.0.0.1:[port]/dripline_none: database "dripline_none" does not exist
    help: is the server up, is the database made, may this user in? `store` in dripline.yaml says which; psql asks the same
    "#);
    let stranger = server.url("postgres").replace("//postgres@", "//stranger@");
    assert_snapshot!(list(&workspace, &stranger).shown(), @r#"
    [exit 74]
    error: failed to open the store postgres://127.0.0.1:[port]/postgres: role "stranger" does not exist
    help: is the server up, is the database made, may this user in? `store` in dripline.yaml says which; psql asks the same
    "#);
}

#[test]
fn a_wrong_password() {
    let _steady = steady();
    let Some(server) = Server::own(Durability::None) else { return };
    let url = server.url("postgres");
    sql(&url, "CREATE ROLE guarded LOGIN PASSWORD 'right'");
    sql(&url, "CREATE DATABASE guarded OWNER guarded");
    let rules = server.data_dir().unwrap().join("pg_hba.conf");
    let trust = fs::read_to_string(&rules).unwrap();
    fs::write(&rules, format!("host all guarded 127.0.0.1/32 scram-sha-256\n{trust}")).unwrap();
    server.restart().unwrap();
    let workspace = on_server();
    let of = |password: &str| server.url("guarded").replace("//postgres@", &format!("//guarded:{password}@"));
    let answer = list(&workspace, &of("wrong"));
    assert!(!answer.err.contains("wrong"), "{}", answer.err);
    assert_snapshot!(answer.shown(), @r#"
    [exit 74]
    error: failed to open the store postgres://127.0.0.1:[port]/guarded: password authentication failed for user "guarded"
    help: is the server up, is the database made, may this user in? `store` in dripline.yaml says which; psql asks the same
    "#);
    assert_eq!(list(&workspace, &of("right")).code, 0);
}

#[test]
fn a_schema_of_another_release() {
    let _steady = steady();
    let Some(server) = Server::shared() else { return };
    let url = block_on(server.database());
    let workspace = on_server();
    let imported = workspace.run_with(&[("DATABASE_URL", &url)], &["import", "contacts.csv"]);
    assert_eq!(imported.code, 0, "{}", imported.err);

    sql(&url, "INSERT INTO _sqlx_migrations VALUES (999, 'later', now(), TRUE, '\\x00', 0)");
    assert_eq!(list(&workspace, &url).code, 0, "the newer release says that this one may go on");
    let doctor = workspace.run_with(&[("DATABASE_URL", &url)], &["doctor"]);
    assert_eq!(doctor.code, 0, "{}", doctor.out);
    assert!(doctor.out.contains("warning  schema     version 999 is newer than"), "{}", doctor.out);

    sql(&url, "UPDATE dripline SET oldest_program = 999");
    assert_snapshot!(list(&workspace, &url).shown(), @"
    [exit 1]
    error: failed to open the store postgres://127.0.0.1:[port]/[database]: `[database]` has schema version 999, newer than this program's [newest]; use the newer dripline
    ");
    assert_snapshot!(workspace.run_with(&[("DATABASE_URL", &url)], &["migrate"]).shown(), @"
    [exit 1]
    error: failed to migrate the store postgres://127.0.0.1:[port]/[database]: `[database]` has schema version 999, newer than this program's [newest]; use the newer dripline
    ");
    sql(&url, "UPDATE dripline SET oldest_program = 1; DELETE FROM _sqlx_migrations");
    assert_snapshot!(list(&workspace, &url).shown(), @"
    [exit 1]
    error: failed to open the store postgres://127.0.0.1:[port]/[database]: `[database]` has schema version 0, older than this program's [newest]; `dripline migrate` brings it up to date
    ");
    assert!(sql(&url, "SELECT count(*) FROM contacts") > Some("0".into()), "nothing is lost");
}

#[test]
fn another_products_database() {
    let _steady = steady();
    let Some(server) = Server::shared() else { return };
    let url = block_on(server.database());
    sql(&url, "CREATE TABLE invoices (id INT); CREATE TABLE customers (id INT)");
    let workspace = on_server();
    assert_snapshot!(list(&workspace, &url).shown(), @"
    [exit 1]
    error: failed to open the store postgres://127.0.0.1:[port]/[database]: `[database]` is not a Dripline database: it holds 2 tables of another program, such as `customers`
    help: `store` in dripline.yaml says where the store is; let it name a place of its own
    ");
    assert_snapshot!(workspace.run_with(&[("DATABASE_URL", &url)], &["migrate"]).shown(), @"
    [exit 1]
    error: failed to migrate the store postgres://127.0.0.1:[port]/[database]: `[database]` is not a Dripline database: it holds 2 tables of another program, such as `customers`
    help: `store` in dripline.yaml says where the store is; let it name a place of its own
    ");
    assert_eq!(tables(&url), Some("2".into()));
}

#[test]
fn a_user_who_may_not_create_tables() {
    let _steady = steady();
    let Some(server) = Server::shared() else { return };
    let url = block_on(server.database());
    sql(
        &url,
        "REVOKE CREATE ON SCHEMA public FROM PUBLIC;
        DO $$ BEGIN CREATE ROLE dripline_reader LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$",
    );
    let reader = url.replacen("//postgres@", "//dripline_reader@", 1);
    assert_snapshot!(list(&on_server(), &reader).shown(), @"
    [exit 74]
    error: failed to open the store postgres://127.0.0.1:[port]/[database]: permission denied for schema public; give the user the right to create tables, or let one who may run `dripline migrate`
    ");
    assert_eq!(tables(&url), Some("0".into()));
}

#[test]
fn a_user_who_may_only_read() {
    let _steady = steady();
    let Some(server) = Server::shared() else { return };
    let url = block_on(server.database());
    let workspace = on_server();
    assert_eq!(list(&workspace, &url).code, 0);
    sql(
        &url,
        "DO $$ BEGIN CREATE ROLE dripline_looker LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$;
        GRANT SELECT ON ALL TABLES IN SCHEMA public TO dripline_looker",
    );
    let looker = url.replacen("//postgres@", "//dripline_looker@", 1);
    assert_eq!(list(&workspace, &looker).code, 0);
    let answer = workspace.run_with(&[("DATABASE_URL", &looker)], &["import", "contacts.csv"]);
    assert_snapshot!(answer.shown(), @"
    [exit 74]
    error: failed to import contacts.csv: failed to import contacts: error returned from database: permission denied for sequence contacts_id_seq; nothing was imported
    ");
    assert_eq!(sql(&url, "SELECT count(*) FROM contacts"), Some("0".into()));
}

#[test]
fn a_database_that_may_only_be_read() {
    let _steady = steady();
    let Some(server) = Server::shared() else { return };
    let url = block_on(server.database());
    let workspace = on_server();
    assert_eq!(list(&workspace, &url).code, 0);
    let name = url.rsplit_once('/').unwrap().1;
    sql(&server.url("postgres"), &format!("ALTER DATABASE {name} SET default_transaction_read_only = on"));
    assert_eq!(list(&workspace, &url).code, 0);
    let answer = workspace.run_with(&[("DATABASE_URL", &url)], &["import", "contacts.csv"]);
    assert_snapshot!(answer.shown(), @"
    [exit 74]
    error: failed to import contacts.csv: failed to import contacts: error returned from database: cannot execute nextval() in a read-only transaction; nothing was imported
    ");
    assert_eq!(sql(&url, "SELECT count(*) FROM contacts"), Some("0".into()));
}
