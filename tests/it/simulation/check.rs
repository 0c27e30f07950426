//! The checkers: they see requests, answers, the model, the snapshot and the log, and know nothing of how the engine
//! works.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use ebb_destination::{Method, Reply};
use ebb_engine::RunReport;
use ebb_state::{RunFilter, Store as _};
use ebb_testkit::{CarriedRecord, Content, Exchange};
use serde_json::Value;

use crate::simulation::ready::{Kind, REQUEST_TIMEOUT};
use crate::simulation::world::World;

/// Checks everything at the end of a seed; `last` is the report of the last run.
pub(super) async fn check_all(world: &mut World, last: Option<&RunReport>) {
    let exchanges = world.wire.lock().exchanges.clone();
    let mut faults = Vec::new();
    faults.extend(content(world));
    if let Some(last) = last {
        faults.extend(rejections(world, last).await);
    }
    faults.extend(snapshot(world, &exchanges).await);
    let resent = resends(world.setting.kind, &exchanges);
    let bound = world.interruptions * world.setting.bounds.concurrency * batch_size(world.setting.kind);
    if resent > bound {
        faults.push(format!("G1: {resent} records were sent again though they were acknowledged, of {bound} allowed"));
    }
    faults.extend(message_ids(world.setting.kind, &exchanges));
    faults.extend(in_flight(&exchanges));
    faults.extend(rates(world, &exchanges));
    faults.extend(log(world, &exchanges).await);
    if exchanges.iter().any(|exchange| exchange.request.method == Method::Delete) {
        faults.push("G10: something was deleted".to_owned());
    }
    world.faults.extend(faults);
}

pub(super) fn batch_size(kind: Kind) -> usize {
    if kind.is_batched() { 100 } else { 1 }
}

/// Keys of which more than one row has it.
fn repeated(world: &World) -> BTreeSet<String> {
    let mut counts: BTreeMap<&String, usize> = BTreeMap::new();
    world.model.rows.iter().filter_map(|row| row.id.as_ref()).for_each(|id| *counts.entry(id).or_default() += 1);
    counts.into_iter().filter(|(_, count)| *count > 1).map(|(id, _)| id.clone()).collect()
}

/// The destination holds the model's rows as they are mapped, less the rejected ones.
fn content(world: &World) -> Vec<String> {
    let kind = world.setting.kind;
    let wire = world.wire.lock();
    let held = wire.service.content(kind.object());
    let refused = wire.service.refused_keys();
    let repeated = repeated(world);
    let mut faults = Vec::new();
    for row in &world.model.rows {
        let Some(id) = row.id.as_ref().filter(|id| !refused.contains(*id) && !repeated.contains(*id)) else { continue };
        if kind == Kind::AccountUpdates && !world.planted.contains(id) {
            if held.contains_key(id) {
                faults.push(format!("G2: `{id}` was created in mode update"));
            }
            continue;
        }
        let Some(content) = held.get(id) else {
            faults.push(format!("G2: the destination lacks `{id}`"));
            continue;
        };
        // An event is sent once, whatever becomes of its row.
        let wrong = kind != Kind::Events
            && (kind.expected(row).iter().any(|(path, value)| content.get(path) != Some(value))
                || (kind.clears_nulls() && row.plan.is_none() && content.contains_key("traits.plan")));
        if wrong {
            faults.push(format!("G2: the destination holds {content:?} for {row:?}"));
        }
    }
    faults
}

/// Exactly the rows that must be are rejected.
async fn rejections(world: &World, last: &RunReport) -> Vec<String> {
    let repeated = repeated(world);
    let refused = world.wire.lock().service.refused_keys().clone();
    let never_sent = |id: &String| world.setting.kind == Kind::AccountUpdates && !world.planted.contains(id);
    let is_rejected = |id: &Option<String>| {
        id.as_ref().is_none_or(|id| repeated.contains(id) || (refused.contains(id) && !never_sent(id)))
    };
    let expected = world.model.rows.iter().filter(|row| is_rejected(&row.id)).count();
    let mut faults = Vec::new();
    if last.counts.rejected != u64::try_from(expected).expect("few rows") {
        faults.push(format!("G3: {} rows are rejected, of {expected} that must be", last.counts.rejected));
    }
    let Some(state) = world.sync_state().await else { return faults };
    for rejection in world.store.rejections(state.id, 0).await.expect("the store works") {
        if !is_rejected(&Some(rejection.key.text().to_owned())) {
            faults.push(format!("G2: `{}` is rejected without cause: {}", rejection.key, rejection.reason));
        }
    }
    faults
}

