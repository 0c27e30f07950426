use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ebb_mapping::{Node, NodeKind};
use ebb_row::{Column, ColumnType};

use crate::dbt::{self, Manifest};
use crate::environment::Origins;
use crate::fault::{Fault, Faults};
use crate::file::SourceFile;
use crate::folder::{self, Found};
use crate::keys::{Checker, KeySpec, MODEL, child, nearest, scalar_text, shown_list};
use crate::read::{duration_of, text_at, text_of, texts_of};
use crate::settings::{Settings, SourceKind};
use crate::yaml::{self, Spot};

/// What to read: one query, its primary key, and how to read it.
#[derive(Clone, Debug)]
pub struct Model {
    /// The file's name without its extension.
    pub name: String,
    /// What it is, for people.
    pub description: Option<String>,
    /// The source's name.
    pub source: String,
    /// Where the query comes from.
    pub query: ModelQuery,
    /// The columns that name a row, at least one, none twice.
    pub primary_key: Vec<String>,
    /// The column by which only new rows are read.
    pub cursor: Option<String>,
    /// How far before the last cursor value to read again.
    pub lookback: Option<Duration>,
    /// The `columns:` header: the result's columns, with their types where they are written.
    pub columns: Option<Vec<(String, Option<ColumnType>)>>,
    /// Where the first character of [`Model::sql`] stands in the file, line and column from 1; `None` where the text is
    /// made from a name.
    pub sql_position: Option<(usize, usize)>,
    file: Arc<SourceFile>,
    at: usize,
}

/// Where a model's query comes from; each holds the whole statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelQuery {
    /// The user's own SQL.
    Sql(String),
    /// `table:`, quoted for its source.
    Table(String),
    /// `dbt:`, the relation that dbt's manifest names.
    Dbt(String),
}

impl Model {
    /// Returns the statement, without a semicolon at its end.
    pub fn sql(&self) -> &str {
        match &self.query {
            ModelQuery::Sql(sql) | ModelQuery::Table(sql) | ModelQuery::Dbt(sql) => sql,
        }
    }

    /// Returns the model's file, relative to the root.
    pub fn path(&self) -> &Path {
        &self.file.path
    }

    /// Makes a fault of what a source says of the query: `line` and `column`, from 1, count within [`Model::sql`].
    pub fn query_fault(&self, message: impl Into<String>, position: Option<(usize, usize)>) -> Fault {
        match (self.sql_position, position) {
            (Some((line, column)), Some((1, at))) => {
                self.file.fault_at(line, column + at.saturating_sub(1), message, None)
            }
            (Some((line, _)), Some((below, at))) => {
                self.file.fault_at(line + below.saturating_sub(1), at, message, None)
            }
            (Some((line, column)), None) => self.file.fault_at(line, column, message, None),
            (None, _) => self.file.fault(self.at, message, None),
        }
    }

    /// Checks primary key, cursor and the `columns:` header against the columns that the source describes.
    pub fn check_columns(&self, columns: &[Column]) -> Vec<Fault> {
        let names = || columns.iter().map(|column| column.name.as_str());
        let mut faults = Vec::new();
        let keys = self.primary_key.iter().map(|name| ("primary key", name));
        for (what, name) in keys.chain(self.cursor.iter().map(|name| ("cursor", name))) {
            if !names().any(|known| known == name) {
                let message = format!("the {what} `{name}` is not a column of the result");
                faults.push(self.file.fault(self.at, message, Some(column_hint(name, names()))));
            }
        }
        for (name, kind) in self.columns.iter().flatten() {
            let found = columns.iter().find(|column| column.name == *name);
            let message = match (found, kind) {
                (None, _) => format!("`columns` lists `{name}`, which the result does not have"),
                (Some(found), Some(kind)) if found.kind != *kind => {
                    format!("`columns` says that `{name}` is {kind}, and it is {}", found.kind)
                }
                (Some(_), _) => continue,
            };
            faults.push(self.file.fault(self.at, message, found.is_none().then(|| column_hint(name, names()))));
        }
        faults
    }

    /// Returns the columns of the `columns:` header where all have a type.
    pub fn declared_columns(&self) -> Option<Vec<Column>> {
        let declared = self.columns.as_ref()?;
        let column = |(name, kind): &(String, Option<ColumnType>)| {
            kind.map(|kind| Column { name: name.clone(), kind, source_type: kind.word().to_owned() })
        };
        declared.iter().map(column).collect()
    }

