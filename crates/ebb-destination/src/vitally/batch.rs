//! The Analytics API: records to messages, messages in batches, accepted as a whole and applied later.

use std::sync::Arc;

use chrono::{DateTime, NaiveTime, SecondsFormat, Utc};
use ebb_row::{Created, Object, Outcome, Value, write_json, write_json_string};

use super::reply::{Said, read_batch};
use super::request::{Endpoint, id_text, ids};
use crate::http::{Answer, Method, Request};
use crate::{Step, Steps, WriteRecord};

/// The most messages of a batch (documented).
pub(super) const MESSAGES: usize = 100;
/// The most bytes of a batch's body; the limit is not documented, and this is known to be well below it.
const BODY_BYTES: usize = 500_000;
/// What a message's `timestamp` takes.
const TIMESTAMP_BYTES: usize = 48;

/// The objects that the Analytics API takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MessageKind {
    Account,
    Organization,
    User,
    Event,
}

impl MessageKind {
    pub(super) fn of(object: &str) -> Option<Self> {
        match object {
            "account" => Some(Self::Account),
            "organization" => Some(Self::Organization),
            "user" => Some(Self::User),
            "event" => Some(Self::Event),
            _ => None,
        }
    }

    fn operation(self) -> &'static str {
        match self {
            Self::Account => "account.batch",
            Self::Organization => "organization.batch",
            Self::User => "user.batch",
            Self::Event => "event.batch",
        }
    }
}

/// One message, complete but for the time of its sending.
struct Message {
    /// Position of its record.
    record: usize,
    /// JSON without the closing brace.
    head: Vec<u8>,
    /// Whether it carries its own time.
    is_timed: bool,
}

/// The write of up to a hundred records.
pub(super) struct BatchWrite {
    endpoint: Endpoint,
    kind: MessageKind,
    messages: Vec<Message>,
    /// Set for records that ended otherwise than accepted.
    outcomes: Vec<Option<Outcome>>,
    /// The messages that are out.
    out: Vec<usize>,
    /// The first message that was not yet sent.
    next: usize,
}

impl BatchWrite {
    /// `refusals` has one entry a record: why it is not sent at all.
    pub(super) fn new(
        endpoint: Endpoint,
        kind: MessageKind,
        records: &[WriteRecord],
        refusals: Vec<Option<String>>,
    ) -> Self {
        let mut outcomes: Vec<Option<Outcome>> =
            refusals.into_iter().map(|reason| reason.map(|reason| Outcome::Rejected { reason })).collect();
        outcomes.resize(records.len(), None);
        let mut messages = Vec::with_capacity(records.len());
        for (position, (record, outcome)) in records.iter().zip(&mut outcomes).enumerate() {
            if outcome.is_some() {
                continue;
            }
            match heads(kind, record) {
                Ok(heads) => messages.extend(heads.into_iter().map(|(head, is_timed)| Message {
                    record: position,
                    head,
                    is_timed,
                })),
                Err(reason) => *outcome = Some(Outcome::Rejected { reason }),
            }
        }
        Self { endpoint, kind, messages, outcomes, out: Vec::new(), next: 0 }
    }

    fn send_next(&mut self, now: DateTime<Utc>) -> Step<Vec<Outcome>> {
        self.out.clear();
        let mut bytes = 2;
        while let Some(message) = self.messages.get(self.next) {
            if self.outcomes.get(message.record).is_some_and(Option::is_some) {
                self.next += 1;
                continue;
            }
            let size = message.head.len() + TIMESTAMP_BYTES;
            if !self.out.is_empty() && (self.out.len() == MESSAGES || bytes + size > BODY_BYTES) {
                break;
            }
            bytes += size;
            self.out.push(self.next);
            self.next += 1;
        }
        if self.out.is_empty() { Step::Done(self.finish()) } else { Step::Send(self.request(now)) }
    }

    fn request(&self, now: DateTime<Utc>) -> Request {
        let time = now.to_rfc3339_opts(SecondsFormat::Millis, true);
        let mut body = vec![b'['];
        for message in self.out.iter().filter_map(|&position| self.messages.get(position)) {
            if body.len() > 1 {
                body.push(b',');
            }
            body.extend_from_slice(&message.head);
            if !message.is_timed {
                body.extend_from_slice(b",\"timestamp\":");
                write_json_string(&time, &mut body);
            }
            body.push(b'}');
        }
        body.push(b']');
        self.endpoint.request(self.kind.operation(), Method::Post, "/analytics/v1/batch", Some(body.into()))
    }

