use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ebb_engine::{EngineError, Follows, Phase, Progress, RunRequest, RunStatus, Snapshot, with_causes};
use ebb_project::Project;
use ebb_schedule::Due;
use tokio::sync::watch;

use crate::daemon::Daemon;
use crate::host::{Host, News, NotReady};
use crate::outlook::Start;

/// What caused a run, as the state and `ebb runs` name it.
const TRIGGER: &str = "schedule";

/// What became of a sync that was due, as far as the loop minds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Conclusion {
    /// Its runs ended, in whatever way; its next one is by schedule.
    Ran,
    /// Someone else runs it or its object, or its run failed with an error: not again within a second.
    Briefly,
    /// It left no run that counts, so that it is due again at once.
    Again,
}

/// Tells that a run began, once: when it does something, since before that someone else may hold it.
#[derive(Debug)]
struct Beginning<'a> {
    host: &'a dyn Host,
    sync: &'a str,
    due: Due,
    is_told: AtomicBool,
}

impl Beginning<'_> {
    fn tell(&self) {
        if !self.is_told.swap(true, Ordering::AcqRel) {
            self.host.tell(&News::Begun { sync: self.sync, due: self.due });
        }
    }
}

impl Progress for Beginning<'_> {
    fn update(&self, snapshot: &Snapshot) {
        match snapshot.phase {
            Phase::Waiting => {}
            Phase::Reading | Phase::Planning | Phase::Sending | Phase::Finished => self.tell(),
        }
    }
}

/// Returns once the process is to stop.
pub(crate) async fn stopped(mut stop: watch::Receiver<bool>) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        // Nobody can ask any more.
        std::future::pending::<()>().await;
    }
}

/// Runs a sync as often as it is due, and tells what became of it.
pub(crate) async fn carry_out(daemon: Arc<Daemon>, project: Arc<Project>, start: Start) -> Conclusion {
    let host = &daemon.host;
    let preparing = tokio::select! {
        preparing = host.prepare(&project, &start.sync) => preparing,
        () = stopped(daemon.stop.clone()) => return Conclusion::Again,
    };
    let ready = match preparing {
        Ok(ready) => ready,
        Err(NotReady(reason)) => {
            host.tell(&News::NotRun { sync: &start.sync, status: "failed", reason });
            return Conclusion::Again;
        }
    };
    let asking = Arc::clone(host);
    let commit = tokio::task::spawn_blocking(move || asking.commit()).await.unwrap_or_default();
    let mut follows = start.follows;
    for _ in 0..start.due.runs {
        if *daemon.stop.borrow() {
            return Conclusion::Again;
        }
        let request = RunRequest {
            trigger: TRIGGER.to_owned(),
            commit: commit.clone(),
            no_wait: true,
            follows,
            ..RunRequest::default()
        };
        let beginning =
            Beginning { host: host.as_ref(), sync: &start.sync, due: start.due, is_told: AtomicBool::new(false) };
        match Box::pin(daemon.engine.run(&ready, &request, &beginning)).await {
            Ok(report) => {
                beginning.tell();
                host.tell(&News::Ended(&report));
                match report.status {
                    RunStatus::Succeeded | RunStatus::Partial => follows = Follows::Run(report.id),
                    RunStatus::Failed | RunStatus::Refused => return Conclusion::Ran,
                    RunStatus::Interrupted => return Conclusion::Again,
                }
            }
            Err(error) => return not_run(host.as_ref(), &start.sync, &error),
        }
    }
    Conclusion::Ran
}

fn not_run(host: &dyn Host, sync: &str, error: &EngineError) -> Conclusion {
    let (status, conclusion) = match error {
        EngineError::Busy { .. } | EngineError::Overtaken { .. } => {
            tracing::info!(sync, %error, "left to someone else");
            return Conclusion::Briefly;
        }
        EngineError::Refused { .. } => ("refused", Conclusion::Briefly),
        EngineError::Stopped { .. } => ("interrupted", Conclusion::Again),
        // Perhaps it has no run that counts.
        EngineError::State(_) => ("failed", Conclusion::Again),
        EngineError::Project { .. }
        | EngineError::Source { .. }
        | EngineError::PlanFile(_)
        | EngineError::Storage(_)
        | EngineError::Credentials { .. }
        | EngineError::Sum { .. } => ("failed", Conclusion::Briefly),
    };
    let text = with_causes(error);
    let reason = text.strip_prefix(&format!("sync `{sync}`: ")).unwrap_or(&text).to_owned();
    host.tell(&News::NotRun { sync, status, reason });
    conclusion
}
