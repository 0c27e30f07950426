//! `ebb pause`: a sync does not run by itself until it is resumed.

use std::sync::Arc;

use clap::Args;
use ebb_daemon::Desk;
use ebb_state::Store;

use super::Context;
use crate::exit::{Exit, Failure};
use crate::output::escape;
use crate::workspace::{Workspace, host};

/// Keeps a sync from running by itself, in `ebb serve` and in `ebb run --due`, until `ebb resume`. A run that is going on
/// is not ended; `ebb run SYNC` runs it all the same.
#[derive(Debug, Args)]
pub(crate) struct PauseArgs {
    /// The sync.
    #[arg(value_name = "SYNC")]
    sync: String,
    /// Why, for those who find it paused.
    #[arg(long, value_name = "TEXT", default_value = "")]
    note: String,
}

pub(super) async fn main(context: &Context, args: PauseArgs) -> Result<Exit, Failure> {
    let is_json = context.is_json()?;
    let workspace = Workspace::open(context)?;
    workspace.sync(&args.sync)?;
    let is_new = desk(&workspace, &workspace.store()?).pause(&args.sync, &person(context), &args.note).await?;
    let mut out = context.out();
    if is_json {
        out.json_document(&serde_json::json!({ "sync": args.sync, "paused": true, "changed": is_new }));
    } else {
        let said = if is_new { "paused; `ebb resume` lets it run again" } else { "it was paused already" };
        out.line(format_args!("sync `{}`: {said}", escape::terminal(&args.sync)));
    }
    out.finish()?;
    Ok(Exit::Done)
}

/// Returns where pauses of a project are kept.
pub(super) fn desk(workspace: &Workspace, store: &Arc<dyn Store>) -> Desk {
    Desk { store: Arc::clone(store), clock: Arc::clone(&workspace.clock) }
}

/// Returns who runs this command, in words.
fn person(context: &Context) -> String {
    let host = host();
    let user = ["USER", "LOGNAME"].iter().find_map(|name| context.environment.variables.get(*name));
    user.map_or_else(|| format!("someone on {host}"), |user| format!("{user} on {host}"))
}
