//! Plans for machines: one document, written as it is read (docs/cli.md has its shape).

use ebb_row::{Change, FieldChange, Value};
use ebb_state::PlanRow;
use serde::Serialize;
use serde_json::value::RawValue;

use super::{Planned, changes, each_row, word};
use crate::exit::Failure;
use crate::output::Out;
use crate::output::value::json_text;

#[derive(Serialize)]
struct Counts {
    read: u64,
    unchanged: u64,
    add: u64,
    change: u64,
    remove: u64,
    rejected: u64,
    null_keys: u64,
    unknown: u64,
    adopt: u64,
    gone: u64,
    live_before: u64,
}

#[derive(Serialize)]
struct Refusal<'a> {
    guard: &'a str,
    message: &'a str,
}

#[derive(Serialize)]
struct Operation<'a> {
    kind: &'static str,
    key: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    changes: Vec<Field>,
    #[serde(skip_serializing_if = "Option::is_none")]
    record: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    destination_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rejected_by: Option<&'a str>,
}

#[derive(Serialize)]
struct Field {
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<Box<RawValue>>,
}

pub(super) fn write(out: &mut Out, plans: &[Planned]) -> Result<(), Failure> {
    out.text("{\"syncs\":[");
    for (at, plan) in plans.iter().enumerate() {
        out.text(if at == 0 { "\n" } else { ",\n" });
        write_sync(out, plan)?;
    }
    out.text("\n]}\n");
    Ok(())
}

fn write_sync(out: &mut Out, plan: &Planned) -> Result<(), Failure> {
    let header = &plan.summary.header;
    let footer = &plan.summary.footer;
    let counts = Counts {
        read: footer.counts.read,
        unchanged: footer.counts.unchanged,
        add: footer.counts.add,
        change: footer.counts.change,
        remove: footer.counts.remove,
        rejected: footer.counts.rejected,
        null_keys: footer.counts.null_keys,
        unknown: footer.counts.unknown,
        adopt: footer.counts.adopt,
        gone: footer.counts.gone,
        live_before: footer.counts.live,
    };
    let refusals: Vec<Refusal<'_>> =
        footer.refusals.iter().map(|(guard, message)| Refusal { guard, message }).collect();
    out.text("{\"sync\":");
    out.json_part(&header.sync);
    member(out, "plan", &header.id);
    member(out, "destination", &plan.destination);
    member(out, "destination_id", &header.destination);
    member(out, "object", &header.object);
    member(out, "mode", &header.mode);
    member(out, "api", &header.api);
    member(out, "counts", &counts);
    if let Some(calls) = plan.estimated_calls() {
        member(out, "estimated_calls", &calls);
    }
    member(out, "refusals", &refusals);
    member(out, "notes", &footer.notes);
    out.text(",\"operations\":[");
    let mut is_first = true;
    each_row(plan, None, |row| {
        out.text(if std::mem::take(&mut is_first) { "\n" } else { ",\n" });
        out.json_part(&operation(row));
    })?;
    out.text("]}");
    Ok(())
}

fn member(out: &mut Out, name: &str, value: &impl Serialize) {
    out.text(",");
    out.json_part(&name);
    out.text(":");
    out.json_part(value);
}

fn operation(row: &PlanRow) -> Operation<'_> {
    Operation {
        kind: word(row.kind),
        key: row.key.text(),
        changes: changes(row).iter().map(field).collect(),
        record: row.record.as_deref().and_then(raw),
        previous: row.previous.as_deref().and_then(raw),
        destination_id: row.destination_id.as_deref(),
        reason: row.reason.as_deref(),
        rejected_by: row.rejected_by.as_deref(),
    }
}

fn field(change: &FieldChange) -> Field {
    let raw = |value: &Value| raw(&json_text(value));
    let (before, after) = match &change.change {
        Change::Added(after) => (None, raw(after)),
        Change::Changed(before, after) => (raw(before), raw(after)),
        Change::Removed(before) => (raw(before), None),
    };
    Field { path: change.path.clone(), before, after }
}

/// Returns JSON text as it is, digits kept.
fn raw(text: &str) -> Option<Box<RawValue>> {
    RawValue::from_string(text.to_owned()).ok()
}
