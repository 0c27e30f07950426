//! A run that ended, shown.

use ebb_engine::{RunCounts, RunReport, RunStatus};
use ebb_schedule::Verdict;
use serde::Serialize;

use super::due::{self, DueDocument};
use super::number::{counted, duration, grouped};
use super::paint::Paint;
use super::table::{Align, Table};
use super::{Out, escape};

/// What became of one sync of an invocation.
#[derive(Debug)]
pub(crate) enum Ended {
    /// It was run.
    Run(RunReport),
    /// It was not run.
    NotRun {
        /// The sync.
        sync: String,
        /// `refused` or `failed` where it was tried, `not_run` where it was not.
        status: &'static str,
        /// Why.
        reason: String,
    },
}

/// A run for machines.
#[derive(Debug, Serialize)]
pub(crate) struct RunDocument<'a> {
    run: Option<&'a str>,
    sync: &'a str,
    status: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    counts: Option<RunCounts>,
    messages: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    due: Option<DueDocument<'a>>,
}

/// Writes the document of an invocation.
pub(crate) fn write_json(out: &mut Out, ended: &[Ended]) {
    let runs: Vec<RunDocument<'_>> = ended.iter().map(|ended| document(ended, None)).collect();
    out.json_document(&serde_json::json!({ "runs": runs }));
}

/// Writes the document of an invocation of what is due; one verdict for each.
pub(crate) fn write_due_json(out: &mut Out, ended: &[Ended], verdicts: &[Verdict]) {
    let both = ended.iter().zip(verdicts);
    let runs: Vec<RunDocument<'_>> =
        both.map(|(ended, verdict)| document(ended, Some(due::document(verdict)))).collect();
    out.json_document(&serde_json::json!({ "runs": runs }));
}

fn document<'a>(ended: &'a Ended, due: Option<DueDocument<'a>>) -> RunDocument<'a> {
    match ended {
        Ended::Run(report) => RunDocument { due, ..run_document(report) },
        Ended::NotRun { sync, status, reason } => {
            RunDocument { run: None, sync, status, counts: None, messages: vec![reason], due }
        }
    }
}

/// Writes one run for people: its status, the sum of the fates, why it is not `succeeded`, and what to do next.
pub(crate) fn write_text(out: &mut Out, ended: &Ended) {
    let paint = out.paint;
    match ended {
        Ended::Run(report) => {
            let counts = &report.counts;
            out.line(format_args!(
                "{}: {} in {}, {}",
                paint.strong(&escape::terminal(&report.sync)),
                status(report.status, paint),
                duration(counts.duration_ms),
                counted(counts.calls, "call"),
            ));
            out.line(format_args!("  {}", sum_line(counts)));
            if counts.adopted > 0 {
                out.line(format_args!("  {} adopted: taken as accepted, not sent", counted(counts.adopted, "row")));
            }
            if counts.removed > 0 {
                out.line(format_args!("  {} left the model", counted(counts.removed, "row")));
            }
            for message in &report.messages {
                out.line(format_args!("  {}: {}", paint.note("note"), escape::terminal(message)));
            }
            out.line(format_args!("  run {}", report.id));
        }
        Ended::NotRun { sync, status, reason } => {
            let name = escape::terminal(sync);
            let status = status.replace('_', " ");
            out.line(format_args!("{}: {}: {}", paint.strong(&name), paint.change(&status), escape::terminal(reason)));
        }
    }
}

/// Returns a run in one line, for people who follow many.
pub(crate) fn one_line(report: &RunReport, paint: Paint) -> String {
    let counts = &report.counts;
    let mut line = format!(
        "{}: {} in {}, {}; {}",
        paint.strong(&escape::terminal(&report.sync)),
        status(report.status, paint),
        duration(counts.duration_ms),
        counted(counts.calls, "call"),
        sum_line(counts),
    );
    for message in &report.messages {
        line.push_str("; ");
        line.push_str(&escape::terminal(message));
    }
    line.push_str("; run ");
    line.push_str(&report.id.0);
    line
}

/// Returns a run for machines.
pub(crate) fn run_document(report: &RunReport) -> RunDocument<'_> {
    RunDocument {
        run: Some(&report.id.0),
        sync: &report.sync,
        status: report.status.word(),
        counts: Some(report.counts),
        messages: report.messages.iter().map(String::as_str).collect(),
        due: None,
    }
}

/// Returns a status in its colour.
pub(crate) fn status(status: RunStatus, paint: Paint) -> String {
    match status {
        RunStatus::Succeeded => paint.good(status.word()).into_owned(),
        RunStatus::Partial | RunStatus::Interrupted => paint.change(status.word()).into_owned(),
        RunStatus::Failed | RunStatus::Refused => paint.bad(status.word()).into_owned(),
    }
}

/// Returns the sum that always holds: every row read has one fate.
pub(crate) fn sum_line(counts: &RunCounts) -> String {
    format!(
        "read {} = {} unchanged + {} accepted + {} rejected + {} skipped + {} pending",
        grouped(counts.read),
        grouped(counts.unchanged),
        grouped(counts.accepted),
        grouped(counts.rejected),
        grouped(counts.skipped),
        grouped(counts.pending),
    )
}

/// Writes the table of an invocation of several syncs.
pub(crate) fn write_table(out: &mut Out, ended: &[Ended]) {
    let mut table = Table::new(&[
        ("sync", Align::Left),
        ("status", Align::Left),
        ("read", Align::Right),
        ("unchanged", Align::Right),
        ("accepted", Align::Right),
        ("rejected", Align::Right),
        ("skipped", Align::Right),
        ("pending", Align::Right),
        ("calls", Align::Right),
        ("time", Align::Right),
    ]);
    for one in ended {
        match one {
            Ended::Run(report) => {
                let counts = &report.counts;
                let numbers = [
                    counts.read,
                    counts.unchanged,
                    counts.accepted,
                    counts.rejected,
                    counts.skipped,
                    counts.pending,
                    counts.calls,
                ];
                let mut cells = vec![report.sync.clone(), report.status.to_string()];
                cells.extend(numbers.map(grouped));
                cells.push(duration(counts.duration_ms));
                table.row(cells);
            }
            Ended::NotRun { sync, status, .. } => table.row([sync.as_str(), &status.replace('_', " ")]),
        }
    }
    for line in table.lines() {
        out.line(line);
    }
}

/// Returns the commands that lead on from a run, most useful first.
pub(crate) fn next_steps(ended: &[Ended]) -> Vec<String> {
    let mut steps = Vec::new();
    for one in ended {
        let Ended::Run(report) = one else { continue };
        let sync = escape::terminal(&report.sync);
        if report.counts.rejected > 0 {
            steps.push(format!("ebb rejected {sync}"));
        }
        if report.counts.calls > 0 && (report.counts.rejected > 0 || report.counts.pending > 0) {
            steps.push(format!("ebb logs {}", report.id));
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_is_one_line() {
        let counts =
            RunCounts { read: 1_204, unchanged: 1_190, accepted: 12, rejected: 1, pending: 1, ..RunCounts::default() };
        assert!(counts.holds());
        assert_eq!(
            sum_line(&counts),
            "read 1,204 = 1,190 unchanged + 12 accepted + 1 rejected + 0 skipped + 1 pending"
        );
    }
}
