//! `ebb schema`: JSON Schemas for editors.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;

use clap::Args;

use super::Context;
use crate::exit::{Exit, Failure};
use crate::output::escape;

/// Writes the JSON Schemas of `ebb.yaml`, models and syncs, for editors.
#[derive(Debug, Args)]
pub(crate) struct SchemaArgs {
    /// Where to write them; without it they are printed as one document.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub(super) fn main(context: &Context, args: &SchemaArgs) -> Result<Exit, Failure> {
    context.is_json()?;
    let schemas = ebb_project::schemas();
    let mut out = context.out();
    let Some(folder) = &args.dir else {
        let all: serde_json::Map<String, serde_json::Value> =
            schemas.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect();
        out.json_document(&all);
        out.finish()?;
        return Ok(Exit::Done);
    };
    DirBuilder::new().recursive(true).mode(0o755).create(folder).map_err(|error| Failure::file(folder, error))?;
    let mut names = Vec::new();
    for (name, schema) in schemas {
        let path = folder.join(name);
        let text = serde_json::to_string_pretty(&schema).map_err(|error| Failure::file(&path, error))?;
        std::fs::write(&path, text + "\n").map_err(|error| Failure::file(&path, error))?;
        names.push(path.display().to_string());
    }
    if context.is_json()? {
        out.json_document(&serde_json::json!({ "written": names }));
    } else {
        for name in &names {
            out.line(format_args!("wrote {}", escape::terminal(name)));
        }
        let example = folder.join("sync.json");
        context.notes().say(format_args!(
            "an editor finds one by a file's first line: # yaml-language-server: $schema={}",
            example.display()
        ));
    }
    out.finish()?;
    Ok(Exit::Done)
}
