//! A plan for a pull request's comment: keys, field names and counts; values only when asked for.

use ebb_row::{Change, FieldChange};
use ebb_state::PlanRow;

use super::{PlanView, Planned, changes, each_row, is_sent, word};
use crate::exit::Failure;
use crate::output::Out;
use crate::output::escape::{markdown, markdown_code};
use crate::output::number::{counted, grouped};
use crate::output::value::{SHOWN_CHARACTERS, cut, json_text};

pub(super) fn write(out: &mut Out, plan: &Planned, view: PlanView) -> Result<(), Failure> {
    let header = &plan.summary.header;
    let target = format!("{} {}", plan.destination, header.object);
    out.line(format_args!("### {} → {}\n", markdown_code(&header.sync), markdown_code(&target)));
    out.line(format_args!("{}: {}\n", counted(plan.summary.footer.counts.read, "row"), plan.counts_text()));
    for (guard, message) in &plan.summary.footer.refusals {
        out.line(format_args!("> **Refused** by guard {}: {}\n", markdown_code(guard), markdown(message)));
    }
    for note in &plan.summary.footer.notes {
        out.line(format_args!("> {}\n", markdown(note)));
    }
    if let Some(text) = plan.null_keys_text() {
        out.line(format_args!("> {text}\n"));
    }
    let mut is_first = true;
    let more = each_row(plan, view.most, |row| {
        if std::mem::take(&mut is_first) {
            out.line("| | key | fields |\n|---|---|---|");
        }
        out.line(row_text(row, view.show_values));
    })?;
    if !is_first {
        out.line("");
    }
    if more > 0 {
        out.line(format_args!("… and {} more.\n", grouped(more)));
    }
    Ok(())
}

fn row_text(row: &PlanRow, show_values: bool) -> String {
    let fields = match &row.reason {
        Some(reason) => markdown(reason),
        None => fields_text(&changes(row), show_values),
    };
    format!("| {} | {} | {fields} |", word(row.kind), markdown_code(row.key.text()))
}

fn fields_text(changes: &[FieldChange], show_values: bool) -> String {
    let sent = changes.iter().filter(|change| is_sent(&change.change));
    let parts: Vec<String> = sent.map(|change| field_text(change, show_values)).collect();
    parts.join(", ")
}

fn field_text(change: &FieldChange, show_values: bool) -> String {
    let path = markdown_code(&change.path);
    let code = |value| markdown_code(&cut(&json_text(value), SHOWN_CHARACTERS));
    match &change.change {
        Change::Added(value) if show_values => format!("{path}: {}", code(value)),
        Change::Changed(before, after) if show_values => format!("{path}: {} → {}", code(before), code(after)),
        Change::Added(_) | Change::Changed(..) | Change::Removed(_) => path,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ebb_row::{Hash128, OperationKind, RowKey};
    use ebb_state::PlanKind;

    use super::*;

    fn change(key: &str) -> PlanRow {
        PlanRow {
            key: RowKey::new(key),
            kind: PlanKind::Operation(OperationKind::Change),
            seen: Hash128::default(),
            digest: Hash128::default(),
            entry: None,
            revision: 1,
            record: Some(Arc::from(r#"{"name":"<b>","traits":{"plan":"a|b","n":1}}"#)),
            previous: Some(Arc::from(r#"{"name":"old","traits":{"plan":"pro","n":1}}"#)),
            destination_id: None,
            reason: None,
            rejected_by: None,
        }
    }

    #[test]
    fn values_are_hidden_unless_asked_for() {
        assert_eq!(row_text(&change("a-1"), false), "| change | `a-1` | `name`, `traits.plan` |");
        assert_eq!(
            row_text(&change("a|1"), true),
            "| change | <code>a&#124;1</code> | `name`: <code>&#34;old&#34;</code> → \
             <code>&#34;&#60;b&#62;&#34;</code>, `traits.plan`: <code>&#34;pro&#34;</code> → \
             <code>&#34;a&#124;b&#34;</code> |"
        );
    }
}
