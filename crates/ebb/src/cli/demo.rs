//! `ebb demo`: the whole way in a few seconds, on made-up data and a stand-in for Vitally.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use ebb_engine::{PlanRequest, Scope};
use ebb_sandbox::{Sandbox, SandboxConfig};
use ebb_state::{CallFilter, CallLog, Rejection, RejectionKind, RunFilter, Store};

use super::plan::{WorkingFiles, make};
use super::run::{Invocation, run_syncs};
use super::{Context, sandbox};
use crate::demo::{WAREHOUSE_FILE, change, is_demo, seed, write_project};
use crate::exit::{Exit, Failure};
use crate::output::plan::{PlanView, write};
use crate::output::run::{write_table, write_text};
use crate::output::{Format, Out, call, escape};
use crate::workspace::Workspace;

/// Operations of a sync that the first plan shows.
const FIRST_SHOWN: usize = 3;

/// Variables that would lead the demo to a real warehouse or a real key.
const REAL: [&str; 6] = [
    "WAREHOUSE_URL",
    "VITALLY_SUBDOMAIN",
    "VITALLY_REST_TOKEN",
    "VITALLY_ANALYTICS_TOKEN",
    "VITALLY_REST_URL",
    "VITALLY_ANALYTICS_URL",
];

/// Makes a project with a `SQLite` warehouse, starts a stand-in for Vitally, and shows plan, run, change, plan, run.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// The folder to make.
    #[arg(value_name = "DIR", default_value = "demo")]
    directory: PathBuf,
    /// Make an earlier demo in that folder anew.
    #[arg(long)]
    force: bool,
    /// Leave the stand-in running at the end, until Ctrl-C, so that `ebb run` has something to talk to.
    #[arg(long)]
    serve: bool,
}

pub(super) async fn main(context: &Context, args: DemoArgs) -> Result<Exit, Failure> {
    if context.is_json()? {
        return Err(Failure::usage("`ebb demo` is for people").hint("`ebb run --output json` is for machines"));
    }
    prepare_folder(&args.directory, args.force)?;
    let (stand_in, is_elsewhere) = start_stand_in().await?;
    let folder = &args.directory;
    write_project(folder, &stand_in, is_elsewhere).map_err(|error| Failure::file(folder, error))?;
    let warehouse = folder.join(WAREHOUSE_FILE);
    let seeded = seed(&warehouse).map_err(|error| Failure::file(&warehouse, error))?;
    let own = without_real_settings(context);
    let mut out = context.out();
    heading(&mut out, &format!("A project in {}", folder.display()));
    out.line(format_args!("  {} is a SQLite warehouse: {seeded}", warehouse.display()));
    out.line(format_args!("  {} is a stand-in for Vitally; nothing leaves this machine", stand_in.rest_url()));
    let exit = tell(&own, folder, &warehouse, &mut out).await?;
    if context.stop.exit().is_none() {
        next(context, &mut out, folder, &stand_in, args.serve);
        out.flush();
        if args.serve {
            context.stop.wait().await;
        }
    }
    stand_in.stop().await;
    out.finish()?;
    Ok(exit)
}

/// Refuses a folder that holds anything but an earlier demo.
fn prepare_folder(folder: &Path, force: bool) -> Result<(), Failure> {
    let failed = |error| Failure::file(folder, error);
    let is_empty = match std::fs::read_dir(folder) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) if error.kind() == ErrorKind::NotFound => true,
        Err(error) => return Err(failed(error)),
    };
    if is_empty {
        return Ok(());
    }
    let message = format!("{} is not empty", folder.display());
    match (is_demo(folder).map_err(failed)?, force) {
        (true, true) => std::fs::remove_dir_all(folder.join(".ebb")).map_err(failed),
        (true, false) => Err(Failure::usage(message).hint("it holds an earlier demo: `--force` makes it anew")),
        (false, _) => Err(Failure::usage(message).hint("name another folder: `ebb demo DIR`")),
    }
}

/// Starts the stand-in where the project expects it, or on a free port where that one is taken.
async fn start_stand_in() -> Result<(Sandbox, bool), Failure> {
    let usual = sandbox::LISTEN.parse().map_err(|_| Failure::failed("the stand-in's address is wrong"))?;
    let config = SandboxConfig { rest_per_minute: None, analytics_per_minute: None, ..SandboxConfig::default() };
    match Sandbox::start(SandboxConfig { listen: usual, ..config.clone() }).await {
        Ok(stand_in) => Ok((stand_in, false)),
        Err(_) => Ok((sandbox::start(config).await?, true)),
    }
}

/// Returns the context without the variables that name a real warehouse or key.
fn without_real_settings(context: &Context) -> Context {
    let mut environment = context.environment.clone();
    for name in REAL {
        environment.variables.remove(name);
    }
    Context { globals: context.globals.clone(), environment, stop: context.stop.clone() }
}

