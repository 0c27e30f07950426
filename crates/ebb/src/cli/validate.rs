//! `ebb validate`: is the project right?

use clap::Args;
use ebb_project::{Fault, Faults, Sync};
use ebb_row::Column;
use ebb_state::{SqliteStore, Store as _};
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

#[derive(Serialize)]
struct FaultLine {
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
    let workspace = match Workspace::load(root, context) {
        Ok(workspace) => workspace,
        Err(Failure::Faults(faults)) => {
            return show(context, None, Findings { faults: faults.0, ..Findings::default() });
        }
        Err(failure) => return Err(failure),
    };
    let findings = if args.online { online(&workspace).await? } else { offline(&workspace).await? };
    show(context, Some(&workspace), findings)
}

async fn offline(workspace: &Workspace) -> Result<Findings, Failure> {
    let mut findings = Findings::default();
    // A state that cannot be read leaves columns unknown; it is no fault of the project.
    let store = workspace.existing_store().unwrap_or_else(|failure| {
        findings.failures.push(failure);
        None
    });
    for sync in workspace.project.syncs() {
        let model = workspace.model(&sync.model)?;
        let known = match model.declared_columns() {
            Some(columns) => Some(columns),
            None => remembered(store.as_deref(), model).await,
        };
        match known {
            Some(columns) => check(&mut findings, sync, model, &columns),
            None => findings.unchecked.push(Unchecked {
                sync: sync.name.clone(),
                model: model.name.clone(),
                reason: "its columns are not known yet".to_owned(),
            }),
        }
    }
    Ok(findings)
}

async fn remembered(store: Option<&SqliteStore>, model: &ebb_project::Model) -> Option<Vec<Column>> {
    let columns = store?.columns(query_digest(model)).await;
    columns.unwrap_or_else(|error| {
        tracing::warn!(%error, "remembered columns could not be read");
        None
    })
}

async fn online(workspace: &Workspace) -> Result<Findings, Failure> {
    let mut findings = Findings::default();
    let store = workspace.store()?;
    for model in workspace.project.models() {
        let syncs: Vec<&Sync> = workspace.project.syncs().filter(|sync| sync.model == model.name).collect();
        match workspace.describe(model).await {
            Ok(columns) => {
                store.remember_columns(query_digest(model), &columns).await?;
                findings.faults.extend(model.check_columns(&columns));
                findings.faults.extend(syncs.iter().flat_map(|sync| sync.check_columns(&columns)));
            }
            Err(Failure::Faults(found)) => findings.faults.extend(found.0),
            Err(failure) => {
                findings.unchecked.extend(syncs.iter().map(|sync| Unchecked {
                    sync: sync.name.clone(),
                    model: model.name.clone(),
                    reason: "its source could not be asked".to_owned(),
                }));
                findings.failures.push(failure);
            }
        }
    }
    Ok(findings)
}

fn check(findings: &mut Findings, sync: &Sync, model: &ebb_project::Model, columns: &[Column]) {
    findings.faults.extend(model.check_columns(columns));
    findings.faults.extend(sync.check_columns(columns));
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

fn fault_line(fault: &Fault) -> FaultLine {
    FaultLine {
        file: fault.file.display().to_string(),
        line: fault.line,
        column: fault.column,
        message: fault.message.clone(),
        hint: fault.hint.clone(),
        source_line: fault.source_line.clone(),
    }
}
