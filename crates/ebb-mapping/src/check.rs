//! A compiled mapping against the columns of its model.

use ebb_row::{Column, FieldType};
use ebb_template::Names;

use crate::compile::ROOTS;
use crate::convert::ValueType;
use crate::fit::{advice, column_converts, column_fits, object_form};
use crate::nearest::suggest;
use crate::node::{MappingFault, TemplatePlace};
use crate::rule::{Accepts, ColumnsRule, ObjectRule, Origin, Part, Rule, TemplateRule};

/// Returns the faults of the mapping on these columns.
pub(crate) fn check(root: &ObjectRule, columns: &[Column]) -> Vec<MappingFault> {
    let mut checker =
        Checker { columns, names: columns.iter().map(|column| column.name.as_str()).collect(), faults: Vec::new() };
    root.walk("", &mut |part| match part {
        Part::Rule(rule) => checker.rule(rule),
        Part::Columns(rule) => checker.merged(rule),
        Part::Key { template, at, path } => checker.template(template, at, path),
    });
    checker.faults
}

struct Checker<'a> {
    columns: &'a [Column],
    names: Vec<&'a str>,
    faults: Vec<MappingFault>,
}

impl Checker<'_> {
    fn rule(&mut self, rule: &Rule) {
        match &rule.origin {
            Origin::Column(column) => {
                let told = self.faults.len();
                self.column(rule, &column.name);
                let place = column.template.as_ref().map(TemplatePlace::of_first_tag);
                self.faults.iter_mut().skip(told).for_each(|fault| fault.template.clone_from(&place));
            }
            Origin::Template(template) => self.template(template, rule.at, &rule.path),
            Origin::Literal(_) | Origin::Lookup { .. } | Origin::List(_) | Origin::Object(_) => {}
        }
    }

    fn column(&mut self, rule: &Rule, name: &str) {
        let Some(column) = self.columns.iter().find(|column| column.name == name) else {
            let mut hint = suggest(name, "columns", self.names.iter().copied());
            if rule.accepts == Accepts::Field(FieldType::Object) && rule.convert.is_none() {
                hint = Some(object_form(&rule.path, None));
            }
            let message = format!("reads column `{name}`, which the model does not return");
            self.fault(rule.at, &rule.path, message, hint);
            return;
        };
        let shown = if column.source_type.is_empty() || column.source_type == column.kind.word() {
            column.kind.word().to_owned()
        } else {
            format!("{} ({})", column.kind, column.source_type)
        };
        if let Some(kind) = rule.convert {
            if !column_converts(column.kind, kind) {
                let message = format!("column `{name}` is {shown}, which cannot be read as {}", kind.word());
                let wanted = match kind {
                    ValueType::Timestamp | ValueType::Date => Accepts::Field(FieldType::Timestamp),
                    ValueType::Text
                    | ValueType::Integer
                    | ValueType::Number
                    | ValueType::Boolean
                    | ValueType::Json
                    | ValueType::JsonText
                    | ValueType::List => Accepts::Json,
                };
                let hint = advice(name, column.kind, wanted, &rule.path);
                self.fault(rule.at, &rule.path, message, hint);
            }
        } else if !column_fits(column.kind, rule.accepts) {
            let message = if rule.accepts == Accepts::Json {
                format!("column `{name}` is {shown}, which has no JSON form")
            } else {
                let verb = if rule.accepts == Accepts::Field(FieldType::Object) { "must be" } else { "takes" };
                format!("{verb} {}, but column `{name}` is {shown}", rule.accepts.words())
            };
            self.fault(rule.at, &rule.path, message, advice(name, column.kind, rule.accepts, &rule.path));
        }
    }

    fn template(&mut self, rule: &TemplateRule, at: usize, path: &str) {
        let names = Names { columns: Some(&self.names), roots: Some(&ROOTS) };
        let found = rule.template.check(&names);
        self.faults.extend(found.into_iter().map(|error| MappingFault::of_template(error, &rule.source, at, path)));
    }

    fn merged(&mut self, rule: &ColumnsRule) {
        for (name, at) in rule.choice.names() {
            if !self.names.contains(&&**name) {
                let message = format!("`$columns` names column `{name}`, which the model does not return");
                let hint = suggest(name, "columns", self.names.iter().copied());
                self.fault(*at, &rule.path, message, hint);
            }
        }
        for column in self.columns {
            if rule.choice.takes(&column.name) && !column_fits(column.kind, Accepts::Json) {
                let message = format!(
                    "`$columns` merges column `{}`, which is {} and has no JSON form",
                    column.name, column.kind
                );
                let hint = "leave it out with `except`, or write out the field with `base64_encode`".to_owned();
                self.fault(rule.at, &rule.path, message, Some(hint));
            }
        }
    }

    fn fault(&mut self, at: usize, path: &str, message: String, hint: Option<String>) {
        self.faults.push(MappingFault { at, path: path.to_owned(), message, hint, template: None });
    }
}
