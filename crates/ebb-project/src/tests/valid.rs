//! What a project without faults holds.

use std::time::Duration;

use ebb_destination::Api;
use ebb_plan::{Guards, Limit};
use ebb_row::{Column, ColumnType, SyncMode};
use ebb_schedule::{Cron, Missed, Schedule, Times};
use ebb_source::SourceConfig;

use super::{environment, load, load_files, project};
use crate::{FirstRun, ModelQuery, OnRemoved, StateLocation};

fn column(name: &str, kind: ColumnType) -> Column {
    Column { name: name.to_owned(), kind, source_type: kind.word().to_owned() }
}

#[test]
fn a_sync_is_read_with_its_defaults() {
    let project = load_files(&[]).unwrap_or_else(|faults| panic!("{faults}"));
    let sync = project.sync("accounts").expect("a sync");
    assert_eq!((sync.api, sync.mode, sync.match_field.as_deref()), (Api::Rest, SyncMode::Upsert, Some("externalId")));
    assert_eq!((sync.on_removed, sync.first_run, sync.rejected_tries), (OnRemoved::Ignore, FirstRun::Send, 10));
    assert_eq!((sync.guards.clone(), sync.schedule.clone(), sync.nulls), (Guards::default(), None, None));
    assert_eq!(sync.write_plan().object, "account");
    assert_eq!(project.logs_keep(), Duration::from_hours(720));
    assert_eq!(project.body_cap(), 64 << 10);
    assert_eq!(project.state(), StateLocation::Sqlite(project.root().join(".ebb/state.db")));
    assert_eq!(
        project.source("warehouse").expect("a source"),
        SourceConfig::Sqlite { path: project.root().join("w.db") }
    );
    let destination = project.destination("vitally").expect("a destination");
    assert_eq!((destination.concurrency, destination.request_timeout), (32, Duration::from_secs(10)));
}

#[test]
fn a_sync_is_read_with_everything_said() {
    let settings = "version: 1\nstate: sqlite:/var/ebb.db\nredact: [traits.email]\nlogs: { keep: 7d, body_cap: 1KiB }\n\
                    sources: { w: { type: mariadb, url: mysql://h/d, statement_timeout: 1m } }\n\
                    destinations: { v: { type: vitally, subdomain: acme, concurrency: 4, timeout: 5s, redact: [a, traits.email] } }\n";
    let sync = "model: accounts\ndestination: v\nobject: account\napi: rest\nmode: insert\nmatch: { externalId: account_id }\n\
                fields: { name: name }\non_removed: ignore\nnulls: omit\nfirst_run: adopt\n\
                guards: { removed: 5, added: 10%, empty: false }\nrejected: { tries: 3 }\n\
                schedule: { cron: \"*/15 * * * *\", timezone: Europe/Berlin, jitter: 90s, missed: catch_up }\n";
    let project = load_files(&[("ebb.yaml", settings), ("syncs/accounts.yaml", sync)])
        .unwrap_or_else(|faults| panic!("{faults}"));
    let sync = project.sync("accounts").expect("a sync");
    assert_eq!((sync.mode, sync.on_removed, sync.first_run), (SyncMode::Insert, OnRemoved::Ignore, FirstRun::Adopt));
    let guards =
        Guards { removed: Some(Limit::Count(5)), added: Some(Limit::Percent(10)), empty: false, ..Guards::default() };
    assert_eq!((sync.guards.clone(), sync.rejected_tries), (guards, 3));
    let cron = Cron::parse("*/15 * * * *").expect("an expression");
    let times = Times::Cron { cron, zone: chrono_tz::Europe::Berlin };
    let schedule = Schedule { times, jitter: Duration::from_secs(90), missed: Missed::CatchUp };
    assert_eq!(sync.schedule, Some(schedule));
    assert_eq!(project.statement_timeout("w"), Duration::from_mins(1));
    assert_eq!(project.state(), StateLocation::Sqlite("/var/ebb.db".into()));
    let destination = project.destination("v").expect("a destination");
    assert_eq!(destination.redact, ["a", "traits.email"]);
    assert_eq!((destination.concurrency, destination.request_timeout), (4, Duration::from_secs(5)));
}

