use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ebb_row::{Column, Hash128};
use ebb_source::SourceConfig;
use uuid::Uuid;

use crate::environment::Environment;
use crate::fault::{Fault, Faults};
use crate::file;
use crate::model::{self, Model, Models};
use crate::order;
use crate::settings::{self, DestinationSettings, Settings, SourceKind, StateLocation};
use crate::sync::Sync;
use crate::sync_file::{self, Syncs};

/// The file that makes a folder a project.
pub(crate) const SETTINGS_FILE: &str = "ebb.yaml";

/// A project: from [`load`] without faults, but for the environment that some commands need.
#[derive(Debug)]
pub struct Project {
    root: PathBuf,
    settings: Settings,
    models: Models,
    syncs: Syncs,
    order: Vec<String>,
    digest: Hash128,
    allowed_hosts: Vec<String>,
}

/// The columns of models, by the models' names.
pub type KnownColumns = BTreeMap<String, Vec<Column>>;

/// What [`check`] found.
#[derive(Debug)]
pub struct Checked {
    /// Every fault of every file, in the order of files and lines.
    pub faults: Faults,
    /// What could be read: all of the project where there are no faults. Otherwise the models and syncs that have none
    /// themselves, to be looked at and not to be run; `None` where `ebb.yaml` could not be read.
    pub project: Option<Project>,
}

/// Reads and checks the project in the folder `root`.
///
/// Variables that are not set are no fault yet: they are raised by [`Project::source`] and [`Project::destination`],
/// by the commands that need them.
///
/// # Errors
/// Every fault of every file, in the order of files and lines.
pub fn load(root: &Path, environment: &Environment) -> Result<Project, Faults> {
    let Checked { faults, project } = check(root, environment, &KnownColumns::new());
    match project {
        Some(project) if faults.0.is_empty() => Ok(project),
        Some(_) | None => Err(faults),
    }
}

/// Reads and checks the project in the folder `root` as [`load`] does, mappings against these columns too, so that their
/// faults come with all the others. A model that lists its columns itself is taken at its word.
pub fn check(root: &Path, environment: &Environment, columns: &KnownColumns) -> Checked {
    let fail = |fault: Fault| Checked { faults: fault.into(), project: None };
    let root = match fs::canonicalize(root) {
        Ok(root) => root,
        Err(error) => {
            let message = format!("the project's folder cannot be read: {}", file::reason(&error));
            return fail(Fault::of_file(SETTINGS_FILE, message));
        }
    };
    if root.join(SETTINGS_FILE).symlink_metadata().is_err() {
        let fault = Fault::of_file(SETTINGS_FILE, "this folder has no `ebb.yaml`, so it is not a project");
        return fail(fault.with_hint("run `ebb init` to start one, or name the project's folder"));
    }
    let mut faults = Faults::default();
    let environment = match environment.with_dotenv(&root) {
        // Tokens may go only where the process itself allows, so `.env` does not count for that.
        Ok(merged) => (merged, environment.allowed_hosts()),
        Err(found) => {
            faults.0.extend(found.0);
            (environment.clone(), environment.allowed_hosts())
        }
    };
    let (settings, text) = match file::read(&root, Path::new(SETTINGS_FILE), file::MAX_FILE_BYTES) {
        Ok(file) => {
            let (settings, found) = settings::read(&root, &file, &environment.0, &environment.1);
            faults.0.extend(found.0);
            (settings, file.text)
        }
        Err(fault) => {
            faults.0.push(fault);
            (None, String::new())
        }
    };
    let models = model::read_all(&root, settings.as_ref(), &mut faults);
    for (name, columns) in columns {
        faults.0.extend(models.by_name.get(name).into_iter().flat_map(|model| model.check_columns(columns)));
    }
    let syncs = sync_file::read_all(&root, settings.as_ref(), (&models, columns), &mut faults);
    let order = order::order(&syncs.by_name).unwrap_or_else(|found| {
        faults.0.extend(found);
        Vec::new()
    });
    let project = settings.map(|settings| {
        let digest = digest(&text, &models, &syncs);
        Project { root, settings, models, syncs, order, digest, allowed_hosts: environment.1 }
    });
    Checked { faults: faults.in_order(), project }
}

/// Hashes the project's files and what their models resolve to; not the environment.
fn digest(settings: &str, models: &Models, syncs: &Syncs) -> Hash128 {
    let mut bytes = Vec::new();
    let mut add = |name: &str, text: &str| {
        for part in [name, text] {
            bytes.extend_from_slice(part.len().to_string().as_bytes());
            bytes.push(b':');
            bytes.extend_from_slice(part.as_bytes());
        }
    };
    add(SETTINGS_FILE, settings);
    for model in models.by_name.values() {
        add(&format!("models/{}", model.name), model.text());
        add(&model.source, model.sql());
    }
    for sync in syncs.by_name.values() {
        add(&format!("syncs/{}", sync.name), &sync.file.text);
    }
    Hash128::of(&bytes)
}

impl Project {
    /// Returns the project's folder, absolute and without links.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Returns the project's identity, where `ebb.yaml` has one.
    pub fn project_id(&self) -> Option<Uuid> {
        self.settings.project_id
    }

