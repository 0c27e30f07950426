//! `ebb.yaml`: sources, destinations, state.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ebb_destination::HostFault;
use ebb_destination::vitally::{Region, SettingsError, Vitally, VitallySettings};
use ebb_mapping::{Node, NodeKind};
use ebb_row::Secret;
use ebb_source::SourceConfig;
use ebb_template::Language;
use url::Url;
use uuid::Uuid;

use crate::environment::{Environment, Origins, interpolate};
use crate::fault::{Fault, Faults};
use crate::file::SourceFile;
use crate::keys::{Checker, SETTINGS, child, shown_list};
use crate::read::{duration_of, integer_of, language_of, text_of, texts_of};
use crate::{units, yaml};

/// Where ebb keeps its state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StateLocation {
    /// A `SQLite` file, absolute.
    Sqlite(PathBuf),
}

/// The kind of a source, by which names are quoted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceKind {
    /// `type: sqlite`.
    Sqlite,
    /// `type: postgres`.
    Postgres,
    /// `type: mysql`.
    Mysql,
}

/// A destination of `ebb.yaml`, environment filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DestinationSettings {
    /// Its name in the project.
    pub name: String,
    /// What it is.
    pub kind: DestinationKind,
    /// Hosts, besides the vendor's and loopback, to which its tokens may go.
    pub allowed_hosts: Vec<String>,
    /// Requests in flight, 1 to 256.
    pub concurrency: usize,
    /// How long one request may take, 12 s at most.
    pub request_timeout: Duration,
    /// Paths of fields to mask in logs, the project's included; sorted, each once.
    pub redact: Vec<String>,
}

/// The kinds of destinations with their own settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DestinationKind {
    /// `type: vitally`.
    Vitally(VitallySettings),
}

impl DestinationKind {
    /// Returns the `type` that the destination's declaration bears.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Vitally(_) => "vitally",
        }
    }
}

/// A source or destination: its value, and what is wrong with the environment that it needs.
#[derive(Clone, Debug)]
pub(crate) struct Entry<T> {
    pub(crate) value: Option<T>,
    /// Faults by the key of the value.
    pub(crate) late: Vec<(String, Fault)>,
}

/// A source and what a run needs beside its address.
#[derive(Clone, Debug)]
pub(crate) struct SourceSettings {
    pub(crate) kind: SourceKind,
    pub(crate) config: Option<SourceConfig>,
    pub(crate) statement_timeout: Duration,
}

/// `ebb.yaml`, checked.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) project_id: Option<Uuid>,
    pub(crate) state: StateLocation,
    pub(crate) logs_keep: Duration,
    pub(crate) body_cap: usize,
    pub(crate) redact: Vec<String>,
    /// The language of templates where the sync names none.
    pub(crate) language: Language,
    pub(crate) sources: BTreeMap<String, Entry<SourceSettings>>,
    pub(crate) destinations: BTreeMap<String, Entry<DestinationSettings>>,
}

const DEFAULT_STATE: &str = "sqlite:.ebb/state.db";

/// Reads `ebb.yaml`; what it can make of a faulty one is returned with the faults, so that models and syncs can be
/// checked against it.
pub(crate) fn read(
    root: &Path,
    file: &SourceFile,
    environment: &Environment,
    allowed_hosts: &[String],
) -> (Option<Settings>, Faults) {
    let mut node = match yaml::parse(&file.text) {
        Ok(node) => node,
        Err(spots) => return (None, Faults(spots.into_iter().map(|s| file.fault(s.at, s.message, s.hint)).collect())),
    };
    let mut origins = Origins::new();
    let mut spots = Vec::new();
    if let NodeKind::Map(entries) = &mut node.kind {
        for (key, value) in entries {
            if matches!(key.name.as_str(), "sources" | "destinations" | "state") {
                interpolate(value, environment, &mut origins, &mut spots);
            } else {
                refuse_references(value, &mut spots);
            }
        }
    }
    let mut reader =
        Reader { root, origins: &origins, checker: Checker::new(&origins), allowed: allowed_hosts.to_vec() };
    reader.checker.section(&node, &SETTINGS.iter().collect::<Vec<_>>(), "`ebb.yaml`");
    let mut settings = reader.settings(&node);
    let mut faults: Vec<Fault> = spots.into_iter().map(|spot| file.fault(spot.at, spot.message, spot.hint)).collect();
    for problem in reader.checker.problems {
        let fault = file.fault(problem.spot.at, problem.spot.message, problem.spot.hint);
        if !(problem.is_late && settings.take_late(problem.scope.as_deref(), &problem.key, &fault)) {
            faults.push(fault);
        }
    }
    (Some(settings), Faults(faults))
}