/// No entry without a record that was acknowledged.
pub(super) async fn snapshot(world: &World, exchanges: &[Exchange]) -> Vec<String> {
    let Some(state) = world.sync_state().await else { return Vec::new() };
    let mut acknowledged: BTreeMap<&str, Vec<&CarriedRecord>> = BTreeMap::new();
    for exchange in exchanges.iter().filter(|exchange| writes(exchange) && exchange.is_acknowledged()) {
        for item in &exchange.items {
            acknowledged.entry(&item.key).or_default().push(item);
        }
    }
    let mut faults = Vec::new();
    for entry in world.store.entries_all(state.id) {
        let record = flat(&entry.record);
        let of_key = acknowledged.get(entry.key.text()).into_iter().flatten();
        let holds = |item: &CarriedRecord| {
            item.content.iter().all(|(path, value)| record.get(path).map_or(value.is_null(), |kept| kept == value))
        };
        if !of_key.into_iter().any(|item| holds(item)) {
            faults.push(format!("G1: the snapshot holds `{}`, which was never acknowledged so", entry.key));
        }
    }
    faults
}

/// A kept record's fields by their paths, as the service names them.
fn flat(record: &str) -> Content {
    let record: Value = serde_json::from_str(record).expect("a kept record is JSON");
    let mut content = Content::new();
    for (name, value) in record.as_object().expect("a kept record is an object") {
        match (name.as_str(), value) {
            ("externalId", _) => {}
            ("properties", Value::Object(inner)) => {
                content.extend(inner.iter().filter(|(name, _)| *name != "id").map(|(n, v)| (n.clone(), v.clone())));
            }
            (name, Value::Object(inner)) => {
                content.extend(inner.iter().map(|(inner, value)| (format!("{name}.{inner}"), value.clone())));
            }
            (name, value) => drop(content.insert(name.to_owned(), value.clone())),
        }
    }
    content
}

fn writes(exchange: &Exchange) -> bool {
    exchange.request.method != Method::Get
}

/// Counts records that were sent again, changing nothing, though the last request for them was acknowledged.
pub(super) fn resends(kind: Kind, exchanges: &[Exchange]) -> usize {
    let mut last: BTreeMap<&str, bool> = BTreeMap::new();
    let mut messages: BTreeSet<&str> = BTreeSet::new();
    let mut count = 0;
    for exchange in exchanges.iter().filter(|exchange| writes(exchange)) {
        for item in &exchange.items {
            let clears_only = item.content.values().all(Value::is_null);
            let is_again = match item.message_id.as_deref() {
                Some(id) if kind.is_batched() => exchange.applied && messages.contains(id),
                _ => exchange.applied && !item.changed && !clears_only && last.get(&*item.key) == Some(&true),
            };
            count += usize::from(is_again);
            // A creation cannot carry nulls: it may be the first of two calls, and only both are the record.
            let is_whole = exchange.request.method != Method::Post || item.content.contains_key("traits.plan");
            last.insert(&item.key, exchange.is_acknowledged() && is_whole);
            if exchange.is_acknowledged() {
                messages.extend(item.message_id.as_deref());
            }
        }
    }
    count
}

/// An event keeps its message id for good and is applied once; an object's message id never names two records.
fn message_ids(kind: Kind, exchanges: &[Exchange]) -> Vec<String> {
    let mut faults = Vec::new();
    let mut event_ids: BTreeMap<&str, &Option<String>> = BTreeMap::new();
    let mut named: BTreeMap<&Option<String>, &CarriedRecord> = BTreeMap::new();
    let mut applied: BTreeMap<&str, usize> = BTreeMap::new();
    for item in exchanges.iter().filter(|_| kind.is_batched()).flat_map(|exchange| &exchange.items) {
        if kind == Kind::Events {
            if *event_ids.entry(&item.key).or_insert(&item.message_id) != &item.message_id {
                faults.push(format!("G6: the message id of event `{}` changed", item.key));
            }
            *applied.entry(&item.key).or_default() += usize::from(item.changed);
        } else {
            let first = named.entry(&item.message_id).or_insert(item);
            if (&first.key, &first.content) != (&item.key, &item.content) {
                faults.push(format!("G6: a message id of `{}` names two records", item.key));
            }
        }
    }
    let twice = applied.iter().filter(|(_, count)| **count > 1);
    faults.extend(twice.map(|(key, count)| format!("G6: the event `{key}` was applied {count} times")));
    faults
}

/// Never two requests of one key at once: a request lasts until its sender knows, or, where that died, until it is applied.
fn in_flight(exchanges: &[Exchange]) -> Vec<String> {
    let mut until: BTreeMap<&str, DateTime<Utc>> = BTreeMap::new();
    let mut faults = Vec::new();
    for exchange in exchanges {
        let end = exchange.ended_at.or(exchange.arrived_at).unwrap_or(exchange.sent_at);
        // A sender that stands still has its answer, or none, all the same.
        let end = end.min(exchange.sent_at + TimeDelta::from_std(REQUEST_TIMEOUT).expect("it is short"));
        for item in &exchange.items {
            let busy = until.entry(&item.key).or_insert(end);
            if *busy > exchange.sent_at && *busy != end {
                faults.push(format!("order: two requests for `{}` were in flight at {}", item.key, exchange.sent_at));
            }
            *busy = end.max(*busy);
        }
    }
    faults
}

