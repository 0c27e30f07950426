//! All that a sandbox knows, and what one request does to it. Held under one lock, never across an await.

use std::time::Duration;

use bytes::Bytes;
use chrono::{TimeDelta, Utc};
use hyper::header::{HeaderName, HeaderValue, RETRY_AFTER};
use hyper::{Method, StatusCode, Uri};
use serde_json::Value;

use crate::analytics::{self, Inbox};
use crate::answer::{Answer, Refusal};
use crate::config::{CustomField, RetryAfter, SandboxConfig, Switches};
use crate::counts::{Counts, RecordCounts, Tally};
use crate::fault::{FaultAction, FaultPlan, Faults, ThrottleRetry};
use crate::journal::{Journal, RecordedRequest};
use crate::limit::{Budget, Elapsed, Standing};
use crate::page;
use crate::rest::{self, Rest};
use crate::route::{Api, Kind, Operation, Route};
use crate::store::{Stamp, Store, Table};

const LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("ratelimit-reset");

/// A request, read and not yet judged.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) route: Route,
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) is_write: bool,
    /// The error text when the authorization is wrong.
    pub(crate) unauthorized: Option<&'static str>,
    pub(crate) raw_body: Bytes,
    pub(crate) body: Result<Value, Refusal>,
}

/// What the connection does with a request.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Sends the answer.
    Send(Answer),
    /// Sends these bytes and closes the connection.
    Cut(Bytes),
    /// Resets the connection.
    Reset,
    /// Leaves the request without an answer.
    Never,
}

/// What follows the judgement of a request.
#[derive(Debug)]
pub(crate) enum Step {
    Done(Outcome),
    /// Wait, then go on with [`World::resume`].
    Wait(Duration, Receipt),
}

/// What was noted of a request when it arrived.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Receipt {
    /// Its number in the journal, if that is kept.
    number: Option<u64>,
    /// Where it left the budget, if there is one.
    standing: Option<Standing>,
    /// The fault that struck it.
    fault: Option<&'static str>,
}

/// The state of a sandbox.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) store: Store,
    pub(crate) switches: Switches,
    pub(crate) inbox: Inbox,
    pub(crate) journal: Journal,
    faults: Faults,
    tally: Tally,
    rest: Option<Budget>,
    analytics: Option<Budget>,
    limits: (Option<u32>, Option<u32>),
    limit_header: Option<HeaderValue>,
    write_cost: u32,
    apply_delay: Elapsed,
}

impl World {
    pub(crate) fn new(config: SandboxConfig, id_seed: u64) -> Self {
        let limits = (config.rest_per_minute, config.analytics_per_minute);
        let limiter = config.switches.limiter;
        let header = config.rest_per_minute.map(|limit| format!("{limit}, {limit};window=60"));
        Self {
            store: Store::new(id_seed, config.event_cap, config.custom_fields),
            inbox: Inbox::default(),
            journal: Journal::new(config.journal_cap),
            faults: Faults::new(config.faults),
            tally: Tally::default(),
            rest: limits.0.map(|limit| Budget::new(limit, limiter)),
            analytics: limits.1.map(|limit| Budget::new(limit, limiter)),
            limits,
            limit_header: header.and_then(|text| HeaderValue::try_from(text).ok()),
            write_cost: config.write_cost,
            apply_delay: u64::try_from(config.apply_delay.as_millis()).unwrap_or(u64::MAX),
            switches: config.switches,
        }
    }

    /// Drops records, requests, counts and messages, fills the budgets and begins the fault plan anew.
    /// Switches, faults and the catalogue of custom traits stay.
    pub(crate) fn reset(&mut self) {
        self.store.clear();
        self.inbox = Inbox::default();
        self.journal.clear();
        self.faults.restart();
        self.tally = Tally::default();
        self.rest = self.limits.0.map(|limit| Budget::new(limit, self.switches.limiter));
        self.analytics = self.limits.1.map(|limit| Budget::new(limit, self.switches.limiter));
    }