    pub(crate) fn text(&self) -> &str {
        &self.file.text
    }
}

fn column_hint<'a>(name: &str, columns: impl Iterator<Item = &'a str> + Clone) -> String {
    nearest(name, columns.clone()).map_or_else(
        || format!("columns are {}", shown_list(columns, "and")),
        |nearest| format!("did you mean `{nearest}`?"),
    )
}

/// The models of a project, and the names of those that could not be read.
#[derive(Debug, Default)]
pub(crate) struct Models {
    pub(crate) by_name: BTreeMap<String, Model>,
    /// Every name for which there is a file.
    pub(crate) names: Vec<String>,
}

/// Reads `models/`.
pub(crate) fn read_all(root: &Path, settings: Option<&Settings>, faults: &mut Faults) -> Models {
    let (found, unread) = folder::read(root, "models", &["sql", "yaml", "yml"]);
    faults.0.extend(unread);
    let mut models = Models::default();
    let mut manifest = None;
    for Found { name, extension, file } in found {
        models.names.push(name.clone());
        let Some(file) = file else { continue };
        let file = Arc::new(file);
        let mut reader = Reader { root, settings, file: &file, manifest: &mut manifest, spots: Vec::new() };
        let model = if extension == "sql" { reader.sql_file(&name) } else { reader.yaml_file(&name) };
        faults.0.extend(reader.spots.into_iter().map(|spot| file.fault(spot.at, spot.message, spot.hint)));
        if let Some(model) = model {
            models.by_name.insert(name, model);
        }
    }
    models
}

struct Reader<'a> {
    root: &'a Path,
    settings: Option<&'a Settings>,
    file: &'a Arc<SourceFile>,
    manifest: &'a mut Option<Result<Manifest, String>>,
    spots: Vec<Spot>,
}

const HEADER_HINT: &str = "begin the file with a comment such as /* primary_key: account_id */";
/// Keys that only a `.yaml` model has.
const QUERY_KEYS: [&str; 3] = ["sql", "table", "dbt"];

