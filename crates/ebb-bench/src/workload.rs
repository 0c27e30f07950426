//! The account sync of `docs/performance.md`: one table of 19 mixed columns, one request of about 600 bytes a row.

use std::path::Path;

use anyhow::Context as _;

/// `sk_live_bench:` in base64, as Vitally documents the header.
pub(crate) const REST_AUTHORIZATION: &str = "Basic c2tfbGl2ZV9iZW5jaDo=";
pub(crate) const REST_TOKEN: &str = "sk_live_bench";

/// The columns with their types in SQLite and in Postgres, and the expression over a row number `n` that fills them.
const COLUMNS: [(&str, &str, &str, &str); 19] = [
    ("account_id", "text", "text", "'acct-' || n"),
    ("name", "text", "text", "'Customer number ' || n"),
    (
        "plan",
        "text",
        "text",
        "case n % 4 when 0 then 'free' when 1 then 'team' when 2 then 'pro' else 'enterprise' end",
    ),
    ("industry", "text", "text", "'industry ' || (n % 37)"),
    ("country", "text", "text", "'country ' || (n % 91)"),
    ("city", "text", "text", "'city ' || (n % 911)"),
    ("owner_email", "text", "text", "'owner' || (n % 211) || '@example.com'"),
    ("segment", "text", "text", "'segment ' || (n % 7)"),
    ("notes", "text", "text", "'renewal talk planned, see thread ' || (n * 7)"),
    ("seats", "integer", "bigint", "case when n % 10 = 0 then null else n % 500 end"),
    ("tickets", "integer", "bigint", "case when n % 7 = 0 then null else n % 60 end"),
    ("events", "integer", "bigint", "n * 13"),
    ("health", "real", "double precision", "(n % 100) / 10.0"),
    ("usage", "real", "double precision", "(n % 9973) / 97.0"),
    ("active", "boolean", "boolean", "n % 3 <> 0"),
    ("trial", "boolean", "boolean", "n % 11 = 0"),
    ("created_at", "timestamp", "timestamp", ""),
    ("renewed_at", "timestamp", "timestamp", ""),
    ("mrr", "decimal(12,2)", "numeric(12,2)", ""),
];

/// Returns the columns' names, comma separated.
pub(crate) fn select() -> String {
    let names: Vec<&str> = COLUMNS.iter().map(|(name, ..)| *name).collect();
    format!("select {} from accounts", names.join(", "))
}

fn sqlite_expression(name: &str, expression: &str) -> String {
    match name {
        "created_at" => "datetime(1600000000 + n % 90000000, 'unixepoch')".to_owned(),
        "renewed_at" => "datetime(1700000000 + n % 9000000, 'unixepoch')".to_owned(),
        "mrr" => "printf('%d.%02d', n % 9000, n % 100)".to_owned(),
        _ => expression.to_owned(),
    }
}

fn postgres_expression(name: &str, expression: &str) -> String {
    match name {
        "created_at" => "timestamp '2020-09-13' + (n % 90000000) * interval '1 second'".to_owned(),
        "renewed_at" => "timestamp '2023-11-14' + (n % 9000000) * interval '1 second'".to_owned(),
        "mrr" => "(n % 9000) + (n % 100) / 100.0".to_owned(),
        _ => expression.to_owned(),
    }
}

/// Makes the table in a new SQLite file.
pub(crate) fn seed_sqlite(file: &Path, rows: u64) -> anyhow::Result<()> {
    let connection = rusqlite::Connection::open(file)?;
    let columns: Vec<String> = COLUMNS.iter().map(|(name, kind, ..)| format!("{name} {kind}")).collect();
    let values: Vec<String> = COLUMNS.iter().map(|(name, _, _, text)| sqlite_expression(name, text)).collect();
    connection.execute_batch(&format!(
        "pragma journal_mode = off; pragma synchronous = off;
         create table accounts ({});
         with recursive numbers(n) as (select 1 union all select n + 1 from numbers where n < {rows})
         insert into accounts select {} from numbers;",
        columns.join(", "),
        values.join(", ")
    ))?;
    Ok(())
}

