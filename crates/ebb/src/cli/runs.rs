//! `ebb runs`: what was run.

use clap::Args;
use ebb_state::RunFilter;

use super::Context;
use crate::exit::{Exit, Failure};
use crate::output::history;
use crate::output::number::time;
use crate::output::table::{Align, Table};
use crate::workspace::Workspace;

/// Lists runs, newest first.
#[derive(Debug, Args)]
pub(crate) struct RunsArgs {
    /// Only runs of this sync.
    #[arg(value_name = "SYNC")]
    sync: Option<String>,
    /// At most this many; 0 lists all.
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: u32,
}

pub(super) async fn main(context: &Context, args: RunsArgs) -> Result<Exit, Failure> {
    let is_json = context.is_json()?;
    let workspace = Workspace::open(context)?;
    let runs = match workspace.existing_store()? {
        Some(store) => store.runs(&RunFilter { sync: args.sync, limit: args.limit }).await?,
        None => Vec::new(),
    };
    let mut out = context.out();
    if is_json {
        for run in &runs {
            out.json(&history::document(run));
        }
        out.finish()?;
        return Ok(Exit::Done);
    }
    if runs.is_empty() {
        context.notes().say("nothing was run yet");
    } else {
        let mut table = Table::new(&[
            ("run", Align::Left),
            ("sync", Align::Left),
            ("status", Align::Left),
            ("started", Align::Left),
            ("by", Align::Left),
            ("rows", Align::Left),
        ]);
        for run in &runs {
            let rows = history::counts(run).map(|counts| history::short_counts(&counts)).unwrap_or_default();
            let cells = [
                &run.run.id.to_string(),
                &run.run.sync,
                &run.status,
                &time(&run.run.started_at),
                &run.run.trigger,
                &rows,
            ];
            table.row(cells);
        }
        for line in table.lines() {
            out.line(line);
        }
    }
    out.finish()?;
    Ok(Exit::Done)
}