#[test]
fn a_query_is_sql_a_table_or_a_model_of_dbt() {
    let manifest = r#"{"nodes": {
        "model.shop.orders": {"resource_type": "model", "name": "orders", "package_name": "shop", "relation_name": "\"main\".\"orders\""},
        "test.shop.x": {"resource_type": "test", "name": "x", "package_name": "shop", "relation_name": null}
    }}"#;
    let project = load_files(&[
        ("target/manifest.json", manifest),
        ("models/a.yaml", "primary_key: [x, y]\ntable: main.accounts\n"),
        ("models/b.yml", "primary_key: x\ndbt: orders\n"),
        ("models/c.yaml", "primary_key: x\nsql: |\n  select 1 as x;\ncursor: x\nlookback: 1h\n"),
        ("models/d.sql", "-- a note\n  /* primary_key: x\n     columns: { x: integer } */ select 1 as x ; \n"),
    ])
    .unwrap_or_else(|faults| panic!("{faults}"));
    let query = |name: &str| project.model(name).expect("a model").query.clone();
    assert_eq!(query("a"), ModelQuery::Table("select * from \"main\".\"accounts\"".to_owned()));
    assert_eq!(query("b"), ModelQuery::Dbt("select * from \"main\".\"orders\"".to_owned()));
    assert_eq!(query("c"), ModelQuery::Sql("select 1 as x".to_owned()));
    assert_eq!(query("d"), ModelQuery::Sql("select 1 as x".to_owned()));
    let c = project.model("c").expect("a model");
    assert_eq!((c.cursor.as_deref(), c.lookback), (Some("x"), Some(Duration::from_hours(1))));
    assert_eq!(
        c.query_fault("no such column", Some((1, 8))).to_string(),
        "error: no such column\n --> models/c.yaml:3:10\n  |\n3 |   select 1 as x;\n  |          ^"
    );
    let d = project.model("d").expect("a model");
    assert_eq!(d.columns, Some(vec![("x".to_owned(), Some(ColumnType::Integer))]));
    assert_eq!(d.query_fault("no such column", Some((1, 8))).column, 40);
    assert_eq!(d.query_fault("no such column", Some((1, 8))).line, 3);
    assert_eq!(project.model("a").expect("a model").primary_key, ["x", "y"]);
}

#[test]
fn columns_are_checked_once_the_source_has_described_them() {
    let project = load_files(&[]).unwrap_or_else(|faults| panic!("{faults}"));
    let sync = project.sync("accounts").expect("a sync");
    let model = project.model("accounts").expect("a model");
    let good = [("account_id", ColumnType::Text), ("name", ColumnType::Text), ("plan", ColumnType::Text)]
        .map(|(name, kind)| column(name, kind));
    assert!(sync.check_columns(&good).is_empty() && model.check_columns(&good).is_empty());
    let bad = [column("id", ColumnType::Text), column("name", ColumnType::Binary), column("plna", ColumnType::Text)];
    let faults: Vec<(usize, usize)> = sync.check_columns(&bad).iter().map(|fault| (fault.line, fault.column)).collect();
    assert_eq!(faults, [(4, 22), (6, 9), (7, 19)]);
    let faults: Vec<String> = model.check_columns(&bad).iter().map(ToString::to_string).collect();
    assert_eq!(
        faults,
        [
            "error: the primary key `account_id` is not a column of the result\n --> models/accounts.sql:2:14\n  |\n2 | primary_key: account_id\n  |              ^\n  = hint: columns are `id`, `name` and `plna`"
        ]
    );
}

#[test]
fn syncs_run_after_those_they_name_and_those_whose_objects_they_look_up() {
    let sync = |object: &str, fields: &str, after: &str| {
        format!(
            "model: accounts\ndestination: vitally\nobject: {object}\nmatch: {{ externalId: account_id }}\nfields: {{ {fields} }}\n{after}"
        )
    };
    let project = load_files(&[
        (
            "syncs/accounts.yaml",
            &sync("account", "name: name, organizationId: { $lookup: organization, externalId: org }", ""),
        ),
        ("syncs/b_users.yaml", &sync("user", "accountIds: { $lookup: account, externalId: account_id }", "")),
        ("syncs/organizations.yaml", &sync("organization", "name: name", "")),
        ("syncs/a_last.yaml", &sync("account", "name: name", "after: b_users\n")),
    ]);
    // The last sync writes accounts, which the users look up: it cannot run after them.
    let faults = project.expect_err("a cycle").to_string();
    assert!(faults.contains("these syncs wait for each other: `a_last` runs after `b_users` (`after`), `b_users` runs after `a_last` (a look-up)"), "{faults}");

    let project = load_files(&[
        (
            "syncs/accounts.yaml",
            &sync("account", "name: name, organizationId: { $lookup: organization, externalId: org }", ""),
        ),
        ("syncs/b_users.yaml", &sync("user", "accountIds: { $lookup: account, externalId: account_id }", "")),
        ("syncs/organizations.yaml", &sync("organization", "name: name", "")),
        ("syncs/a_last.yaml", &sync("organization", "name: name", "after: organizations\n")),
    ])
    .unwrap_or_else(|faults| panic!("{faults}"));
    let names = |wanted: &[&str]| {
        let wanted: Vec<String> = wanted.iter().map(|name| (*name).to_owned()).collect();
        project.order(&wanted).iter().map(|sync| sync.name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(names(&[]), ["organizations", "a_last", "accounts", "b_users"]);
    assert_eq!(names(&["b_users", "organizations"]), ["organizations", "b_users"]);
}

#[test]
fn the_digest_changes_with_any_file_and_with_nothing_else() {
    let digest = |files: &[(&str, &str)]| load_files(files).expect("no faults").digest();
    let base = digest(&[]);
    assert_eq!(base, digest(&[("README.md", "x"), ("models/.hidden", "x")]));
    assert_ne!(base, digest(&[("models/accounts.sql", "/* primary_key: account_id */ select 1 as account_id")]));
    assert_ne!(base, digest(&[("models/b.sql", "/* primary_key: x */ select 1 as x")]));
    let folder = project(&[]);
    assert_eq!(base, load(folder.path(), &environment(&[("X", "y")])).expect("no faults").digest());
}
