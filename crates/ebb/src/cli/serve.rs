//! `ebb serve`: runs syncs when they are due.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use clap::Args;
use ebb_daemon::{Daemon, Host, News, NotReady};
use ebb_engine::ReadySync;
use ebb_project::{Environment, Faults, Project};
use ebb_row::Clock;
use ebb_state::Store;

use super::Context;
use super::pause::desk;
use super::run::message_of;
use crate::exit::{Exit, Failure};
use crate::output::{Notes, Out, serve};
use crate::ready::{self, Purpose};
use crate::retention::remove_old_logs;
use crate::workspace::{Workspace, find_root, git_commit};

/// Runs syncs when they are due by their `schedule` or by the syncs in their `after`, until a signal stops it. It takes
/// changes of the project's files over as they come.
#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// How long runs that are going on are waited for when it is stopped.
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = clap::value_parser!(u64).range(0..=3_600))]
    drain: u64,
}

pub(super) async fn main(context: &Context, args: ServeArgs) -> Result<Exit, Failure> {
    let is_json = context.is_json()?;
    let root = find_root(context.globals.project.as_deref())?;
    let files = ebb_daemon::digest(&root);
    let workspace = Workspace::load(root, context)?;
    let store = workspace.store()?;
    let engine = Arc::new(workspace.engine(context, Arc::clone(&store))?);
    let program = Program {
        root: workspace.root.clone(),
        environment: context.environment.clone(),
        state_directory: workspace.state_directory(),
        store: Arc::clone(&store),
        clock: Arc::clone(&workspace.clock),
        is_json,
        told: Mutex::new((context.out(), context.notes())),
    };
    let daemon = Daemon {
        desk: desk(&workspace, &store),
        engine,
        host: Arc::new(program),
        root: workspace.root.clone(),
        files,
        stop: context.stop.flag(),
        drain: Duration::from_secs(args.drain),
    };
    Box::pin(daemon.serve(workspace.project)).await;
    Ok(context.stop.exit().unwrap_or(Exit::Done))
}

/// What the daemon is lent.
#[derive(Debug)]
struct Program {
    root: PathBuf,
    environment: Environment,
    state_directory: PathBuf,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    is_json: bool,
    told: Mutex<(Out, Notes)>,
}

#[async_trait]
impl Host for Program {
    fn load(&self) -> Result<Project, Faults> {
        ebb_project::load(&self.root, &self.environment)
    }

    async fn prepare(&self, project: &Arc<Project>, sync: &str) -> Result<ReadySync, NotReady> {
        let workspace =
            Workspace { root: self.root.clone(), project: Arc::clone(project), clock: Arc::clone(&self.clock) };
        self.build(&workspace, sync).await.map_err(|failure| {
            if let Failure::Faults(_) = failure {
                self.told.lock().unwrap_or_else(PoisonError::into_inner).1.failure(&failure);
            }
            NotReady(message_of(&failure))
        })
    }

    fn commit(&self) -> Option<String> {
        git_commit(&self.root)
    }

    fn sweep(&self, project: &Project) {
        remove_old_logs(&self.state_directory, project.logs_keep(), self.clock.now());
    }

    fn tell(&self, news: &News<'_>) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let (out, notes) = &mut *told;
        if let News::Wrong(faults) = news {
            notes.failure(&Failure::Faults((*faults).clone()));
        }
        let now = self.clock.now();
        if self.is_json {
            serve::write_json(out, &self.root, &now, news);
        } else {
            serve::write_text(out, &self.root, &now, news);
        }
        out.flush();
    }
}

impl Program {
    async fn build(&self, workspace: &Workspace, name: &str) -> Result<ReadySync, Failure> {
        let sync = workspace.sync(name)?;
        workspace.check_columns(sync, self.store.as_ref()).await?;
        ready::build(workspace, sync, self.store.as_ref(), Purpose::Run).await
    }
}