/// No trailing minute above the limit, and no 429 of the service's own.
fn rates(world: &World, exchanges: &[Exchange]) -> Vec<String> {
    let bounds = &world.setting.bounds;
    let mut faults = Vec::new();
    for (budget, limit) in [bounds.per_minute, bounds.analytics_per_minute].into_iter().enumerate() {
        let of_budget = exchanges.iter().filter(|exchange| exchange.request.budget == budget);
        let mut sent: Vec<DateTime<Utc>> = of_budget.clone().map(|exchange| exchange.sent_at).collect();
        sent.sort_unstable();
        let limit = usize::try_from(limit).expect("a small number");
        let above = sent.windows(limit + 1).filter(|window| window[limit] - window[0] < TimeDelta::minutes(1)).count();
        if above > 0 {
            faults.push(format!("G5: budget {budget} was above its limit in {above} windows"));
        }
        let throttled = of_budget.filter(|exchange| exchange.is_over_limit).count();
        if throttled > 0 {
            faults.push(format!("G5: budget {budget} drew {throttled} times 429"));
        }
    }
    faults
}

/// One line of the log of calls.
struct Line {
    time: DateTime<Utc>,
    /// Method, URL, keys.
    what: (String, String, Vec<String>),
    status: Option<u16>,
    outcome: String,
    /// Run, time, operation, keys, attempt: an attempt's own.
    own: String,
    /// Written by a later run, for a request whose end it does not know.
    is_recovered: bool,
}

fn line(bytes: &[u8]) -> Line {
    let line: Value = serde_json::from_slice(bytes).expect("a line is JSON");
    let text = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
    let mut keys: Vec<String> =
        line["keys"].as_array().into_iter().flatten().filter_map(|key| key.as_str().map(str::to_owned)).collect();
    keys.sort_unstable();
    Line {
        time: text("time").parse().expect("a time"),
        what: (text("method"), text("url"), keys),
        status: line["status"].as_u64().and_then(|status| u16::try_from(status).ok()),
        outcome: text("outcome"),
        own: [&line["run"], &line["time"], &line["operation"], &line["keys"], &line["attempt"], &line["url"]]
            .map(Value::to_string)
            .join(" "),
        is_recovered: text("reason") == "the process ended before the answer was logged",
    }
}

/// Every request has exactly one line, and no line says what was not so.
async fn log(world: &World, exchanges: &[Exchange]) -> Vec<String> {
    let mut lines = Vec::new();
    let mut faults = Vec::new();
    for run in world.store.runs(&RunFilter::default()).await.expect("the store works") {
        if !["succeeded", "partial", "failed", "refused", "interrupted"].contains(&run.status.as_str()) {
            faults.push(format!("run {} is left `{}`", run.run.id, run.status));
        }
        lines.extend(world.store.call_lines(&run.run.id).iter().map(|bytes| line(bytes)));
    }
    // A process that dies between an attempt's line and the closing mark of its intent leaves the intent open, and the next
    // run, which cannot tell, writes that its end is not known. That line is true, and it is the second.
    lines.sort_by_key(|line| (line.time, line.is_recovered));
    let mut known = BTreeSet::new();
    let mut recovered = 0;
    lines.retain(|line| {
        let is_first = known.insert(line.own.clone());
        if !is_first && line.is_recovered {
            recovered += 1;
        } else if !is_first {
            faults.push(format!("G12: two lines for one attempt: {}", line.own));
        }
        is_first
    });
    if recovered > 0 && world.interruptions == 0 {
        faults.push(format!("G12: {recovered} attempts have a second line, and nothing interrupted a run"));
    }
    let mut open: BTreeMap<&(String, String, Vec<String>), Vec<&Line>> = BTreeMap::new();
    for line in &lines {
        open.entry(&line.what).or_default().push(line);
    }
    for exchange in exchanges {
        let request = &exchange.request;
        let mut keys: Vec<String> = keys_of(exchange);
        keys.sort_unstable();
        let what = (request.method.word().to_owned(), request.url.clone(), keys);
        let candidates = open.get_mut(&what);
        let found = candidates.and_then(|lines| {
            let at = lines.iter().rposition(|line| line.time <= exchange.sent_at && agrees(line, exchange))?;
            Some(lines.remove(at))
        });
        if found.is_none() {
            let (method, url, keys) = what;
            faults.push(format!("G12: no true line for {method} {url} {keys:?} of {}", exchange.sent_at));
        }
    }
    for line in open.into_values().flatten() {
        if line.status.is_some() || !["retry", "unknown"].contains(&line.outcome.as_str()) {
            faults.push(format!("G12: a line for a request that nobody received: {}", line.own));
        }
    }
    faults
}

/// The keys that a request is about, as its sender knows them; of one that never arrived, from its body.
fn keys_of(exchange: &Exchange) -> Vec<String> {
    exchange.items.iter().map(|item| item.key.clone()).collect()
}

/// Whether a line tells the truth about a request: its answer, or that none is known.
fn agrees(line: &Line, exchange: &Exchange) -> bool {
    let status = exchange.reply.as_ref().map(|reply: &Reply| reply.status);
    match line.status {
        None => exchange.ended_at.is_none() || status.is_none() || line.outcome == "unknown",
        Some(_) if line.status != status => false,
        Some(_) => line.outcome != "accepted" || exchange.is_acknowledged(),
    }
}
