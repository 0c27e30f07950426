//! Lines of the log of calls, shown.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::number::milliseconds;
use super::value::cut;
use super::{Out, escape};

/// The characters of a body that are shown.
const SHOWN_BODY: usize = 4_000;

/// A line of `calls.jsonl`, as far as people are shown it.
#[derive(Deserialize)]
struct Call {
    time: String,
    #[serde(default)]
    operation: String,
    #[serde(default)]
    keys: Vec<String>,
    #[serde(default)]
    attempt: u32,
    #[serde(default)]
    method: String,
    #[serde(default)]
    url: String,
    #[serde(default)]
    request_headers: Option<Box<RawValue>>,
    #[serde(default)]
    request_body: Option<Box<RawValue>>,
    status: Option<u16>,
    #[serde(default)]
    response_headers: Option<Box<RawValue>>,
    #[serde(default)]
    response_body: Option<Box<RawValue>>,
    #[serde(default)]
    duration_ms: f64,
    #[serde(default)]
    wait_ms: f64,
    #[serde(default)]
    outcome: Option<String>,
    #[serde(default)]
    reason: Option<String>,
}

/// Writes a call; whole with headers and bodies, or on one line.
pub(crate) fn write_text(out: &mut Out, line: &str, is_whole: bool) {
    let Ok(call) = serde_json::from_str::<Call>(line) else {
        out.line(escape::terminal(line));
        return;
    };
    let paint = out.paint;
    let outcome = call.outcome.as_deref().unwrap_or("-");
    let outcome = match outcome {
        "accepted" => paint.good(outcome).into_owned(),
        "rejected" => paint.bad(outcome).into_owned(),
        other => paint.change(&escape::terminal(other)).into_owned(),
    };
    let status = call.status.map_or_else(|| "no answer".to_owned(), |status| status.to_string());
    let reason = call.reason.as_deref().map(|reason| format!("  {}", escape::terminal(reason))).unwrap_or_default();
    out.line(format_args!(
        "{}  {} {}  {} {}  {status}  {outcome}  {}{reason}",
        paint.dim(&escape::terminal(&call.time)),
        escape::terminal(&call.operation),
        keys_text(&call.keys),
        escape::terminal(&call.method),
        escape::terminal(&call.url),
        milliseconds(call.duration_ms),
    ));
    if !is_whole {
        return;
    }
    out.line(format_args!("    attempt {}, waited {}", call.attempt, milliseconds(call.wait_ms)));
    for (arrow, headers, body) in
        [(">", &call.request_headers, &call.request_body), ("<", &call.response_headers, &call.response_body)]
    {
        for header in headers.as_deref().map(headers_text).unwrap_or_default() {
            out.line(format_args!("    {} {}", paint.dim(arrow), paint.dim(&escape::terminal(&header))));
        }
        if let Some(body) = body.as_deref().and_then(body_text) {
            out.line(format_args!("    {} {}", paint.dim(arrow), escape::terminal(&cut(&body, SHOWN_BODY))));
        }
    }
}

fn keys_text(keys: &[String]) -> String {
    match keys {
        [] => "-".to_owned(),
        [key] => escape::terminal(key).into_owned(),
        [key, rest @ ..] => format!("{} and {} more", escape::terminal(key), rest.len()),
    }
}

/// Returns headers, an object or a list of pairs, as lines.
fn headers_text(headers: &RawValue) -> Vec<String> {
    if let Ok(object) = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(headers.get()) {
        return object.iter().map(|(name, value)| format!("{name}: {}", plain(value))).collect();
    }
    if let Ok(pairs) = serde_json::from_str::<Vec<(String, serde_json::Value)>>(headers.get()) {
        return pairs.iter().map(|(name, value)| format!("{name}: {}", plain(value))).collect();
    }
    Vec::new()
}

fn plain(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Returns a body: text as it is, JSON as it was written, digits kept.
fn body_text(body: &RawValue) -> Option<String> {
    match body.get() {
        "null" | "\"\"" => None,
        text if text.starts_with('"') => serde_json::from_str::<String>(text).ok(),
        text => Some(text.to_owned()),
    }
}