/// The change set of scenario C: 1% changed, 0.1% new, 0.1% removed.
pub(crate) const CHANGES: [&str; 3] = [
    "update accounts set plan = 'changed' where events % 1300 = 0",
    "insert into accounts select 'new-' || account_id, name, plan, industry, country, city, owner_email, segment, notes, \
     seats, tickets, events, health, usage, active, trial, created_at, renewed_at, mrr from accounts \
     where events % 13000 = 13",
    "delete from accounts where events % 13000 = 26 and account_id not like 'new-%'",
];

/// Applies the change set to an SQLite file.
pub(crate) fn change_sqlite(file: &Path) -> anyhow::Result<()> {
    let connection = rusqlite::Connection::open(file)?;
    for statement in CHANGES {
        connection.execute(statement, [])?;
    }
    Ok(())
}

/// Returns the SQL that makes the table in Postgres.
pub(crate) fn seed_postgres(rows: u64) -> String {
    let columns: Vec<String> = COLUMNS.iter().map(|(name, _, kind, _)| format!("{name} {kind}")).collect();
    let values: Vec<String> = COLUMNS.iter().map(|(name, _, _, text)| postgres_expression(name, text)).collect();
    format!(
        "drop table if exists accounts; create table accounts ({});
         insert into accounts select {} from generate_series(1, {rows}) as numbers(n);
         vacuum analyze accounts;",
        columns.join(", "),
        values.join(", ")
    )
}

/// A body like the sync's, for the bare client.
pub(crate) fn bare_body(number: u64) -> String {
    format!(
        "{{\"externalId\":\"acct-{number}\",\"name\":\"Customer number {number}\",\"traits\":{{\"plan\":\"enterprise\",\
         \"industry\":\"industry {}\",\"country\":\"country {}\",\"city\":\"city {}\",\
         \"owner_email\":\"owner{}@example.com\",\"segment\":\"segment {}\",\
         \"notes\":\"renewal talk planned, see thread {}\",\"seats\":{},\"tickets\":{},\"events\":{},\"health\":4.5,\
         \"usage\":87.3,\"active\":true,\"trial\":false,\"created_at\":\"2021-05-04T11:22:33.000Z\",\
         \"renewed_at\":\"2024-01-02T03:04:05.000Z\",\"mrr\":1234.56}}}}",
        number % 37,
        number % 91,
        number % 911,
        number % 211,
        number % 7,
        number * 7,
        number % 500,
        number % 60,
        number * 13
    )
}

/// Where a project's rows come from and go to.
pub(crate) struct Project<'a> {
    pub(crate) source: &'a str,
    pub(crate) url: &'a str,
    pub(crate) vitally: &'a str,
    pub(crate) per_minute: u32,
    pub(crate) concurrency: usize,
}

/// Writes a project of one model and one sync into a folder.
pub(crate) fn write_project(root: &Path, project: &Project<'_>) -> anyhow::Result<()> {
    std::fs::create_dir_all(root.join("models"))?;
    std::fs::create_dir_all(root.join("syncs"))?;
    let settings = format!(
        "version: 1\nproject: 7a0c2f35-6f8e-4b1e-9d57-2b6b3f0a9c11\nsources:\n  warehouse: {{ type: {}, url: \"{}\" }}\n\
         destinations:\n  vitally:\n    type: vitally\n    region: us\n    subdomain: bench\n    rest_token: {REST_TOKEN}\n    \
         rest_url: {}\n    rate_limit: {{ per_minute: {} }}\n    concurrency: {}\n",
        project.source, project.url, project.vitally, project.per_minute, project.concurrency
    );
    std::fs::write(root.join("ebb.yaml"), settings)?;
    let model = format!("/*\nsource: warehouse\nprimary_key: account_id\n*/\n{}\n", select());
    std::fs::write(root.join("models/accounts.sql"), model)?;
    let traits: Vec<String> = COLUMNS.iter().skip(2).map(|(name, ..)| format!("    {name}: {name}\n")).collect();
    let sync = format!(
        "model: accounts\ndestination: vitally\nobject: account\nmode: upsert\nmatch: {{ externalId: account_id }}\n\
         fields:\n  name: name\n  traits:\n{}",
        traits.concat()
    );
    std::fs::write(root.join("syncs/accounts.yaml"), sync).context("cannot write the project")
}
