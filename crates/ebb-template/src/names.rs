//! Which names a template reads, found without rendering it.

use std::collections::BTreeSet;

use ebb_row::Value;

use crate::ast::{
    Block, Condition, CycleGroup, Expression, Filtered, LambdaBody, LoopOffset, NodeKind, PathRoot, Step, Test,
};
use crate::error::{Failure, Fault, did_you_mean};
use crate::filters::dates::is_now;

/// The names that a template may use.
#[derive(Clone, Copy, Debug, Default)]
pub struct Names<'a> {
    /// The columns, reachable under `row` and `record` and by their bare names. `None`: not known, not checked.
    pub columns: Option<&'a [&'a str]>,
    /// Further root variables, such as `context`. `None`: any is allowed.
    pub roots: Option<&'a [&'a str]>,
}

/// What a template reads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reads {
    /// The columns it names. A bare name counts, so there may be names here that are no columns of the model.
    pub columns: BTreeSet<String>,
    /// It uses the row as a whole, or a column whose name it computes.
    pub every_column: bool,
    /// It reads the run's id or time: `context.run_id`, `context.run_time`, `'now'`, `'today'`.
    pub run_dependent: bool,
}

/// The fields of `context`.
pub(crate) const CONTEXT: [&str; 3] = ["sync", "run_id", "run_time"];

/// Where an expression stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Position {
    /// It is printed or assigned, or is what `default` falls back to: as `'now'` it means the time.
    Source,
    Other,
}

/// Walks over every expression of a template.
struct Walker<'t, 'f> {
    /// The variables of the loops around.
    scopes: Vec<&'t str>,
    visit: &'f mut dyn FnMut(Sight<'t>),
}

/// An expression as the walk meets it.
struct Sight<'t> {
    offset: usize,
    expression: &'t Expression,
    position: Position,
    /// It is a path whose root is a loop's variable or `forloop`.
    is_loop_variable: bool,
}

fn walk<'t>(nodes: &'t Block, visit: &mut dyn FnMut(Sight<'t>)) {
    Walker { scopes: Vec::new(), visit }.block(nodes);
}

impl<'t> Walker<'t, '_> {
    fn block(&mut self, nodes: &'t Block) {
        for node in nodes {
            let offset = node.offset;
            match &node.kind {
                NodeKind::Text(_)
                | NodeKind::Increment(_)
                | NodeKind::Decrement(_)
                | NodeKind::Break
                | NodeKind::Continue => {}
                NodeKind::Output(value) | NodeKind::Assign { value, .. } => self.filtered(offset, value),
                NodeKind::If { branches, otherwise } => {
                    for branch in branches {
                        self.condition(branch.offset, &branch.condition);
                        self.block(&branch.block);
                    }
                    self.block(otherwise);
                }
                NodeKind::Case { subject, arms } => {
                    self.expression(offset, subject, Position::Other);
                    for arm in arms {
                        let values = arm.values.iter().flatten();
                        for value in values {
                            self.expression(arm.offset, value, Position::Other);
                        }
                        self.block(&arm.block);
                    }
                }
                NodeKind::For(head) => {
                    self.expression(offset, &head.collection, Position::Source);
                    let start = match &head.offset {
                        Some(LoopOffset::At(start)) => Some(start),
                        Some(LoopOffset::Continue) | None => None,
                    };
                    for bound in head.limit.iter().chain(start) {
                        self.expression(offset, bound, Position::Other);
                    }
                    self.scopes.extend([&*head.name, "forloop"]);
                    self.block(&head.block);
                    self.scopes.truncate(self.scopes.len().saturating_sub(2));
                    self.block(&head.otherwise);
                }
                NodeKind::TableRow(head) => {
                    self.expression(offset, &head.collection, Position::Source);
                    for bound in [&head.columns, &head.limit, &head.offset].into_iter().flatten() {
                        self.expression(offset, bound, Position::Other);
                    }
                    self.scopes.extend([&*head.name, "tablerowloop"]);
                    self.block(&head.block);
                    self.scopes.truncate(self.scopes.len().saturating_sub(2));
                }
                NodeKind::Capture { block, .. } | NodeKind::IfChanged(block) => self.block(block),
                NodeKind::Cycle { group, values } => {
                    if let CycleGroup::Named(name) = group {
                        self.expression(offset, name, Position::Other);
                    }
                    for value in values {
                        self.expression(offset, value, Position::Other);
                    }
                }
            }
        }
    }

    fn filtered(&mut self, offset: usize, value: &'t Filtered) {
        self.expression(offset, &value.base, Position::Source);
        for call in &value.filters {
            let position = if call.filter.name == "default" { Position::Source } else { Position::Other };
            let named = call.named.iter().map(|(_, argument)| argument);
            for argument in call.positional.iter().chain(named) {
                self.expression(offset, argument, position);
            }
            if let Some(lambda) = &call.lambda {
                self.scopes.push(&lambda.name);
                match &lambda.body {
                    LambdaBody::Condition(condition) => self.condition(offset, condition),
                    LambdaBody::Value(value) => self.filtered(offset, value),
                }
                self.scopes.pop();
            }
        }
    }

    fn condition(&mut self, offset: usize, condition: &'t Condition) {
        for (test, _) in &condition.tests {
            match test {
                Test::Truth(expression) => self.expression(offset, expression, Position::Other),
                Test::Compare(left, _, right) => {
                    self.expression(offset, left, Position::Other);
                    self.expression(offset, right, Position::Other);
                }
            }
        }
    }

    fn expression(&mut self, offset: usize, expression: &'t Expression, position: Position) {
        let mut is_loop_variable = false;
        match expression {
            Expression::Literal(_) | Expression::Blank | Expression::Empty => {}
            Expression::Range(bounds) => {
                self.expression(offset, &bounds.0, Position::Other);
                self.expression(offset, &bounds.1, Position::Other);
            }
            Expression::Path(path) => {
                match &path.root {
                    PathRoot::Name(name) => is_loop_variable = self.scopes.contains(&&**name),
                    PathRoot::Computed(name) => self.expression(offset, name, Position::Other),
                }
                for step in &path.steps {
                    if let Step::Computed(key) = step {
                        self.expression(offset, key, Position::Other);
                    }
                }
            }
        }
        (self.visit)(Sight { offset, expression, position, is_loop_variable });
    }
}

