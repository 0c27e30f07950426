//! `ebb plan`: what a run would change.

use std::io::{IsTerminal, stdout};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use ebb_engine::{Engine, PlanRequest};
use ebb_state::Store;
use uuid::Uuid;

use super::Context;
use super::run::{ScopeArgs, of_engine, selected};
use crate::exit::{Exit, Failure};
use crate::output::Format;
use crate::output::plan::{PlanView, Planned, write};
use crate::output::progress::Bar;
use crate::ready::{self, Purpose};
use crate::workspace::Workspace;

/// Operations of a sync that are shown to people without `--all`.
const MOST_SHOWN: usize = 50;

/// Shows what a run would change: counts, then each operation with its field changes. Sends nothing.
#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    /// Syncs to plan; all of them where none is named.
    #[arg(value_name = "SYNC")]
    syncs: Vec<String>,
    #[command(flatten)]
    scope: ScopeArgs,
    /// Save the plan of one sync to a new file, for `ebb run --plan`.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Show cell values in Markdown too, which may become public.
    #[arg(long)]
    show_values: bool,
    /// Show every operation, not only the first 50 of each sync.
    #[arg(long)]
    all: bool,
    /// Exit with 0 where there is nothing to do, 1 on an error or a refusing guard, 2 where there are changes.
    #[arg(long)]
    detailed_exitcode: bool,
}

pub(super) async fn main(context: &Context, args: PlanArgs) -> Result<Exit, Failure> {
    let is_detailed = args.detailed_exitcode;
    match plan_and_show(context, args).await {
        Err(failure @ (Failure::Faults(_) | Failure::Message { .. })) if is_detailed => {
            context.notes().failure(&failure);
            Ok(Exit::Failed)
        }
        ended => ended,
    }
}

async fn plan_and_show(context: &Context, args: PlanArgs) -> Result<Exit, Failure> {
    let workspace = Workspace::open(context)?;
    let names = selected(&workspace, &args.syncs)?;
    let request = PlanRequest {
        scope: args.scope.scope(&names)?,
        override_guards: args.scope.override_guards(),
        file: PathBuf::new(),
    };
    if let Some(file) = &args.out {
        if names.len() != 1 {
            return Err(Failure::usage("`--out` saves the plan of one sync").hint("name the sync"));
        }
        if file.symlink_metadata().is_ok() {
            return Err(Failure::usage(format!("{} is there already", file.display())));
        }
    }
    let store = workspace.store()?;
    let engine = workspace.engine(context, Arc::clone(&store))?;
    let files = WorkingFiles::new(&workspace.work_directory(), args.out.as_deref())?;
    let (plans, failed) = make(context, (&workspace, &store, &engine), &names, &request, &files).await?;
    let view = view(context, args.all, args.show_values);
    let mut out = context.out();
    write(&mut out, &plans, view)?;
    out.finish()?;
    if let (Some(file), [_]) = (&args.out, plans.as_slice()) {
        context.notes().say(format_args!("saved: `ebb run --plan {}` runs exactly this", file.display()));
    }
    Ok(exit_code(&plans, failed, args.detailed_exitcode))
}

/// Returns how a plan is shown: people see its first operations, unless they want all.
pub(super) fn view(context: &Context, all: bool, show_values: bool) -> PlanView {
    let is_people = match context.globals.output {
        Format::Text => stdout().is_terminal(),
        Format::Markdown => true,
        Format::Json => false,
    };
    PlanView { format: context.globals.output, most: (is_people && !all).then_some(MOST_SHOWN), show_values }
}

fn exit_code(plans: &[Planned], failed: Exit, is_detailed: bool) -> Exit {
    let refused = if plans.iter().any(Planned::is_refused) { Exit::Refused } else { Exit::Done };
    match (failed.worst(refused), is_detailed) {
        (Exit::Done, true) if plans.iter().any(Planned::has_changes) => Exit::Changes,
        (exit, false) | (exit @ Exit::Done, true) => exit,
        (_, true) => Exit::Failed,
    }
}

/// Plans syncs into files. One that cannot be planned is said, and counts in the exit code; the others are planned.
///
/// # Errors
/// The project does not fit its models.
pub(super) async fn make(
    context: &Context,
    (workspace, store, engine): (&Workspace, &Arc<dyn Store>, &Engine),
    names: &[String],
    request: &PlanRequest,
    files: &WorkingFiles,
) -> Result<(Vec<Planned>, Exit), Failure> {
    let mut faults = Vec::new();
    for name in names {
        match workspace.check_columns(workspace.sync(name)?, store.as_ref()).await {
            Err(Failure::Faults(found)) => faults.extend(found.0),
            ended => drop(ended?),
        }
    }
    if !faults.is_empty() {
        return Err(Failure::Faults(ebb_project::Faults(faults)));
    }
    let mut plans = Vec::new();
    let mut failed = Exit::Done;
    for name in names {
        let sync = workspace.sync(name)?;
        let ready = ready::build(workspace, sync, store.as_ref(), Purpose::Plan).await?;
        let request = PlanRequest { file: files.path(name), ..request.clone() };
        let bar = Bar::start(name, context.shows_progress());
        let planned = Box::pin(engine.plan(&ready, &request, &bar)).await;
        bar.finish();
        match planned {
            Ok(summary) => {
                let batch_size = u64::try_from(ready.destination.batch_size(&ready.write)).unwrap_or(1);
                let batch_size = Some(batch_size);
                plans.push(Planned { summary, destination: sync.destination.clone(), batch_size });
            }
            Err(error) => {
                let failure = of_engine(error, &ready, store.as_ref()).await;
                context.notes().failure(&failure);
                failed = failed.worst(failure.exit());
            }
        }
    }
    Ok((plans, failed))
}

/// Where plan files go: a file that stays, or files that go away with this value.
#[derive(Debug)]
pub(super) struct WorkingFiles {
    kept: Option<PathBuf>,
    folder: PathBuf,
}

impl WorkingFiles {
    /// Makes a folder for plan files that are shown and forgotten.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub(super) fn new(work: &Path, kept: Option<&Path>) -> Result<Self, Failure> {
        let folder = work.join(format!("plan-{}", Uuid::now_v7()));
        std::fs::create_dir_all(&folder).map_err(|error| Failure::file(&folder, error))?;
        Ok(Self { kept: kept.map(Path::to_path_buf), folder })
    }

    fn path(&self, sync: &str) -> PathBuf {
        self.kept.clone().unwrap_or_else(|| self.folder.join(format!("{sync}.plan")))
    }
}

impl Drop for WorkingFiles {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.folder) {
            tracing::warn!(%error, "working files of a plan could not be removed");
        }
    }
}