    pub(crate) fn set_faults(&mut self, plan: FaultPlan) {
        self.faults = Faults::new(plan);
    }

    pub(crate) fn set_custom_fields(&mut self, fields: Vec<CustomField>) {
        self.store.custom_fields = fields;
    }

    /// Replaces the switches; a change of the limiter fills the budgets.
    pub(crate) fn set_switches(&mut self, switches: Switches) {
        if switches.limiter != self.switches.limiter {
            self.rest = self.limits.0.map(|limit| Budget::new(limit, switches.limiter));
            self.analytics = self.limits.1.map(|limit| Budget::new(limit, switches.limiter));
        }
        self.switches = switches;
    }

    /// Lets the Analytics messages take effect whose time has come.
    pub(crate) fn settle(&mut self, now: Elapsed) {
        self.inbox.settle(&mut self.store, &self.switches, now);
    }

    /// Judges a request and, unless a fault delays it, does what it asks.
    pub(crate) fn take(&mut self, call: &mut Call, now: Elapsed) -> Step {
        self.settle(now);
        let operation = call.route.operation;
        let api = operation.api();
        self.tally.received(api, operation.name(), now);
        let external_ids = if self.journal.is_on() || self.faults.asks_for_ids() { self.ids(call) } else { Vec::new() };
        let number = self.journal.is_on().then(|| self.journal.open(recorded(call, external_ids.clone(), now)));
        let mut receipt = Receipt { number, standing: None, fault: None };
        if let Some(error) = call.unauthorized {
            receipt.standing = self.budget(api).map(|budget| budget.look(now));
            return Step::Done(Outcome::Send(self.finish(call, receipt, Refusal::new(401, error).into())));
        }
        let cost = if call.is_write && api == Api::Rest { self.write_cost } else { 1 };
        receipt.standing = self.budget(api).map(|budget| budget.spend(cost, now));
        if let Some(refused) = receipt.standing.filter(|standing| !standing.allowed) {
            let retry = match self.switches.retry_after {
                RetryAfter::None => ThrottleRetry::None,
                RetryAfter::Seconds => ThrottleRetry::Seconds(refused.reset_seconds),
                RetryAfter::Date => ThrottleRetry::Date,
            };
            let answer = self.throttled(retry, refused.reset_seconds);
            return Step::Done(Outcome::Send(self.finish(call, receipt, answer)));
        }
        self.tally.spent(api, cost, now);
        match self.faults.strike(operation.name(), &external_ids) {
            None => {
                let answer = self.apply(call, now);
                Step::Done(Outcome::Send(self.finish(call, receipt, answer)))
            }
            Some(FaultAction::Delay(delay)) => Step::Wait(delay, Receipt { fault: Some("delay"), ..receipt }),
            Some(fault) => Step::Done(self.fail(&fault, call, receipt, now)),
        }
    }

    /// Does what a delayed request asks.
    pub(crate) fn resume(&mut self, call: &mut Call, receipt: Receipt, now: Elapsed) -> Outcome {
        self.settle(now);
        let answer = self.apply(call, now);
        Outcome::Send(self.finish(call, receipt, answer))
    }

    fn apply(&mut self, call: &mut Call, now: Elapsed) -> Answer {
        let body = std::mem::replace(&mut call.body, Ok(Value::Null));
        let answered = match call.route.operation.api() {
            Api::Rest | Api::Own => {
                let mut rest = Rest { store: &mut self.store, switches: &self.switches, now: Stamp::now() };
                rest.answer(&call.route, body)
            }
            Api::Analytics => body.and_then(|body| {
                let due = now.saturating_add(self.apply_delay);
                self.inbox.accept(call.route.operation, body, &self.switches, due)
            }),
        };
        self.settle(now);
        answered.unwrap_or_else(Answer::from)
    }