/// Plans, runs, changes, plans, runs.
async fn tell(context: &Context, folder: &Path, warehouse: &Path, out: &mut Out) -> Result<Exit, Failure> {
    let workspace = Workspace::load(folder.to_path_buf(), context)?;
    let store = workspace.store()?;
    heading(out, "ebb plan: what a first run would send");
    show_plan(context, &workspace, &store, Some(FIRST_SHOWN), out).await?;
    heading(out, "ebb run --first-run send: every row has one fate");
    let first = run(context, &workspace, &store, out).await?;
    if context.stop.exit().is_some() {
        return Ok(first);
    }
    heading(out, "Some rows change");
    for line in change(warehouse).map_err(|error| Failure::file(warehouse, error))? {
        out.line(format_args!("  {line}"));
    }
    heading(out, "ebb plan: what differs from what was accepted, field by field");
    show_plan(context, &workspace, &store, None, out).await?;
    heading(out, "ebb run: exactly that is sent");
    let second = run(context, &workspace, &store, out).await?;
    show_rejected(&workspace, &store, out).await?;
    // Rejected rows are part of the show.
    Ok(match first.worst(second) {
        Exit::Incomplete => Exit::Done,
        exit @ (Exit::Done
        | Exit::Changes
        | Exit::Refused
        | Exit::Failed
        | Exit::Wrong
        | Exit::Interrupted
        | Exit::Terminated) => exit,
    })
}

fn heading(out: &mut Out, text: &str) {
    let text = escape::terminal(text).into_owned();
    let painted = out.paint.strong(&text).into_owned();
    out.line(format_args!("\n── {painted}\n"));
    out.flush();
}

fn names(workspace: &Workspace) -> Vec<String> {
    workspace.project.order(&[]).iter().map(|sync| sync.name.clone()).collect()
}

fn scope() -> Scope {
    Scope { first_run_send: Some(true), ..Scope::default() }
}

async fn show_plan(
    context: &Context,
    workspace: &Workspace,
    store: &Arc<dyn Store>,
    most: Option<usize>,
    out: &mut Out,
) -> Result<(), Failure> {
    let engine = workspace.engine(context, Arc::clone(store))?;
    let files = WorkingFiles::new(&workspace.work_directory(), None)?;
    let request = PlanRequest { scope: scope(), ..PlanRequest::default() };
    let (plans, _) = make(context, (workspace, store, &engine), &names(workspace), &request, &files).await?;
    write(out, &plans, PlanView { format: Format::Text, most, show_values: true })?;
    out.flush();
    Ok(())
}

async fn run(context: &Context, workspace: &Workspace, store: &Arc<dyn Store>, out: &mut Out) -> Result<Exit, Failure> {
    let invocation =
        Invocation { scope: scope(), override_guards: Vec::new(), plan: None, trigger: "demo", no_wait: false };
    let mut each = |ended: &_| {
        write_text(out, ended);
        out.flush();
    };
    let (ended, exit) = run_syncs(context, (workspace, store), &names(workspace), &invocation, &mut each).await?;
    out.line("");
    write_table(out, &ended);
    Ok(exit)
}

/// Shows a row that the destination refused, with its calls.
async fn show_rejected(workspace: &Workspace, store: &Arc<dyn Store>, out: &mut Out) -> Result<(), Failure> {
    let Some((sync, rejection)) = a_rejection(workspace, store).await? else { return Ok(()) };
    let key = escape::terminal(rejection.key.text()).into_owned();
    heading(out, &format!("ebb rejected {sync}: why a row was not taken"));
    out.line(format_args!("  {key}  {}", escape::terminal(&rejection.reason)));
    heading(out, &format!("ebb logs {sync} --key {key}: the calls that were made for it"));
    let filter = CallFilter { key: Some(rejection.key.clone()), ..CallFilter::default() };
    let runs = store.runs(&RunFilter { sync: Some(sync), limit: 0 }).await?;
    for run in runs.iter().take(1) {
        for line in CallLog::open(&workspace.state_directory(), &run.run.id)?.lines(&filter)? {
            call::write_text(out, &line?, true);
        }
    }
    Ok(())
}

/// Returns a row that the destination refused; failing that, one that the mapping refused.
async fn a_rejection(workspace: &Workspace, store: &Arc<dyn Store>) -> Result<Option<(String, Rejection)>, Failure> {
    let mut other = None;
    for sync in names(workspace) {
        let Some(state) = store.find_sync(&sync).await? else { continue };
        for rejection in store.rejections(state.id, 0).await? {
            if rejection.kind == RejectionKind::Destination {
                return Ok(Some((sync, rejection)));
            }
            other.get_or_insert((sync.clone(), rejection));
        }
    }
    Ok(other)
}

/// Says what to do next.
fn next(context: &Context, out: &mut Out, folder: &Path, stand_in: &Sandbox, is_serving: bool) {
    heading(out, "Go on");
    let folder = folder.display().to_string();
    out.line(format_args!("  cd {}", escape::terminal(&folder)));
    out.line("  ebb runs                       what was run");
    out.line("  ebb rejected users             rows that were not taken, and why");
    out.line("  ebb plan                       after you edit a mapping in syncs/ or a row in the warehouse");
    let set: Vec<&str> = REAL.into_iter().filter(|name| context.environment.variables.contains_key(*name)).collect();
    if !set.is_empty() {
        out.line(format_args!("\n  Unset {} first: with them set, ebb would use what they name.", set.join(", ")));
    }
    let address = stand_in.address();
    if is_serving {
        out.line(format_args!(
            "\n  The stand-in goes on at {}: look at it in a browser, and `ebb run` against it from",
            stand_in.rest_url()
        ));
        out.line("  another terminal. Ctrl-C stops it, and it forgets everything.");
    } else {
        let listen =
            if address.to_string() == sandbox::LISTEN { String::new() } else { format!("--listen {address} ") };
        out.line(
            "\n  The stand-in has stopped, and forgot everything. To run again, start a new one in another terminal,",
        );
        out.line("  and let ebb send everything to it:");
        out.line(format_args!("  ebb sandbox {listen}--rate unlimited"));
        out.line("  ebb run --full");
        out.line("  `ebb demo --serve` leaves it running instead.");
    }
}
