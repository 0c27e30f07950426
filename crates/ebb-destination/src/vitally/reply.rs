//! Replies of Vitally to what they say; no judgement of what follows from it.

use std::ops::ControlFlow;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use ebb_row::{Created, Object, Outcome, Secret, Value, parse_json_fields};

use crate::http::Reply;
use crate::reply::{Verdict, judge_status, retry_after};

/// The most of a vendor's message that goes into a reason.
const REASON_CHARACTERS: usize = 300;

/// The fields of an answer that are read; the others, traits above all, are passed over.
const FIELDS_READ: [&str; 11] = [
    "id",
    "externalId",
    "email",
    "accounts",
    "accountIds",
    "organizations",
    "organizationIds",
    "createdAt",
    "error",
    "message",
    "results",
];

/// Goes on with `T`, or ends with the record's outcome.
pub(super) type Flow<T> = ControlFlow<Outcome, T>;

/// An account, organization or user as Vitally answers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answered {
    /// Vitally's id.
    pub(super) id: String,
    /// Your id; `None` where the answer has none.
    pub(super) external_id: Option<String>,
    /// The email of a user.
    pub(super) email: Option<String>,
    /// Vitally's ids of the linked accounts; `None` where the answer does not tell.
    pub(super) accounts: Option<Vec<String>>,
    /// Vitally's ids of the linked organizations; `None` where the answer does not tell.
    pub(super) organizations: Option<Vec<String>>,
    /// Whether it was created since the step machine began.
    pub(super) created: Created,
}

impl Answered {
    /// Whether a read found the record of this external id, and not one whose Vitally id looks like it.
    pub(super) fn is_of(&self, external_id: &str) -> bool {
        self.external_id.as_deref() == Some(external_id)
    }

    /// Whether a write was answered with the record of another external id; an answer without one tells nothing.
    pub(super) fn is_of_another(&self, external_id: &str) -> bool {
        self.external_id.as_deref().is_some_and(|theirs| theirs != external_id)
    }
}

/// What a reply, or its absence, says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// 2xx with a record.
    Record(Box<Answered>),
    /// 2xx with the results of a search.
    Results(Vec<Answered>),
    /// There is no such record; the reason is Vitally's text.
    Missing(String),
    /// Refused for what was sent.
    Refused(String),
    /// Not applied, and not for what was sent: the credentials, or the service.
    NotNow(String, Option<Duration>),
    /// No usable answer: it may have been applied.
    Open(String),
}

/// Reads a reply to a call on records.
///
/// `since` is the time of the machine's first call, for [`Answered::created`].
pub(super) fn read(reply: &Reply, masks: &[Secret], since: DateTime<Utc>, now: DateTime<Utc>) -> Said {
    match judge_status(reply.status) {
        Verdict::Success => {}
        Verdict::Throttled | Verdict::Refused | Verdict::Unavailable => {
            return Said::NotNow(reason(reply, masks), retry_after(reply, now));
        }
        Verdict::Ambiguous => return Said::Open(reason(reply, masks)),
        Verdict::Other if reply.status == 404 => return Said::Missing(reason(reply, masks)),
        Verdict::Other => return refusal(reason(reply, masks)),
    }
    if !reply.complete {
        return Said::Open(format!("Vitally's answer ({}) broke off", reply.status));
    }
    let Some(body) = object_of(reply) else {
        return Said::Open(format!("Vitally's answer ({}) could not be read", reply.status));
    };
    let window = Window::of(reply, since, now);
    if let Some(record) = answered(&body, &window) {
        return Said::Record(Box::new(record));
    }
    if let Some(Value::List(results)) = body.get("results") {
        let read: Option<Vec<Answered>> = results.iter().map(|result| answered(result.as_object()?, &window)).collect();
        if let Some(results) = read {
            return Said::Results(results);
        }
    }
    // One client tells a missing record by the key `error` alone, whatever the status.
    if body.contains_key("error") {
        return refusal(reason(reply, masks));
    }
    Said::Open(format!("Vitally's answer ({}) is not the record that its documentation promises", reply.status))
}

