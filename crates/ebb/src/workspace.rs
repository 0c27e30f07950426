//! A project opened for a command: its files, its state, an engine.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ebb_engine::{Engine, EngineOptions, HttpTransport, SystemClock};
use ebb_project::{Project, StateLocation, Sync};
use ebb_row::{Clock, Column, Hash128};
use ebb_source::{Query, Source, SourceError};
use ebb_state::{RunRecord, SqliteStore, Store};

use crate::cli::Context;
use crate::exit::{Exit, Failure};
use crate::output::escape;

/// The file that makes a folder a project.
const SETTINGS_FILE: &str = "ebb.yaml";

/// Bytes that a diff keeps in memory before it spills.
const SPILL_BUDGET: usize = 16 << 20;

/// The longest `Retry-After`, and the longest outage, that a run waits for.
const PATIENCE: Duration = Duration::from_mins(15);

/// A project, loaded without a fault.
#[derive(Debug)]
pub(crate) struct Workspace {
    /// The folder with `ebb.yaml`.
    pub(crate) root: PathBuf,
    /// What the files say.
    pub(crate) project: Arc<Project>,
    /// The system's clocks.
    pub(crate) clock: Arc<dyn Clock>,
}

impl Workspace {
    /// Finds and loads the project.
    ///
    /// # Errors
    /// Every fault of its files.
    pub(crate) fn open(context: &Context) -> Result<Self, Failure> {
        let root = find_root(context.globals.project.as_deref())?;
        Self::load(root, context)
    }

    /// Loads the project of a folder.
    ///
    /// # Errors
    /// Every fault of its files.
    pub(crate) fn load(root: PathBuf, context: &Context) -> Result<Self, Failure> {
        let project = ebb_project::load(&root, &context.environment)?;
        Ok(Self { root, project: Arc::new(project), clock: Arc::new(SystemClock) })
    }

    /// Returns the folder of the state.
    pub(crate) fn state_directory(&self) -> PathBuf {
        match self.project.state() {
            StateLocation::Sqlite(file) => file.parent().map_or_else(|| self.root.join(".ebb"), Path::to_path_buf),
        }
    }

    /// Opens the state, making it where it is missing.
    ///
    /// # Errors
    /// The state cannot be used.
    pub(crate) fn store(&self) -> Result<Arc<dyn Store>, Failure> {
        Ok(SqliteStore::open(&self.state_directory(), Arc::clone(&self.clock))?)
    }

    /// Opens the state if there is one.
    ///
    /// # Errors
    /// The state cannot be used.
    pub(crate) fn existing_store(&self) -> Result<Option<Arc<dyn Store>>, Failure> {
        let file = self.state_directory().join("state.db");
        let is_there = file.try_exists().map_err(|error| Failure::file(&file, error))?;
        if is_there { self.store().map(Some) } else { Ok(None) }
    }

    /// Makes an engine on a store.
    ///
    /// # Errors
    /// TLS cannot be used.
    pub(crate) fn engine(&self, context: &Context, store: Arc<dyn Store>) -> Result<Engine, Failure> {
        let transport =
            HttpTransport::new().map_err(|reason| Failure::failed(format!("HTTP cannot be used: {reason}")))?;
        Ok(Engine::new(EngineOptions {
            store,
            clock: Arc::clone(&self.clock),
            transport: Arc::new(transport),
            work_directory: self.work_directory(),
            spill_budget: SPILL_BUDGET,
            patience: PATIENCE,
            stop: context.stop.flag(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            worker: worker(),
        }))
    }

    /// Returns the folder of working files.
    pub(crate) fn work_directory(&self) -> PathBuf {
        self.state_directory().join("work")
    }

    /// Returns a sync.
    ///
    /// # Errors
    /// There is none of that name; the message lists those there are.
    pub(crate) fn sync(&self, name: &str) -> Result<&Sync, Failure> {
        self.project
            .sync(name)
            .ok_or_else(|| unknown("sync", name, self.project.syncs().map(|sync| sync.name.as_str())))
    }

    /// Opens the source of a model.
    ///
    /// # Errors
    /// What the environment lacks for it.
    pub(crate) fn source_of(&self, model: &ebb_project::Model) -> Result<Arc<dyn Source>, Failure> {
        self.open_source(&model.source)
    }

    /// Opens a source by its name.
    ///
    /// # Errors
    /// What the environment lacks for it.
    pub(crate) fn open_source(&self, name: &str) -> Result<Arc<dyn Source>, Failure> {
        let config = self.project.source(name)?;
        Ok(Arc::from(ebb_source::open(&config)?))
    }

    /// Describes the model of a sync, remembers its columns, and checks the sync against them.
    ///
    /// # Errors
    /// The model cannot be described, or does not fit the sync: every fault at once.
    pub(crate) async fn check_columns(&self, sync: &Sync, store: &dyn Store) -> Result<Vec<Column>, Failure> {
        let model = self.model(&sync.model)?;
        let columns = self.describe(model).await?;
        store.remember_columns(query_digest(model), &columns).await?;
        let mut faults = model.check_columns(&columns);
        faults.extend(sync.check_columns(&columns));
        if faults.is_empty() { Ok(columns) } else { Err(Failure::Faults(ebb_project::Faults(faults))) }
    }

    /// Returns the columns of a model, as its source describes them.
    ///
    /// # Errors
    /// The source cannot be asked, or refuses the query: then with its place in the model's file.
    pub(crate) async fn describe(&self, model: &ebb_project::Model) -> Result<Vec<Column>, Failure> {
        let source = self.source_of(model)?;
        let query = Query { sql: model.sql().to_owned(), cursor: None };
        source.describe(&query).await.map_err(|error| model_failure(model, error))
    }

    /// Returns a model.
    ///
    /// # Errors
    /// There is none of that name; the message lists those there are.
    pub(crate) fn model(&self, name: &str) -> Result<&ebb_project::Model, Failure> {
        let known = || self.project.models().map(|model| model.name.as_str());
        self.project.model(name).ok_or_else(|| unknown("model", name, known()))
    }
}

/// Returns what a source says of a model's query, at its place in the model's file.
pub(crate) fn model_failure(model: &ebb_project::Model, error: SourceError) -> Failure {
    match error {
        SourceError::Query { message, line, column } => {
            let place = line.map(|line| (line, column.unwrap_or(1)));
            model.query_fault(format!("the source refuses the query: {message}"), place).into()
        }
        error @ SourceError::Unsupported { .. } => model.query_fault(error.to_string(), None).into(),
        error @ (SourceError::Settings(_)
        | SourceError::Connect { .. }
        | SourceError::Timeout { .. }
        | SourceError::Broken(_)) => match Failure::from(error) {
            Failure::Message { exit, message, hint } => {
                Failure::Message { exit, message: format!("model `{}`: {message}", model.name), hint }
            }
            failure @ (Failure::Faults(_) | Failure::Stopped) => failure,
        },
    }
}

/// Returns this process in words: process and host.
fn worker() -> String {
    format!("process {} on {}", std::process::id(), host())
}

/// Returns the name of this machine.
pub(crate) fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Returns the digest by which a model's columns are remembered.
pub(crate) fn query_digest(model: &ebb_project::Model) -> Hash128 {
    Hash128::of(format!("{}\0{}", model.source, model.sql()).as_bytes())
}

fn unknown<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a str>) -> Failure {
    let known: Vec<String> = known.map(|name| format!("`{name}`")).collect();
    let hint = match known.as_slice() {
        [] => format!("the project has no {what}s"),
        names => format!("there are {}", names.join(", ")),
    };
    Failure::usage(format!("there is no {what} `{name}`")).hint(hint)
}

