//! A small model of Vitally: REST records that are created and updated by external id, Analytics batches whose messages
//! are dropped when their id is known, a sliding minute for each budget.
//!
//! The routes are in `rest.rs` and `analytics.rs`, faults in `fault.rs`, what is kept of every request in `exchange.rs`.

mod analytics;
mod exchange;
mod fault;
mod rest;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use chrono::{DateTime, TimeDelta, Utc};
use ebb_destination::{Reply, Request};
use serde_json::{Map, Value, json};

pub use exchange::{CarriedRecord, Content, Exchange};
pub use fault::{Fault, FaultKind, FaultPlan};

/// How the service behaves.
#[derive(Clone, Debug)]
pub struct ServiceSettings {
    /// Requests in any 60 s, by budget.
    pub per_minute: [usize; 2],
    /// Keys that it refuses with 400, whatever is sent for them.
    pub refused_keys: BTreeSet<String>,
}

/// What the service made of one request.
#[derive(Clone, Debug)]
pub struct Received {
    /// Its answer, before anything happens to that on the way.
    pub reply: Reply,
    /// The records that it carried; of a read, the one that was asked for.
    pub items: Vec<CarriedRecord>,
    /// Whether what it carried was applied.
    pub applied: bool,
    /// Whether it was above the limit.
    pub is_over_limit: bool,
}

/// The service.
#[derive(Debug)]
pub struct Service {
    settings: ServiceSettings,
    windows: [VecDeque<DateTime<Utc>>; 2],
    tables: BTreeMap<String, BTreeMap<String, Stored>>,
    messages: BTreeSet<String>,
    made: u64,
}

/// One record of the service.
#[derive(Clone, Debug)]
struct Stored {
    id: String,
    created_at: DateTime<Utc>,
    content: Content,
}

impl Service {
    /// Makes an empty service.
    pub fn new(settings: ServiceSettings) -> Self {
        Self { settings, windows: Default::default(), tables: BTreeMap::new(), messages: BTreeSet::new(), made: 0 }
    }

    /// Knows a record from before.
    pub fn plant(&mut self, created_at: DateTime<Utc>, object: &str, key: &str, content: &Content) {
        self.merge(created_at, object, key, content);
    }

    /// Refuses this key from now on.
    pub fn refuse(&mut self, key: &str) {
        self.settings.refused_keys.insert(key.to_owned());
    }

    /// Allows so many requests a minute of the first budget.
    pub fn limit_to(&mut self, per_minute: usize) {
        let [rest, _] = &mut self.settings.per_minute;
        *rest = per_minute;
    }

    /// Refuses no key any more.
    pub fn refuse_no_keys(&mut self) {
        self.settings.refused_keys.clear();
    }

    /// Returns the keys that it refuses.
    pub fn refused_keys(&self) -> &BTreeSet<String> {
        &self.settings.refused_keys
    }

    /// Returns what it holds for `object`, by external id.
    pub fn content(&self, object: &str) -> BTreeMap<String, Content> {
        let table = self.tables.get(object).into_iter().flatten();
        table.map(|(key, stored)| (key.clone(), stored.content.clone())).collect()
    }

    /// Takes a request that arrives at `now`.
    pub fn receive(&mut self, now: DateTime<Utc>, request: &Request, fault: &Fault) -> Received {
        let (remaining, reset) = self.count(now, request.budget);
        let Some(remaining) = remaining else {
            let reply = reply(429, &json!({"error": "Too Many Requests"}));
            let reply = with_headers(reply, now, (self.limit(request.budget), 0, reset));
            return Received { reply, items: self.items(request), applied: false, is_over_limit: true };
        };
        let standing = (self.limit(request.budget), remaining, reset);
        let items = self.items(request);
        if let Some(refusal) = fault.refusal(now) {
            let reply = with_headers(refusal, now, standing);
            return Received { reply, items, applied: false, is_over_limit: false };
        }
        let (items, answer) = self.apply(now, request, items);
        let applied = answer.status < 300;
        let reply = with_headers(fault.spoil(answer), now, standing);
        Received { reply, items, applied, is_over_limit: false }
    }

