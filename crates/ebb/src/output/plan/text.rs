//! A plan for a terminal.

use ebb_row::{Change, FieldChange, OperationKind};
use ebb_state::{PlanKind, PlanRow};

use super::{PlanView, Planned, changes, each_row};
use crate::exit::Failure;
use crate::output::number::{counted, grouped};
use crate::output::paint::Paint;
use crate::output::value::{SHOWN_CHARACTERS, shown};
use crate::output::{Out, escape};

/// Fields of an added row that are shown where not everything is.
const MOST_FIELDS: usize = 8;

pub(super) fn write(out: &mut Out, plan: &Planned, view: PlanView) -> Result<(), Failure> {
    let paint = out.paint;
    let header = &plan.summary.header;
    let target = format!("{} {} ({}, {})", plan.destination, header.object, header.mode, header.api);
    out.line(format_args!("{} → {}", paint.strong(&escape::terminal(&header.sync)), escape::terminal(&target)));
    out.line(format_args!("  {}: {}", counted(plan.summary.footer.counts.read, "row"), plan.counts_text()));
    let limit = view.most.map(|_| MOST_FIELDS);
    let mut is_first = true;
    let more = each_row(plan, view.most, |row| {
        if std::mem::take(&mut is_first) {
            out.line("");
        }
        out.line(row_text(row, limit, paint));
    })?;
    if more > 0 {
        let text = format!("… and {} more (--all shows them)", grouped(more));
        out.line(format_args!("  {}", paint.dim(&text)));
    }
    if let Some(text) = plan.null_keys_text() {
        out.line(format_args!("  {} {text}", paint.bad("!")));
    }
    for note in &plan.summary.footer.notes {
        out.line(format_args!("  {}: {}", paint.note("note"), escape::terminal(note)));
    }
    for (guard, message) in &plan.summary.footer.refusals {
        let label = paint.error("refused");
        out.line(format_args!("  {label} by guard `{}`: {}", escape::terminal(guard), escape::terminal(message)));
        out.line(format_args!("    to let it pass once: --override-guard {}", escape::terminal(guard)));
    }
    out.line("");
    Ok(())
}

fn row_text(row: &PlanRow, most: Option<usize>, paint: Paint) -> String {
    let key = escape::terminal(row.key.text()).into_owned();
    let reason = || escape::terminal(row.reason.as_deref().unwrap_or("no reason is known")).into_owned();
    let fields = || fields_text(&changes(row), most, paint);
    match row.kind {
        PlanKind::Operation(OperationKind::Add) => format!("  {} {key}  {}", paint.good("+"), fields()),
        PlanKind::Operation(OperationKind::Change) => format!("  {} {key}  {}", paint.change("~"), fields()),
        PlanKind::Operation(OperationKind::Remove) => format!("  {} {key}  removed", paint.bad("-")),
        PlanKind::Adopt => format!("  {} {key}  taken as accepted, not sent", paint.note("=")),
        PlanKind::Gone => format!("  {} {key}  left the model, nothing is sent", paint.dim(".")),
        PlanKind::Reject => format!("  {} {key}  rejected: {}", paint.bad("!"), reason()),
        PlanKind::Unknown => format!("  {} {key}  unknown: {}", paint.change("?"), reason()),
        PlanKind::Refresh => format!("  {} {key}", paint.dim("=")),
    }
}

/// Returns field changes as `name: "Northwind", traits.plan: "pro" → "enterprise"`.
fn fields_text(changes: &[FieldChange], most: Option<usize>, paint: Paint) -> String {
    if changes.is_empty() {
        return paint.dim("(sent again as it is)").into_owned();
    }
    let most = most.unwrap_or(changes.len());
    let mut parts: Vec<String> = changes.iter().take(most).map(|change| field_text(change, paint)).collect();
    if changes.len() > most {
        parts.push(paint.dim(&format!("… {} more", changes.len() - most)).into_owned());
    }
    parts.join(", ")
}

fn field_text(change: &FieldChange, paint: Paint) -> String {
    let path = escape::terminal(&change.path);
    match &change.change {
        Change::Added(value) => format!("{path}: {}", shown(value, SHOWN_CHARACTERS)),
        Change::Changed(before, after) => {
            let (before, after) = (shown(before, SHOWN_CHARACTERS), shown(after, SHOWN_CHARACTERS));
            format!("{path}: {} → {}", paint.bad(&before), paint.good(&after))
        }
        Change::Removed(_) => paint.dim(&format!("{path}: no longer mapped, stays as it is")).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ebb_row::{Hash128, RowKey};

    use super::*;

    fn row(kind: PlanKind, record: Option<&str>, previous: Option<&str>, reason: Option<&str>) -> PlanRow {
        PlanRow {
            key: RowKey::new("a-1\u{1b}"),
            kind,
            seen: Hash128::default(),
            digest: Hash128::default(),
            entry: None,
            revision: 0,
            record: record.map(Arc::from),
            previous: previous.map(Arc::from),
            destination_id: None,
            reason: reason.map(str::to_owned),
            rejected_by: None,
        }
    }

    #[test]
    fn operations_show_their_fields() {
        let check = |row: PlanRow, expected: &str| assert_eq!(row_text(&row, Some(2), Paint::new(false)), expected);
        let add = PlanKind::Operation(OperationKind::Add);
        let change = PlanKind::Operation(OperationKind::Change);
        check(
            row(add, Some(r#"{"name":"Nort\u001bhwind","traits":{"seats":9007199254740993,"a":1}}"#), None, None),
            "  + a-1␛  name: \"Nort\\u001bhwind\", traits.seats: 9007199254740993, … 1 more",
        );
        check(
            row(
                change,
                Some(r#"{"traits":{"plan":"enterprise"}}"#),
                Some(r#"{"traits":{"plan":"pro","old":1}}"#),
                None,
            ),
            "  ~ a-1␛  traits.plan: \"pro\" → \"enterprise\", traits.old: no longer mapped, stays as it is",
        );
        check(row(change, Some("{}"), Some("{}"), None), "  ~ a-1␛  (sent again as it is)");
        check(row(PlanKind::Operation(OperationKind::Remove), None, None, None), "  - a-1␛  removed");
        check(row(PlanKind::Reject, None, None, Some("no\u{202e}")), "  ! a-1␛  rejected: no<U+202E>");
    }

    #[test]
    fn a_look_up_is_shown_as_it_is_written() {
        let add = PlanKind::Operation(OperationKind::Add);
        let record = r#"{"organizationId":{"$lookup":"organization","externalId":"o-1"}}"#;
        assert_eq!(
            row_text(&row(add, Some(record), None, None), None, Paint::new(false)),
            "  + a-1␛  organizationId: {\"$lookup\":\"organization\",\"externalId\":\"o-1\"}"
        );
    }
}
