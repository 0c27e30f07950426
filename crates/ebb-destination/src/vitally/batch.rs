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
        self.endpoint.request(self.kind.operation(), Method::Post, "/analytics/v1/batch", Some(body))
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
            Said::Refused(reason) | Said::Missing(reason) => {
                // One bad message may have the whole batch refused: the halves tell which. Repeating those that were
                // accepted does nothing, their message ids being the same.
                if records.len() > 1 {
                    return Step::Split { reason };
                }
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
    let mut message = Object::new();
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