impl Reader<'_> {
    fn sql_file(&mut self, name: &str) -> Option<Model> {
        let text = &self.file.text;
        let Some(header) = find_header(text) else {
            let has_comment = text.trim_start().starts_with("/*");
            let message =
                if has_comment { "the leading comment is not closed by `*/`" } else { "this model has no header" };
            self.spots.push(Spot::new(0, message).hint(HEADER_HINT));
            return None;
        };
        let node = match yaml::parse(&header.yaml) {
            Ok(node) => shifted(node, header.base),
            Err(spots) => {
                self.spots.extend(spots.into_iter().map(|spot| Spot { at: spot.at + header.base, ..spot }));
                return None;
            }
        };
        if !matches!(node.kind, NodeKind::Map(_)) {
            self.spots.push(Spot::new(header.base, "the leading comment is not a header of keys").hint(HEADER_HINT));
            return None;
        }
        let keys: Vec<&KeySpec> = MODEL.iter().filter(|spec| !QUERY_KEYS.contains(&spec.name)).collect();
        let is_fit = self.check(&node, &keys, "the header");
        let rest = text.get(header.end..).unwrap_or_default();
        let sql_at = header.end + (rest.len() - rest.trim_start().len());
        let sql = trimmed(rest);
        if sql.is_empty() {
            self.spots.push(Spot::new(header.end.saturating_sub(2), "after the header stands no query"));
            return None;
        }
        let position = Some(self.file.position(sql_at));
        self.model(name, &node, is_fit, |_, _| Some((ModelQuery::Sql(sql), position)))
    }

    fn yaml_file(&mut self, name: &str) -> Option<Model> {
        let node = match yaml::parse(&self.file.text) {
            Ok(node) => node,
            Err(spots) => {
                self.spots.extend(spots);
                return None;
            }
        };
        let is_fit = self.check(&node, &MODEL.iter().collect::<Vec<_>>(), "the model");
        self.model(name, &node, is_fit, Self::query)
    }

    fn check(&mut self, node: &Node, keys: &[&KeySpec], place: &str) -> bool {
        let origins = Origins::new();
        let mut checker = Checker::new(&origins);
        checker.section(node, keys, place);
        let is_fit = checker.problems.is_empty();
        self.spots.extend(checker.problems.into_iter().map(|problem| problem.spot));
        is_fit
    }

    fn model(
        &mut self,
        name: &str,
        node: &Node,
        is_fit: bool,
        query: impl FnOnce(&mut Self, (&Node, Option<SourceKind>)) -> Option<(ModelQuery, Option<(usize, usize)>)>,
    ) -> Option<Model> {
        let source = self.source(node, is_fit);
        let kind =
            source.as_deref().and_then(|source| self.settings?.sources.get(source)?.value.as_ref()).map(|s| s.kind);
        let query = query(self, (node, kind));
        let columns = child(node, "columns").map(columns_of);
        let primary_key = child(node, "primary_key").map(texts_of).unwrap_or_default();
        let cursor = text_at(node, "cursor").map(str::to_owned);
        if let Some(columns) = &columns {
            let names = || columns.iter().map(|(name, _)| name.as_str());
            for (key, used) in [("primary_key", primary_key.as_slice()), ("cursor", cursor.as_slice())] {
                for column in used.iter().filter(|column| !names().any(|name| name == column.as_str())) {
                    let at = child(node, key).map_or(node.at, |value| value.at);
                    let message = format!("`{key}` names `{column}`, which `columns` does not list");
                    self.spots.push(Spot::new(at, message).hint(column_hint(column, names())));
                }
            }
        }
        if let (Some(lookback), None) = (child(node, "lookback"), &cursor) {
            self.spots.push(Spot::new(lookback.at, "`lookback` needs a `cursor`"));
        }
        let (query, sql_position) = query?;
        let at = child(node, "primary_key").map_or(node.at, |value| value.at);
        (is_fit && self.spots.is_empty()).then(|| Model {
            name: name.to_owned(),
            description: text_at(node, "description").map(str::to_owned),
            source: source.unwrap_or_default(),
            query,
            primary_key,
            cursor,
            lookback: duration_of(node, "lookback"),
            columns,
            sql_position,
            file: Arc::clone(self.file),
            at,
        })
    }

    /// Returns the source that is named, or the only one there is.
    fn source(&mut self, node: &Node, is_fit: bool) -> Option<String> {
        let sources = &self.settings?.sources;
        let names = || sources.keys().map(String::as_str);
        let Some(value) = child(node, "source") else {
            let mut all = names();
            return match (all.next(), all.next()) {
                (Some(only), None) => Some(only.to_owned()),
                (None, _) => {
                    self.spots
                        .push(Spot::new(node.at, "the project has no source to read").hint("add one to `ebb.yaml`"));
                    None
                }
                // The key may be there, misspelt.
                (Some(_), Some(_)) if !is_fit => None,
                (Some(_), Some(_)) => {
                    let hint = format!("the sources are {}", shown_list(names(), "and"));
                    self.spots.push(Spot::new(node.at, "the model must say which `source` it reads").hint(hint));
                    None
                }
            };
        };
        let name = text_of(value)?;
        if !sources.contains_key(name) {
            self.spots.push(Spot::new(value.at, format!("unknown source `{name}`")).hint(name_hint(
                name,
                "sources",
                names(),
            )));
            return None;
        }
        Some(name.to_owned())
    }

    fn query(&mut self, (node, kind): (&Node, Option<SourceKind>)) -> Option<(ModelQuery, Option<(usize, usize)>)> {
        if !matches!(node.kind, NodeKind::Map(_)) {
            return None;
        }
        let given: Vec<&str> = QUERY_KEYS.into_iter().filter(|key| child(node, key).is_some()).collect();
        let [key] = given.as_slice() else {
            let message = match given.as_slice() {
                [] => "the model needs one of `sql`, `table` and `dbt`".to_owned(),
                several => {
                    format!("the model has {}, and needs only one of them", shown_list(several.iter().copied(), "and"))
                }
            };
            self.spots.push(Spot::new(node.at, message));
            return None;
        };
        let value = child(node, key)?;
        let text = text_of(value)?;
        match *key {
            "sql" => Some((ModelQuery::Sql(trimmed(text)), Some(self.block_position(value.at)))),
            "table" => Some((ModelQuery::Table(self.table(text, value.at, kind?)?), None)),
            _ => Some((ModelQuery::Dbt(self.dbt(text, value.at)?), None)),
        }
    }

    /// Returns where the text of a value begins: below the `|` of a block, or right there.
    fn block_position(&self, at: usize) -> (usize, usize) {
        let (line, column) = self.file.position(at);
        if self.file.text.get(at..).is_some_and(|rest| rest.starts_with('|')) {
            let next = self.file.line(line + 1);
            return (line + 1, next.chars().take_while(|c| *c == ' ').count() + 1);
        }
        (line, column)
    }

    fn table(&mut self, name: &str, at: usize, kind: SourceKind) -> Option<String> {
        let quote = match kind {
            SourceKind::Sqlite | SourceKind::Postgres => '"',
            SourceKind::Mysql => '`',
        };
        let parts: Vec<&str> = name.split('.').collect();
        if parts.iter().any(|part| part.trim().is_empty() || part.contains(['"', '`'])) {
            let spot = Spot::new(at, format!("`{name}` is no name of a table"));
            self.spots.push(spot.hint("write `table` or `schema.table`, without quotes; use `sql` for other names"));
            return None;
        }
        let quoted: Vec<String> = parts.iter().map(|part| format!("{quote}{part}{quote}")).collect();
        Some(format!("select * from {}", quoted.join(".")))
    }

    fn dbt(&mut self, name: &str, at: usize) -> Option<String> {
        let root = self.root;
        let manifest = self.manifest.get_or_insert_with(|| Manifest::read(root));
        let spot = match manifest {
            Err(reason) => {
                Spot::new(at, format!("`{}` cannot be read: {reason}", dbt::MANIFEST)).hint("run `dbt compile`")
            }
            Ok(manifest) => match manifest.relation(name) {
                Ok(relation) => return Some(format!("select * from {relation}")),
                Err(message) => {
                    let spot = Spot::new(at, message);
                    match nearest(name, manifest.names()) {
                        Some(nearest) if nearest != name => spot.hint(format!("did you mean `{nearest}`?")),
                        Some(_) | None => spot,
                    }
                }
            },
        };
        self.spots.push(spot);
        None
    }
}