    fn finish(&mut self) -> Vec<Outcome> {
        let accepted = || Outcome::Accepted { id: None, created: Created::Unknown };
        self.outcomes.drain(..).map(|outcome| outcome.unwrap_or_else(accepted)).collect()
    }

    /// The records of the messages that are out, each once.
    fn records_out(&self) -> Vec<usize> {
        let mut records: Vec<usize> =
            self.out.iter().filter_map(|&position| self.messages.get(position)).map(|message| message.record).collect();
        records.dedup();
        records
    }

    fn end(&mut self, records: &[usize], outcome: &Outcome) {
        for &record in records {
            if let Some(slot) = self.outcomes.get_mut(record)
                && slot.is_none()
            {
                *slot = Some(outcome.clone());
            }
        }
    }

    /// The service is away: what was not sent is tried another time.
    fn stop(&mut self, reason: &str, after: Option<std::time::Duration>) -> Step<Vec<Outcome>> {
        let rest: Vec<usize> = self.messages.iter().skip(self.next).map(|message| message.record).collect();
        self.end(&rest, &Outcome::Retry { reason: reason.to_owned(), after });
        Step::Done(self.finish())
    }

    fn after(&mut self, said: Said, now: DateTime<Utc>) -> Step<Vec<Outcome>> {
        let records = self.records_out();
        match said {
            // One bad message may have the whole batch refused: the halves tell which. Repeating those that were
            // accepted does nothing, their message ids being the same.
            Said::Refused(reason) if records.len() > 1 => Step::Split { reason },
            Said::Refused(reason) | Said::Missing(reason) => {
                self.end(&records, &Outcome::Rejected { reason });
                self.send_next(now)
            }
            Said::NotNow(reason, after) => {
                self.end(&records, &Outcome::Retry { reason: reason.clone(), after });
                self.stop(&reason, after)
            }
            Said::Open(reason) => {
                self.end(&records, &Outcome::Unknown { reason: reason.clone() });
                self.stop(&reason, None)
            }
            Said::Record(_) | Said::Results(_) => self.send_next(now),
        }
    }
}

impl Steps<Vec<Outcome>> for BatchWrite {
    fn step(&mut self, answer: Answer<'_>, now: DateTime<Utc>) -> Step<Vec<Outcome>> {
        match answer {
            Answer::Start => self.send_next(now),
            Answer::Again => Step::Send(self.request(now)),
            Answer::Lost(lost) => self.after(Said::Open(lost.reason.clone()), now),
            Answer::Reply(reply) => match read_batch(reply, &self.endpoint.masks, now) {
                Ok(()) => self.send_next(now),
                Err(said) => self.after(said, now),
            },
        }
    }
}

/// Returns the record's messages: one, or for a user with several links one for each.
fn heads(kind: MessageKind, write: &WriteRecord) -> Result<Vec<(Vec<u8>, bool)>, String> {
    let record = &write.record;
    let external_id = || id_text(record, "externalId").map(Value::Text).ok_or("externalId is empty".to_owned());
    match kind {
        MessageKind::Event => Ok(vec![event(write)?]),
        MessageKind::Account => {
            let mut message = start("account");
            message.insert("accountId".into(), external_id()?);
            if let Some(id) = id_text(record, "organizationId") {
                message.insert("organizationId".into(), Value::Text(id));
            }
            message.insert("traits".into(), Value::Object(traits(&record.fields)));
            Ok(vec![(head(message, &write.message_id)?, false)])
        }
        MessageKind::Organization => {
            let mut message = start("organization");
            message.insert("organizationId".into(), external_id()?);
            message.insert("traits".into(), Value::Object(traits(&record.fields)));
            Ok(vec![(head(message, &write.message_id)?, false)])
        }
        MessageKind::User => {
            let accounts = ids(&record.fields, "accountId");
            let organizations = ids(&record.fields, "organizationId");
            let mut heads = Vec::new();
            for position in 0..accounts.len().max(organizations.len()) {
                let mut message = start("user");
                message.insert("userId".into(), external_id()?);
                for (name, links) in [("accountId", &accounts), ("organizationId", &organizations)] {
                    if let Some(id) = links.get(position) {
                        message.insert(name.into(), Value::Text(Arc::clone(id)));
                    }
                }
                message.insert("traits".into(), Value::Object(traits(&record.fields)));
                let message_id = match position {
                    0 => write.message_id.clone(),
                    later => format!("{}-{}", write.message_id, later + 1),
                };
                heads.push((head(message, &message_id)?, false));
            }
            Ok(heads)
        }
    }
}

