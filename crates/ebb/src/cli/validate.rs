//! `ebb validate`: is the project right?

use std::sync::Arc;

use clap::Args;
use ebb_engine::SystemClock;
use ebb_project::{Checked, Fault, Faults, KnownColumns};
use ebb_row::Column;
use ebb_state::Store;
use serde::Serialize;

use super::Context;
use crate::exit::{Exit, Failure};
use crate::output::{escape, number};
use crate::workspace::{Workspace, find_root, query_digest};

/// Checks the project's files, and reports every fault at once with its place. Asks no database unless `--online`.
#[derive(Debug, Args)]
pub(crate) struct ValidateArgs {
    /// Ask the sources for their models' columns, and check mappings against them.
    #[arg(long)]
    online: bool,
}

/// A fault of the project's files, for machines.
#[derive(Debug, Serialize)]
pub(crate) struct FaultLine {
    file: String,
    line: usize,
    column: usize,
    message: String,
    hint: Option<String>,
    source_line: String,
}

/// A sync whose columns are not known.
#[derive(Serialize)]
struct Unchecked {
    sync: String,
    model: String,
    reason: String,
}

#[derive(Serialize)]
struct Document {
    valid: bool,
    models: usize,
    syncs: usize,
    faults: Vec<FaultLine>,
    unchecked: Vec<Unchecked>,
}

/// What a check found.
#[derive(Default)]
struct Findings {
    faults: Vec<Fault>,
    unchecked: Vec<Unchecked>,
    failures: Vec<Failure>,
}

pub(super) async fn main(context: &Context, args: ValidateArgs) -> Result<Exit, Failure> {
    context.is_json()?;
    let root = find_root(context.globals.project.as_deref())?;
    let Checked { faults, project } = ebb_project::check(&root, &context.environment, &KnownColumns::new());
    let Some(project) = project else {
        return show(context, None, Findings { faults: faults.0, ..Findings::default() });
    };
    // Faults or not, the columns that are known are checked with the rest, so that all comes at once.
    let workspace = Workspace { root, project: Arc::new(project), clock: Arc::new(SystemClock) };
    let mut findings = Findings::default();
    let columns =
        if args.online { online(&workspace, &mut findings).await? } else { offline(&workspace, &mut findings).await };
    findings.faults.extend(ebb_project::check(&workspace.root, &context.environment, &columns).faults.0);
    show(context, Some(&workspace), findings)
}

/// Returns the columns that earlier runs have seen.
async fn offline(workspace: &Workspace, findings: &mut Findings) -> KnownColumns {
    // A state that cannot be read leaves columns unknown; it is no fault of the project.
    let store = workspace.existing_store().unwrap_or_else(|failure| {
        findings.failures.push(failure);
        None
    });
    let mut columns = KnownColumns::new();
    for model in workspace.project.models() {
        let known = match model.declared_columns() {
            Some(declared) => Some(declared),
            None => remembered(store.as_deref(), model).await,
        };
        match known {
            Some(known) => drop(columns.insert(model.name.clone(), known)),
            None => findings.leave_unchecked(workspace, &model.name, "its columns are not known yet"),
        }
    }
    columns
}

async fn remembered(store: Option<&dyn Store>, model: &ebb_project::Model) -> Option<Vec<Column>> {
    let columns = store?.columns(query_digest(model)).await;
    columns.unwrap_or_else(|error| {
        tracing::warn!(%error, "remembered columns could not be read");
        None
    })
}

/// Returns the columns that the sources describe, and remembers them.
async fn online(workspace: &Workspace, findings: &mut Findings) -> Result<KnownColumns, Failure> {
    let store = workspace.store()?;
    let mut columns = KnownColumns::new();
    for model in workspace.project.models() {
        match workspace.describe(model).await {
            Ok(described) => {
                store.remember_columns(query_digest(model), &described).await?;
                columns.insert(model.name.clone(), described);
            }
            Err(Failure::Faults(found)) => findings.faults.extend(found.0),
            Err(failure) => {
                findings.leave_unchecked(workspace, &model.name, "its source could not be asked");
                findings.failures.push(failure);
            }
        }
    }
    Ok(columns)
}

impl Findings {
    /// Notes that the syncs of a model are not checked against its columns.
    fn leave_unchecked(&mut self, workspace: &Workspace, model: &str, reason: &str) {
        let syncs = workspace.project.syncs().filter(|sync| sync.model == model);
        self.unchecked.extend(syncs.map(|sync| Unchecked {
            sync: sync.name.clone(),
            model: model.to_owned(),
            reason: reason.to_owned(),
        }));
    }
}

fn show(context: &Context, workspace: Option<&Workspace>, findings: Findings) -> Result<Exit, Failure> {
    let Findings { mut faults, unchecked, failures } = findings;
    let mut seen: Vec<Fault> = Vec::new();
    faults.retain(|fault| {
        let is_new = !seen.contains(fault);
        if is_new {
            seen.push(fault.clone());
        }
        is_new
    });
    let (models, syncs) = workspace.map_or((0, 0), |found| (found.project.models().len(), found.project.syncs().len()));
    let failed = failures.iter().fold(Exit::Done, |exit, failure| exit.worst(failure.exit()));
    let exit = if faults.is_empty() { failed } else { Exit::Wrong };
    let mut notes = context.notes();
    for failure in &failures {
        notes.failure(failure);
    }
    let mut out = context.out();
    if context.is_json()? {
        let faults = faults.iter().map(fault_line).collect();
        out.json_document(&Document { valid: exit == Exit::Done, models, syncs, faults, unchecked });
        out.finish()?;
        return Ok(exit);
    }
    let paint = out.paint;
    for one in &unchecked {
        let (sync, model) = (escape::terminal(&one.sync), escape::terminal(&one.model));
        out.line(format_args!(
            "{}: sync `{sync}` was not checked against the columns of model `{model}`: {}",
            paint.note("note"),
            one.reason
        ));
    }
    if !unchecked.is_empty() {
        out.line("      `ebb validate --online` asks the source; `columns:` in a model says them");
    }
    if exit == Exit::Done {
        let count = |number: usize, noun: &str| number::counted(number.try_into().unwrap_or(u64::MAX), noun);
        out.line(format_args!("{}: {}, {}", paint.good("valid"), count(models, "model"), count(syncs, "sync")));
    }
    out.finish()?;
    if !faults.is_empty() {
        notes.failure(&Failure::Faults(Faults(faults)));
    }
    Ok(exit)
}

/// Returns a fault for machines.
pub(crate) fn fault_line(fault: &Fault) -> FaultLine {
    FaultLine {
        file: fault.file.display().to_string(),
        line: fault.line,
        column: fault.column,
        message: fault.message.clone(),
        hint: fault.hint.clone(),
        source_line: fault.source_line.clone(),
    }
}
