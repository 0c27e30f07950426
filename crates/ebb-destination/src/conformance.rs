//! The suite that every destination passes: whatever a service answers, or does not, no record is lost, none is
//! called accepted that may not be, and no token is shown.
//!
//! To add a destination, add one line to [`candidates`].

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use ebb_row::{Hash128, Object, Outcome, Record, RowKey, Secret, SyncMode, Value, parse_json};
use url::Url;

use crate::vitally::{Region, Vitally, VitallySettings};
use crate::{
    Answer, CheckLine, Destination, FieldType, HeaderText, LostCall, ObjectSpec, Reply, Request, Step, Steps,
    WritePlan, WriteRecord,
};

/// The text in every token of a candidate.
const CANARY: &str = "canary";
/// A machine that asks for more calls than this for one record does not end.
const MOST_CALLS: usize = 12;

fn candidates() -> Vec<Box<dyn Destination>> {
    let vitally = VitallySettings {
        subdomain: Some("acme".to_owned()),
        rest_token: Some(Secret::new("sk_live_canary")),
        analytics_token: Some(Secret::new("analytics-canary")),
        ..VitallySettings::new(Region::Us)
    };
    vec![Box::new(Vitally::new(vitally, &[], b"salt").expect("good settings"))]
}

fn now() -> DateTime<Utc> {
    "2026-01-05T10:00:00Z".parse().expect("a time")
}

/// One way to write: an object, a mode and a match, and a sample record for it.
struct Way {
    plan: WritePlan,
    object: &'static ObjectSpec,
}

