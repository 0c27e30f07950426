//! How a command ends: the exit code, and what is said when it could not be done.

use std::error::Error;
use std::fmt::Display;

use ebb_daemon::DeskError;
use ebb_engine::{EngineError, RunStatus, with_causes};
use ebb_project::{Fault, Faults};
use ebb_source::SourceError;
use ebb_state::{PlanFileError, StateError};

/// The closed set of exit codes (docs/surface.md).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// 0.
    Done,
    /// 1: it could not be done.
    Failed,
    /// 2: the project or the command line is wrong.
    Wrong,
    /// 3: done, and some rows were rejected or are pending.
    Incomplete,
    /// 4: a guard, a plan that moved, or an undecided first run.
    Refused,
    /// 2, of `plan --detailed-exitcode`: there are changes.
    Changes,
    /// 130.
    Interrupted,
    /// 143.
    Terminated,
}

impl Exit {
    /// Returns the number.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Wrong | Self::Changes => 2,
            Self::Incomplete => 3,
            Self::Refused => 4,
            Self::Interrupted => 130,
            Self::Terminated => 143,
        }
    }

    /// Returns the worse of two: signals, then 2, 1, 4, 3, 0.
    pub(crate) fn worst(self, other: Self) -> Self {
        if self.badness() >= other.badness() { self } else { other }
    }

    fn badness(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Changes => 1,
            Self::Incomplete => 2,
            Self::Refused => 3,
            Self::Failed => 4,
            Self::Wrong => 5,
            Self::Interrupted => 6,
            Self::Terminated => 7,
        }
    }

    /// Returns the exit code of a run; an interrupted one that no signal stopped (a lost lease) failed.
    pub(crate) fn of_run(status: RunStatus) -> Self {
        match status {
            RunStatus::Succeeded => Self::Done,
            RunStatus::Partial => Self::Incomplete,
            RunStatus::Failed | RunStatus::Interrupted => Self::Failed,
            RunStatus::Refused => Self::Refused,
        }
    }
}

/// Why a command ends without its result.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The project's faults.
    Faults(Faults),
    /// One message for people, with the next step where it is known.
    Message {
        /// The code.
        exit: Exit,
        /// A lower-case fragment.
        message: String,
        /// What to do.
        hint: Option<String>,
    },
    /// A signal stopped it.
    Stopped,
}

impl Failure {
    /// The command line asks for something that cannot be.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::Message { exit: Exit::Wrong, message: message.into(), hint: None }
    }

    /// Something could not be done.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self::Message { exit: Exit::Failed, message: message.into(), hint: None }
    }

    /// Something could not be done to a file.
    pub(crate) fn file(path: impl AsRef<std::path::Path>, cause: impl Display) -> Self {
        Self::failed(format!("{}: {cause}", path.as_ref().display()))
    }

    /// Adds the next step.
    pub(crate) fn hint(self, text: impl Into<String>) -> Self {
        match self {
            Self::Message { exit, message, .. } => Self::Message { exit, message, hint: Some(text.into()) },
            Self::Faults(_) | Self::Stopped => self,
        }
    }

    /// Returns the exit code, where a signal is not its cause.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Faults(_) => Exit::Wrong,
            Self::Message { exit, .. } => *exit,
            Self::Stopped => Exit::Interrupted,
        }
    }
}

fn of_error(exit: Exit, error: &dyn Error) -> Failure {
    Failure::Message { exit, message: with_causes(error), hint: None }
}

impl From<Faults> for Failure {
    fn from(faults: Faults) -> Self {
        Self::Faults(faults)
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self::Faults(Faults(vec![fault]))
    }
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        let exit = match &error {
            EngineError::Project { .. } => Exit::Wrong,
            EngineError::Source { cause, .. } => of_source(cause),
            EngineError::PlanFile(cause) => of_plan_file(cause),
            EngineError::Refused { .. } => Exit::Refused,
            EngineError::State(_)
            | EngineError::Storage(_)
            | EngineError::Busy { .. }
            | EngineError::Overtaken { .. }
            | EngineError::Stopped { .. }
            | EngineError::Credentials { .. }
            | EngineError::Sum { .. } => Exit::Failed,
        };
        of_error(exit, &error)
    }
}

/// A query that the server refuses is a wrong project; a server that cannot be reached is not.
pub(crate) fn of_source(error: &SourceError) -> Exit {
    match error {
        SourceError::Settings(_) | SourceError::Query { .. } | SourceError::Unsupported { .. } => Exit::Wrong,
        SourceError::Connect { .. } | SourceError::Timeout { .. } | SourceError::Broken(_) => Exit::Failed,
    }
}

fn of_plan_file(error: &PlanFileError) -> Exit {
    match error {
        PlanFileError::Unusable { .. } => Exit::Wrong,
        PlanFileError::Storage { .. } => Exit::Failed,
    }
}

impl From<SourceError> for Failure {
    fn from(error: SourceError) -> Self {
        of_error(of_source(&error), &error)
    }
}

impl From<StateError> for Failure {
    fn from(error: StateError) -> Self {
        of_error(Exit::Failed, &error)
    }
}

impl From<DeskError> for Failure {
    fn from(error: DeskError) -> Self {
        of_error(Exit::Failed, &error)
    }
}

impl From<PlanFileError> for Failure {
    fn from(error: PlanFileError) -> Self {
        of_error(of_plan_file(&error), &error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_exit_code_wins() {
        let order = [Exit::Done, Exit::Incomplete, Exit::Refused, Exit::Failed, Exit::Wrong, Exit::Interrupted];
        for (at, milder) in order.iter().enumerate() {
            for worse in &order[at..] {
                assert_eq!(milder.worst(*worse), *worse);
                assert_eq!(worse.worst(*milder), *worse);
            }
        }
    }

    #[test]
    fn a_cause_is_said_once() {
        let cause = StateError::Storage("disk full".to_owned());
        assert_eq!(with_causes(&EngineError::State(cause)), "the state could not be used: state: disk full");
    }
}
