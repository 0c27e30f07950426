//! `ebb show`: one run.

use clap::Args;
use ebb_state::RunFilter;

use super::Context;
use crate::exit::{Exit, Failure};
use crate::output::run::sum_line;
use crate::output::{escape, history, number};
use crate::workspace::{Workspace, find_run};

/// Shows one run: its status, the fates of its rows, what it ran and why it ended so.
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// The run's id or the beginning of it, or a sync, for its latest run.
    #[arg(value_name = "RUN")]
    run: String,
}

pub(super) async fn main(context: &Context, args: ShowArgs) -> Result<Exit, Failure> {
    let is_json = context.is_json()?;
    let workspace = Workspace::open(context)?;
    let none = || Failure::usage("nothing was run yet").hint("`ebb run` runs the project's syncs");
    let store = workspace.existing_store()?.ok_or_else(none)?;
    let latest = if workspace.project.sync(&args.run).is_some() {
        store.runs(&RunFilter { sync: Some(args.run.clone()), limit: 1, ..RunFilter::default() }).await?.pop()
    } else {
        None
    };
    let run = match latest {
        Some(run) => run,
        None => find_run(store.as_ref(), &args.run).await?,
    };
    let mut out = context.out();
    if is_json {
        out.json_document(&history::document(&run));
        out.finish()?;
        return Ok(Exit::Done);
    }
    let paint = out.paint;
    let label = |text: &str| paint.dim(&format!("{text:<10}")).into_owned();
    out.line(format_args!("{}{}", label("run"), run.run.id));
    out.line(format_args!("{}{}", label("sync"), escape::terminal(&run.run.sync)));
    out.line(format_args!("{}{}", label("status"), history::status_text(&run.status, paint)));
    out.line(format_args!("{}{}", label("started"), number::time(&run.run.started_at)));
    if let Some(finished) = &run.finished_at {
        out.line(format_args!("{}{}", label("finished"), number::time(finished)));
    }
    out.line(format_args!("{}{}", label("by"), escape::terminal(&run.run.trigger)));
    out.line(format_args!("{}{}", label("commit"), run.run.commit.as_deref().unwrap_or("not in git")));
    out.line(format_args!("{}{}", label("config"), run.run.config));
    if let Some(counts) = history::counts(&run) {
        out.line(format_args!("{}{}", label("rows"), sum_line(&counts)));
        out.line(format_args!("{}{}", label("calls"), number::grouped(counts.calls)));
    }
    for message in history::messages(&run) {
        out.line(format_args!("{}{}", label("note"), escape::terminal(&message)));
    }
    let folder = workspace.state_directory().join("runs").join(&*run.run.id.0);
    out.line(format_args!("{}{}", label("log"), folder.join("calls.jsonl").display()));
    out.finish()?;
    Ok(Exit::Done)
}
