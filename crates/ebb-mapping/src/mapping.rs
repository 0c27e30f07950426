use std::collections::BTreeSet;
use std::sync::Arc;

use ebb_row::{Column, Hash128};

use crate::check::check;
use crate::compile::compile;
use crate::digest::digest;
use crate::evaluate::Bound;
use crate::node::{MappingFault, MappingSettings, Node, Target, in_order};
use crate::rule::{ColumnChoice, ObjectRule, Origin, Part, Rule};

/// The field mappings of a sync, compiled; cheap to clone.
#[derive(Clone, Debug)]
pub struct Mapping {
    root: Arc<ObjectRule>,
}

/// The columns that a mapping reads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ColumnsRead {
    /// The columns named in it, that of the match field included. A template's bare names count, so there may be
    /// names here that are no columns of the model.
    pub names: BTreeSet<String>,
    /// Whether it reads every column (`$columns`, or a template that uses the whole row).
    pub every: bool,
}

impl Mapping {
    /// Compiles the `fields:` map of a sync and its match field (name, and what it is mapped to).
    ///
    /// The match field may be missing from `targets`; it then takes an id.
    ///
    /// # Errors
    /// Every fault that can be seen without the model's columns, in the order of the file.
    pub fn compile(
        fields: &Node,
        match_field: Option<(&str, &Node)>,
        targets: &[Target],
        settings: &MappingSettings,
    ) -> Result<Self, Vec<MappingFault>> {
        let (root, faults) = compile(fields, match_field, Some(targets), settings);
        if faults.is_empty() { Ok(Self { root: Arc::new(root) }) } else { Err(faults) }
    }

    /// Returns every fault at once: those of [`Mapping::compile`], and those of [`Mapping::check`] in all that can be
    /// read. In the order of the file.
    pub fn faults(
        fields: &Node,
        match_field: Option<(&str, &Node)>,
        targets: &[Target],
        settings: &MappingSettings,
        columns: &[Column],
    ) -> Vec<MappingFault> {
        let (root, mut faults) = compile(fields, match_field, Some(targets), settings);
        faults.extend(check(&root, columns));
        in_order(faults)
    }

    /// Returns the faults that need no object of a destination to be seen: those of templates and directives, and of
    /// columns where they are known. For a sync of which it is not clear what it writes to. In the order of the file.
    pub fn faults_of_values(
        fields: &Node,
        settings: &MappingSettings,
        columns: Option<&[Column]>,
    ) -> Vec<MappingFault> {
        let (root, mut faults) = compile(fields, None, None, settings);
        faults.extend(columns.into_iter().flat_map(|columns| check(&root, columns)));
        in_order(faults)
    }

    /// Checks the mapping against the model's columns: their names, with the nearest one for an unknown one, and
    /// whether a column's type fits its field. Empty when all is well; in the order of the file.
    pub fn check(&self, columns: &[Column]) -> Vec<MappingFault> {
        in_order(check(&self.root, columns))
    }

    /// Returns the columns that the mapping reads.
    pub fn reads(&self) -> ColumnsRead {
        let mut read = ColumnsRead::default();
        self.root.walk("", &mut |part| match part {
            Part::Rule(Rule { origin: Origin::Column(column), .. }) => {
                read.names.insert(column.name.to_string());
            }
            Part::Rule(Rule { origin: Origin::Template(template), .. }) | Part::Key { template, .. } => {
                let reads = template.template.reads();
                read.names.extend(reads.columns);
                read.every |= reads.every_column;
            }
            Part::Rule(_) => {}
            Part::Columns(columns) => match &columns.choice {
                ColumnChoice::Except(_) => read.every = true,
                ColumnChoice::Only(names) => read.names.extend(names.iter().map(|(name, _)| name.to_string())),
            },
        });
        read
    }

    /// Returns the objects whose ids are looked up; sorted, each once.
    pub fn lookups(&self) -> Vec<String> {
        let mut objects = BTreeSet::new();
        self.root.walk("", &mut |part| {
            if let Part::Rule(Rule { origin: Origin::Lookup { object, .. }, .. }) = part {
                objects.insert(object.to_string());
            }
        });
        objects.into_iter().collect()
    }

    /// Returns the destination's fields that are mapped, the match field first.
    pub fn mapped(&self) -> Vec<String> {
        self.root.fields.iter().filter_map(|field| field.key.name()).map(ToString::to_string).collect()
    }

    /// Returns the digest of what the mapping does: the same for any order of fields, another for another language,
    /// null policy or type. Stable across machines.
    pub fn digest(&self) -> Hash128 {
        digest(&self.root)
    }

    /// Binds the mapping to rows with these columns; names are exact and case-sensitive.
    ///
    /// A column that is not among them rejects each row.
    pub fn bind(&self, names: &[Arc<str>]) -> Bound {
        Bound::new(&self.root, names)
    }
}
