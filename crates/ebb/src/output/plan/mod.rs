//! A plan, shown: what a run would change, row by row and field by field.

mod json;
mod markdown;
mod text;

use ebb_engine::PlanSummary;
use ebb_row::{Change, FieldChange, OperationKind, diff_records};
use ebb_state::{PlanKind, PlanReader, PlanRow};

use super::number::{counted, grouped};
use super::{Format, Out, value};
use crate::exit::Failure;

/// A plan of one sync, as it is shown.
#[derive(Debug)]
pub(crate) struct Planned {
    /// The plan.
    pub(crate) summary: PlanSummary,
    /// The name of the destination in `ebb.yaml`.
    pub(crate) destination: String,
    /// Records that one write carries; `None` where the calls are not to be estimated, since the plan was run.
    pub(crate) batch_size: Option<u64>,
}

/// How a plan is shown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PlanView {
    /// The form.
    pub(crate) format: Format,
    /// Operations shown of each sync; `None` shows all.
    pub(crate) most: Option<usize>,
    /// Cell values in Markdown.
    pub(crate) show_values: bool,
}

/// Writes plans in their order.
///
/// # Errors
/// A plan file that cannot be read.
pub(crate) fn write(out: &mut Out, plans: &[Planned], view: PlanView) -> Result<(), Failure> {
    match view.format {
        Format::Text => plans.iter().try_for_each(|plan| text::write(out, plan, view)),
        Format::Markdown => plans.iter().try_for_each(|plan| markdown::write(out, plan, view)),
        Format::Json => json::write(out, plans),
    }
}

impl Planned {
    /// Returns the calls that the operations take, about: look-ups and retries come on top.
    fn estimated_calls(&self) -> Option<u64> {
        let counts = &self.summary.footer.counts;
        self.batch_size.map(|size| (counts.add + counts.change + counts.remove).div_ceil(size.max(1)))
    }

    /// Returns whether a run would send or adopt anything.
    pub(crate) fn has_changes(&self) -> bool {
        let counts = &self.summary.footer.counts;
        counts.add + counts.change + counts.remove + counts.adopt > 0
    }

    /// Returns whether a guard refuses it.
    pub(crate) fn is_refused(&self) -> bool {
        !self.summary.footer.refusals.is_empty()
    }

    /// Returns the counts in words, those that are zero and rare left out.
    fn counts_text(&self) -> String {
        let counts = &self.summary.footer.counts;
        let mut parts = vec![
            format!("{} to add", grouped(counts.add)),
            format!("{} to change", grouped(counts.change)),
            format!("{} to remove", grouped(counts.remove)),
            format!("{} unchanged", grouped(counts.unchanged)),
        ];
        let rare = [
            (counts.rejected + counts.null_keys, "rejected"),
            (counts.unknown, "unknown"),
            (counts.adopt, "to adopt"),
            (counts.gone.saturating_sub(counts.remove), "left the model"),
        ];
        parts.extend(
            rare.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{} {word}", grouped(*count))),
        );
        if let Some(calls) = self.estimated_calls().filter(|calls| *calls > 0) {
            parts.push(format!("about {}", counted(calls, "call")));
        }
        parts.join(" · ")
    }

    /// Returns what is to be said of rows without a key.
    fn null_keys_text(&self) -> Option<String> {
        let footer = &self.summary.footer;
        if footer.counts.null_keys == 0 {
            return None;
        }
        let rows: Vec<String> = footer.null_key_rows.iter().map(|row| grouped(*row)).collect();
        let sample = if rows.is_empty() { String::new() } else { format!(" (at position {})", rows.join(", ")) };
        Some(format!("{} rejected: the primary key is null{sample}", counted(footer.counts.null_keys, "row")))
    }
}

/// Calls `show` with each row of a plan that is worth a look: operations, rejected, unknown, adopted and gone rows.
/// Stops to show after `most`, and returns how many more there are.
fn each_row(plan: &Planned, most: Option<usize>, mut show: impl FnMut(&PlanRow)) -> Result<u64, Failure> {
    let mut reader = PlanReader::open(&plan.summary.file, None)?;
    let mut shown = 0;
    let mut more = 0;
    while let Some(row) = reader.next_row()? {
        if row.kind == PlanKind::Refresh {
            continue;
        }
        if most.is_some_and(|most| shown >= most) {
            more += 1;
            continue;
        }
        show(&row);
        shown += 1;
    }
    Ok(more)
}

/// Returns the word for what happens to a row, in JSON and Markdown.
fn word(kind: PlanKind) -> &'static str {
    match kind {
        PlanKind::Operation(operation) => operation.word(),
        PlanKind::Refresh => "refresh",
        PlanKind::Adopt => "adopt",
        PlanKind::Gone => "gone",
        PlanKind::Reject => "reject",
        PlanKind::Unknown => "unknown",
    }
}

/// Returns the fields of a row that change. An added or adopted row has only new ones, a removed one none.
fn changes(row: &PlanRow) -> Vec<FieldChange> {
    let after = value::fields(row.record.as_deref());
    match row.kind {
        PlanKind::Operation(OperationKind::Add) | PlanKind::Adopt => diff_records(&ebb_row::Object::default(), &after),
        PlanKind::Operation(OperationKind::Change) => diff_records(&value::fields(row.previous.as_deref()), &after),
        PlanKind::Operation(OperationKind::Remove)
        | PlanKind::Refresh
        | PlanKind::Gone
        | PlanKind::Reject
        | PlanKind::Unknown => Vec::new(),
    }
}

/// Returns whether a field of an operation is sent; one that the record lost stays as it is at the destination.
fn is_sent(change: &Change) -> bool {
    match change {
        Change::Added(_) | Change::Changed(..) => true,
        Change::Removed(_) => false,
    }
}
