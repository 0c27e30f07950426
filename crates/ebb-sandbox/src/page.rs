//! The pages for people. Every one says that this is a stand-in.

use serde_json::Value;

use crate::store::{Entry, Table};
use crate::world::World;

const SHOWN: usize = 20;

const NOTICE: &str = "This is a stand-in for Vitally, not Vitally. It runs on this machine, keeps everything in \
    memory, and forgets it when it stops.";

/// What the sandbox holds and what it was last asked.
pub(crate) fn overview(world: &World) -> String {
    let counts = world.counts();
    let mut html = String::new();
    let records = [
        ("accounts", counts.records.accounts),
        ("organizations", counts.records.organizations),
        ("users", counts.records.users),
        ("instances of custom objects", counts.records.instances),
        ("events", counts.records.events),
        ("messages not yet visible", counts.messages.pending),
    ];
    table(
        &mut html,
        "Records",
        &["kind", "count"],
        records.iter().map(|(kind, count)| cells([kind, &count.to_string()])),
    );
    let traffic = [("REST", counts.rest), ("Analytics", counts.analytics)].map(|(api, count)| {
        cells([
            api,
            &count.requests.to_string(),
            &count.throttled.to_string(),
            &count.most_requests_in_a_minute.to_string(),
        ])
    });
    table(&mut html, "Traffic", &["API", "requests", "answers of 429", "most in a minute"], traffic.into_iter());
    let operations = counts.operations.iter().map(|(name, count)| {
        let statuses: Vec<String> = count.statuses.iter().map(|(status, times)| format!("{status}: {times}")).collect();
        cells([name, &count.requests.to_string(), &statuses.join(", ")])
    });
    table(&mut html, "Operations", &["operation", "requests", "by status"], operations);
    records_of(&mut html, "Newest accounts", &world.store.accounts);
    records_of(&mut html, "Newest organizations", &world.store.organizations);
    records_of(&mut html, "Newest users", &world.store.users);
    events(&mut html, &world.store.events);
    let requests = world.journal.latest(SHOWN).map(|request| {
        let status = request.status.map(|status| status.to_string()).unwrap_or_default();
        let line = format!("{} {}", request.method, request.path);
        cells([&request.time, &line, &status, request.fault.unwrap_or_default()])
    });
    table(&mut html, "Latest requests", &["time", "request", "status", "fault"], requests);
    page(&html)
}

/// What a path gets that is nothing here.
pub(crate) fn missing() -> String {
    page("<p>There is nothing at this address. <a href=\"/\">To the overview</a>.</p>")
}

/// What the fault `html` answers with: the page of some proxy in between.
pub(crate) fn proxy() -> String {
    page("<p>The fault plan answered with this page instead of JSON.</p>")
}

fn records_of<T>(html: &mut String, title: &str, records: &Table<T>) {
    let newest = records.iter().rev().take(SHOWN).map(|(_, entry): (_, &Entry<T>)| {
        let traits = Value::Object(entry.traits.clone()).to_string();
        cells([&entry.external_id, entry.name.as_deref().unwrap_or_default(), &traits, &entry.updated_at.text()])
    });
    table(html, title, &["externalId", "name", "traits", "updatedAt"], newest);
}

fn events(html: &mut String, events: &[Value]) {
    let text = |event: &Value, key: &str| event.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let newest = events.iter().rev().take(SHOWN).map(|event| {
        let properties = event.get("properties").map(Value::to_string).unwrap_or_default();
        cells([&text(event, "timestamp"), &text(event, "event"), &text(event, "userId"), &properties])
    });
    table(html, "Latest events", &["timestamp", "event", "userId", "properties"], newest);
}

fn table(html: &mut String, title: &str, columns: &[&str], rows: impl Iterator<Item = String>) {
    let rows: String = rows.collect();
    if rows.is_empty() {
        return;
    }
    let heads = row("th", columns);
    html.extend(["<h2>", &escaped(title), "</h2><table>", &heads, &rows, "</table>"]);
}

fn cells<const N: usize>(values: [&str; N]) -> String {
    row("td", &values)
}

fn row(tag: &str, values: &[&str]) -> String {
    let mut html = "<tr>".to_owned();
    for value in values {
        html.extend(["<", tag, ">", &escaped(value), "</", tag, ">"]);
    }
    html.push_str("</tr>");
    html
}

fn page(content: &str) -> String {
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Stand-in for Vitally</title><style>\
         body{{font:14px/1.4 system-ui,sans-serif;margin:2em;max-width:75em}}\
         .notice{{background:#fff3c4;border:1px solid #d9b300;padding:.7em 1em}}\
         table{{border-collapse:collapse}}td,th{{border:1px solid #ccc;padding:.2em .6em;text-align:left;\
         overflow-wrap:anywhere}}</style></head><body><h1>ebb sandbox</h1><p class=\"notice\">{NOTICE}</p>\
         {content}</body></html>"
    )
}

fn escaped(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            _ => html.push(letter),
        }
    }
    html
}
