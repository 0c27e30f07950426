//! `ebb reset`: a sync's snapshot is forgotten.

use std::io::{BufRead as _, IsTerminal as _, stdin};
use std::time::Duration;

use clap::Args;
use ebb_state::{Acquire, LeaseTerm};

use super::Context;
use crate::exit::{Exit, Failure};
use crate::output::number::counted;
use crate::ready::{self, Purpose};
use crate::workspace::Workspace;

/// Long enough for the one transaction of a reset.
const TERM: LeaseTerm = LeaseTerm { ttl: Duration::from_secs(30) };

/// Forgets what a sync sent: its snapshot, rejected rows and cursor. The destination is not touched; the next run
/// sends every row.
#[derive(Debug, Args)]
pub(crate) struct ResetArgs {
    /// The sync.
    #[arg(value_name = "SYNC")]
    sync: String,
    /// Do not ask.
    #[arg(long, short)]
    yes: bool,
}

pub(super) async fn main(context: &Context, args: ResetArgs) -> Result<Exit, Failure> {
    let is_json = context.is_json()?;
    let workspace = Workspace::open(context)?;
    let sync = workspace.sync(&args.sync)?;
    let Some(store) = workspace.existing_store()? else { return Ok(nothing(context, &args.sync)) };
    let Some(state) = store.find_sync(&args.sync).await? else { return Ok(nothing(context, &args.sync)) };
    if !args.yes && !is_confirmed(context, &args.sync, state.live).await? {
        context.notes().say("nothing was changed");
        return Ok(Exit::Done);
    }
    let ready = ready::build(&workspace, sync, store.as_ref(), Purpose::Plan).await?;
    let scope = format!("sync:{}", sync.name);
    let lease = match store.acquire(&scope, TERM).await? {
        Acquire::Held { lease, .. } => lease,
        Acquire::Busy { holder, .. } => {
            return Err(Failure::failed(format!("sync `{}` is being run by {holder}", sync.name)));
        }
    };
    let ended = store.reset(&lease, &ready.identity()).await;
    store.release(&lease).await?;
    let after = ended?;
    let mut out = context.out();
    if is_json {
        out.json_document(&serde_json::json!({
            "sync": sync.name, "forgotten": state.live, "generation": after.generation,
        }));
    } else {
        out.line(format_args!(
            "sync `{}`: {} forgotten; the next run sends every row",
            sync.name,
            counted(state.live, "row")
        ));
    }
    out.finish()?;
    Ok(Exit::Done)
}

fn nothing(context: &Context, sync: &str) -> Exit {
    context.notes().say(format_args!("sync `{sync}` has no snapshot to forget"));
    Exit::Done
}

/// Asks on the terminal.
async fn is_confirmed(context: &Context, sync: &str, live: u64) -> Result<bool, Failure> {
    if !stdin().is_terminal() {
        return Err(Failure::usage("`ebb reset` asks on a terminal").hint("`--yes` answers beforehand"));
    }
    context.notes().ask(format_args!(
        "forget the snapshot of sync `{sync}` ({})? Its next run sends every row again. Type yes: ",
        counted(live, "row")
    ));
    let asking = tokio::task::spawn_blocking(|| {
        let mut answer = String::new();
        stdin().lock().read_line(&mut answer).map(|_| answer)
    });
    let answer = asking.await.map_err(|error| Failure::failed(error.to_string()))?;
    let answer = answer.map_err(|error| Failure::file("stdin", error))?;
    Ok(matches!(answer.trim(), "yes" | "y"))
}
