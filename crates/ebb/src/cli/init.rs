//! `ebb init`: a new project.

use std::path::PathBuf;

use clap::Args;
use ebb_project::InitOptions;
use uuid::Uuid;

use super::Context;
use crate::exit::{Exit, Failure};
use crate::output::escape;

/// Makes a new project; files that are there already are left as they are.
#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// The folder; the current one where none is named.
    #[arg(value_name = "DIR")]
    directory: Option<PathBuf>,
}

pub(super) fn main(context: &Context, args: &InitArgs) -> Result<Exit, Failure> {
    let is_json = context.is_json()?;
    let folder =
        args.directory.clone().or_else(|| context.globals.project.clone()).unwrap_or_else(|| PathBuf::from("."));
    let options = InitOptions { project_id: Uuid::new_v4() };
    let written = ebb_project::init(&folder, &options).map_err(|error| Failure::file(&folder, error))?;
    let names: Vec<String> = written.iter().map(|path| path.display().to_string()).collect();
    let mut out = context.out();
    if is_json {
        out.json_document(&serde_json::json!({ "directory": folder.display().to_string(), "written": names }));
    } else {
        for name in &names {
            out.line(format_args!("wrote {}", escape::terminal(&folder.join(name).display().to_string())));
        }
        if names.is_empty() {
            context.notes().say("every file is there already");
        } else {
            context.notes().say("next: edit `ebb.yaml`, `models/` and `syncs/`, then `ebb validate` and `ebb plan`");
        }
    }
    out.finish()?;
    Ok(Exit::Done)
}
