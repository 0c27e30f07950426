//! `ebb retry`: rejected rows are tried again.

use clap::Args;
use ebb_engine::Scope;
use ebb_row::RowKey;

use super::Context;
use super::run::{Invocation, run_and_show};
use crate::exit::{Exit, Failure};
use crate::output::number::counted;
use crate::workspace::Workspace;

/// Tries rejected rows again, quarantined and unknown ones too: forgets their tries, and runs the sync.
#[derive(Debug, Args)]
pub(crate) struct RetryArgs {
    /// The sync.
    #[arg(value_name = "SYNC")]
    sync: String,
    /// Only the row with this primary key.
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// Fail at once where someone else runs the sync, instead of waiting for them.
    #[arg(long)]
    no_wait: bool,
}

pub(super) async fn main(context: &Context, args: RetryArgs) -> Result<Exit, Failure> {
    context.is_json()?;
    let workspace = Workspace::open(context)?;
    workspace.sync(&args.sync)?;
    let store = workspace.store()?;
    let key = args.key.as_deref().map(RowKey::new);
    let count = match store.find_sync(&args.sync).await? {
        Some(state) => store.retry_rejections(state.id, key.as_ref()).await?,
        None => 0,
    };
    if count == 0 {
        let what = if key.is_some() { "this row is not among them" } else { "there are none" };
        context.notes().say(format_args!("sync `{}` has no rejected rows to try again: {what}", args.sync));
        return Ok(Exit::Done);
    }
    context.notes().say(format_args!("{} to be tried again", counted(count, "row")));
    let invocation = Invocation {
        scope: Scope { key, ..Scope::default() },
        override_guards: Vec::new(),
        plan: None,
        trigger: "retry",
        no_wait: args.no_wait,
    };
    run_and_show(context, &workspace, &store, &[args.sync], &invocation).await
}