/// Returns whether a `date` of this template may be given `'now'` or `'today'` by the template itself.
pub(crate) fn knows_now(nodes: &Block) -> bool {
    let mut says_now = false;
    walk(nodes, &mut |sight| {
        if let (Expression::Literal(Value::Text(text)), Position::Source) = (sight.expression, sight.position) {
            says_now |= is_now(text);
        }
    });
    says_now && uses_date(nodes)
}

fn uses_date(nodes: &Block) -> bool {
    fn dated(value: &Filtered) -> bool {
        value.filters.iter().any(|call| {
            let body = call.lambda.as_ref().map(|lambda| &lambda.body);
            call.filter.name.starts_with("date") || matches!(body, Some(LambdaBody::Value(value)) if dated(value))
        })
    }
    nodes.iter().any(|node| match &node.kind {
        NodeKind::Output(value) | NodeKind::Assign { value, .. } => dated(value),
        NodeKind::If { branches, otherwise } => {
            branches.iter().any(|branch| uses_date(&branch.block)) || uses_date(otherwise)
        }
        NodeKind::Case { arms, .. } => arms.iter().any(|arm| uses_date(&arm.block)),
        NodeKind::For(head) => uses_date(&head.block) || uses_date(&head.otherwise),
        NodeKind::TableRow(head) => uses_date(&head.block),
        NodeKind::Capture { block, .. } | NodeKind::IfChanged(block) => uses_date(block),
        NodeKind::Text(_)
        | NodeKind::Increment(_)
        | NodeKind::Decrement(_)
        | NodeKind::Cycle { .. }
        | NodeKind::Break
        | NodeKind::Continue => false,
    })
}

/// Returns what a template reads.
pub(crate) fn reads(nodes: &Block, knows_now: bool) -> Reads {
    let mut reads = Reads { run_dependent: knows_now, ..Reads::default() };
    walk(nodes, &mut |sight| {
        let Expression::Path(path) = sight.expression else { return };
        let PathRoot::Name(name) = &path.root else {
            reads.every_column = true;
            reads.run_dependent = true;
            return;
        };
        if sight.is_loop_variable {
            return;
        }
        match &**name {
            "row" | "record" => match path.steps.first() {
                Some(Step::Key { key: column, .. }) => {
                    reads.columns.insert(column.to_string());
                }
                Some(Step::Index(_) | Step::Computed(_)) | None => reads.every_column = true,
            },
            "context" => match path.steps.first() {
                Some(Step::Key { key: field, .. }) if &**field == "sync" => {}
                Some(_) | None => reads.run_dependent = true,
            },
            bare => {
                reads.columns.insert(bare.to_owned());
            }
        }
    });
    reads
}

