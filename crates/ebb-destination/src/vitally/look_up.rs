//! Reads that write nothing: your ids to Vitally's, and whether a token works.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::reply::{Said, read, reason};
use super::request::{Calls, Endpoint, Kind, is_uuid_shaped, segment};
use crate::http::{Answer, Method, Request};
use crate::reply::{Verdict, judge_status};
use crate::{CheckLine, Step, Steps};

/// Resolves external ids one after the other.
pub(super) struct LookUp {
    calls: Calls,
    external_ids: Vec<Arc<str>>,
    found: Vec<Option<String>>,
}

impl LookUp {
    pub(super) fn new(calls: Calls, external_ids: Vec<Arc<str>>) -> Self {
        Self { calls, external_ids, found: Vec::new() }
    }

    /// Asks for the next id; those that no URL can hold are ids of nothing.
    fn ask(&mut self) -> Step<Vec<Option<String>>> {
        while let Some(external_id) = self.external_ids.get(self.found.len()) {
            if let Some(request) = request(&self.calls, external_id) {
                return Step::Send(request);
            }
            self.found.push(None);
        }
        Step::Done(std::mem::take(&mut self.found))
    }
}

fn request(calls: &Calls, external_id: &str) -> Option<Request> {
    if calls.kind == Kind::User && !external_id.is_empty() {
        return Some(calls.search_users("externalId", external_id));
    }
    segment(external_id)?;
    calls.get(external_id).continue_value()
}

impl Steps<Vec<Option<String>>> for LookUp {
    fn step(&mut self, answer: Answer<'_>, now: DateTime<Utc>) -> Step<Vec<Option<String>>> {
        let said = match answer {
            Answer::Start | Answer::Again => return self.ask(),
            Answer::Lost(lost) => Said::Open(lost.reason.clone()),
            Answer::Reply(reply) => read(reply, &self.calls.endpoint.masks, now, now),
        };
        let Some(external_id) = self.external_ids.get(self.found.len()) else { return self.ask() };
        let found = match said {
            Said::Record(record) if record.is_of(external_id) => Some(record.id),
            Said::Results(results) => {
                results.into_iter().find(|record| record.is_of(external_id)).map(|record| record.id)
            }
            // The path was read as Vitally's id of another record; accounts and organizations have no search.
            Said::Record(_) if is_uuid_shaped(external_id) => None,
            Said::Record(_) => {
                return Step::Split { reason: "Vitally answered a look-up with another record".to_owned() };
            }
            Said::Missing(_) => None,
            Said::Refused(reason) | Said::NotNow(reason, _) | Said::Open(reason) => return Step::Split { reason },
        };
        self.found.push(found);
        self.ask()
    }
}

/// Asks for one account, which tells whether the REST token works.
pub(super) struct CheckRest {
    endpoint: Endpoint,
}

/// What the two tokens are called in `ebb check`.
pub(super) const REST_TOKEN: &str = "vitally rest_token";
pub(super) const ANALYTICS_TOKEN: &str = "vitally analytics_token";

impl CheckRest {
    pub(super) fn new(endpoint: Endpoint) -> Self {
        Self { endpoint }
    }
}

impl Steps<CheckLine> for CheckRest {
    fn step(&mut self, answer: Answer<'_>, _now: DateTime<Utc>) -> Step<CheckLine> {
        let (works, text) = match answer {
            Answer::Start | Answer::Again => {
                let path = "/resources/accounts?limit=1";
                return Step::Send(self.endpoint.request("check", Method::Get, path, None));
            }
            Answer::Lost(lost) => (None, format!("no answer: {}", lost.reason)),
            Answer::Reply(reply) => match judge_status(reply.status) {
                Verdict::Success => (Some(true), format!("Vitally at {} takes it", self.endpoint.base)),
                Verdict::Refused => (Some(false), reason(reply, &self.endpoint.masks)),
                Verdict::Other if reply.status == 403 => (Some(false), reason(reply, &self.endpoint.masks)),
                Verdict::Throttled | Verdict::Ambiguous | Verdict::Unavailable | Verdict::Other => {
                    (None, reason(reply, &self.endpoint.masks))
                }
            },
        };
        Step::Done(CheckLine { what: REST_TOKEN.to_owned(), works, text })
    }
}

/// A result that needs no call.
pub(super) struct Ready<T>(pub(super) Option<T>, pub(super) &'static str);

impl<T: Send> Steps<T> for Ready<T> {
    fn step(&mut self, _answer: Answer<'_>, _now: DateTime<Utc>) -> Step<T> {
        match self.0.take() {
            Some(result) => Step::Done(result),
            None => Step::Split { reason: self.1.to_owned() },
        }
    }
}
