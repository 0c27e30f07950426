//! The YAML of a mapping becomes rules, or all its faults.

use std::borrow::Cow;
use std::sync::Arc;

use ebb_row::{FieldType, Nulls, Value};
use ebb_template::{Form, Language, Names, Template};

use crate::coerce::coerce;
use crate::convert::ValueType;
use crate::digest::same;
use crate::directive::Options;
use crate::evaluate::join;
use crate::fit::{object_form, type_fits};
use crate::nearest::suggest;
use crate::node::{Key, MappingFault, MappingSettings, Node, NodeKind, Target, in_order};
use crate::rule::{
    Accepts, ColumnChoice, ColumnReference, ColumnsRule, FieldRule, KeyRule, ObjectRule, Origin, Rule, TemplateRule,
};

/// The roots that templates have.
pub(crate) const ROOTS: [&str; 3] = ["row", "record", "context"];

/// How deep a mapping may nest.
const MAX_DEPTH: usize = 64;

/// Compiles what can be compiled, and returns every fault besides, in the order of the file. Where there are faults, the
/// rules are only good to be checked further: a value in a wrong place is taken for one that may be anything.
///
/// Without targets every field is there, and takes anything.
pub(crate) fn compile(
    fields: &Node,
    match_field: Option<(&str, &Node)>,
    targets: Option<&[Target]>,
    settings: &MappingSettings,
) -> (ObjectRule, Vec<MappingFault>) {
    let mut compiler = Compiler { settings, faults: Vec::new() };
    let mut root = ObjectRule::default();
    if let Some((name, node)) = match_field {
        root.fields.extend(compiler.match_field(name, node, targets.unwrap_or_default()));
    }
    match &fields.kind {
        NodeKind::Null => {}
        NodeKind::Map(entries) => {
            for (key, node) in entries {
                let known = Known { targets, match_name: match_field.map(|(name, _)| name) };
                compiler.top_field(key, node, &known, &mut root);
            }
        }
        NodeKind::Bool(_) | NodeKind::Number(_) | NodeKind::Text(_) | NodeKind::List(_) => {
            let hint = "for instance `fields: { name: name, traits: { plan: plan } }`";
            compiler.fault(
                fields.at,
                "",
                "`fields` must be an object of fields and what they are mapped to",
                Some(hint),
            );
        }
    }
    (root, in_order(compiler.faults))
}

/// Returns whether a text is a template.
pub(crate) fn is_template(text: &str) -> bool {
    text.contains("{{") || text.contains("{%")
}

fn is_directive(name: &str) -> bool {
    name.starts_with('$') && !is_template(name)
}

/// The fields that the destination's object has.
struct Known<'a> {
    /// `None`: not known.
    targets: Option<&'a [Target]>,
    match_name: Option<&'a str>,
}

/// Where a value stands.
#[derive(Clone, Debug)]
pub(crate) struct Place<'a> {
    pub(crate) path: String,
    pub(crate) accepts: Accepts,
    pub(crate) lookup: LookupPlace<'a>,
    pub(crate) depth: usize,
    /// What a null does where a directive does not say.
    pub(crate) nulls: Nulls,
}

/// Whether `$lookup` may stand at a place.
#[derive(Clone, Copy, Debug)]
pub(crate) enum LookupPlace<'a> {
    Anything,
    Of(&'a str),
    Nothing,
}

impl<'a> Place<'a> {
    /// The place of one element of a list here.
    fn element(&self, index: usize) -> Place<'a> {
        Place { path: format!("{}[{index}]", self.path), depth: self.depth + 1, nulls: Nulls::Send, ..self.clone() }
    }

    /// The same place, taking anything: for a value that has a fault already, so that only its own others are told.
    pub(crate) fn free(&self) -> Place<'static> {
        Place {
            path: self.path.clone(),
            accepts: Accepts::Json,
            lookup: LookupPlace::Anything,
            depth: self.depth,
            nulls: self.nulls,
        }
    }
}

pub(crate) struct Compiler<'a> {
    pub(crate) settings: &'a MappingSettings,
    faults: Vec<MappingFault>,
}