/// Returns a hint for a name that is not among those that there are.
pub(crate) fn name_hint<'a>(name: &str, what: &str, names: impl Iterator<Item = &'a str> + Clone) -> String {
    if let Some(nearest) = nearest(name, names.clone()) {
        return format!("did you mean `{nearest}`?");
    }
    match names.clone().next() {
        Some(_) => format!("the {what} are {}", shown_list(names, "and")),
        None => format!("there are no {what}"),
    }
}

fn columns_of(node: &Node) -> Vec<(String, Option<ColumnType>)> {
    match &node.kind {
        NodeKind::Map(entries) => entries
            .iter()
            .map(|(key, kind)| (key.name.clone(), scalar_text(kind).and_then(|word| ColumnType::from_word(&word))))
            .collect(),
        NodeKind::List(_) | NodeKind::Null | NodeKind::Bool(_) | NodeKind::Number(_) | NodeKind::Text(_) => {
            texts_of(node).into_iter().map(|name| (name, None)).collect()
        }
    }
}

/// Returns SQL without the space and semicolons around it.
fn trimmed(sql: &str) -> String {
    sql.trim().trim_end_matches(|c: char| c == ';' || c.is_whitespace()).to_owned()
}

/// The YAML of a leading comment.
struct Header {
    /// The comment's lines, its marks replaced by spaces, so that columns are kept.
    yaml: String,
    /// Where `yaml` begins in the file.
    base: usize,
    /// Where the comment ends.
    end: usize,
}

/// Finds the leading `/* ... */`; only space and `--` comments may stand before it.
fn find_header(text: &str) -> Option<Header> {
    let mut at = 0;
    loop {
        let rest = text.get(at..)?;
        let trimmed = rest.trim_start();
        at += rest.len() - trimmed.len();
        if !trimmed.starts_with("--") {
            break;
        }
        at += trimmed.find('\n')? + 1;
    }
    let inner = text.get(at..)?.strip_prefix("/*")?;
    let length = inner.find("*/")?;
    let base = text.get(..at)?.rfind('\n').map_or(0, |newline| newline + 1);
    let indent = " ".repeat(at - base + 2);
    let yaml = format!("{indent}{}", inner.get(..length)?);
    Some(Header { yaml, base, end: at + 2 + length + 2 })
}

fn shifted(mut node: Node, base: usize) -> Node {
    shift(&mut node, base);
    node
}

fn shift(node: &mut Node, base: usize) {
    node.at += base;
    match &mut node.kind {
        NodeKind::List(items) => items.iter_mut().for_each(|item| shift(item, base)),
        NodeKind::Map(entries) => {
            for (key, value) in entries {
                key.at += base;
                shift(value, base);
            }
        }
        NodeKind::Null | NodeKind::Bool(_) | NodeKind::Number(_) | NodeKind::Text(_) => {}
    }
}
