//! `ebb adopt`: the destination is taken to hold a sync's rows already.

use clap::Args;
use ebb_engine::Scope;

use super::Context;
use super::run::{Invocation, run_and_show};
use crate::exit::{Exit, Failure};
use crate::workspace::Workspace;

/// Takes a sync's rows as accepted, and sends nothing: for a destination that holds them already.
#[derive(Debug, Args)]
pub(crate) struct AdoptArgs {
    /// The sync.
    #[arg(value_name = "SYNC")]
    sync: String,
    /// Fail at once where someone else runs the sync, instead of waiting for them.
    #[arg(long)]
    no_wait: bool,
}

pub(super) async fn main(context: &Context, args: AdoptArgs) -> Result<Exit, Failure> {
    context.is_json()?;
    let workspace = Workspace::open(context)?;
    workspace.sync(&args.sync)?;
    let store = workspace.store()?;
    let invocation = Invocation {
        scope: Scope { adopt: true, first_run_send: Some(false), ..Scope::default() },
        override_guards: Vec::new(),
        plan: None,
        trigger: "adopt",
        no_wait: args.no_wait,
    };
    run_and_show(context, &workspace, &store, &[args.sync], &invocation).await
}