/// Returns a fault for each unknown name, in the order of the template.
pub(crate) fn check(nodes: &Block, names: &Names<'_>) -> Vec<Failure> {
    let mut assigned = Vec::new();
    assigned_names(nodes, &mut assigned);
    let mut failures: Vec<Failure> = Vec::new();
    walk(nodes, &mut |sight| {
        let Expression::Path(path) = sight.expression else { return };
        let PathRoot::Name(name) = &path.root else { return };
        if sight.is_loop_variable || assigned.contains(&&**name) {
            return;
        }
        let field = match path.steps.first() {
            Some(Step::Key { key: field, .. }) => Some(&**field),
            Some(Step::Index(_) | Step::Computed(_)) | None => None,
        };
        if let Some(mut fault) = unknown_name(name, field, names, &assigned) {
            if &**name == "now" || &**name == "today" {
                fault = fault.hint("the time of the run is `'now' | date: '%Y-%m-%d'`, in quotes");
            }
            if &**name == "loop" {
                fault = fault.hint("a loop's state is `forloop`; `loop` is Jinja's: set `language: jinja` for that");
            }
            failures.push(fault.at(sight.offset));
        }
    });
    failures.sort_by_key(|failure| failure.offset);
    failures.dedup();
    failures
}

/// Returns what is wrong with a root name and the first field behind it.
pub(crate) fn unknown_name(name: &str, field: Option<&str>, names: &Names<'_>, assigned: &[&str]) -> Option<Fault> {
    let hinted = |fault: Fault, hint: Option<String>| hint.into_iter().fold(fault, Fault::hint);
    let columns = names.columns.unwrap_or_default();
    if name == "row" || name == "record" {
        let column = field?;
        if names.columns.is_none() || columns.contains(&column) {
            return None;
        }
        let fault = Fault::new(format!("unknown column `{column}`"));
        return Some(hinted(fault, did_you_mean(column, columns.iter().copied())));
    }
    if names.roots.is_some_and(|roots| roots.contains(&name)) {
        let field = field.filter(|field| name == "context" && !CONTEXT.contains(field))?;
        let fault = Fault::new(format!("`context` has no `{field}`"));
        return Some(fault.hint("it has `sync`, `run_id` and `run_time`"));
    }
    if names.columns.is_none() || names.roots.is_none() || columns.contains(&name) {
        return None;
    }
    let candidates = columns.iter().chain(names.roots.unwrap_or_default()).chain(assigned).copied();
    let fault = Fault::new(format!("unknown variable `{name}`"));
    if name == "rows" || name == "records" {
        return Some(fault.hint("a template sees one row, as `row`"));
    }
    Some(hinted(fault, did_you_mean(name, candidates.chain(["row", "record"]))))
}

/// Collects the names that the template itself gives values to.
fn assigned_names<'t>(nodes: &'t Block, names: &mut Vec<&'t str>) {
    for node in nodes {
        match &node.kind {
            NodeKind::Assign { name, .. } | NodeKind::Increment(name) | NodeKind::Decrement(name) => names.push(name),
            NodeKind::Capture { name, block } => {
                names.push(name);
                assigned_names(block, names);
            }
            NodeKind::If { branches, otherwise } => {
                for branch in branches {
                    assigned_names(&branch.block, names);
                }
                assigned_names(otherwise, names);
            }
            NodeKind::Case { arms, .. } => {
                for arm in arms {
                    assigned_names(&arm.block, names);
                }
            }
            NodeKind::For(head) => {
                assigned_names(&head.block, names);
                assigned_names(&head.otherwise, names);
            }
            NodeKind::TableRow(head) => assigned_names(&head.block, names),
            NodeKind::IfChanged(block) => assigned_names(block, names),
            NodeKind::Text(_) | NodeKind::Output(_) | NodeKind::Cycle { .. } | NodeKind::Break | NodeKind::Continue => {
            }
        }
    }
}
