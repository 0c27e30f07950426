//! The files of `syncs/`, checked against the models, the destinations, and what the destination's objects take.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use chrono_tz::Tz;
use ebb_destination::{ObjectSpec, Spec, WritePlan};
use ebb_mapping::{Mapping, MappingFault, MappingSettings, Node, NodeKind, Target};
use ebb_plan::Guards;
use ebb_row::{Column, ColumnType, Nulls, SyncMode};
use ebb_schedule::{Cron, Missed, Schedule, Times};
use ebb_template::Language;

use crate::environment::Origins;
use crate::fault::{Fault, Faults};
use crate::file::SourceFile;
use crate::folder::{self, Found};
use crate::keys::{Checker, SYNC, child, nearest, shown_list};
use crate::model::{Models, name_hint};
use crate::project::KnownColumns;
use crate::read::{boolean_of, duration_of, integer_of, language_of, limit_of, text_at, text_of, texts_of};
use crate::settings::Settings;
use crate::sync::{FirstRun, Links, OnRemoved, Sync, mapping_faults};
use crate::yaml::{self, Spot};

/// Reads `syncs/`.
///
/// `columns`, by model, are known without the models' own `columns:`.
pub(crate) fn read_all(
    root: &Path,
    settings: Option<&Settings>,
    (models, columns): (&Models, &KnownColumns),
    faults: &mut Faults,
) -> Syncs {
    let (found, unread) = folder::read(root, "syncs", &["yaml", "yml"]);
    faults.0.extend(unread);
    let mut syncs = Syncs { by_name: BTreeMap::new(), names: found.iter().map(|sync| sync.name.clone()).collect() };
    for Found { name, file, .. } in found {
        let Some(file) = file.map(Arc::new) else { continue };
        let mut reader = Reader {
            settings,
            models,
            columns,
            file: &file,
            names: &syncs.names,
            faults: Vec::new(),
            told: Vec::new(),
        };
        let sync = reader.read(&name);
        let is_fit = reader.faults.is_empty();
        faults.0.append(&mut reader.faults);
        if let Some(sync) = sync.filter(|_| is_fit) {
            syncs.by_name.insert(name, sync);
        }
    }
    syncs
}

/// The syncs of a project, and the names of those that could not be read.
#[derive(Debug, Default)]
pub(crate) struct Syncs {
    pub(crate) by_name: BTreeMap<String, Sync>,
    pub(crate) names: Vec<String>,
}

struct Reader<'a> {
    settings: Option<&'a Settings>,
    models: &'a Models,
    columns: &'a KnownColumns,
    file: &'a Arc<SourceFile>,
    names: &'a [String],
    faults: Vec<Fault>,
    /// Where the YAML itself has faults: a repeated key is not told again as a field that is mapped twice.
    told: Vec<usize>,
}

/// A fault has said what is missing.
struct Told;

/// What a sync writes to.
struct Object {
    spec: &'static ObjectSpec,
    mode: SyncMode,
    match_field: Option<String>,
}

