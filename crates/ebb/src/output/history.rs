//! Runs as they are kept, shown.

use ebb_engine::RunCounts;
use ebb_state::RunRecord;
use serde::Serialize;
use serde_json::Value;

use super::escape;
use super::number::{grouped, json_time};
use super::paint::Paint;

/// A run for machines.
#[derive(Debug, Serialize)]
pub(crate) struct RunDocument<'a> {
    run: &'a str,
    sync: &'a str,
    status: &'a str,
    trigger: &'a str,
    started_at: String,
    finished_at: Option<String>,
    commit: Option<&'a str>,
    config: String,
    counts: Option<RunCounts>,
    messages: Vec<String>,
}

/// Returns a run for machines.
pub(crate) fn document(run: &RunRecord) -> RunDocument<'_> {
    RunDocument {
        run: &run.run.id.0,
        sync: &run.run.sync,
        status: &run.status,
        trigger: &run.run.trigger,
        started_at: json_time(&run.run.started_at),
        finished_at: run.finished_at.as_ref().map(json_time),
        commit: run.run.commit.as_deref(),
        config: run.run.config.to_string(),
        counts: counts(run),
        messages: messages(run),
    }
}

/// Returns the counts of a run that ended.
pub(crate) fn counts(run: &RunRecord) -> Option<RunCounts> {
    let summary: Value = serde_json::from_str(&run.summary).ok()?;
    let counts = summary.get("counts")?;
    let number = |name: &str| counts.get(name).and_then(Value::as_u64).unwrap_or(0);
    Some(RunCounts {
        read: number("read"),
        unchanged: number("unchanged"),
        accepted: number("accepted"),
        rejected: number("rejected"),
        skipped: number("skipped"),
        pending: number("pending"),
        adopted: number("adopted"),
        removed: number("removed"),
        calls: number("calls"),
        duration_ms: number("duration_ms"),
    })
}

/// Returns why a run is not `succeeded`.
pub(crate) fn messages(run: &RunRecord) -> Vec<String> {
    let summary: Value = serde_json::from_str(&run.summary).unwrap_or(Value::Null);
    let messages = summary.get("messages").and_then(Value::as_array).cloned().unwrap_or_default();
    messages.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Returns counts for a table: those that are not zero.
pub(crate) fn short_counts(counts: &RunCounts) -> String {
    let fates = [
        (counts.unchanged, "unchanged"),
        (counts.accepted, "accepted"),
        (counts.rejected, "rejected"),
        (counts.skipped, "skipped"),
        (counts.pending, "pending"),
    ];
    let parts: Vec<String> = fates
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| format!("{} {word}", grouped(*count)))
        .collect();
    if parts.is_empty() { format!("{} read", grouped(counts.read)) } else { parts.join(", ") }
}

/// Returns a kept status in its colour.
pub(crate) fn status_text(status: &str, paint: Paint) -> String {
    let text = escape::terminal(status);
    match status {
        "succeeded" => paint.good(&text).into_owned(),
        "failed" | "refused" => paint.bad(&text).into_owned(),
        _ => paint.change(&text).into_owned(),
    }
}
