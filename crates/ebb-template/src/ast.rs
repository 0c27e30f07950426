//! The tree that the parser builds and that the checks and the renderer walk.

use std::sync::Arc;

use ebb_row::Value;

use crate::filters::Filter;
use crate::render::lookup::ColumnPlace;

/// What is between two tags of a block.
pub(crate) type Block = Vec<Node>;

/// One piece of a template.
#[derive(Debug)]
pub(crate) struct Node {
    /// Byte offset of the tag or output.
    pub(crate) offset: usize,
    pub(crate) kind: NodeKind,
}

#[derive(Debug)]
pub(crate) enum NodeKind {
    Text(Box<str>),
    Output(Filtered),
    If { branches: Vec<Branch>, otherwise: Block },
    Case { subject: Expression, arms: Vec<Arm> },
    For(Box<For>),
    TableRow(Box<TableRow>),
    IfChanged(Block),
    Assign { name: Arc<str>, value: Filtered },
    Capture { name: Arc<str>, block: Block },
    Increment(Arc<str>),
    Decrement(Arc<str>),
    Cycle { group: CycleGroup, values: Vec<Expression> },
    Break,
    Continue,
}

/// An `if`, `elsif` or `unless` and its block.
#[derive(Debug)]
pub(crate) struct Branch {
    pub(crate) offset: usize,
    pub(crate) negated: bool,
    pub(crate) condition: Condition,
    pub(crate) block: Block,
}

/// A `when`, or an `else` (no values) of a `case`.
#[derive(Debug)]
pub(crate) struct Arm {
    pub(crate) offset: usize,
    pub(crate) values: Option<Vec<Expression>>,
    pub(crate) block: Block,
}

#[derive(Debug)]
pub(crate) struct For {
    pub(crate) name: Arc<str>,
    pub(crate) collection: Expression,
    /// `name-collection` as written: what `forloop.name` says and `offset: continue` remembers by.
    pub(crate) label: Arc<str>,
    pub(crate) limit: Option<Expression>,
    pub(crate) offset: Option<LoopOffset>,
    pub(crate) reversed: bool,
    pub(crate) block: Block,
    pub(crate) otherwise: Block,
}

/// A `tablerow`: an HTML table of the items, row by row.
#[derive(Debug)]
pub(crate) struct TableRow {
    pub(crate) name: Arc<str>,
    pub(crate) collection: Expression,
    /// How many cells a row has; none: all are in one row.
    pub(crate) columns: Option<Expression>,
    pub(crate) limit: Option<Expression>,
    pub(crate) offset: Option<Expression>,
    pub(crate) block: Block,
}

#[derive(Debug)]
pub(crate) enum LoopOffset {
    Continue,
    At(Expression),
}

#[derive(Debug)]
pub(crate) enum CycleGroup {
    /// Cycles of the same values are one.
    Values(Arc<str>),
    Named(Expression),
}

/// Tests joined by `and` and `or`, all of one strength, the rightmost join first.
#[derive(Debug)]
pub(crate) struct Condition {
    /// Each test with the word that joins it to the next; the last one's is not read.
    pub(crate) tests: Vec<(Test, Join)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Join {
    And,
    Or,
}

#[derive(Debug)]
pub(crate) enum Test {
    Truth(Expression),
    Compare(Expression, Operator, Expression),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Contains,
}

/// A value and the filters it passes through.
#[derive(Debug)]
pub(crate) struct Filtered {
    pub(crate) base: Expression,
    pub(crate) filters: Vec<FilterCall>,
    /// The last filter writes JSON, or says that the text is JSON.
    pub(crate) writes_json: bool,
}

#[derive(Debug)]
pub(crate) struct FilterCall {
    pub(crate) filter: &'static Filter,
    pub(crate) positional: Vec<Expression>,
    pub(crate) named: Vec<(&'static str, Expression)>,
    /// What a filter such as `where_exp` asks of each item.
    pub(crate) lambda: Option<Box<Lambda>>,
}

/// An expression on one item, which it calls `name`.
#[derive(Debug)]
pub(crate) struct Lambda {
    pub(crate) name: Arc<str>,
    pub(crate) body: LambdaBody,
}

#[derive(Debug)]
pub(crate) enum LambdaBody {
    Condition(Condition),
    Value(Filtered),
}

#[derive(Debug)]
pub(crate) enum Expression {
    Literal(Value),
    Blank,
    Empty,
    Range(Box<(Expression, Expression)>),
    Path(Box<Path>),
}

#[derive(Debug)]
pub(crate) struct Path {
    pub(crate) root: PathRoot,
    pub(crate) steps: Vec<Step>,
    /// The root is called `row` or `record`.
    pub(crate) is_row: bool,
    /// Where its column stands in the row.
    pub(crate) place: ColumnPlace,
}

#[derive(Debug)]
pub(crate) enum PathRoot {
    Name(Arc<str>),
    Computed(Box<Expression>),
}

#[derive(Debug)]
pub(crate) enum Step {
    /// A field; `is_command`: written `.size`, `.first` or `.last`, which a value answers that has no such field.
    Key {
        key: Arc<str>,
        is_command: bool,
    },
    Index(i128),
    Computed(Expression),
}
