//! Golden cases: each file of `cases/` holds scenes, each a record, the replies to give, and the exact calls and
//! outcome.
//!
//! A scene is set up by lines `word rest`, and after `---` comes its transcript: `>` is a request (method and URL,
//! then its body), `<` the answer to give (`lost`, `again`, or a status, `truncated` where it broke off, and a body),
//! `=` what was decided. The whole transcript must come out as it is written.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use ebb_row::{Created, Hash128, Object, Outcome, Record, RowKey, Secret, SyncMode, parse_json};

use super::{Region, Vitally, VitallySettings};
use crate::{
    Answer, Api, Destination, HeaderText, LostCall, Repeat, Reply, Request, Step, Steps, WritePlan, WriteRecord,
};

const TOKEN: &str = "sk_live_canary";
const ANALYTICS: &str = "analytics-canary";

fn vitally() -> Vitally {
    let settings = VitallySettings {
        subdomain: Some("acme".to_owned()),
        rest_token: Some(Secret::new(TOKEN)),
        analytics_token: Some(Secret::new(ANALYTICS)),
        ..VitallySettings::new(Region::Us)
    };
    Vitally::new(settings, &[], b"salt").expect("good settings")
}

#[derive(Default)]
struct Scene {
    name: String,
    plan: Option<WritePlan>,
    look_up: Option<(String, Vec<Arc<str>>)>,
    records: Vec<WriteRecord>,
    transcript: String,
}

fn object(json: &str) -> Object {
    parse_json(json, true).expect(json).as_object().expect("an object").clone()
}

/// `account rest upsert externalId`, the last word left out for events.
fn plan_of(text: &str) -> WritePlan {
    let words: Vec<&str> = text.split(' ').collect();
    WritePlan {
        object: words[0].to_owned(),
        api: if words[1] == "rest" { Api::Rest } else { Api::Analytics },
        mode: match words[2] {
            "upsert" => SyncMode::Upsert,
            "update" => SyncMode::Update,
            "insert" => SyncMode::Insert,
            other => panic!("no mode {other}"),
        },
        match_field: words.get(3).map(|&field| field.to_owned()),
    }
}

fn scene(text: &str) -> Scene {
    let (setup, transcript) = text.split_once("---\n").expect("a line of three hyphens");
    let mut scene = Scene { transcript: transcript.trim().to_owned(), ..Scene::default() };
    for line in setup.lines().filter(|line| !line.is_empty()) {
        let (word, rest) = line.split_once(' ').expect(line);
        let last = |scene: &mut Scene, change: &dyn Fn(&mut WriteRecord)| {
            change(scene.records.last_mut().expect("a record comes first"));
        };
        match word {
            "#" => scene.name.push_str(rest),
            "plan" => scene.plan = Some(plan_of(rest)),
            "look_up" => {
                let mut words = rest.split(' ');
                scene.look_up = Some((words.next().expect("an object").to_owned(), words.map(Arc::from).collect()));
            }
            "record" => {
                let number = scene.records.len() + 1;
                scene.records.push(WriteRecord {
                    key: RowKey::new(format!("row-{number}")),
                    record: Arc::new(Record::new(object(rest))),
                    previous: None,
                    id: None,
                    message_id: format!("m{number}"),
                    digest: Hash128::default(),
                });
            }
            "id" => last(&mut scene, &|record| record.id = Some(rest.to_owned())),
            "previous" => last(&mut scene, &|record| record.previous = Some(Arc::new(object(rest)))),
            other => panic!("no such line: {other}"),
        }
    }
    scene
}

fn print_request(request: &Request, out: &mut String) {
    let note = match request.repeat {
        Repeat::Repeatable => "",
        Repeat::Checkable => " (checkable)",
        Repeat::Neither => " (neither)",
    };
    writeln!(out, "> {} {}{note}", request.method.word(), request.url).expect("written");
    if let Some(body) = &request.body {
        writeln!(out, "> {}", String::from_utf8(body.to_vec()).expect("UTF-8")).expect("written");
    }
    let expected = if request.url.contains(".rest.") { "Basic c2tfbGl2ZV9jYW5hcnk6" } else { "Basic analytics-canary" };
    let authorization = request.headers.iter().find(|(name, _)| *name == "authorization").map(|(_, text)| text);
    assert_eq!(authorization, Some(&HeaderText::Secret(Secret::new(expected))));
}