fn event(write: &WriteRecord) -> Result<(Vec<u8>, bool), String> {
    let fields = &write.record.fields;
    let mut message = start("track");
    for name in ["event", "userId", "accountId", "organizationId"] {
        if let Some(text) = id_text(&write.record, name) {
            message.insert(name.into(), Value::Text(text));
        }
    }
    let properties = fields.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
    message.insert("properties".into(), Value::Object(properties));
    let time = fields.get("timestamp").and_then(instant_of);
    let is_timed = time.is_some();
    if let Some(time) = time {
        message.insert("timestamp".into(), time);
    }
    Ok((head(message, &write.message_id)?, is_timed))
}

/// A date alone is its first instant in UTC.
fn instant_of(value: &Value) -> Option<Value> {
    if let Value::Date(date) = value {
        return Some(Value::Instant(date.and_time(NaiveTime::MIN).and_utc()));
    }
    if value.is_null() { None } else { Some(value.clone()) }
}

fn start(kind: &str) -> Object {
    let mut message = Object::default();
    message.insert("type".into(), Value::text(kind));
    message
}

/// The traits of a message: the record's, and the plain fields under the names that Vitally reserves for them.
fn traits(fields: &Object) -> Object {
    let mut traits = fields.get("traits").and_then(Value::as_object).cloned().unwrap_or_default();
    for (field, reserved) in [("name", "name"), ("email", "email"), ("avatar", "avatar"), ("joinDate", "createdAt")] {
        if let Some(value) = fields.get(field) {
            traits.insert(reserved.into(), value.clone());
        }
    }
    traits
}

fn head(mut message: Object, message_id: &str) -> Result<Vec<u8>, String> {
    message.insert("messageId".into(), Value::text(message_id));
    let mut out = Vec::with_capacity(256);
    write_json(&Value::Object(message), &mut out).map_err(|error| error.to_string())?;
    out.pop();
    Ok(out)
}

#[cfg(test)]
mod tests {
    use ebb_row::{Hash128, Record, RowKey, Secret, parse_json};

    use super::*;
    use crate::http::Reply;

    fn endpoint() -> Endpoint {
        let authorization = Secret::new("Basic token");
        Endpoint { base: "https://acme.api.vitally.io".into(), authorization, masks: Arc::new([]), budget: 1 }
    }

    fn write(number: usize, json: &str) -> WriteRecord {
        let fields = parse_json(json, false).expect("JSON").as_object().expect("an object").clone();
        WriteRecord {
            key: RowKey::new(number.to_string()),
            record: Arc::new(Record::new(fields)),
            previous: None,
            id: None,
            message_id: format!("m{number}"),
            digest: Hash128::default(),
        }
    }

    /// Returns how many messages each request carried, how many bytes, and the outcomes.
    fn run(kind: MessageKind, records: &[WriteRecord], statuses: &[u16]) -> (Vec<(usize, usize)>, Vec<Outcome>) {
        let now: DateTime<Utc> = "2026-01-05T10:00:00Z".parse().expect("a time");
        let mut steps = BatchWrite::new(endpoint(), kind, records, Vec::new());
        let mut statuses = statuses.iter().copied();
        let mut sizes = Vec::new();
        let mut step = steps.step(Answer::Start, now);
        loop {
            match step {
                Step::Send(request) => {
                    let body = request.body.expect("a body");
                    let text = std::str::from_utf8(&body).expect("UTF-8");
                    let Ok(Value::List(messages)) = parse_json(text, false) else { panic!("no list") };
                    sizes.push((messages.len(), body.len()));
                    let body = br#"{"message":"Success."}"#.to_vec();
                    let status = statuses.next().unwrap_or(200);
                    let reply = Reply { status, headers: Vec::new(), body, complete: true };
                    step = steps.step(Answer::Reply(&reply), now);
                }
                Step::Done(outcomes) => return (sizes, outcomes),
                Step::Split { reason } => panic!("split: {reason}"),
            }
        }
    }