impl Way {
    fn record(&self, number: usize, with_nulls: bool) -> WriteRecord {
        let is_needed = |name: &str| {
            self.plan.match_field.as_deref() == Some(name)
                || self.object.one_of.iter().any(|rule| rule.fields.contains(&name))
                || (name == "externalId" || name == "name")
                || self.object.fields.iter().any(|field| field.name == name && !field.required.is_empty())
        };
        let mut fields = Object::default();
        if let Some(field) = &self.plan.match_field {
            fields.insert(field.as_str().into(), Value::text(format!("{field}-{number}")));
        }
        for field in self.object.fields {
            let value = match field.kind {
                FieldType::Text | FieldType::Id => Value::text(format!("{}-{number}", field.name)),
                FieldType::Ids => Value::List(vec![Value::text(format!("{}-{number}", field.name))]),
                FieldType::Boolean => Value::Bool(true),
                FieldType::Timestamp => Value::Instant(now()),
                FieldType::Object => parse_json(r#"{"plan":"pro","gone":null}"#, false).expect("JSON"),
            };
            let value = if with_nulls && !is_needed(field.name) { Value::Null } else { value };
            fields.entry(field.name.into()).or_insert(value);
        }
        WriteRecord {
            key: RowKey::new(number.to_string()),
            record: Arc::new(Record::new(fields)),
            previous: None,
            id: None,
            message_id: format!("message-{number}"),
            digest: Hash128::default(),
        }
    }
}

fn for_each_way(check: impl Fn(&dyn Destination, &Way)) {
    for destination in candidates() {
        for object in destination.spec().objects {
            for &mode in object.modes {
                let matches: Vec<Option<&str>> = match object.match_fields {
                    [] => vec![None],
                    fields => fields.iter().copied().map(Some).collect(),
                };
                for match_field in matches {
                    if mode == SyncMode::Insert && match_field == Some("id") {
                        continue;
                    }
                    let plan = WritePlan {
                        object: object.name.to_owned(),
                        api: object.api,
                        mode,
                        match_field: match_field.map(str::to_owned),
                    };
                    check(&*destination, &Way { plan, object });
                }
            }
        }
    }
}

/// How a write ended.
#[derive(Debug)]
enum End {
    Outcomes(Vec<Outcome>),
    Split(String),
}

impl End {
    fn outcomes(self) -> Vec<Outcome> {
        match self {
            Self::Outcomes(outcomes) => outcomes,
            Self::Split(reason) => vec![Outcome::Rejected { reason }],
        }
    }
}

/// Runs a machine; every call gets the same answer, `None` being no answer.
fn run(mut steps: Box<dyn Steps<Vec<Outcome>>>, reply: Option<&Reply>) -> (Vec<Request>, End) {
    let mut requests = Vec::new();
    let lost = LostCall { reason: "no answer in time".to_owned() };
    let mut step = steps.step(Answer::Start, now());
    loop {
        match step {
            Step::Send(request) => {
                requests.push(request);
                assert!(requests.len() <= MOST_CALLS, "it does not end: {:?}", requests.last());
                step = steps.step(reply.map_or(Answer::Lost(&lost), Answer::Reply), now());
            }
            Step::Split { reason } => return (requests, End::Split(reason)),
            Step::Done(outcomes) => return (requests, End::Outcomes(outcomes)),
        }
    }
}

fn reply(status: u16, body: &[u8]) -> Reply {
    Reply { status, headers: Vec::new(), body: body.to_vec(), complete: true }
}

fn with_header(mut reply: Reply, name: &str, value: &str) -> Reply {
    reply.headers.push((name.to_owned(), value.to_owned()));
    reply
}

fn assert_request(destination: &dyn Destination, request: &Request) {
    let url = Url::parse(&request.url).expect("a URL");
    assert_eq!(url.scheme(), "https");
    assert_eq!(url.as_str(), request.url, "the URL parser changes nothing");
    assert!(request.budget < destination.budgets().len());
    let header = |name: &str| request.headers.iter().find(|(header, _)| *header == name).map(|(_, text)| text);
    assert!(matches!(header("authorization"), Some(HeaderText::Secret(_))));
    assert!(matches!(header("accept"), Some(HeaderText::Plain(_))));
    assert!(matches!(header("user-agent"), Some(HeaderText::Plain(text)) if text.starts_with("ebb/")));
    assert_eq!(header("content-type").is_some(), request.body.is_some());
    let shown = format!("{request:?}");
    assert!(!shown.contains(CANARY) && !shown.contains("c2tf"), "{shown}");
    if let Some(body) = &request.body {
        let text = std::str::from_utf8(body).expect("UTF-8");
        assert!(parse_json(text, false).is_ok(), "{text}");
        assert!(!text.contains(CANARY) && !text.contains("$lookup"), "{text}");
    }
}

#[test]
fn requests_are_whole_and_show_no_token() {
    for_each_way(|destination, way| {
        for with_nulls in [false, true] {
            for answer in [None, Some(reply(404, b"{\"error\":\"Not found\"}")), Some(reply(500, b""))] {
                let steps = destination.write(&way.plan, vec![way.record(1, with_nulls)]);
                let (requests, _) = run(steps, answer.as_ref());
                assert!(!requests.is_empty(), "{:?}", way.plan);
                for request in &requests {
                    assert_request(destination, request);
                }
            }
        }
    });
}

#[test]
fn missing_fields_are_no_fault_of_the_machine() {
    for_each_way(|destination, way| {
        let mut write = way.record(1, false);
        Arc::make_mut(&mut write.record).fields.clear();
        let outcomes = run(destination.write(&way.plan, vec![write]), None).1.outcomes();
        assert!(matches!(outcomes[..], [Outcome::Rejected { .. }]), "{:?} {outcomes:?}", way.plan);
    });
}

#[test]
fn no_answer_proves_nothing() {
    for_each_way(|destination, way| {
        let (requests, end) = run(destination.write(&way.plan, vec![way.record(1, false)]), None);
        let outcomes = end.outcomes();
        let has_written = requests.iter().any(|request| request.writes);
        match &outcomes[..] {
            [Outcome::Unknown { .. }] => assert!(has_written),
            [Outcome::Retry { .. }] => assert!(!has_written),
            other => panic!("{:?}: {other:?}", way.plan),
        }
    });
}

#[test]
fn a_success_that_cannot_be_read_is_not_one() {
    let deep = "[".repeat(100_000);
    let large = vec![b'x'; 1 << 20];
    let bodies: [&[u8]; 11] = [
        b"",
        b"{",
        b"null",
        b"[]",
        b"\"ok\"",
        b"<html>Sign in</html>",
        b"{\"id\":\"v-1\",\"externalId\":",
        b"\xff\xfe\x00",
        b"{\"id\":1e999999999}",
        deep.as_bytes(),
        &large,
    ];
    for_each_way(|destination, way| {
        for body in bodies {
            let (requests, end) =
                run(destination.write(&way.plan, vec![way.record(1, false)]), Some(&reply(200, body)));
            let outcomes = end.outcomes();
            let is_open = matches!(outcomes[..], [Outcome::Unknown { .. }])
                || (matches!(outcomes[..], [Outcome::Retry { .. }]) && !requests.iter().any(|request| request.writes));
            assert!(is_open, "{:?} {outcomes:?}", way.plan);
        }
        let whole = br#"{"id":"v-1","message":"Success.","results":[]}"#;
        let broken = Reply { complete: false, ..reply(200, whole) };
        let outcomes = run(destination.write(&way.plan, vec![way.record(1, false)]), Some(&broken)).1.outcomes();
        assert!(!matches!(outcomes[..], [Outcome::Accepted { .. }]), "{:?} {outcomes:?}", way.plan);
    });
}

#[test]
fn waits_that_a_service_asks_for_are_told() {
    let later = httpdate::fmt_http_date((now() + chrono::TimeDelta::seconds(90)).into());
    let date = httpdate::fmt_http_date(now().into());
    let answers = [
        (with_header(reply(429, b"slow down"), "retry-after", "7"), Some(Duration::from_secs(7))),
        (
            with_header(with_header(reply(429, b""), "retry-after", &later), "date", &date),
            Some(Duration::from_secs(90)),
        ),
        (with_header(reply(503, b"<html>"), "retry-after", "3599"), Some(Duration::from_secs(3599))),
        (with_header(reply(503, b""), "retry-after", "soon"), None),
        (reply(429, b""), None),
    ];
    for_each_way(|destination, way| {
        for (answer, expected) in &answers {
            let (requests, end) = run(destination.write(&way.plan, vec![way.record(1, false)]), Some(answer));
            let outcomes = end.outcomes();
            assert!(matches!(&outcomes[..], [Outcome::Retry { after, .. }] if after == expected), "{outcomes:?}");
            assert_eq!(requests.len(), 1, "nothing more is sent to a service that is away");
        }
    });
}

#[test]
fn refused_credentials_are_no_fault_of_a_record() {
    for_each_way(|destination, way| {
        let answer = reply(401, b"{\"error\":\"no\"}");
        let (requests, end) = run(destination.write(&way.plan, vec![way.record(1, false)]), Some(&answer));
        let outcomes = end.outcomes();
        assert!(matches!(outcomes[..], [Outcome::Retry { .. }]), "{outcomes:?}");
        assert_eq!(requests.len(), 1);
    });
}

#[test]
fn one_refused_record_is_told_from_its_batch() {
    for_each_way(|destination, way| {
        let answer = reply(400, b"{\"error\":\"field is wrong\"}");
        let (_, end) = run(destination.write(&way.plan, vec![way.record(1, false)]), Some(&answer));
        let outcomes = end.outcomes();
        assert!(
            matches!(&outcomes[..], [Outcome::Rejected { reason }] if reason.contains("field is wrong")),
            "{outcomes:?}"
        );
        if destination.batch_size(&way.plan) > 1 {
            let records = (1..=3).map(|number| way.record(number, false)).collect();
            let (_, end) = run(destination.write(&way.plan, records), Some(&answer));
            assert!(matches!(end, End::Split(_)), "{end:?}");
        }
    });
}

#[test]
fn batches_at_and_over_the_limit_have_an_outcome_for_each_record() {
    for_each_way(|destination, way| {
        let size = destination.batch_size(&way.plan);
        for number in [0, size, size + 1] {
            let records = (1..=number).map(|number| way.record(number, false)).collect();
            let answer = reply(200, br#"{"message":"Success."}"#);
            match run(destination.write(&way.plan, records), Some(&answer)).1 {
                End::Outcomes(outcomes) => assert_eq!(outcomes.len(), number),
                End::Split(_) => assert!(number > size),
            }
        }
    });
}

#[test]
fn sent_again_is_the_same_call() {
    for_each_way(|destination, way| {
        let mut steps = destination.write(&way.plan, vec![way.record(1, false)]);
        let Step::Send(first) = steps.step(Answer::Start, now()) else { panic!("no request") };
        let later = now() + chrono::TimeDelta::seconds(40);
        let Step::Send(second) = steps.step(Answer::Again, later) else { panic!("no request") };
        assert_eq!((first.method, &first.url, first.repeat), (second.method, &second.url, second.repeat));
        let text =
            |request: &Request| String::from_utf8(request.body.clone().unwrap_or_default().to_vec()).expect("UTF-8");
        assert_eq!(text(&first).replace("10:00:00.000Z", ""), {
            // Only the envelope's time may differ; the sample's own times are the first one.
            text(&second).replace("10:00:40.000Z", "").replace("10:00:00.000Z", "")
        });
        assert_eq!(text(&first).contains("message-1"), text(&second).contains("message-1"));
    });
}

#[test]
fn a_token_that_comes_back_is_masked() {
    let echo = br#"{"error":"Authorization: Basic c2tfbGl2ZV9jYW5hcnk6 sk_live_canary analytics-canary"}"#;
    for_each_way(|destination, way| {
        for status in [400, 401, 403, 404, 500, 503] {
            let (requests, end) =
                run(destination.write(&way.plan, vec![way.record(1, false)]), Some(&reply(status, echo)));
            let text = format!("{:?}", end.outcomes());
            // A destination knows the token of the API that it called.
            let own: &[&str] = if requests[0].budget == 0 { &["c2tf", "sk_live"] } else { &["analytics-canary"] };
            assert!(own.iter().all(|token| !text.contains(token)), "{text}");
        }
    });
}

#[test]
fn hostile_ids_stay_in_their_place() {
    let long = "x".repeat(100_000);
    let ids = [
        "../../admin",
        "a/b",
        "a?b=c",
        "a#b",
        "%2e%2e%2f",
        "a\r\nx-evil: 1",
        "\u{202e}evil",
        "\0",
        "@evil.example",
        "//evil.example/",
        "\\evil",
        "a;b",
        "search",
        "{\"a\":1}",
        "'; drop table",
        &long,
    ];
    for_each_way(|destination, way| {
        let Some(match_field) = &way.plan.match_field else { return };
        let mut plain = way.record(1, false);
        Arc::make_mut(&mut plain.record).fields.insert(match_field.as_str().into(), Value::text("plain"));
        let (expected, _) = run(destination.write(&way.plan, vec![plain]), None);
        for id in ids {
            let mut write = way.record(1, false);
            Arc::make_mut(&mut write.record).fields.insert(match_field.as_str().into(), Value::text(id));
            let (requests, _) = run(destination.write(&way.plan, vec![write]), None);
            for request in &requests {
                assert_request(destination, request);
                let url = Url::parse(&request.url).expect("a URL");
                let host = Url::parse(&expected[0].url).expect("a URL");
                assert_eq!(url.host_str(), host.host_str());
                assert!(url.fragment().is_none() && url.path().split('/').count() <= 4, "{}", url.path());
            }
        }
    });
}

#[test]
fn look_ups_never_take_a_fault_for_an_id() {
    for destination in candidates() {
        let mut objects: Vec<&str> = destination
            .spec()
            .objects
            .iter()
            .flat_map(|object| object.fields)
            .map(|field| field.holds_ids_of)
            .filter(|object| !object.is_empty())
            .collect();
        objects.dedup();
        for object in objects {
            assert!(destination.look_up_size(object) >= 1);
            for answer in [
                None,
                Some(reply(200, b"")),
                Some(reply(200, br#"{"id":"v-1","externalId":"other"}"#)),
                Some(reply(200, br#"{"id":"v-1"}"#)),
                Some(reply(401, b"{}")),
                Some(reply(403, b"{}")),
                Some(reply(500, b"{}")),
                Some(reply(429, b"{}")),
            ] {
                let mut steps = destination.look_up(object, vec![Arc::from("a-1")]);
                let lost = LostCall { reason: "no answer".to_owned() };
                let Step::Send(request) = steps.step(Answer::Start, now()) else { panic!("no request") };
                assert_request(&*destination, &request);
                assert!(!request.writes);
                let step = steps.step(answer.as_ref().map_or(Answer::Lost(&lost), Answer::Reply), now());
                assert!(matches!(step, Step::Split { .. }), "{answer:?}: {step:?}");
            }
        }
    }
}

#[test]
fn checks_write_nothing() {
    for destination in candidates() {
        for mut steps in destination.check() {
            let line: CheckLine = match steps.step(Answer::Start, now()) {
                Step::Done(line) => line,
                Step::Send(request) => {
                    assert!(!request.writes && request.body.is_none());
                    assert_request(&*destination, &request);
                    match steps.step(Answer::Reply(&reply(401, b"{\"error\":\"sk_live_canary\"}")), now()) {
                        Step::Done(line) => line,
                        other @ (Step::Send(_) | Step::Split { .. }) => panic!("{other:?}"),
                    }
                }
                Step::Split { reason } => panic!("{reason}"),
            };
            assert_ne!(line.works, Some(true), "{line:?}");
            assert!(!line.text.contains(CANARY), "{line:?}");
        }
    }
}