fn print_outcomes(outcomes: &[Outcome], out: &mut String) {
    for outcome in outcomes {
        match outcome {
            Outcome::Accepted { id, created } => {
                let created = match created {
                    Created::Yes => "created",
                    Created::No => "updated",
                    Created::Unknown => "perhaps created",
                };
                writeln!(out, "= accepted {}, {created}", id.as_deref().unwrap_or("-"))
            }
            Outcome::Skipped { reason } => writeln!(out, "= skipped: {reason}"),
            Outcome::Rejected { reason } => writeln!(out, "= rejected: {reason}"),
            Outcome::Retry { reason, after: None } => writeln!(out, "= retry: {reason}"),
            Outcome::Retry { reason, after: Some(after) } => {
                writeln!(out, "= retry after {} s: {reason}", after.as_secs())
            }
            Outcome::Unknown { reason } => writeln!(out, "= unknown: {reason}"),
        }
        .expect("written");
    }
}

/// Runs the machine against the transcript's answers, and returns the transcript that came out.
fn play<T>(mut steps: Box<dyn Steps<T>>, transcript: &str, print: impl Fn(&T, &mut String)) -> String {
    let mut answers = transcript.lines().filter_map(|line| line.strip_prefix("< "));
    let mut now: DateTime<Utc> = "2026-01-05T10:00:00Z".parse().expect("a time");
    let mut out = String::new();
    let mut step = steps.step(Answer::Start, now);
    loop {
        match step {
            Step::Send(request) => {
                print_request(&request, &mut out);
                let Some(line) = answers.next() else {
                    out.push_str("(no answer in the scene)\n");
                    return out;
                };
                writeln!(out, "< {line}").expect("written");
                now += TimeDelta::seconds(1);
                step = match line {
                    "again" => steps.step(Answer::Again, now),
                    "lost" => steps.step(Answer::Lost(&LostCall { reason: "the connection broke".to_owned() }), now),
                    _ => steps.step(Answer::Reply(&reply_of(line)), now),
                };
            }
            Step::Split { reason } => {
                writeln!(out, "= split: {reason}").expect("written");
                return out;
            }
            Step::Done(result) => {
                print(&result, &mut out);
                return out;
            }
        }
    }
}

/// `200 {...}`, `200 truncated {...}`, `503 retry-after=7 text`.
fn reply_of(line: &str) -> Reply {
    let (status, mut body) = line.split_once(' ').unwrap_or((line, ""));
    let mut headers = Vec::new();
    let mut complete = true;
    if let Some(rest) = body.strip_prefix("truncated") {
        (complete, body) = (false, rest.trim_start());
    }
    if let Some(rest) = body.strip_prefix("retry-after=") {
        let (value, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        headers.push(("retry-after".to_owned(), value.to_owned()));
        body = rest;
    }
    Reply { status: status.parse().expect("a status"), headers, body: body.as_bytes().to_vec(), complete }
}

fn check(file: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/vitally/cases").join(file);
    let text = std::fs::read_to_string(path).expect(file);
    let destination = vitally();
    let mut differences = String::new();
    for part in text.split("\n====\n") {
        let scene = scene(part);
        let actual = if let Some((object, ids)) = scene.look_up {
            play(destination.look_up(&object, ids), &scene.transcript, |found, out| {
                for id in found {
                    writeln!(out, "= {}", id.as_deref().unwrap_or("none")).expect("written");
                }
            })
        } else {
            let plan = scene.plan.expect("a plan");
            play(destination.write(&plan, scene.records), &scene.transcript, |outcomes, out| {
                print_outcomes(outcomes, out);
            })
        };
        assert!(!actual.contains("sk_live") && !actual.contains("canary"), "a token in {}", scene.name);
        if actual.trim() != scene.transcript {
            write!(differences, "\n{file}: {}\nexpected\n{}\nbut got\n{actual}", scene.name, scene.transcript)
                .expect("written");
        }
    }
    assert!(differences.is_empty(), "{differences}");
}

#[test]
fn accounts_are_upserted() {
    check("account_upsert.case");
}

#[test]
fn accounts_are_updated_where_they_exist() {
    check("account_update.case");
}

#[test]
fn accounts_are_inserted_where_they_do_not_exist() {
    check("account_insert.case");
}

#[test]
fn organizations_are_written_as_accounts_are() {
    check("organization.case");
}

#[test]
fn users_are_upserted_by_external_id() {
    check("user_upsert.case");
}

#[test]
fn users_are_updated_and_inserted() {
    check("user_modes.case");
}

#[test]
fn users_are_found_by_email() {
    check("user_email.case");
}

#[test]
fn events_and_objects_go_in_batches() {
    check("analytics.case");
}

#[test]
fn look_ups_check_whose_record_it_is() {
    check("look_up.case");
}

#[test]
fn replies_are_judged_for_what_they_prove() {
    check("replies.case");
}