    /// Returns where state is kept.
    pub fn state(&self) -> StateLocation {
        self.settings.state.clone()
    }

    /// Returns how long logs of runs are kept.
    pub fn logs_keep(&self) -> Duration {
        self.settings.logs_keep
    }

    /// Returns how many bytes of a request's or reply's body a log line holds.
    pub fn body_cap(&self) -> usize {
        self.settings.body_cap
    }

    /// Returns the paths of fields to mask in logs, for every destination.
    pub fn redact(&self) -> &[String] {
        &self.settings.redact
    }

    /// Returns a digest of the project's files, the same on every machine.
    pub fn digest(&self) -> Hash128 {
        self.digest
    }

    /// Returns the hosts that the process's environment allows tokens to go to.
    pub fn allowed_hosts(&self) -> &[String] {
        &self.allowed_hosts
    }

    /// Returns the names of the sources, sorted.
    pub fn source_names(&self) -> Vec<&str> {
        self.settings.sources.keys().map(String::as_str).collect()
    }

    /// Returns the names of the destinations, sorted.
    pub fn destination_names(&self) -> Vec<&str> {
        self.settings.destinations.keys().map(String::as_str).collect()
    }

    /// Returns the models, sorted by name.
    pub fn models(&self) -> impl ExactSizeIterator<Item = &Model> {
        self.models.by_name.values()
    }

    /// Returns the model of this name.
    pub fn model(&self, name: &str) -> Option<&Model> {
        self.models.by_name.get(name)
    }

    /// Returns the syncs, sorted by name.
    pub fn syncs(&self) -> impl ExactSizeIterator<Item = &Sync> {
        self.syncs.by_name.values()
    }

    /// Returns the sync of this name.
    pub fn sync(&self, name: &str) -> Option<&Sync> {
        self.syncs.by_name.get(name)
    }

    /// Returns the name of a sync or model that a misspelt one was most likely meant to be.
    pub fn nearest<'a>(&'a self, name: &str) -> Option<&'a str> {
        let names = self.syncs.names.iter().chain(&self.models.names);
        crate::keys::nearest(name, names.map(String::as_str))
    }

    /// Returns the source of this name, ready to open.
    ///
    /// # Errors
    /// What of its environment is missing or wrong; that there is no such source.
    pub fn source(&self, name: &str) -> Result<SourceConfig, Faults> {
        let entry = self.settings.sources.get(name).ok_or_else(|| unknown("source", name))?;
        late(&entry.late, |_| true)?;
        entry.value.as_ref().and_then(|source| source.config.clone()).ok_or_else(|| unknown("source", name))
    }

    /// Returns the kind of the source of this name.
    pub fn source_kind(&self, name: &str) -> Option<SourceKind> {
        self.settings.sources.get(name)?.value.as_ref().map(|source| source.kind)
    }

    /// Returns how long one query of the source may take.
    pub fn statement_timeout(&self, source: &str) -> Duration {
        let settings = self.settings.sources.get(source).and_then(|entry| entry.value.as_ref());
        settings.map_or(Duration::from_mins(10), |source| source.statement_timeout)
    }

    /// Returns the destination of this name with its tokens.
    ///
    /// # Errors
    /// What of its environment is missing or wrong; that there is no such destination.
    pub fn destination(&self, name: &str) -> Result<DestinationSettings, Faults> {
        let entry = self.settings.destinations.get(name).ok_or_else(|| unknown("destination", name))?;
        late(&entry.late, |_| true)?;
        entry.value.clone().ok_or_else(|| unknown("destination", name))
    }

    /// Returns the destination of this name for a command that sends nothing: its tokens may be missing.
    ///
    /// # Errors
    /// What of its environment, tokens apart, is missing or wrong; that there is no such destination.
    pub fn destination_untokened(&self, name: &str) -> Result<DestinationSettings, Faults> {
        let entry = self.settings.destinations.get(name).ok_or_else(|| unknown("destination", name))?;
        late(&entry.late, |key| !key.ends_with("_token"))?;
        entry.value.clone().ok_or_else(|| unknown("destination", name))
    }

    /// Returns the syncs of these names, or all where there are none, in the order in which they run: after those
    /// they name, and after those that write what they look up. Unknown names are left out.
    pub fn order(&self, names: &[String]) -> Vec<&Sync> {
        let wanted: BTreeSet<&str> = names.iter().map(String::as_str).collect();
        let is_wanted = |name: &&String| wanted.is_empty() || wanted.contains(name.as_str());
        self.order.iter().filter(is_wanted).filter_map(|name| self.sync(name)).collect()
    }
}

fn unknown(what: &str, name: &str) -> Faults {
    Fault::of_file(SETTINGS_FILE, format!("there is no {what} `{name}`")).into()
}

fn late(faults: &[(String, Fault)], counts: impl Fn(&str) -> bool) -> Result<(), Faults> {
    let faults: Vec<Fault> = faults.iter().filter(|(key, _)| counts(key)).map(|(_, fault)| fault.clone()).collect();
    if faults.is_empty() { Ok(()) } else { Err(Faults(faults).in_order()) }
}
