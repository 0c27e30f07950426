//! `ebb show`: one run.

use clap::Args;
use ebb_engine::PlanSummary;
use ebb_state::{PlanReader, RunFilter, RunRecord, Store};

use super::Context;
use super::plan::view;
use crate::exit::{Exit, Failure};
use crate::output::plan::Planned;
use crate::output::run::sum_line;
use crate::output::{self, escape, history, number};
use crate::workspace::{Workspace, find_run};

/// Shows one run: its status, the fates of its rows, what it ran and why it ended so.
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// The run's id or the beginning of it, or a sync, for its latest run.
    #[arg(value_name = "RUN")]
    run: String,
    /// Show what the run was about to change instead, row by row and field by field.
    #[arg(long)]
    plan: bool,
    /// Show every operation of the plan, not only the first 50.
    #[arg(long, requires = "plan")]
    all: bool,
}

pub(super) async fn main(context: &Context, args: ShowArgs) -> Result<Exit, Failure> {
    let is_json = context.is_json()?;
    let workspace = Workspace::open(context)?;
    let none = || Failure::usage("nothing was run yet").hint("`ebb run` runs the project's syncs");
    let store = workspace.existing_store()?.ok_or_else(none)?;
    let latest = if workspace.project.sync(&args.run).is_some() {
        store.runs(&RunFilter { sync: Some(args.run.clone()), limit: 1 }).await?.pop()
    } else {
        None
    };
    let run = match latest {
        Some(run) => run,
        None => find_run(store.as_ref(), &args.run).await?,
    };
    let mut out = context.out();
    if args.plan {
        let plan = kept_plan(&workspace, store.as_ref(), &run).await?;
        output::plan::write(&mut out, &[plan], view(context, args.all, true))?;
        out.finish()?;
        return Ok(Exit::Done);
    }
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

/// Returns the plan that is kept with a run.
///
/// # Errors
/// There is none, or it cannot be read.
async fn kept_plan(workspace: &Workspace, store: &dyn Store, run: &RunRecord) -> Result<Planned, Failure> {
    let Some(file) = store.kept_plan(&run.run.id).await? else {
        let message = format!("no plan of the run {} is kept", run.run.id);
        let hint = "a plan is kept as long as the log of its run (`logs.keep`), if it has 64 MiB at most and the run got so far";
        return Err(Failure::usage(message).hint(hint));
    };
    let reader = PlanReader::open(&file, None)?;
    let (header, footer) = (reader.header().clone(), reader.footer().clone());
    let destination = workspace.project.sync(&header.sync).map(|sync| sync.destination.clone());
    let destination = destination.unwrap_or_else(|| header.destination.clone());
    Ok(Planned { summary: PlanSummary { file, header, footer }, destination, batch_size: None })
}