    fn limit(&self, budget: usize) -> usize {
        self.settings.per_minute.get(budget).copied().unwrap_or(usize::MAX)
    }

    /// Counts a request; returns how many more the minute allows (`None`: not even this one), and the seconds until one
    /// comes back.
    fn count(&mut self, now: DateTime<Utc>, budget: usize) -> (Option<usize>, i64) {
        let limit = self.limit(budget);
        let Some(window) = self.windows.get_mut(budget) else { return (Some(limit), 60) };
        while window.front().is_some_and(|oldest| *oldest + TimeDelta::minutes(1) <= now) {
            window.pop_front();
        }
        let oldest = window.front().copied().unwrap_or(now);
        let reset = ((oldest + TimeDelta::minutes(1) - now).num_milliseconds() + 999) / 1000;
        if window.len() >= limit {
            return (None, reset.max(1));
        }
        window.push_back(now);
        (Some(limit - window.len()), reset.max(1))
    }

    fn is_refused(&self, key: &str) -> bool {
        self.settings.refused_keys.contains(key)
    }

    fn make_id(&mut self) -> String {
        self.made += 1;
        format!("00000000-0000-4000-8000-{:012x}", self.made)
    }

    /// Returns the records that a request carries; of a read, the one that is asked for.
    pub fn items(&self, request: &Request) -> Vec<CarriedRecord> {
        if analytics::is_batch(request) { analytics::items(request) } else { self.rest_items(request) }
    }

    fn apply(
        &mut self,
        now: DateTime<Utc>,
        request: &Request,
        items: Vec<CarriedRecord>,
    ) -> (Vec<CarriedRecord>, Reply) {
        if analytics::is_batch(request) { self.apply_batch(now, items) } else { self.apply_rest(now, request, items) }
    }

    /// Creates or updates a record; returns whether that changed anything.
    fn merge(&mut self, now: DateTime<Utc>, object: &str, key: &str, fields: &Content) -> bool {
        let known = self.tables.get(object).is_some_and(|table| table.contains_key(key));
        let id = if known { String::new() } else { self.make_id() };
        let table = self.tables.entry(object.to_owned()).or_default();
        let fresh = Stored { id, created_at: now, content: Content::new() };
        let stored = table.entry(key.to_owned()).or_insert(fresh);
        let before = stored.content.clone();
        for (name, value) in fields {
            if value.is_null() {
                stored.content.remove(name);
            } else {
                stored.content.insert(name.clone(), value.clone());
            }
        }
        !known || stored.content != before
    }
}

fn reply(status: u16, body: &Value) -> Reply {
    let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
    Reply { status, headers, body: body.to_string().into_bytes(), complete: true }
}

fn with_headers(mut reply: Reply, now: DateTime<Utc>, (limit, remaining, reset): (usize, usize, i64)) -> Reply {
    let date = now.format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    for (name, text) in [
        ("date", date),
        ("ratelimit-limit", limit.to_string()),
        ("ratelimit-remaining", remaining.to_string()),
        ("ratelimit-reset", reset.to_string()),
    ] {
        reply.headers.push((name.to_owned(), text));
    }
    reply
}

/// Returns the fields of a record by their paths: `name`, `traits.plan`.
fn flat(fields: &Map<String, Value>, prefix: &str, left_out: &[&str]) -> Content {
    let mut content = Content::new();
    for (name, value) in fields {
        if prefix.is_empty() && left_out.contains(&name.as_str()) {
            continue;
        }
        let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        match value {
            Value::Object(inner) => content.extend(flat(inner, &path, &[])),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                content.insert(path, value.clone());
            }
        }
    }
    content
}

fn object_of(body: Option<&[u8]>) -> Map<String, Value> {
    match body.and_then(|body| serde_json::from_slice(body).ok()) {
        Some(Value::Object(object)) => object,
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) | None => Map::new(),
    }
}