impl Compiler<'_> {
    pub(crate) fn fault(&mut self, at: usize, path: &str, message: impl Into<String>, hint: Option<impl Into<String>>) {
        let (message, hint) = (message.into(), hint.map(Into::into));
        self.faults.push(MappingFault { at, path: path.to_owned(), message, hint, template: None });
    }

    fn target_place<'t>(&self, name: &str, targets: &'t [Target]) -> Option<Place<'t>> {
        let target = targets.iter().find(|target| target.name == name)?;
        let otherwise = match target.kind {
            // A list of ids without an element is an empty list, not a null.
            FieldType::Ids => Nulls::Send,
            FieldType::Text | FieldType::Id | FieldType::Boolean | FieldType::Timestamp | FieldType::Object => {
                self.settings.nulls_fields
            }
        };
        Some(Place {
            path: name.to_owned(),
            accepts: Accepts::Field(target.kind),
            lookup: target.lookup_of.as_deref().map_or(LookupPlace::Nothing, LookupPlace::Of),
            depth: 1,
            nulls: self.settings.nulls_override.unwrap_or(otherwise),
        })
    }

    fn match_field(&mut self, name: &str, node: &Node, targets: &[Target]) -> Option<FieldRule> {
        let mut place = self.match_place(name, targets);
        place.lookup = LookupPlace::Nothing;
        let mut rule = self.value(node, &place)?;
        if rule.depends_on_run() {
            self.fault(node.at, name, "a match field must not depend on the run", None::<String>);
        }
        rule.is_match = true;
        Some(FieldRule { key: KeyRule::Name(name.into()), rule, is_merged: false })
    }

    fn match_place<'t>(&self, name: &str, targets: &'t [Target]) -> Place<'t> {
        self.target_place(name, targets).unwrap_or_else(|| Place {
            path: name.to_owned(),
            accepts: Accepts::Field(FieldType::Id),
            lookup: LookupPlace::Nothing,
            depth: 1,
            nulls: self.settings.nulls_override.unwrap_or(self.settings.nulls_fields),
        })
    }

    fn top_field(&mut self, key: &Key, node: &Node, known: &Known<'_>, root: &mut ObjectRule) {
        let name = key.name.as_str();
        let free = self.match_place(name, &[]).free();
        let rule = if is_template(name) {
            let hint = "names may be templates inside an object such as `traits`";
            self.fault(key.at, name, "the name of a destination field cannot be a template", Some(hint));
            self.value(node, &free)
        } else if is_directive(name) {
            let message = "a directive does not stand here: `fields` holds the destination's fields";
            self.fault(key.at, name, message, Some("write it inside an object such as `traits`"));
            None
        } else if known.match_name == Some(name) {
            let place = self.match_place(name, known.targets.unwrap_or_default());
            let Some(rule) = self.value(node, &place) else { return };
            let matched = root.fields.iter().find(|field| field.rule.is_match);
            if matched.is_some_and(|matched| same(&matched.rule, &rule)) {
                return;
            }
            if matched.is_some() {
                let message = "is mapped by `match` already, and to something else";
                self.fault(key.at, name, message, Some("leave it out of `fields`"));
            }
            Some(rule)
        } else if root.writes_out(name) {
            self.fault(key.at, name, "is mapped twice", None::<String>);
            self.value(node, &free)
        } else if let Some(targets) = known.targets {
            let place = self.target_place(name, targets);
            if place.is_none() {
                self.fault(key.at, name, "the object has no such field", unknown_field_hint(name, targets));
            }
            self.value(node, &place.unwrap_or(free))
        } else {
            self.value(node, &free)
        };
        root.fields.extend(rule.map(|rule| FieldRule { key: KeyRule::Name(name.into()), rule, is_merged: false }));
    }

    /// Compiles one mapping value; `None` after a fault.
    pub(crate) fn value(&mut self, node: &Node, place: &Place<'_>) -> Option<Rule> {
        if place.depth > MAX_DEPTH {
            let message = format!("lists and objects nest deeper than {MAX_DEPTH} levels");
            self.fault(node.at, &place.path, message, None::<String>);
            return None;
        }
        match &node.kind {
            NodeKind::Null | NodeKind::Bool(_) | NodeKind::Number(_) => {
                self.finish(Origin::Literal(node.literal()), node.at, place, Options::default())
            }
            NodeKind::Text(text) if is_template(text) => {
                let origin = self.template(text, node.at, place, &Options::default())?;
                self.finish(origin, node.at, place, Options::default())
            }
            NodeKind::Text(text) => {
                let origin = self.column(text, node.at, place)?;
                self.finish(origin, node.at, place, Options::default())
            }
            NodeKind::List(items) => self.list(items, node.at, place),
            NodeKind::Map(entries) => {
                let mut directives = entries.iter().filter(|(key, _)| is_directive(&key.name));
                match directives.find(|(key, _)| key.name != "$columns") {
                    Some(directive) => self.directive(entries, directive, place),
                    None => self.object(entries, node.at, place),
                }
            }
        }
    }

    pub(crate) fn column(&mut self, name: &str, at: usize, place: &Place<'_>) -> Option<Origin> {
        if name.is_empty() {
            let hint = "an empty text is written `{ $value: \"\" }`";
            self.fault(at, &place.path, "the name of a column is empty", Some(hint));
            return None;
        }
        Some(Origin::Column(ColumnReference::new(name)))
    }

    pub(crate) fn template(&mut self, text: &str, at: usize, place: &Place<'_>, options: &Options) -> Option<Origin> {
        let language = options.language.unwrap_or(self.settings.language);
        let rule = self.parse(text, at, &place.path, (language, options.form))?;
        Some(match rule.template.lone_column() {
            Some(column) => {
                let template = Some(Arc::clone(&rule.source));
                Origin::Column(ColumnReference { template, ..ColumnReference::new(column) })
            }
            None => Origin::Template(rule),
        })
    }

    fn parse(&mut self, text: &str, at: usize, path: &str, (language, form): (Language, Form)) -> Option<TemplateRule> {
        let source: Arc<str> = text.into();
        let names = Names { columns: None, roots: Some(&ROOTS) };
        let template = Template::parse_as(text, language, form);
        let found = match &template {
            Ok(template) => template.check(&names),
            Err(_) => Template::faults(text, language, form, &names),
        };
        self.faults.extend(found.into_iter().map(|error| MappingFault::of_template(error, &source, at, path)));
        Some(TemplateRule { template: Arc::new(template.ok()?), source, language })
    }

    fn list(&mut self, items: &[Node], at: usize, place: &Place<'_>) -> Option<Rule> {
        match place.accepts {
            Accepts::Json | Accepts::ExternalId | Accepts::Field(FieldType::Ids) => {}
            Accepts::Field(FieldType::Object) => {
                self.not_an_object(at, place, "a list");
                return self.list(items, at, &place.free());
            }
            Accepts::Field(FieldType::Text | FieldType::Id | FieldType::Boolean | FieldType::Timestamp) => {
                let message = format!("takes {}, not a list", place.accepts.words());
                self.fault(at, &place.path, message, None::<String>);
                return self.list(items, at, &place.free());
            }
        }
        let mut rules = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            rules.extend(self.value(item, &place.element(index)));
        }
        self.finish(Origin::List(rules), at, place, Options::default())
    }

    fn object(&mut self, entries: &[(Key, Node)], at: usize, place: &Place<'_>) -> Option<Rule> {
        if !matches!(place.accepts, Accepts::Json | Accepts::Field(FieldType::Object)) {
            let message = format!("takes {}, not an object", place.accepts.words());
            self.fault(at, &place.path, message, None::<String>);
            return self.object(entries, at, &place.free());
        }
        let mut object = ObjectRule::default();
        for (key, node) in entries {
            if key.name == "$columns" {
                self.columns(key, node, place, &mut object);
            } else {
                self.member(key, node, place, &mut object);
            }
        }
        self.finish(Origin::Object(object), at, place, Options::default())
    }

    fn member(&mut self, key: &Key, node: &Node, place: &Place<'_>, object: &mut ObjectRule) {
        let nulls = self.settings.nulls_override.unwrap_or(self.settings.nulls_objects);
        let inner = Place {
            path: join(&place.path, &key.name),
            accepts: Accepts::Json,
            lookup: LookupPlace::Anything,
            depth: place.depth + 1,
            nulls,
        };
        let rule = self.value(node, &inner);
        let mut key_rule = KeyRule::Name(key.name.as_str().into());
        if is_template(&key.name) {
            if let Some(template) = self.parse(&key.name, key.at, &inner.path, (self.settings.language, Form::Value)) {
                let depends_on_run = rule.as_ref().is_some_and(Rule::depends_on_run);
                let is_volatile = template.template.reads().run_dependent || depends_on_run;
                key_rule = KeyRule::Template { template, at: key.at, is_volatile };
            }
        } else if key.name.is_empty() {
            self.fault(key.at, &place.path, "the name of a field is empty", None::<String>);
        } else if object.writes_out(&key.name) {
            self.fault(key.at, &inner.path, "is mapped twice", None::<String>);
        }
        // A wrong value has its fault; the name is checked on.
        let rule = rule.or_else(|| self.finish(Origin::Literal(Value::Null), node.at, &inner, Options::default()));
        let Some(rule) = rule else { return };
        object.fields.push(FieldRule { key: key_rule, rule, is_merged: false });
    }

    fn columns(&mut self, key: &Key, node: &Node, place: &Place<'_>, object: &mut ObjectRule) {
        let Some(choice) = self.column_choice(node, place) else { return };
        if object.columns.is_some() {
            self.fault(key.at, &place.path, "`$columns` is written twice", None::<String>);
            return;
        }
        object.columns = Some(ColumnsRule {
            index: object.fields.len(),
            choice,
            path: place.path.as_str().into(),
            at: key.at,
            nulls: self.settings.nulls_override.unwrap_or(self.settings.nulls_objects),
            depth: place.depth + 1,
        });
    }

    fn column_choice(&mut self, node: &Node, place: &Place<'_>) -> Option<ColumnChoice> {
        match &node.kind {
            NodeKind::Text(word) if word == "all" => return Some(ColumnChoice::Except(Vec::new())),
            NodeKind::Map(entries) => {
                if let [(key, names)] = entries.as_slice() {
                    match key.name.as_str() {
                        "except" => return self.column_names(names, place).map(ColumnChoice::Except),
                        "only" => return self.column_names(names, place).map(ColumnChoice::Only),
                        _ => {}
                    }
                }
            }
            NodeKind::Null | NodeKind::Bool(_) | NodeKind::Number(_) | NodeKind::Text(_) | NodeKind::List(_) => {}
        }
        let message = "`$columns` takes `all`, `{ except: [...] }` or `{ only: [...] }`";
        self.fault(node.at, &place.path, message, None::<String>);
        None
    }

    fn column_names(&mut self, node: &Node, place: &Place<'_>) -> Option<Vec<(Arc<str>, usize)>> {
        let single = std::slice::from_ref(node);
        let items = if let NodeKind::List(items) = &node.kind { items.as_slice() } else { single };
        let mut names = Vec::with_capacity(items.len());
        for item in items {
            let NodeKind::Text(name) = &item.kind else {
                self.fault(item.at, &place.path, "`$columns` takes the names of columns", None::<String>);
                return None;
            };
            names.push((name.as_str().into(), item.at));
        }
        Some(names)
    }

    /// Puts a rule together and checks what can be checked without a row.
    pub(crate) fn finish(&mut self, origin: Origin, at: usize, place: &Place<'_>, options: Options) -> Option<Rule> {
        let mut rule = Rule {
            path: place.path.as_str().into(),
            at,
            origin,
            convert: options.convert,
            default: options.default,
            nulls: options.nulls.unwrap_or(place.nulls),
            accepts: place.accepts,
            depth: place.depth,
            is_match: false,
        };
        if let Some(kind) = rule.convert
            && !type_fits(kind, place.accepts)
        {
            let message = format!("takes {}, not `type: {}`", place.accepts.words(), kind.word());
            self.fault(at, &place.path, message, None::<String>);
            return Some(Rule { accepts: Accepts::Json, convert: None, ..rule });
        }
        match &rule.origin {
            Origin::Literal(value) => {
                let value = self.literal(value, rule.convert, at, place)?;
                (rule.origin, rule.convert) = (Origin::Literal(value), None);
            }
            Origin::Template(template) if rule.convert.is_none() => {
                let is_text = template.template.form() != Form::Json && !template.template.is_expression();
                if is_text && place.accepts == Accepts::Field(FieldType::Object) {
                    self.not_an_object(at, place, "text, which this template gives");
                }
                if is_text && place.accepts == Accepts::Field(FieldType::Boolean) {
                    let message = "takes a boolean, not text, which this template gives";
                    let hint = "`{ $template: ..., type: boolean }` reads it as one";
                    self.fault(at, &place.path, message, Some(hint));
                }
            }
            Origin::Column(_) | Origin::Template(_) | Origin::Lookup { .. } | Origin::List(_) | Origin::Object(_) => {}
        }
        Some(rule)
    }

    /// Makes a literal what its place takes.
    pub(crate) fn literal(
        &mut self,
        value: &Value,
        convert: Option<ValueType>,
        at: usize,
        place: &Place<'_>,
    ) -> Option<Value> {
        if value.is_null() {
            return Some(Value::Null);
        }
        let converted = match convert {
            Some(kind) => kind.apply(value),
            None => Ok(value.clone()),
        };
        match converted.and_then(|value| coerce(Cow::Owned(value), place.accepts, place.depth)) {
            Ok(value) => Some(value),
            Err(message) => {
                if place.accepts == Accepts::Field(FieldType::Object) && value.as_object().is_none() {
                    self.not_an_object(at, place, value.kind().to_string().as_str());
                } else {
                    self.fault(at, &place.path, message, None::<String>);
                }
                None
            }
        }
    }

    fn not_an_object(&mut self, at: usize, place: &Place<'_>, got: &str) {
        let message = format!("must be an object, not {got}");
        self.fault(at, &place.path, message, Some(object_form(&place.path, None)));
    }
}

fn unknown_field_hint(name: &str, targets: &[Target]) -> Option<String> {
    let objects = || targets.iter().filter(|target| target.kind == FieldType::Object);
    if let Some((outer, inner)) = name.split_once('.')
        && objects().any(|target| target.name == outer)
    {
        return Some(format!("write it inside the object: `{outer}: {{ {inner}: ... }}`"));
    }
    let hint = suggest(name, "its fields", targets.iter().map(|target| target.name.as_str()))?;
    match objects().next() {
        Some(object) if !hint.starts_with("did you mean") => {
            Some(format!("{hint}; anything else goes inside `{}`", object.name))
        }
        Some(_) | None => Some(hint),
    }
}