/// Reads the reply to an Analytics batch: `{"message":"Success."}` says that it was taken.
///
/// A refusal for a message in it is [`Said::Refused`]; one that no smaller batch would escape is [`Said::Missing`].
pub(super) fn read_batch(reply: &Reply, masks: &[Secret], now: DateTime<Utc>) -> Result<(), Said> {
    match judge_status(reply.status) {
        Verdict::Success => {}
        Verdict::Throttled | Verdict::Refused | Verdict::Unavailable => {
            return Err(Said::NotNow(reason(reply, masks), retry_after(reply, now)));
        }
        Verdict::Ambiguous => return Err(Said::Open(reason(reply, masks))),
        Verdict::Other if matches!(reply.status, 400 | 413 | 422) => return Err(Said::Refused(reason(reply, masks))),
        Verdict::Other => return Err(Said::Missing(reason(reply, masks))),
    }
    if !reply.complete {
        return Err(Said::Open(format!("Vitally's answer ({}) broke off", reply.status)));
    }
    match object_of(reply) {
        Some(body) if body.contains_key("error") => Err(Said::Refused(reason(reply, masks))),
        Some(_) => Ok(()),
        None => Err(Said::Open(format!("Vitally's answer ({}) could not be read", reply.status))),
    }
}

/// A refusal that mentions that something is not there is taken as a missing record (its status is undocumented);
/// whoever acts on it asks once more first.
fn refusal(reason: String) -> Said {
    let lower = reason.to_lowercase();
    let is_missing = ["not found", "does not exist", "doesn't exist", "could not find", "no such"]
        .iter()
        .any(|words| lower.contains(words));
    if is_missing { Said::Missing(reason) } else { Said::Refused(reason) }
}

/// Returns `Vitally answered 400: <its text>`: `error`, then `message`, then the raw body, at most 300 characters, with
/// tokens masked and control characters blanked.
pub(super) fn reason(reply: &Reply, masks: &[Secret]) -> String {
    let body = object_of(reply);
    let said = body.as_ref().and_then(|body| {
        ["error", "message"].iter().find_map(|name| {
            let value = body.get(*name)?;
            let value = value.as_object().map_or(Some(value), |inner| inner.get("message"))?;
            value.as_text().map(str::to_owned)
        })
    });
    let mut text = said.unwrap_or_else(|| String::from_utf8_lossy(&reply.body).into_owned());
    for mask in masks {
        if !mask.expose().is_empty() {
            text = text.replace(mask.expose(), "[secret]");
        }
    }
    let mut short: String = text
        .trim()
        .chars()
        .take(REASON_CHARACTERS + 1)
        .map(|character| if character.is_control() { ' ' } else { character })
        .collect();
    if let Some((end, _)) = short.char_indices().nth(REASON_CHARACTERS) {
        short.truncate(end);
        short.push('\u{2026}');
    }
    if short.is_empty() {
        format!("Vitally answered {}", reply.status)
    } else {
        format!("Vitally answered {}: {short}", reply.status)
    }
}

fn object_of(reply: &Reply) -> Option<Object> {
    let text = std::str::from_utf8(&reply.body).ok()?;
    parse_json_fields(text, &FIELDS_READ).ok()?
}

fn answered(body: &Object, window: &Window) -> Option<Answered> {
    let id = id_of(body.get("id")?)?;
    Some(Answered {
        id,
        external_id: body.get("externalId").and_then(id_of),
        email: body.get("email").and_then(Value::as_text).map(str::to_owned),
        accounts: linked(body, "accounts", "accountIds"),
        organizations: linked(body, "organizations", "organizationIds"),
        created: window.created(body),
    })
}

fn id_of(value: &Value) -> Option<String> {
    value.canonical_text().filter(|text| !text.is_empty()).map(|text| text.to_string())
}

/// Reads embed the linked objects whole; ids alone would say the same.
fn linked(body: &Object, objects: &str, ids: &str) -> Option<Vec<String>> {
    if let Some(Value::List(items)) = body.get(objects) {
        return items.iter().map(|item| id_of(item.as_object()?.get("id")?)).collect();
    }
    let Some(Value::List(items)) = body.get(ids) else { return None };
    items.iter().map(id_of).collect()
}

/// From when on a record counts as created by this write, by Vitally's own clock.
///
/// Vitally does not say whether a POST created or updated; `createdAt` does. Its clock is read from the reply's `Date`,
/// so that a wrong clock on this side does not turn an old record into one of ours (`undo` may delete those).
struct Window {
    from: DateTime<Utc>,
}

impl Window {
    fn of(reply: &Reply, since: DateTime<Utc>, now: DateTime<Utc>) -> Self {
        let theirs = reply
            .header("date")
            .and_then(|text| httpdate::parse_http_date(text.trim()).ok())
            .map_or(now, DateTime::<Utc>::from);
        let elapsed = (now - since).max(TimeDelta::zero());
        // `Date` has whole seconds.
        Self { from: theirs - elapsed - TimeDelta::seconds(2) }
    }

