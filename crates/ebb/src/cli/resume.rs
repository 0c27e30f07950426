//! `ebb resume`: a paused sync runs by itself again.

use clap::Args;

use super::Context;
use super::pause::desk;
use crate::exit::{Exit, Failure};
use crate::output::escape;
use crate::workspace::Workspace;

/// Lets a paused sync run by itself again: at once, if a time of its schedule came meanwhile.
#[derive(Debug, Args)]
pub(crate) struct ResumeArgs {
    /// The sync.
    #[arg(value_name = "SYNC")]
    sync: String,
}

pub(super) async fn main(context: &Context, args: ResumeArgs) -> Result<Exit, Failure> {
    let is_json = context.is_json()?;
    let workspace = Workspace::open(context)?;
    let was_paused = match workspace.existing_store()? {
        Some(store) => desk(&workspace, &store).resume(&args.sync).await?,
        None => false,
    };
    if !was_paused {
        // One that the project no longer has may be resumed too.
        workspace.sync(&args.sync)?;
    }
    let mut out = context.out();
    if is_json {
        out.json_document(&serde_json::json!({ "sync": args.sync, "paused": false, "changed": was_paused }));
    } else {
        let said = if was_paused { "resumed" } else { "it was not paused" };
        out.line(format_args!("sync `{}`: {said}", escape::terminal(&args.sync)));
    }
    out.finish()?;
    Ok(Exit::Done)
}