    /// Lets a request fail as a fault says.
    fn fail(&mut self, fault: &FaultAction, call: &mut Call, receipt: Receipt, now: Elapsed) -> Outcome {
        let mut receipt = Receipt { fault: Some(fault.word()), ..receipt };
        match fault {
            FaultAction::Status { status, body, headers } => {
                let answer = status_answer(*status, body.as_deref(), headers);
                Outcome::Send(self.finish(call, receipt, answer))
            }
            FaultAction::Throttle { retry_after, reset_seconds } => {
                let spent = Standing { allowed: false, remaining: 0, reset_seconds: *reset_seconds };
                receipt.standing = receipt.standing.map(|_| spent);
                let answer = self.throttled(*retry_after, *reset_seconds);
                Outcome::Send(self.finish(call, receipt, answer))
            }
            FaultAction::Reject { status, error } => {
                let answer = Refusal::new(*status, error.as_str()).into();
                Outcome::Send(self.finish(call, receipt, answer))
            }
            FaultAction::Html => {
                self.apply(call, now);
                Outcome::Send(self.finish(call, receipt, Answer::html(200, page::proxy())))
            }
            FaultAction::Truncate => {
                let answer = self.apply(call, now);
                self.leave(call, receipt);
                Outcome::Cut(self.decorated(call, answer, receipt.standing).truncated())
            }
            FaultAction::ResetAfter => {
                self.apply(call, now);
                self.leave(call, receipt);
                Outcome::Reset
            }
            FaultAction::HangAfter => {
                self.apply(call, now);
                self.leave(call, receipt);
                Outcome::Never
            }
            FaultAction::ResetBefore => {
                self.leave(call, receipt);
                Outcome::Reset
            }
            FaultAction::Hang | FaultAction::Delay(_) => {
                self.leave(call, receipt);
                Outcome::Never
            }
        }
    }

    /// Counts an answer and gives it its rate limit headers.
    fn finish(&mut self, call: &Call, receipt: Receipt, answer: Answer) -> Answer {
        self.count(call, receipt, Some(answer.status.as_u16()));
        self.decorated(call, answer, receipt.standing)
    }

    /// Counts a request that gets no answer, or half of one.
    fn leave(&mut self, call: &Call, receipt: Receipt) {
        self.count(call, receipt, None);
    }

    fn count(&mut self, call: &Call, receipt: Receipt, status: Option<u16>) {
        let operation = call.route.operation;
        self.tally.answered(operation.api(), operation.name(), status);
        if let Some(number) = receipt.number {
            self.journal.close(number, status, receipt.fault);
        }
    }

    /// REST answers carry the budget's standing; Analytics answers do not.
    fn decorated(&self, call: &Call, mut answer: Answer, standing: Option<Standing>) -> Answer {
        let api = call.route.operation.api();
        if let (Api::Rest, Some(standing), Some(limit)) = (api, standing, &self.limit_header) {
            let usual = [
                (LIMIT, limit.clone()),
                (REMAINING, HeaderValue::from(standing.remaining)),
                (RESET, HeaderValue::from(standing.reset_seconds)),
            ];
            // First, so that a fault's own headers win.
            answer.headers.splice(0..0, usual);
        }
        answer
    }

    fn throttled(&self, retry: ThrottleRetry, reset_seconds: u64) -> Answer {
        let mut answer = if self.switches.json_429_body {
            Refusal::new(429, "Too many requests").into()
        } else {
            Answer::text(429, "Too Many Requests")
        };
        let value = match retry {
            ThrottleRetry::None => None,
            ThrottleRetry::Seconds(seconds) => Some(HeaderValue::from(seconds)),
            ThrottleRetry::Date => HeaderValue::try_from(http_date(reset_seconds)).ok(),
        };
        answer.headers.extend(value.map(|value| (RETRY_AFTER, value)));
        answer
    }

    fn budget(&mut self, api: Api) -> Option<&mut Budget> {
        match api {
            Api::Rest | Api::Own => self.rest.as_mut(),
            Api::Analytics => self.analytics.as_mut(),
        }
    }

