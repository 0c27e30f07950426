//! `${NAME}`, `.env`, and what a variable may reach.

use std::time::Duration;

use super::{environment, load, project, write};
use crate::{DestinationKind, Faults, SourceKind};

const CANARY: &str = "canary-7f3a91";

const SETTINGS: &str = "version: 1
sources:
  warehouse: { type: postgres, url: \"${WAREHOUSE_URL}\" }
destinations:
  vitally:
    type: vitally
    subdomain: ${SUBDOMAIN:-acme}
    rest_token: ${REST_TOKEN}
    analytics_token: ${ANALYTICS_TOKEN}
    rate_limit: { per_minute: \"${PER_MINUTE:-500}\", share: 80% }
";

fn printed<T>(result: Result<T, Faults>) -> String {
    result.map_or_else(|faults| faults.to_string(), |_| "none".to_owned())
}

#[test]
fn missing_variables_are_told_only_to_those_who_need_them() {
    let folder = project(&[("ebb.yaml", SETTINGS)]);
    let project = load(folder.path(), &environment(&[])).expect("no fault yet");
    assert_eq!(
        printed(project.source("warehouse")),
        "error: `url` needs the environment variable `WAREHOUSE_URL`, which is not set
 --> ebb.yaml:3:37
  |
3 |   warehouse: { type: postgres, url: \"${WAREHOUSE_URL}\" }
  |                                     ^
  = hint: set it, or write it into `.env` beside `ebb.yaml`"
    );
    let faults = project.destination("vitally").expect_err("tokens are missing");
    assert_eq!(faults.0.iter().map(|fault| fault.line).collect::<Vec<_>>(), [8, 9]);
    let untokened = project.destination_untokened("vitally").expect("needs no token");
    let DestinationKind::Vitally(settings) = untokened.kind;
    assert_eq!((settings.subdomain.as_deref(), settings.per_minute, settings.share), (Some("acme"), 500, 80));
    assert_eq!(project.source_kind("warehouse"), Some(SourceKind::Postgres));
    assert_eq!(project.statement_timeout("warehouse"), Duration::from_mins(10));
}

#[test]
fn the_process_wins_over_dotenv_and_allow_hosts_counts_from_the_process_only() {
    let folder = project(&[
        ("ebb.yaml", &SETTINGS.replace("    rate_limit", "    rest_url: https://proxy.example\n    rate_limit")),
        (
            ".env",
            "REST_TOKEN=from-file\nANALYTICS_TOKEN='a b'\nWAREHOUSE_URL=postgres://h/d\nEBB_ALLOW_HOSTS=proxy.example\n",
        ),
    ]);
    let project = load(folder.path(), &environment(&[("ANALYTICS_TOKEN", "from-process")])).expect("no faults");
    let refused = printed(project.destination("vitally"));
    assert!(refused.contains("`rest_url` names `proxy.example`") && refused.contains("ebb.yaml:10:15"), "{refused}");
    let allowed = environment(&[("ANALYTICS_TOKEN", "from-process"), ("EBB_ALLOW_HOSTS", "proxy.example")]);
    let project = load(folder.path(), &allowed).expect("no faults");
    let DestinationKind::Vitally(settings) = project.destination("vitally").expect("complete").kind;
    assert_eq!(settings.rest_token.expect("a token").expose(), "from-file");
    assert_eq!(settings.analytics_token.expect("a token").expose(), "from-process");
    project.source("warehouse").expect("complete");
}

#[test]
fn faults_of_dotenv_do_not_show_its_lines() {
    let folder = project(&[(".env", &format!("OK=1\n{CANARY}\n"))]);
    let faults = load(folder.path(), &environment(&[])).expect_err("a faulty .env").to_string();
    assert!(faults.contains(".env:2:1") && !faults.contains(CANARY), "{faults}");
}

#[test]
fn a_wrong_value_of_a_variable_is_told_late_and_never_shown() {
    let folder = project(&[("ebb.yaml", SETTINGS)]);
    let wrong = environment(&[
        ("WAREHOUSE_URL", CANARY),
        ("SUBDOMAIN", CANARY),
        ("PER_MINUTE", CANARY),
        ("REST_TOKEN", "a b\tc"),
    ]);
    let project = load(folder.path(), &wrong).expect("no fault yet");
    let source = printed(project.source("warehouse"));
    assert!(source.contains("`url` must be a `postgres://` or `postgresql://` URL"), "{source}");
    let destination = printed(project.destination("vitally"));
    assert!(
        destination.contains("must be a whole number from 1 to 100000000, and is `${PER_MINUTE:-500}`"),
        "{destination}"
    );
    assert!(destination.contains("`rest_token` has spaces"), "{destination}");
    for text in [source, destination, format!("{project:?}"), format!("{wrong:?}")] {
        assert!(!text.contains(CANARY) || text.starts_with("Project"), "{text}");
    }
}

#[test]
fn a_variable_reaches_nothing_but_settings() {
    let everywhere = "${CANARY}";
    let folder = project(&[
        (
            "ebb.yaml",
            "version: 1\nsources: { w: { type: sqlite, path: w.db } }\ndestinations: { vitally: { type: vitally, subdomain: acme } }\n",
        ),
        (
            "models/accounts.sql",
            "/*\nprimary_key: account_id\ndescription: \"${CANARY}\"\n*/\nselect $${CANARY}$$ as account_id, '${CANARY}' as name\n",
        ),
        (
            "syncs/accounts.yaml",
            "model: accounts\ndestination: vitally\nobject: account\nmatch: { externalId: \"${CANARY}\" }\n\
             fields:\n  name: \"${CANARY}\"\n  traits: { a: { $value: \"${CANARY}\" }, b: \"{{ row.x }} ${CANARY}\", \"x ${CANARY}\": c }\n",
        ),
    ]);
    let project = load(folder.path(), &environment(&[("CANARY", CANARY)])).unwrap_or_else(|faults| panic!("{faults}"));
    let model = project.model("accounts").expect("a model");
    assert_eq!(model.sql(), "select $${CANARY}$$ as account_id, '${CANARY}' as name");
    let sync = project.sync("accounts").expect("a sync");
    assert!(sync.mapping.reads().names.contains(everywhere));
    assert!(!format!("{project:?}").contains(CANARY));
    let faults: Vec<String> = sync.check_columns(&[]).iter().map(ToString::to_string).collect();
    assert!(!faults.is_empty() && !faults.concat().contains(CANARY), "{faults:?}");

    write(
        folder.path(),
        "ebb.yaml",
        b"version: 1\nproject: ${CANARY}\nplanner: ${CANARY}\nlogs: { keep: \"${CANARY}\" }\n",
    );
    let faults = load(folder.path(), &environment(&[("CANARY", CANARY)])).expect_err("not here").to_string();
    assert_eq!(faults.matches("is filled in only in").count(), 3, "{faults}");
    assert!(!faults.contains(CANARY), "{faults}");
}