/// Returns the folder of the project.
///
/// # Errors
/// There is none here.
pub(crate) fn find_root(given: Option<&Path>) -> Result<PathBuf, Failure> {
    let has_settings = |folder: &Path| {
        let file = folder.join(SETTINGS_FILE);
        file.try_exists().map_err(|error| Failure::file(file, error))
    };
    if let Some(folder) = given {
        if !has_settings(folder)? {
            let message = format!("{} has no `{SETTINGS_FILE}`", folder.display());
            return Err(Failure::usage(message).hint("`ebb init` makes a project"));
        }
        return Ok(folder.to_path_buf());
    }
    let current = std::env::current_dir().map_err(|error| Failure::file(".", error))?;
    for folder in current.ancestors() {
        if has_settings(folder)? {
            return Ok(folder.to_path_buf());
        }
    }
    let message = format!("neither {} nor a folder above it has an `{SETTINGS_FILE}`", current.display());
    Err(Failure::usage(message).hint("`ebb init` makes a project, `ebb demo` one with data; `-C DIR` names one"))
}

/// Returns the run whose id begins so.
///
/// # Errors
/// There is none, or there are several.
pub(crate) async fn find_run(store: &dyn Store, prefix: &str) -> Result<RunRecord, Failure> {
    let mut found = store.find_runs(prefix).await?;
    match (found.pop(), found.is_empty()) {
        (Some(run), true) => Ok(run),
        (None, _) => {
            Err(Failure::usage(format!("there is no run `{}`", escape::terminal(prefix))).hint("`ebb runs` lists them"))
        }
        (Some(last), false) => {
            found.push(last);
            let ids: Vec<String> = found.iter().take(5).map(|run| run.run.id.to_string()).collect();
            Err(Failure::usage(format!("several runs begin with `{}`", escape::terminal(prefix)))
                .hint(format!("such as {}", ids.join(", "))))
        }
    }
}

/// Returns the project's git commit, with `-dirty` where its files differ from it; `None` outside git.
pub(crate) fn git_commit(root: &Path) -> Option<String> {
    // A project may come from anywhere: no setting of its own repository may start a program.
    let git = |arguments: &[&str]| {
        let output = std::process::Command::new("git")
            .arg("--no-optional-locks")
            .args(["-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-C"])
            .arg(root)
            .args(arguments)
            .stdin(std::process::Stdio::null())
            .output()
            .ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let commit = git(&["rev-parse", "--verify", "HEAD"])?;
    let is_clean = git(&["status", "--porcelain", "--", "."]).is_some_and(|status| status.is_empty());
    Some(if is_clean { commit } else { format!("{commit}-dirty") })
}

/// Returns an exit code for faults found while other syncs went on.
pub(crate) fn exit_of(failure: &Failure, context: &Context) -> Exit {
    match failure {
        Failure::Stopped => context.stop.exit().unwrap_or(Exit::Interrupted),
        Failure::Faults(_) | Failure::Message { .. } => failure.exit(),
    }
}
