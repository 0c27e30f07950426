//! `ebb check`: do the connections, tokens and columns hold?

use std::sync::Arc;

use clap::Args;
use ebb_destination::CheckLine;
use ebb_state::Store;
use serde::Serialize;

use super::Context;
use crate::exit::{Exit, Failure};
use crate::output::{Out, escape};
use crate::ready::open_destination;
use crate::workspace::{Workspace, query_digest};

/// Checks connections and tokens, and syncs against their models' columns. Writes nothing.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {}

/// One thing that was checked.
#[derive(Debug, Serialize)]
struct Checked {
    /// `source`, `destination`, `model`.
    kind: &'static str,
    name: String,
    /// `None` where it cannot be told without writing.
    works: Option<bool>,
    text: String,
    warnings: Vec<String>,
}

pub(super) async fn main(context: &Context, _args: CheckArgs) -> Result<Exit, Failure> {
    let is_json = context.is_json()?;
    let workspace = Workspace::open(context)?;
    let store = workspace.store()?;
    let mut out = context.out();
    let mut exit = Exit::Done;
    let mut all = Vec::new();
    let mut take = |out: &mut Out, one: Checked| {
        if !is_json {
            write(out, &one);
            out.flush();
        }
        all.push(one);
    };
    for name in workspace.project.source_names() {
        let (one, code) = source(&workspace, name).await;
        exit = exit.worst(code);
        take(&mut out, one);
    }
    for name in workspace.project.destination_names() {
        for (one, code) in destination(context, &workspace, &store, name).await {
            exit = exit.worst(code);
            take(&mut out, one);
        }
    }
    let mut faults = Vec::new();
    for model in workspace.project.models() {
        let (one, code, found) = model_columns(&workspace, &store, model).await;
        exit = exit.worst(code);
        faults.extend(found);
        take(&mut out, one);
    }
    if is_json {
        out.json_document(&serde_json::json!({ "ok": exit == Exit::Done, "checks": all }));
    }
    out.finish()?;
    if !faults.is_empty() {
        context.notes().failure(&Failure::Faults(ebb_project::Faults(faults)));
    }
    Ok(exit)
}

fn write(out: &mut Out, one: &Checked) {
    let paint = out.paint;
    let mark = match one.works {
        Some(true) => paint.good("ok"),
        Some(false) => paint.bad("failed"),
        None => paint.change("not known"),
    };
    out.line(format_args!("{} {}: {mark}: {}", one.kind, escape::terminal(&one.name), escape::terminal(&one.text)));
    for warning in &one.warnings {
        out.line(format_args!("  {}: {}", paint.change("warning"), escape::terminal(warning)));
    }
}

fn failed(kind: &'static str, name: &str, failure: &Failure) -> (Checked, Exit) {
    let text = match failure {
        Failure::Message { message, .. } => message.clone(),
        Failure::Faults(faults) => faults.0.iter().map(|fault| fault.message.as_str()).collect::<Vec<_>>().join("; "),
        Failure::Stopped => "stopped by a signal".to_owned(),
    };
    (Checked { kind, name: name.to_owned(), works: Some(false), text, warnings: Vec::new() }, failure.exit())
}

async fn source(workspace: &Workspace, name: &str) -> (Checked, Exit) {
    let source = match workspace.open_source(name) {
        Ok(source) => source,
        Err(failure) => return failed("source", name, &failure),
    };
    match source.check().await {
        Ok(found) => {
            let (name, text) = (name.to_owned(), found.server);
            (Checked { kind: "source", name, works: Some(true), text, warnings: found.warnings }, Exit::Done)
        }
        Err(error) => failed("source", name, &error.into()),
    }
}

async fn destination(
    context: &Context,
    workspace: &Workspace,
    store: &Arc<dyn Store>,
    name: &str,
) -> Vec<(Checked, Exit)> {
    match token_lines(context, workspace, store, name).await {
        Ok(lines) => lines
            .into_iter()
            .map(|line| {
                let exit = if line.works == Some(false) { Exit::Failed } else { Exit::Done };
                let text = format!("{}: {}", line.what, line.text);
                let name = name.to_owned();
                (Checked { kind: "destination", name, works: line.works, text, warnings: Vec::new() }, exit)
            })
            .collect(),
        Err(failure) => vec![failed("destination", name, &failure)],
    }
}

async fn token_lines(
    context: &Context,
    workspace: &Workspace,
    store: &Arc<dyn Store>,
    name: &str,
) -> Result<Vec<CheckLine>, Failure> {
    let settings = workspace.project.destination(name)?;
    let destination = open_destination(&settings, store.as_ref()).await?;
    let engine = workspace.engine(context, Arc::clone(store))?;
    Ok(engine.check_destination(destination.as_ref(), settings.request_timeout).await?)
}

async fn model_columns(
    workspace: &Workspace,
    store: &Arc<dyn Store>,
    model: &ebb_project::Model,
) -> (Checked, Exit, Vec<ebb_project::Fault>) {
    let columns = match workspace.describe(model).await {
        Ok(columns) => columns,
        Err(failure) => {
            let (one, exit) = failed("model", &model.name, &failure);
            let faults = if let Failure::Faults(faults) = failure { faults.0 } else { Vec::new() };
            return (one, exit, faults);
        }
    };
    if let Err(error) = store.remember_columns(query_digest(model), &columns).await {
        let (one, exit) = failed("model", &model.name, &error.into());
        return (one, exit, Vec::new());
    }
    let mut faults = model.check_columns(&columns);
    for sync in workspace.project.syncs().filter(|sync| sync.model == model.name) {
        faults.extend(sync.check_columns(&columns));
    }
    let works = faults.is_empty();
    let text = if works {
        format!("{} columns, as its syncs need them", columns.len())
    } else {
        "its columns do not fit".to_owned()
    };
    let exit = if works { Exit::Done } else { Exit::Wrong };
    (Checked { kind: "model", name: model.name.clone(), works: Some(works), text, warnings: Vec::new() }, exit, faults)
}