    /// The externalIds a request names: those in its body or query, else that of the record in its path.
    fn ids(&self, call: &Call) -> Vec<String> {
        let body = call.body.as_ref().map(analytics::external_ids).unwrap_or_default();
        let kind = match call.route.operation {
            Operation::Message(_) | Operation::Batch => return body,
            Operation::Create(_) => return body.into_iter().take(1).collect(),
            Operation::SearchUsers => {
                return call.route.parameter("externalId").map(str::to_owned).into_iter().collect();
            }
            Operation::Get(kind) | Operation::Update(kind) | Operation::Delete(kind) => kind,
            Operation::AccountUsers => Kind::Account,
            Operation::OrganizationAccounts | Operation::OrganizationUsers => Kind::Organization,
            Operation::List(_)
            | Operation::CustomFields
            | Operation::ListAdmins
            | Operation::SearchAdmins
            | Operation::ListCustomObjects
            | Operation::GetCustomObject
            | Operation::ListInstances
            | Operation::SearchInstances
            | Operation::UnknownRest
            | Operation::UnknownAnalytics
            | Operation::Own => return Vec::new(),
        };
        let slot = rest::find(&self.store, &self.switches, kind, &call.route.id);
        let external_id = slot.and_then(|slot| match kind {
            Kind::Account => self.store.accounts.get(slot).map(|entry| entry.external_id.to_string()),
            Kind::Organization => self.store.organizations.get(slot).map(|entry| entry.external_id.to_string()),
            Kind::User => self.store.users.get(slot).map(|entry| entry.external_id.to_string()),
        });
        vec![external_id.unwrap_or_else(|| call.route.id.clone())]
    }

    pub(crate) fn counts(&self) -> Counts {
        let mut counts = self.tally.counts();
        counts.messages.accepted = self.inbox.accepted;
        counts.messages.duplicates = self.inbox.duplicates;
        counts.messages.dropped = self.inbox.dropped;
        counts.messages.pending = number(self.inbox.pending());
        counts.records = self.sum(|_| 1);
        counts.records.events = self.store.event_count;
        counts.rewritten = self.sum(|writes| u64::from(writes > 1));
        counts.writes = self.sum(|writes| writes);
        counts.writes.events = self.store.event_count;
        counts.faults_fired = self.faults.fired();
        counts
    }

    fn sum(&self, of: impl Fn(u64) -> u64 + Copy) -> RecordCounts {
        RecordCounts {
            accounts: sum(&self.store.accounts, of),
            organizations: sum(&self.store.organizations, of),
            users: sum(&self.store.users, of),
            instances: self.store.instances.values().map(|table| sum(table, of)).sum(),
            events: 0,
        }
    }
}

fn sum<T>(table: &Table<T>, of: impl Fn(u64) -> u64) -> u64 {
    table.iter().map(|(_, entry)| of(entry.writes)).sum()
}

fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

fn recorded(call: &Call, external_ids: Vec<String>, now: Elapsed) -> RecordedRequest {
    RecordedRequest {
        number: 0,
        time: Stamp::now().text(),
        elapsed_ms: now,
        operation: call.route.operation.name(),
        method: call.method.to_string(),
        path: call.uri.to_string(),
        body: String::from_utf8_lossy(&call.raw_body).into_owned(),
        external_ids,
        status: None,
        fault: None,
    }
}

fn status_answer(status: u16, body: Option<&str>, headers: &[(HeaderName, HeaderValue)]) -> Answer {
    let mut answer = match body {
        None => {
            let code = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            Refusal::new(status, code.canonical_reason().unwrap_or("Error")).into()
        }
        Some(text) if serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok() => Answer::raw_json(status, text),
        Some(text) => Answer::text(status, text),
    };
    answer.headers.extend(headers.iter().cloned());
    answer
}

/// The HTTP date at least `seconds` from now (dates have whole seconds only).
fn http_date(seconds: u64) -> String {
    let ahead = TimeDelta::seconds(i64::try_from(seconds).unwrap_or(0).saturating_add(1).min(86_400));
    (Utc::now() + ahead).format("%a, %d %b %Y %H:%M:%S GMT").to_string()
}