    fn created(&self, body: &Object) -> Created {
        let at =
            body.get("createdAt").and_then(Value::as_text).and_then(|text| DateTime::parse_from_rfc3339(text).ok());
        match at {
            Some(at) if at.to_utc() >= self.from => Created::Yes,
            Some(_) => Created::No,
            None => Created::Unknown,
        }
    }
}

/// Reads the answer to a read: a record, or none. Nothing was written, so whatever else it is may be tried again.
pub(super) fn after_read(said: Said) -> Flow<Option<Answered>> {
    match said {
        Said::Record(record) => Flow::Continue(Some(*record)),
        Said::Missing(_) => Flow::Continue(None),
        Said::Results(_) => retry("Vitally answered a read of one record with a list", None),
        Said::Refused(reason) => Flow::Break(Outcome::Rejected { reason }),
        Said::NotNow(reason, after) => retry(reason, after),
        Said::Open(reason) => retry(reason, None),
    }
}

/// Reads the answer to an update: the record, or Vitally's word that there is none.
pub(super) fn after_put(said: Said) -> Flow<Result<Answered, String>> {
    match said {
        Said::Record(record) => Flow::Continue(Ok(*record)),
        Said::Missing(reason) => Flow::Continue(Err(reason)),
        Said::Results(_) => unknown("Vitally answered a write with a list"),
        Said::Refused(reason) => Flow::Break(Outcome::Rejected { reason }),
        Said::NotNow(reason, after) => retry(reason, after),
        Said::Open(reason) => unknown(reason),
    }
}

/// Reads the answer to an update of a record that was there a moment ago.
pub(super) fn after_last_put(said: Said) -> Flow<Answered> {
    match after_put(said)? {
        Ok(record) => Flow::Continue(record),
        Err(reason) => Flow::Break(Outcome::Rejected { reason }),
    }
}

pub(super) fn retry<T>(reason: impl Into<String>, after: Option<Duration>) -> Flow<T> {
    Flow::Break(Outcome::Retry { reason: reason.into(), after })
}

pub(super) fn unknown<T>(reason: impl Into<String>) -> Flow<T> {
    Flow::Break(Outcome::Unknown { reason: reason.into() })
}

pub(super) fn rejected<T>(reason: impl Into<String>) -> Flow<T> {
    Flow::Break(Outcome::Rejected { reason: reason.into() })
}

pub(super) fn skipped<T>(reason: impl Into<String>) -> Flow<T> {
    Flow::Break(Outcome::Skipped { reason: reason.into() })
}

pub(super) fn accepted<T>(record: Answered, created: Created) -> Flow<T> {
    Flow::Break(Outcome::Accepted { id: Some(record.id), created })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> DateTime<Utc> {
        text.parse().expect("a time")
    }

    fn created(date: Option<&str>, created_at: &str) -> Created {
        let body = format!(r#"{{"id":"v","createdAt":"{created_at}"}}"#).into_bytes();
        let headers = date.map(|date| ("date".to_owned(), date.to_owned())).into_iter().collect();
        let reply = Reply { status: 200, headers, body, complete: true };
        let (since, now) = (time("2026-01-05T10:00:00Z"), time("2026-01-05T10:00:03Z"));
        let said = read(&reply, &[], since, now);
        let Said::Record(record) = said else { panic!("{said:?}") };
        record.created
    }

    #[test]
    fn created_is_judged_by_vitallys_clock() {
        assert_eq!(created(None, "2026-01-05T10:00:01.000Z"), Created::Yes);
        assert_eq!(created(None, "2026-01-05T09:59:50.000Z"), Created::No);
        assert_eq!(created(None, "yesterday"), Created::Unknown);
        // This side's clock is an hour behind: what was made half an hour ago is not ours, though it looks new.
        let date = Some("Mon, 05 Jan 2026 11:00:03 GMT");
        assert_eq!(created(date, "2026-01-05T10:30:00.000Z"), Created::No);
        assert_eq!(created(date, "2026-01-05T11:00:01.500Z"), Created::Yes);
    }

    #[test]
    fn a_reason_is_short_and_one_line() {
        let reply = |body: &str| Reply { status: 400, headers: Vec::new(), body: body.into(), complete: true };
        assert_eq!(reason(&reply(""), &[]), "Vitally answered 400");
        assert_eq!(reason(&reply("a\n\u{1b}[31mb"), &[]), "Vitally answered 400: a  [31mb");
        let long = reason(&reply(&"\u{e9}".repeat(5000)), &[]);
        assert_eq!(long.chars().count(), "Vitally answered 400: ".len() + REASON_CHARACTERS + 1);
        assert!(long.ends_with('\u{2026}'));
    }
}
