use std::sync::Arc;

use ebb_row::{FieldType, Nulls, Object, Value};
use ebb_template::{Language, Template};

use crate::convert::ValueType;

/// What the place of a value takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Accepts {
    /// Anything that JSON can hold: inside free-form objects.
    Json,
    /// An id or a list of ids: the `externalId` of a look-up.
    ExternalId,
    /// What a field of the destination takes.
    Field(FieldType),
}

impl Accepts {
    /// Returns what it takes, for messages.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Json => "any value",
            Self::ExternalId => "an id or a list of ids",
            Self::Field(FieldType::Text) => "text",
            Self::Field(FieldType::Id) => "an id",
            Self::Field(FieldType::Ids) => "a list of ids",
            Self::Field(FieldType::Boolean) => "a boolean",
            Self::Field(FieldType::Timestamp) => "a timestamp",
            Self::Field(FieldType::Object) => "an object",
        }
    }
}

/// How the value of one field or of one element of a list is made.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    /// The destination's field: `traits.tags[0]`.
    pub(crate) path: Arc<str>,
    /// Where it is written: a byte offset.
    pub(crate) at: usize,
    pub(crate) origin: Origin,
    /// The `type:` of a directive; applied to what is not null.
    pub(crate) convert: Option<ValueType>,
    /// What stands for a null; already what the place takes.
    pub(crate) default: Option<Value>,
    /// What a null does.
    pub(crate) nulls: Nulls,
    pub(crate) accepts: Accepts,
    /// How many lists and objects are around it.
    pub(crate) depth: usize,
    /// The match field must have a value.
    pub(crate) is_match: bool,
}

/// Where a value comes from.
#[derive(Clone, Debug)]
pub(crate) enum Origin {
    /// The mapping itself; already what the place takes.
    Literal(Value),
    /// A column.
    Column(ColumnReference),
    /// A template.
    Template(TemplateRule),
    /// The destination's own id of `object`, by your id of it.
    Lookup { object: Arc<str>, external_id: Box<Rule> },
    /// A list of values.
    List(Vec<Rule>),
    /// An object of values.
    Object(ObjectRule),
}

/// A column by its exact name, and by its position once bound.
#[derive(Clone, Debug)]
pub(crate) struct ColumnReference {
    pub(crate) name: Arc<str>,
    pub(crate) position: Option<usize>,
    /// The template that is nothing but this column.
    pub(crate) template: Option<Arc<str>>,
}

impl ColumnReference {
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.into(), position: None, template: None }
    }
}

/// A template and what it was parsed from.
#[derive(Clone, Debug)]
pub(crate) struct TemplateRule {
    pub(crate) template: Arc<Template>,
    pub(crate) source: Arc<str>,
    pub(crate) language: Language,
}

/// The fields of an object.
#[derive(Clone, Debug, Default)]
pub(crate) struct ObjectRule {
    pub(crate) fields: Vec<FieldRule>,
    /// `$columns`; none once bound, its columns are then among the fields.
    pub(crate) columns: Option<ColumnsRule>,
    /// The object with a null in each field; set once bound, unless a key is a template.
    pub(crate) prototype: Option<Object>,
}

/// One field of an object.
#[derive(Clone, Debug)]
pub(crate) struct FieldRule {
    pub(crate) key: KeyRule,
    pub(crate) rule: Rule,
    /// It was merged in by `$columns`, so that a field written out wins over it.
    pub(crate) is_merged: bool,
}

/// The name of a field.
#[derive(Clone, Debug)]
pub(crate) enum KeyRule {
    /// Written out.
    Name(Arc<str>),
    /// Rendered for each row, as text.
    Template {
        template: TemplateRule,
        at: usize,
        /// Whether name or value depend on the run.
        is_volatile: bool,
    },
}

impl KeyRule {
    /// Returns the name, if it is written out.
    pub(crate) fn name(&self) -> Option<&Arc<str>> {
        match self {
            Self::Name(name) => Some(name),
            Self::Template { .. } => None,
        }
    }
}

/// `$columns`: the model's columns merged into an object.
#[derive(Clone, Debug)]
pub(crate) struct ColumnsRule {
    /// Where among the object's fields they stand.
    pub(crate) index: usize,
    pub(crate) choice: ColumnChoice,
    /// The object's path.
    pub(crate) path: Arc<str>,
    pub(crate) at: usize,
    pub(crate) nulls: Nulls,
    pub(crate) depth: usize,
}

/// Which columns `$columns` merges; names with their places.
#[derive(Clone, Debug)]
pub(crate) enum ColumnChoice {
    /// All but these.
    Except(Vec<(Arc<str>, usize)>),
    /// Just these.
    Only(Vec<(Arc<str>, usize)>),
}

impl ColumnChoice {
    /// Returns the names written in it.
    pub(crate) fn names(&self) -> &[(Arc<str>, usize)] {
        match self {
            Self::Except(names) | Self::Only(names) => names,
        }
    }

    /// Returns whether the column is merged.
    pub(crate) fn takes(&self, column: &str) -> bool {
        let is_named = self.names().iter().any(|(name, _)| &**name == column);
        match self {
            Self::Except(_) => !is_named,
            Self::Only(_) => is_named,
        }
    }
}

/// One thing met on a walk through a mapping.
pub(crate) enum Part<'a> {
    Rule(&'a Rule),
    Columns(&'a ColumnsRule),
    /// A field's name that is a template, with the path of its object.
    Key {
        template: &'a TemplateRule,
        at: usize,
        path: &'a str,
    },
}

impl ObjectRule {
    /// Calls `visit` for everything in the object, outer before inner, in order.
    pub(crate) fn walk<'a>(&'a self, path: &'a str, visit: &mut dyn FnMut(Part<'a>)) {
        if let Some(columns) = &self.columns {
            visit(Part::Columns(columns));
        }
        for field in &self.fields {
            if let KeyRule::Template { template, at, .. } = &field.key {
                visit(Part::Key { template, at: *at, path });
            }
            field.rule.walk(visit);
        }
    }

    /// Returns whether a field with this name is written out.
    pub(crate) fn writes_out(&self, name: &str) -> bool {
        self.fields.iter().any(|field| !field.is_merged && field.key.name().is_some_and(|key| &**key == name))
    }
}

impl Rule {
    /// Calls `visit` for this rule and everything in it, outer before inner, in order.
    pub(crate) fn walk<'a>(&'a self, visit: &mut dyn FnMut(Part<'a>)) {
        visit(Part::Rule(self));
        match &self.origin {
            Origin::Literal(_) | Origin::Column(_) | Origin::Template(_) => {}
            Origin::Lookup { external_id, .. } => external_id.walk(visit),
            Origin::List(items) => {
                for item in items {
                    item.walk(visit);
                }
            }
            Origin::Object(object) => object.walk(&self.path, visit),
        }
    }

    /// Returns whether the value depends on the run, and not on the row alone.
    pub(crate) fn depends_on_run(&self) -> bool {
        let mut depends = false;
        self.walk(&mut |part| match part {
            Part::Rule(Rule { origin: Origin::Template(template), .. }) | Part::Key { template, .. } => {
                depends |= template.template.reads().run_dependent;
            }
            Part::Rule(_) | Part::Columns(_) => {}
        });
        depends
    }
}