    fn events(number: usize, bytes: usize) -> Vec<WriteRecord> {
        let text = "x".repeat(bytes);
        (0..number)
            .map(|number| write(number, &format!(r#"{{"event":"E","userId":"u","properties":{{"t":"{text}"}}}}"#)))
            .collect()
    }

    #[test]
    fn a_request_holds_a_hundred_messages_and_half_a_megabyte() {
        let (sizes, outcomes) = run(MessageKind::Event, &events(100, 10), &[]);
        assert_eq!((sizes.len(), outcomes.len()), (1, 100));
        let (sizes, outcomes) = run(MessageKind::Event, &events(101, 10), &[]);
        assert_eq!((sizes.iter().map(|size| size.0).collect::<Vec<_>>(), outcomes.len()), (vec![100, 1], 101));
        let (sizes, outcomes) = run(MessageKind::Event, &events(12, 100_000), &[]);
        assert_eq!(sizes.iter().map(|size| size.0).collect::<Vec<_>>(), [4, 4, 4]);
        assert!(sizes.iter().all(|size| size.1 <= BODY_BYTES), "{sizes:?}");
        assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Accepted { .. })));
        // Nothing is cut: what is too large alone is sent alone, for Vitally to judge.
        let (sizes, _) = run(MessageKind::Event, &events(2, 600_000), &[]);
        assert_eq!(sizes.iter().map(|size| size.0).collect::<Vec<_>>(), [1, 1]);
    }

    #[test]
    fn a_refusal_of_one_records_messages_is_its_own() {
        let (sizes, outcomes) = run(MessageKind::Event, &events(3, 400_000), &[200, 413, 200]);
        assert_eq!(sizes.len(), 3);
        assert!(matches!(outcomes[0], Outcome::Accepted { .. }));
        assert!(matches!(outcomes[1], Outcome::Rejected { .. }));
        assert!(matches!(outcomes[2], Outcome::Accepted { .. }));
    }

    #[test]
    fn a_service_that_is_away_leaves_the_rest_for_later() {
        let (sizes, outcomes) = run(MessageKind::Event, &events(3, 400_000), &[200, 503]);
        assert_eq!(sizes.len(), 2);
        assert!(matches!(outcomes[0], Outcome::Accepted { .. }));
        assert!(matches!(outcomes[1], Outcome::Retry { .. }));
        assert!(matches!(outcomes[2], Outcome::Retry { .. }));
        let (_, outcomes) = run(MessageKind::Event, &events(3, 400_000), &[200, 500]);
        assert!(matches!(outcomes[1], Outcome::Unknown { .. }));
        assert!(matches!(outcomes[2], Outcome::Retry { .. }), "it was not sent");
    }

    #[test]
    fn a_refusal_that_is_not_about_a_message_is_not_split() {
        let (sizes, outcomes) = run(MessageKind::Event, &events(5, 10), &[404]);
        assert_eq!(sizes.len(), 1);
        assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Rejected { .. })));
    }

    #[test]
    fn a_user_of_more_accounts_than_a_batch_holds_is_one_outcome() {
        let accounts: Vec<String> = (0..250).map(|number| format!("\"a-{number}\"")).collect();
        let user = write(0, &format!(r#"{{"externalId":"u-1","accountId":[{}]}}"#, accounts.join(",")));
        let (sizes, outcomes) = run(MessageKind::User, std::slice::from_ref(&user), &[]);
        assert_eq!(sizes.iter().map(|size| size.0).collect::<Vec<_>>(), [100, 100, 50]);
        assert_eq!(outcomes.len(), 1);
        let (sizes, outcomes) = run(MessageKind::User, &[user], &[200, 400]);
        assert_eq!(sizes.len(), 2, "its other messages are not sent");
        assert!(matches!(outcomes[0], Outcome::Rejected { .. }));
    }
}