/// Variables are filled in only where settings need them.
fn refuse_references(node: &Node, spots: &mut Vec<yaml::Spot>) {
    match &node.kind {
        NodeKind::Text(text) if text.contains("${") => {
            let message = "`${...}` is filled in only in `sources`, `destinations` and `state`";
            spots.push(yaml::Spot::new(node.at, message));
        }
        NodeKind::List(items) => items.iter().for_each(|item| refuse_references(item, spots)),
        NodeKind::Map(entries) => entries.iter().for_each(|(_, value)| refuse_references(value, spots)),
        NodeKind::Null | NodeKind::Bool(_) | NodeKind::Number(_) | NodeKind::Text(_) => {}
    }
}

impl Settings {
    /// Keeps a fault for the commands that use the entry; false where there is no such entry.
    fn take_late(&mut self, scope: Option<&str>, key: &str, fault: &Fault) -> bool {
        let late = match scope.and_then(|scope| scope.split_once('.')) {
            Some(("sources", name)) => self.sources.get_mut(name).map(|entry| &mut entry.late),
            Some(("destinations", name)) => self.destinations.get_mut(name).map(|entry| &mut entry.late),
            Some(_) | None => None,
        };
        let is_taken = late.is_some();
        if let Some(late) = late {
            late.push((key.to_owned(), fault.clone()));
        }
        is_taken
    }
}

struct Reader<'a> {
    root: &'a Path,
    origins: &'a Origins,
    checker: Checker<'a>,
    allowed: Vec<String>,
}