impl Reader<'_> {
    fn fault(&mut self, at: usize, message: impl Into<String>, hint: Option<String>) {
        self.faults.push(self.file.fault(at, message, hint));
    }

    fn spots(&mut self, spots: impl IntoIterator<Item = Spot>) {
        for spot in spots {
            self.fault(spot.at, spot.message, spot.hint);
        }
    }

    fn read(&mut self, name: &str) -> Option<Sync> {
        let (node, spots) = yaml::parse_on(&self.file.text);
        self.told = spots.iter().map(|spot| spot.at).collect();
        self.spots(spots);
        let node = node?;
        let origins = Origins::new();
        let mut checker = Checker::new(&origins);
        checker.section(&node, &SYNC.iter().collect::<Vec<_>>(), "the sync");
        let problems = std::mem::take(&mut checker.problems);
        self.spots(problems.into_iter().map(|problem| problem.spot));
        if !matches!(node.kind, NodeKind::Map(_)) {
            return None;
        }
        self.model(&node);
        let spec = self.destination(&node);
        let after = self.after(&node, name);
        let object = spec.and_then(|spec| self.object(&node, spec));
        let mapping = match &object {
            Some(object) => self.mapping(&node, object),
            None => self.values(&node),
        };
        let on_removed = self.on_removed(&node);
        self.not_yet(&node);
        let schedule = self.schedule(&node);
        let (object, mapping) = (object?, mapping?);
        let text = |key: &str| text_at(&node, key).map(str::to_owned);
        Some(Sync {
            name: name.to_owned(),
            description: text("description"),
            model: text("model")?,
            destination: text("destination")?,
            object: object.spec.name.to_owned(),
            api: object.spec.api,
            mode: object.mode,
            match_field: object.match_field,
            mapping,
            on_removed,
            nulls: nulls_of(&node),
            first_run: if text_at(&node, "first_run") == Some("adopt") { FirstRun::Adopt } else { FirstRun::Send },
            guards: guards_of(&node),
            schedule,
            after,
            rejected_tries: child(&node, "rejected").and_then(|rejected| integer_of(rejected, "tries")).unwrap_or(10),
            concurrency: integer_of(&node, "concurrency"),
            links: Links::Add,
            redact: child(&node, "redact").map(texts_of).unwrap_or_default(),
            file: Arc::clone(self.file),
        })
    }

    fn model(&mut self, node: &Node) {
        let Some(value) = child(node, "model") else { return };
        let Some(name) = text_of(value) else { return };
        if !self.models.names.iter().any(|known| known == name) {
            let hint = name_hint(name, "models", self.models.names.iter().map(String::as_str));
            self.fault(value.at, format!("unknown model `{name}`"), Some(hint));
        }
    }

    /// Returns the declaration of the destination that is named.
    fn destination(&mut self, node: &Node) -> Option<&'static Spec> {
        let value = child(node, "destination")?;
        let name = text_of(value)?;
        let destinations = &self.settings?.destinations;
        let Some(entry) = destinations.get(name) else {
            let hint = name_hint(name, "destinations", destinations.keys().map(String::as_str));
            self.fault(value.at, format!("unknown destination `{name}`"), Some(hint));
            return None;
        };
        let word = entry.value.as_ref()?.kind.word();
        ebb_destination::specs().iter().find(|spec| spec.name == word).copied()
    }

    fn after(&mut self, node: &Node, own: &str) -> Vec<String> {
        let Some(value) = child(node, "after") else { return Vec::new() };
        let mut after = texts_of(value);
        for name in &after {
            let at = match &value.kind {
                NodeKind::List(items) => {
                    items.iter().find(|item| text_of(item) == Some(name)).map_or(value.at, |item| item.at)
                }
                NodeKind::Null | NodeKind::Bool(_) | NodeKind::Number(_) | NodeKind::Text(_) | NodeKind::Map(_) => {
                    value.at
                }
            };
            if name == own {
                self.fault(at, format!("`{own}` cannot run after itself"), None);
            } else if !self.names.contains(name) {
                let others = self.names.iter().map(String::as_str).filter(|other| *other != own);
                let hint = name_hint(name, "syncs", others);
                self.fault(at, format!("unknown sync `{name}`"), Some(hint));
            }
        }
        after.sort();
        after.dedup();
        after
    }

    /// Finds what the sync writes to, and says what there is where that is not there.
    fn object(&mut self, node: &Node, spec: &'static Spec) -> Option<Object> {
        let value = child(node, "object")?;
        let name = text_of(value)?;
        let by_name: Vec<&ObjectSpec> = spec.objects.iter().filter(|object| object.name == name).collect();
        if by_name.is_empty() {
            let mut names: Vec<&str> = spec.objects.iter().map(|object| object.name).collect();
            names.dedup();
            names.sort_unstable();
            names.dedup();
            let hint = match nearest(name, names.iter().copied()) {
                Some(nearest) => format!("did you mean `{nearest}`?"),
                None => format!("its objects are {}", shown_list(names, "and")),
            };
            self.fault(value.at, format!("{} has no object `{name}`", spec.name), Some(hint));
            return None;
        }
        let object = self.api(node, &by_name)?;
        let mode = self.mode(node, object);
        let match_field = self.match_field(node, object);
        Some(Object { spec: object, mode: mode?, match_field: match_field.ok()? })
    }

    fn api(&mut self, node: &Node, objects: &[&'static ObjectSpec]) -> Option<&'static ObjectSpec> {
        let Some(value) = child(node, "api") else {
            return objects.iter().find(|object| object.default_api).or_else(|| objects.first()).copied();
        };
        let word = text_of(value)?;
        let found = objects.iter().find(|object| object.api.word() == word).copied();
        if found.is_none() && matches!(word, "rest" | "analytics") {
            let (name, apis) =
                (objects.first().map_or("", |object| object.name), objects.iter().map(|object| object.api.word()));
            let message = format!("`{name}` is not carried by the {word} API");
            self.fault(value.at, message, Some(format!("it takes {}", shown_list(apis, "or"))));
        }
        found
    }

    fn mode(&mut self, node: &Node, object: &ObjectSpec) -> Option<SyncMode> {
        let modes = [SyncMode::Upsert, SyncMode::Update, SyncMode::Insert];
        let Some(value) = child(node, "mode") else { return object.modes.first().copied() };
        let word = text_of(value)?;
        let mode = modes.into_iter().find(|mode| mode.word() == word)?;
        if !object.modes.contains(&mode) {
            let (name, api) = (object.name, object.api.word());
            let hint = format!("it takes {}", shown_list(object.modes.iter().map(|mode| mode.word()), "or"));
            self.fault(value.at, format!("`{name}` by the {api} API does not take mode `{word}`"), Some(hint));
            return None;
        }
        Some(mode)
    }

    /// Returns the match field; `None` for objects that have none.
    fn match_field(&mut self, node: &Node, object: &ObjectSpec) -> Result<Option<String>, Told> {
        let takes = || shown_list(object.match_fields.iter().copied(), "or");
        let Some(value) = child(node, "match") else {
            if object.match_fields.is_empty() {
                return Ok(None);
            }
            let hint = format!(
                "such as `match: {{ {}: column }}`; it takes {}",
                object.match_fields.first().unwrap_or(&""),
                takes()
            );
            self.fault(node.at, format!("`{}` needs a `match`", object.name), Some(hint));
            return Err(Told);
        };
        let NodeKind::Map(entries) = &value.kind else { return Err(Told) };
        if object.match_fields.is_empty() {
            self.fault(value.at, format!("`{}` has no `match`: each is new", object.name), None);
            return Err(Told);
        }
        let [(key, _)] = entries.as_slice() else { return Err(Told) };
        if !object.match_fields.contains(&key.name.as_str()) {
            let hint = nearest(&key.name, object.match_fields.iter().copied())
                .map_or_else(|| format!("it takes {}", takes()), |nearest| format!("did you mean `{nearest}`?"));
            self.fault(key.at, format!("`{}` cannot be matched on `{}`", object.name, key.name), Some(hint));
            return Err(Told);
        }
        Ok(Some(key.name.clone()))
    }

    fn mapping(&mut self, node: &Node, object: &Object) -> Option<Mapping> {
        let fields = child(node, "fields").filter(|fields| matches!(fields.kind, NodeKind::Map(_)));
        let Some(fields) = fields else { return self.values(node) };
        let matched = match (&object.match_field, child(node, "match").map(|value| &value.kind)) {
            (Some(_), Some(NodeKind::Map(entries))) => entries.first().map(|(key, value)| (key.name.as_str(), value)),
            (Some(_) | None, _) => None,
        };
        self.required(node, fields, object);
        let settings = self.mapping_settings(node, object.spec.nulls);
        let targets: Vec<Target> = object.spec.fields.iter().map(target_of).collect();
        let found = self.with_columns(node, |columns| match columns {
            Some(columns) => Mapping::faults(fields, matched, &targets, &settings, columns),
            None => Mapping::compile(fields, matched, &targets, &settings).err().unwrap_or_default(),
        });
        self.mapping_faults(found);
        Mapping::compile(fields, matched, &targets, &settings).ok()
    }

    /// Checks the mapping values of a sync of which it is not clear what it writes to: templates, directives, columns.
    fn values(&mut self, node: &Node) -> Option<Mapping> {
        let settings = self.mapping_settings(node, (Nulls::Send, Nulls::Send));
        for key in ["match", "fields"] {
            if let Some(values) = child(node, key).filter(|values| matches!(values.kind, NodeKind::Map(_))) {
                let check = |columns: Option<&[Column]>| Mapping::faults_of_values(values, &settings, columns);
                let found = self.with_columns(node, check);
                self.mapping_faults(found);
            }
        }
        None
    }

    fn mapping_faults(&mut self, mut found: Vec<MappingFault>) {
        found.retain(|fault| !self.told.contains(&fault.at));
        self.faults.extend(mapping_faults(self.file, found));
    }

    fn mapping_settings(&self, node: &Node, (nulls_objects, nulls_fields): (Nulls, Nulls)) -> MappingSettings {
        MappingSettings { language: self.language(node), nulls_objects, nulls_fields, nulls_override: nulls_of(node) }
    }

    /// Returns what a check finds with the columns of the sync's model, as far as they are known.
    fn with_columns(&self, node: &Node, check: impl Fn(Option<&[Column]>) -> Vec<MappingFault>) -> Vec<MappingFault> {
        let name = text_at(node, "model").unwrap_or_default();
        let model = self.models.by_name.get(name);
        if let Some(columns) = model.and_then(super::Model::declared_columns) {
            return check(Some(&columns));
        }
        if let Some(columns) = self.columns.get(name) {
            return check(Some(columns));
        }
        let Some(names) = model.and_then(|model| model.columns.as_ref()) else { return check(None) };
        // What is wrong whatever the types are is wrong with the names.
        let [any, json] = [ColumnType::Any, ColumnType::Json].map(|kind| {
            let column = |(name, _): &(String, _)| Column { name: name.clone(), kind, source_type: String::new() };
            check(Some(&names.iter().map(column).collect::<Vec<_>>()))
        });
        any.into_iter().filter(|fault| json.contains(fault)).collect()
    }

    /// The language of the sync's templates: its own, or else the project's.
    fn language(&self, node: &Node) -> Language {
        language_of(node).or_else(|| self.settings.map(|settings| settings.language)).unwrap_or_default()
    }

    /// The fields that must be mapped, in the words that users know.
    fn required(&mut self, node: &Node, fields: &Node, object: &Object) {
        let NodeKind::Map(entries) = &fields.kind else { return };
        let mut mapped: Vec<&str> = entries.iter().map(|(key, _)| key.name.as_str()).collect();
        mapped.extend(object.match_field.as_deref());
        if mapped.contains(&"$columns") {
            return;
        }
        let plan = WritePlan {
            object: object.spec.name.to_owned(),
            api: object.spec.api,
            mode: object.mode,
            match_field: object.match_field.clone(),
        };
        let kind = text_at(node, "destination")
            .and_then(|name| self.settings?.destinations.get(name)?.value.as_ref())
            .map_or("", |destination| destination.kind.word());
        let at = node_key_at(node, "fields").unwrap_or(fields.at);
        for fault in ebb_destination::mapping_faults(kind, &plan, &mapped) {
            let help = object.spec.fields.iter().find(|field| Some(field.name) == fault.field.as_deref());
            let message = match &fault.field {
                Some(field) => format!("field `{field}`: {}", fault.message),
                None => fault.message,
            };
            let place = fault.field.as_deref().and_then(|field| {
                let in_match = child(node, "match").and_then(|value| node_key_at(value, field));
                in_match.or_else(|| node_key_at(fields, field))
            });
            self.fault(place.unwrap_or(at), message, help.map(|field| format!("{}: {}", field.name, field.help)));
        }
        // A user that is found by email alone could belong to anyone: its links are needed in mode update too.
        if object.match_field.as_deref() == Some("email") && object.mode == SyncMode::Update {
            for rule in object.spec.one_of {
                if !rule.modes.contains(&object.mode) && !rule.fields.iter().any(|field| mapped.contains(field)) {
                    self.fault(at, rule.message, None);
                }
            }
        }
    }

    fn on_removed(&mut self, node: &Node) -> OnRemoved {
        let Some(value) = child(node, "on_removed") else { return OnRemoved::Ignore };
        let action = match &value.kind {
            NodeKind::Map(_) => {
                for key in ["fields", "after"] {
                    if let Some(later) = child(value, key) {
                        self.fault(later.at, format!("`on_removed.{key}` comes with a later version of ebb"), None);
                    }
                }
                child(value, "action")
            }
            NodeKind::Null | NodeKind::Bool(_) | NodeKind::Number(_) | NodeKind::Text(_) | NodeKind::List(_) => {
                Some(value)
            }
        };
        let Some(action) = action else { return OnRemoved::Ignore };
        match text_of(action) {
            Some(word @ ("delete" | "unlink" | "unset")) => {
                let hint = Some("available: `ignore`, which sends nothing for rows that leave the model".to_owned());
                self.fault(action.at, format!("`on_removed: {word}` comes with a later version of ebb"), hint);
                OnRemoved::Ignore
            }
            Some(_) | None => OnRemoved::Ignore,
        }
    }

    /// Words of the contract that this version does not act on.
    fn not_yet(&mut self, node: &Node) {
        for (key, word, instead) in [("links", "managed", "add"), ("on_unmapped", "unset", "keep")] {
            if let Some(value) = child(node, key).filter(|value| text_of(value) == Some(word)) {
                let message = format!("`{key}: {word}` comes with a later version of ebb");
                self.fault(value.at, message, Some(format!("available: `{instead}`")));
            }
        }
    }

    fn schedule(&mut self, node: &Node) -> Option<Schedule> {
        let value = child(node, "schedule").filter(|value| matches!(value.kind, NodeKind::Map(_)))?;
        let times = match (child(value, "cron"), child(value, "every")) {
            (Some(_), None) => {
                // What cannot be read was told with the scalars.
                let cron = Cron::parse(text_at(value, "cron")?).ok()?;
                let zone = text_at(value, "timezone").map_or(Ok(Tz::UTC), str::parse).ok()?;
                Times::Cron { cron, zone }
            }
            (None, Some(_)) => {
                if let Some(timezone) = child(value, "timezone") {
                    self.fault(timezone.at, "`timezone` goes with `cron`, not with `every`", None);
                }
                Times::Every(duration_of(value, "every")?)
            }
            (Some(_), Some(_)) | (None, None) => {
                let hint = "such as { every: 15m } or { cron: \"*/15 * * * *\", timezone: Europe/Berlin }";
                self.fault(value.at, "`schedule` needs one of `cron` and `every`", Some(hint.to_owned()));
                return None;
            }
        };
        let missed = match text_at(value, "missed") {
            Some("skip") => Missed::Skip,
            Some("catch_up") => Missed::CatchUp,
            Some(_) | None => Missed::RunOnce,
        };
        Some(Schedule { times, jitter: duration_of(value, "jitter").unwrap_or_default(), missed })
    }
}

fn node_key_at(node: &Node, name: &str) -> Option<usize> {
    let NodeKind::Map(entries) = &node.kind else { return None };
    entries.iter().find(|(key, _)| key.name == name).map(|(key, _)| key.at)
}

fn target_of(field: &ebb_destination::FieldSpec) -> Target {
    let lookup_of = (!field.holds_ids_of.is_empty()).then(|| field.holds_ids_of.to_owned());
    Target { name: field.name.to_owned(), kind: field.kind, lookup_of }
}

fn nulls_of(node: &Node) -> Option<Nulls> {
    match text_at(node, "nulls")? {
        "send" => Some(Nulls::Send),
        "omit" => Some(Nulls::Omit),
        _ => None,
    }
}

fn guards_of(node: &Node) -> Guards {
    let defaults = Guards::default();
    let Some(guards) = child(node, "guards") else { return defaults };
    Guards {
        removed: limit_of(guards, "removed").or(defaults.removed),
        added: limit_of(guards, "added").or(defaults.added),
        changed: limit_of(guards, "changed").or(defaults.changed),
        rejected: limit_of(guards, "rejected").or(defaults.rejected),
        empty: boolean_of(guards, "empty").unwrap_or(defaults.empty),
    }
}