impl Reader<'_> {
    fn settings(&mut self, node: &Node) -> Settings {
        let redact = child(node, "redact").map(texts_of).unwrap_or_default();
        let logs = child(node, "logs");
        let mut settings = Settings {
            project_id: child(node, "project").and_then(text_of).and_then(|text| Uuid::try_parse(text).ok()),
            state: self.state(child(node, "state")),
            logs_keep: logs.and_then(|logs| duration_of(logs, "keep")).unwrap_or(Duration::from_hours(30 * 24)),
            body_cap: logs
                .and_then(|logs| child(logs, "body_cap"))
                .and_then(text_of)
                .and_then(units::size)
                .and_then(|bytes| usize::try_from(bytes).ok())
                .unwrap_or(64 << 10),
            redact,
            language: language_of(node).unwrap_or_default(),
            sources: BTreeMap::new(),
            destinations: BTreeMap::new(),
        };
        for (name, value) in entries_of(child(node, "sources")) {
            self.checker.scope = Some(format!("sources.{name}"));
            let entry = Entry { value: self.source(value), late: Vec::new() };
            settings.sources.insert(name.to_owned(), entry);
        }
        for (name, value) in entries_of(child(node, "destinations")) {
            self.checker.scope = Some(format!("destinations.{name}"));
            let entry = Entry { value: self.destination(name, value, &settings.redact), late: Vec::new() };
            settings.destinations.insert(name.to_owned(), entry);
        }
        settings
    }

    /// Returns the text of a key, unless its variable is missing.
    fn text<'n>(&self, node: &'n Node, key: &str) -> Option<(&'n str, usize)> {
        let value = child(node, key)?;
        let is_there = self.origins.get(&value.at).is_none_or(|origin| origin.missing.is_empty());
        text_of(value).filter(|text| is_there && !text.trim().is_empty()).map(|text| (text, value.at))
    }

    fn state(&mut self, node: Option<&Node>) -> StateLocation {
        let (text, at) = node.map_or((DEFAULT_STATE, 0), |node| (text_of(node).unwrap_or(DEFAULT_STATE), node.at));
        if text.starts_with("postgres:") || text.starts_with("postgresql:") {
            let hint = Some("write `sqlite:PATH`".to_owned());
            self.checker.push(at, "state", "state in Postgres comes with a later version of ebb".to_owned(), hint);
            return StateLocation::Sqlite(self.root.join(".ebb/state.db"));
        }
        StateLocation::Sqlite(self.sqlite_path(text, at, "state").unwrap_or_else(|| self.root.join(".ebb/state.db")))
    }

    fn sqlite_path(&mut self, text: &str, at: usize, key: &str) -> Option<PathBuf> {
        let Some(path) = text.strip_prefix("sqlite:") else {
            let message = format!("`{key}` must be `sqlite:PATH`");
            self.checker.push(at, key, message, Some("such as `sqlite:warehouse.db`".to_owned()));
            return None;
        };
        let path = path.strip_prefix("//").unwrap_or(path);
        let wrong = if path.is_empty() {
            "names no file"
        } else if path.contains(":memory:") {
            "must name a file, not memory"
        } else if path.contains('?') {
            "takes no parameters after `?`"
        } else {
            return Some(self.root.join(path));
        };
        self.checker.push(at, key, format!("`{key}` {wrong}"), Some("such as `sqlite:warehouse.db`".to_owned()));
        None
    }

    fn source(&mut self, node: &Node) -> Option<SourceSettings> {
        let (kind, config) = match child(node, "type").and_then(text_of)? {
            "sqlite" => (SourceKind::Sqlite, self.sqlite(node)),
            "postgres" => {
                let url = self.database_url(node, &["postgres", "postgresql"]);
                (SourceKind::Postgres, url.map(|url| SourceConfig::Postgres { url }))
            }
            "mysql" | "mariadb" => {
                let url = self.database_url(node, &["mysql", "mariadb"]);
                (SourceKind::Mysql, url.map(|url| SourceConfig::Mysql { url }))
            }
            _ => return None,
        };
        let statement_timeout = duration_of(node, "statement_timeout").unwrap_or(Duration::from_mins(10));
        Some(SourceSettings { kind, config, statement_timeout })
    }

    fn sqlite(&mut self, node: &Node) -> Option<SourceConfig> {
        let (url, path) = (self.text(node, "url"), self.text(node, "path"));
        let path = match (url, path) {
            (Some((url, at)), None) => self.sqlite_path(url, at, "url")?,
            (None, Some((path, _))) => self.root.join(path),
            (Some(_), Some((_, at))) => {
                self.checker.push(at, "path", "`url` and `path` both name the file".to_owned(), None);
                return None;
            }
            (None, None) => {
                if child(node, "url").is_none() && child(node, "path").is_none() {
                    let hint = Some("such as `url: \"sqlite:warehouse.db\"`".to_owned());
                    self.checker.push(
                        node.at,
                        "url",
                        "a source of type `sqlite` needs `url` or `path`".to_owned(),
                        hint,
                    );
                }
                return None;
            }
        };
        Some(SourceConfig::Sqlite { path })
    }

    fn database_url(&mut self, node: &Node, schemes: &[&str]) -> Option<Secret> {
        let (text, at) = self.text(node, "url")?;
        let fits = Url::parse(text).is_ok_and(|url| schemes.contains(&url.scheme()) && url.has_host());
        if !fits {
            let hint = schemes.first().map(|scheme| format!("such as `{scheme}://user:password@host/database`"));
            let starts: Vec<String> = schemes.iter().map(|scheme| format!("{scheme}://")).collect();
            let message = format!("`url` must be a {} URL", shown_list(starts.iter().map(String::as_str), "or"));
            self.checker.push(at, "url", message, hint);
        }
        fits.then(|| Secret::new(text))
    }

    fn destination(&mut self, name: &str, node: &Node, redact: &[String]) -> Option<DestinationSettings> {
        let kind = match child(node, "type").and_then(text_of)? {
            "vitally" => DestinationKind::Vitally(self.vitally(node)),
            _ => return None,
        };
        let mut redact: Vec<String> = redact.to_vec();
        redact.extend(child(node, "redact").map(texts_of).unwrap_or_default());
        redact.sort();
        redact.dedup();
        Some(DestinationSettings {
            name: name.to_owned(),
            kind,
            allowed_hosts: self.allowed.clone(),
            concurrency: integer_of(node, "concurrency").unwrap_or(32),
            request_timeout: duration_of(node, "timeout").unwrap_or(Duration::from_secs(10)),
            redact,
        })
    }

    fn vitally(&mut self, node: &Node) -> VitallySettings {
        let region = match self.text(node, "region") {
            Some(("eu", _)) => Region::Eu,
            Some(_) | None => Region::Us,
        };
        let mut settings = VitallySettings::new(region);
        settings.subdomain = self.text(node, "subdomain").map(|(text, _)| text.to_owned());
        settings.account_label = self.text(node, "account").map(|(text, _)| text.to_owned());
        settings.rest_token = self.text(node, "rest_token").map(|(text, _)| Secret::new(text));
        settings.analytics_token = self.text(node, "analytics_token").map(|(text, _)| Secret::new(text));
        settings.rest_url = self.text(node, "rest_url").and_then(|(text, _)| Url::parse(text).ok());
        settings.analytics_url = self.text(node, "analytics_url").and_then(|(text, _)| Url::parse(text).ok());
        if let Some(rate) = child(node, "rate_limit") {
            settings.per_minute = integer_of(rate, "per_minute").unwrap_or(settings.per_minute);
            settings.analytics_per_minute =
                integer_of(rate, "analytics_per_minute").unwrap_or(settings.analytics_per_minute);
            let share = child(rate, "share").and_then(text_of).and_then(units::percent);
            settings.share = share.and_then(|share| u8::try_from(share).ok()).unwrap_or(settings.share);
        }
        self.judge_vitally(node, &settings);
        settings
    }

    /// Asks the destination itself what is wrong with its settings, one setting after the other.
    fn judge_vitally(&mut self, node: &Node, settings: &VitallySettings) {
        let mut tried = settings.clone();
        let is_given = |key: &str| child(node, key).is_some();
        if (is_given("subdomain") && tried.subdomain.is_none()) || (is_given("rest_url") && tried.rest_url.is_none()) {
            // The value is missing or wrong, and that is told already.
            tried.subdomain = Some("acme".to_owned());
        }
        for _ in 0..5 {
            let Err(error) = Vitally::new(tried.clone(), &self.allowed, &[]) else { return };
            let setting = match &error {
                SettingsError::NoSubdomain | SettingsError::Subdomain => "subdomain",
                SettingsError::Url { setting, .. }
                | SettingsError::Token { setting }
                | SettingsError::Rate { setting, .. } => setting,
            };
            let at = child(node, setting).map_or(node.at, |value| value.at);
            let is_environmental = matches!(&error, SettingsError::Url { fault: HostFault::Foreign(_), .. });
            self.checker.push_as(at, setting, error.to_string(), is_environmental);
            match setting {
                "subdomain" => tried.subdomain = Some("acme".to_owned()),
                "rest_url" => (tried.rest_url, tried.subdomain) = (None, Some("acme".to_owned())),
                "analytics_url" => tried.analytics_url = None,
                "rest_token" => tried.rest_token = None,
                "analytics_token" => tried.analytics_token = None,
                _ => return,
            }
        }
    }
}

fn entries_of(node: Option<&Node>) -> impl Iterator<Item = (&str, &Node)> {
    let entries = match node.map(|node| &node.kind) {
        Some(NodeKind::Map(entries)) => entries.as_slice(),
        Some(_) | None => &[],
    };
    entries.iter().map(|(key, value)| (key.name.as_str(), value))
}
