//! Builds the tree of a template.

use std::sync::Arc;

use crate::ast::{
    Arm, Block, Branch, Condition, CycleGroup, Expression, Filtered, For, LoopOffset, Node, NodeKind, Step, TableRow,
};
use crate::error::{Failure, Fault, did_you_mean};
use crate::expression::Cursor;
use crate::limits::NESTING;
use crate::scanner::{Piece, Scanner, not_closed};

/// A parsed template.
#[derive(Debug)]
pub(crate) struct Tree {
    pub(crate) nodes: Block,
    /// It is exactly one output with only whitespace around it.
    pub(crate) is_expression: bool,
}

impl Tree {
    /// Returns the one output of an expression and where it begins.
    pub(crate) fn expression(&self) -> Option<(usize, &Filtered)> {
        fn output(node: &Node) -> Option<(usize, &Filtered)> {
            if let NodeKind::Output(value) = &node.kind { Some((node.offset, value)) } else { None }
        }
        self.nodes.iter().filter(|_| self.is_expression).find_map(output)
    }

    /// Returns the column, where the template is exactly `{{ row.x }}` or `{{ row["x"] }}`.
    pub(crate) fn lone_column(&self) -> Option<Arc<str>> {
        let (_, Filtered { base: Expression::Path(path), filters, .. }) = self.expression()? else { return None };
        match path.steps.as_slice() {
            [Step::Key { key, .. }] if filters.is_empty() && path.is_row => Some(Arc::clone(key)),
            _ => None,
        }
    }
}

/// The tags that a template may begin, for hints.
const TAGS: [&str; 18] = [
    "assign",
    "break",
    "capture",
    "case",
    "comment",
    "continue",
    "cycle",
    "decrement",
    "doc",
    "echo",
    "for",
    "if",
    "ifchanged",
    "increment",
    "liquid",
    "raw",
    "tablerow",
    "unless",
];

/// What stands for a loop whose head cannot be read.
const NOTHING: NodeKind = NodeKind::If { branches: Vec::new(), otherwise: Block::new() };

/// Parses `source`; the second part are all faults, and where there is one, the tree lacks what it is about.
pub(crate) fn parse(source: &str) -> (Tree, Vec<Failure>) {
    let mut parser =
        Parser { scanner: Scanner::new(source), depth: 0, saw_tag: false, outputs: Vec::new(), faults: Vec::new() };
    let nodes = match parser.block(&[]) {
        Ok((nodes, _)) => nodes,
        Err(failure) => {
            parser.faults.push(failure);
            Block::new()
        }
    };
    let trimmed_start = source.len() - source.trim_start().len();
    let is_expression = !parser.saw_tag && parser.outputs == [(trimmed_start, source.trim_end().len())];
    (Tree { nodes, is_expression }, parser.faults)
}

struct Parser<'s> {
    scanner: Scanner<'s>,
    depth: usize,
    saw_tag: bool,
    /// Where each output begins and ends.
    outputs: Vec<(usize, usize)>,
    /// The faults after which reading went on.
    faults: Vec<Failure>,
}

/// The tag that ended a block.
struct End<'s> {
    offset: usize,
    name: &'s str,
    markup: &'s str,
}

impl<'s> Parser<'s> {
    /// Reads nodes up to one of the tags `ends`, or to the end of the source.
    fn block(&mut self, ends: &[&str]) -> Result<(Block, Option<End<'s>>), Failure> {
        let mut nodes = Block::new();
        while let Some(piece) = self.scanner.next()? {
            match piece {
                Piece::Text { offset, text } => {
                    self.faults.extend(jinja_comment(offset, text));
                    push_text(&mut nodes, offset, text);
                }
                Piece::Output { offset, markup, end } => {
                    self.outputs.push((offset, end));
                    if let Some(value) = self.keep(offset, output(markup)) {
                        nodes.push(Node { offset, kind: NodeKind::Output(value) });
                    }
                }
                Piece::Tag { offset, name, markup } => {
                    self.saw_tag = true;
                    if ends.contains(&name) {
                        return Ok((nodes, Some(End { offset, name, markup })));
                    }
                    self.tag(offset, name, markup, &mut nodes)?;
                }
            }
        }
        Ok((nodes, None))
    }

    /// Remembers the fault of an output or of a tag's markup: what follows can still be read.
    fn keep<T>(&mut self, offset: usize, read: Result<T, Fault>) -> Option<T> {
        read.map_err(|fault| self.faults.push(fault.at(offset))).ok()
    }

    /// Reads a block that must be ended by one of `ends`.
    fn closed(&mut self, start: (&str, usize), ends: &[&str]) -> Result<(Block, End<'s>), Failure> {
        let (name, offset) = start;
        self.depth += 1;
        if self.depth > NESTING {
            return Err(Fault::new(format!("blocks nest deeper than {NESTING}")).at(offset));
        }
        let (nodes, end) = self.block(ends)?;
        self.depth -= 1;
        let closing = ends.last().copied().unwrap_or_default();
        let end = end.ok_or_else(|| not_closed(name, closing, offset))?;
        if end.name == closing && !end.markup.is_empty() {
            self.faults.push(Fault::new(format!("unexpected text after `{closing}`")).at(end.offset));
        }
        Ok((nodes, end))
    }

    fn tag(&mut self, offset: usize, name: &'s str, markup: &'s str, nodes: &mut Block) -> Result<(), Failure> {
        let kind = match name {
            "if" | "unless" => self.conditional(offset, name, markup)?,
            "case" => self.case(offset, markup)?,
            "for" => self.for_loop(offset, markup)?,
            "tablerow" => self.table_row(offset, markup)?,
            "ifchanged" => {
                self.keep(offset, Cursor::new(markup).finish());
                NodeKind::IfChanged(self.closed(("ifchanged", offset), &["endifchanged"])?.0)
            }
            "capture" => self.capture(offset, markup)?,
            "raw" => {
                self.keep(offset, Cursor::new(markup).finish());
                let text = self.scanner.verbatim("raw", "endraw", false, offset)?;
                push_text(nodes, self.scanner.offset_of(text), text);
                return Ok(());
            }
            "comment" => return self.scanner.verbatim("comment", "endcomment", true, offset).map(|_| ()),
            "doc" => return self.scanner.verbatim("doc", "enddoc", false, offset).map(|_| ()),
            "#" => {
                self.keep(offset, inline_comment(markup));
                return Ok(());
            }
            "liquid" => return self.liquid(markup, nodes),
            _ if TAGS.contains(&name) => match self.keep(offset, simple_tag(name, markup)) {
                Some(kind) => kind,
                None => return Ok(()),
            },
            _ => return Err(unknown_tag(name).at(offset)),
        };
        nodes.push(Node { offset, kind });
        Ok(())
    }

    fn liquid(&mut self, markup: &str, nodes: &mut Block) -> Result<(), Failure> {
        let lines = Scanner::lines(self.scanner.source(), self.scanner.offset_of(markup), markup);
        let outer = std::mem::replace(&mut self.scanner, lines);
        let inner = self.block(&[]);
        self.scanner = outer;
        nodes.extend(inner?.0);
        Ok(())
    }

    fn conditional(&mut self, offset: usize, name: &'s str, markup: &'s str) -> Result<NodeKind, Failure> {
        let closing = if name == "if" { "endif" } else { "endunless" };
        let mut branches = Vec::new();
        let mut otherwise = None;
        let mut head = End { offset, name, markup };
        loop {
            let ends: &[&str] =
                if closing == "endif" { &["elsif", "else", "endif"] } else { &["elsif", "else", "endunless"] };
            let condition = if head.name == "else" {
                self.keep(head.offset, after_else(head.markup));
                None
            } else {
                let condition = self.keep(head.offset, Cursor::new(head.markup).condition());
                Some(condition.unwrap_or(Condition { tests: Vec::new() }))
            };
            let (block, end) = self.closed((name, offset), ends)?;
            match condition {
                Some(_) if otherwise.is_some() => {
                    self.faults.push(Fault::new("`elsif` comes after `else`").at(head.offset));
                }
                Some(condition) => {
                    let negated = head.name == "unless";
                    branches.push(Branch { offset: head.offset, negated, condition, block });
                }
                None if otherwise.is_some() => self.faults.push(Fault::new("a second `else`").at(head.offset)),
                None => otherwise = Some(block),
            }
            head = end;
            if head.name == closing {
                break;
            }
        }
        let mut otherwise = otherwise.unwrap_or_default();
        if branches.iter().all(|branch| is_blank(&branch.block)) && is_blank(&otherwise) {
            for branch in &mut branches {
                drop_text(&mut branch.block);
            }
            drop_text(&mut otherwise);
        }
        Ok(NodeKind::If { branches, otherwise })
    }

    fn case(&mut self, offset: usize, markup: &'s str) -> Result<NodeKind, Failure> {
        let mut cursor = Cursor::new(markup);
        let subject = cursor.expression().and_then(|subject| cursor.finish().map(|()| subject));
        let subject = self.keep(offset, subject).unwrap_or(Expression::Blank);
        let ends = ["when", "else", "endcase"];
        let (before, mut head) = self.closed(("case", offset), &ends)?;
        if !is_blank(&before) {
            self.faults.push(Fault::new("only whitespace may stand between `case` and the first `when`").at(offset));
        }
        let mut arms = Vec::new();
        while head.name != "endcase" {
            let values = if head.name == "when" {
                Some(self.keep(head.offset, when_values(head.markup)).unwrap_or_default())
            } else {
                self.keep(head.offset, Cursor::new(head.markup).finish());
                None
            };
            let (block, end) = self.closed(("case", offset), &ends)?;
            arms.push(Arm { offset: head.offset, values, block });
            head = end;
        }
        if arms.iter().all(|arm| is_blank(&arm.block)) {
            for arm in &mut arms {
                drop_text(&mut arm.block);
            }
        }
        Ok(NodeKind::Case { subject, arms })
    }

    fn for_loop(&mut self, offset: usize, markup: &'s str) -> Result<NodeKind, Failure> {
        let head = self.keep(offset, for_head(markup));
        let (block, end) = self.closed(("for", offset), &["else", "endfor"])?;
        let mut otherwise = Block::new();
        if end.name == "else" {
            self.keep(end.offset, Cursor::new(end.markup).finish());
            otherwise = self.closed(("for", offset), &["endfor"])?.0;
        }
        let Some(mut head) = head else { return Ok(NOTHING) };
        (head.block, head.otherwise) = (block, otherwise);
        if is_blank(&head.block) && is_blank(&head.otherwise) {
            drop_text(&mut head.block);
            drop_text(&mut head.otherwise);
        }
        Ok(NodeKind::For(Box::new(head)))
    }

    fn table_row(&mut self, offset: usize, markup: &'s str) -> Result<NodeKind, Failure> {
        let head = self.keep(offset, table_row_head(markup));
        let block = self.closed(("tablerow", offset), &["endtablerow"])?.0;
        let Some(mut head) = head else { return Ok(NOTHING) };
        head.block = block;
        Ok(NodeKind::TableRow(Box::new(head)))
    }

    fn capture(&mut self, offset: usize, markup: &'s str) -> Result<NodeKind, Failure> {
        let name = self.keep(offset, target(markup)).unwrap_or_default();
        let (block, _) = self.closed(("capture", offset), &["endcapture"])?;
        Ok(NodeKind::Capture { name, block })
    }
}

/// Returns the fault of `{# … #}`, which Liquid would print.
fn jinja_comment(offset: usize, text: &str) -> Option<Failure> {
    let at = text.find("{#").filter(|at| text.get(*at..).is_some_and(|rest| rest.contains("#}")))?;
    let fault = Fault::jinja("`{# … #}` is no comment in Liquid");
    Some(fault.hint("or write `{% comment %}`; `{% raw %}` keeps it as text").at(offset + at))
}

fn push_text(nodes: &mut Block, offset: usize, text: &str) {
    if !text.is_empty() {
        nodes.push(Node { offset, kind: NodeKind::Text(text.into()) });
    }
}

/// Returns whether a block prints nothing but whitespace, whatever happens.
fn is_blank(block: &Block) -> bool {
    block.iter().all(|node| match &node.kind {
        NodeKind::Text(text) => text.trim().is_empty(),
        NodeKind::Assign { .. } | NodeKind::Capture { .. } => true,
        NodeKind::If { branches, otherwise } => {
            branches.iter().all(|branch| is_blank(&branch.block)) && is_blank(otherwise)
        }
        NodeKind::Case { arms, .. } => arms.iter().all(|arm| is_blank(&arm.block)),
        NodeKind::For(head) => is_blank(&head.block) && is_blank(&head.otherwise),
        NodeKind::IfChanged(block) => is_blank(block),
        NodeKind::TableRow(head) => is_blank(&head.block),
        NodeKind::Output(_)
        | NodeKind::Increment(_)
        | NodeKind::Decrement(_)
        | NodeKind::Cycle { .. }
        | NodeKind::Break
        | NodeKind::Continue => false,
    })
}

/// Takes the text out of a blank block.
fn drop_text(block: &mut Block) {
    block.retain(|node| !matches!(node.kind, NodeKind::Text(_)));
}

fn output(markup: &str) -> Result<Filtered, Fault> {
    let mut cursor = Cursor::new(markup);
    if cursor.is_at_end() {
        return Ok(Filtered {
            base: Expression::Literal(ebb_row::Value::Null),
            filters: Vec::new(),
            writes_json: false,
        });
    }
    let value = cursor.filtered()?;
    cursor.finish()?;
    Ok(value)
}

/// Reads a tag that has no block.
fn simple_tag(name: &str, markup: &str) -> Result<NodeKind, Fault> {
    let mut cursor = Cursor::new(markup);
    let kind = match name {
        "echo" => NodeKind::Output(output(markup)?),
        "assign" => {
            let name = assigned(&mut cursor)?;
            if !cursor.take("=") {
                return Err(Fault::new(format!("`=` is missing after `assign {name}`")));
            }
            let value = cursor.filtered()?;
            cursor.finish()?;
            NodeKind::Assign { name, value }
        }
        "increment" => NodeKind::Increment(target(markup)?),
        "decrement" => NodeKind::Decrement(target(markup)?),
        "cycle" => cycle(markup)?,
        "break" | "continue" => {
            cursor.finish()?;
            if name == "break" { NodeKind::Break } else { NodeKind::Continue }
        }
        _ => return Err(unknown_tag(name)),
    };
    Ok(kind)
}

fn unknown_tag(name: &str) -> Fault {
    match name {
        "" => Fault::new("a tag has no name"),
        "include" | "render" | "layout" | "block" => {
            Fault::new(format!("`{name}` is not supported: a template reads no other template"))
        }
        "set" | "macro" | "call" | "filter" | "elif" | "with" | "extends" | "import" | "from" | "endset" | "do" => {
            Fault::jinja(&format!("unknown tag `{name}`"))
        }
        "elseif" => Fault::new("unknown tag `elseif`").hint("did you mean `elsif`?"),
        "else" | "elsif" | "when" => Fault::new(format!("`{name}` stands outside of its block")),
        _ if name.starts_with("end") => Fault::new(format!("`{name}` does not end the block that is open here")),
        _ => {
            let fault = Fault::new(format!("unknown tag `{name}`"));
            match did_you_mean(name, TAGS.into_iter()) {
                Some(hint) => fault.hint(hint),
                None => fault,
            }
        }
    }
}

/// Refuses what stands behind `else`.
fn after_else(markup: &str) -> Result<(), Fault> {
    let cursor = Cursor::new(markup);
    if markup.starts_with("if") {
        return Err(Fault::new("unexpected `if` behind `else`").hint("`else if` is written `elsif`"));
    }
    cursor.finish()
}

/// Reads the name that `assign` or `capture` gives; it may be quoted.
fn assigned(cursor: &mut Cursor<'_>) -> Result<Arc<str>, Fault> {
    if let Some(name) = cursor.name() {
        if name.ends_with('?') {
            return Err(Fault::new(format!("`{name}` cannot be given a value: a variable's name has no `?`")));
        }
        return Ok(name.into());
    }
    if cursor.rest().starts_with(['\'', '"'])
        && let Expression::Literal(ebb_row::Value::Text(name)) = cursor.expression()?
        && !name.is_empty()
    {
        return Ok(name);
    }
    Err(Fault::new("a variable's name is missing"))
}

fn target(markup: &str) -> Result<Arc<str>, Fault> {
    let mut cursor = Cursor::new(markup);
    let name = assigned(&mut cursor)?;
    cursor.finish()?;
    Ok(name)
}

fn when_values(markup: &str) -> Result<Vec<Expression>, Fault> {
    let mut cursor = Cursor::new(markup);
    let mut values = vec![cursor.expression()?];
    while cursor.take(",") || cursor.take_word("or") {
        values.push(cursor.expression()?);
    }
    cursor.finish()?;
    Ok(values)
}

/// The words that may follow a `tablerow`'s collection, each with a value.
const LOOP_WORDS: [&str; 3] = ["cols", "limit", "offset"];

/// Reads `name in collection`; the third part is both as `forloop.name` says them, `name-collection`.
fn loop_source(cursor: &mut Cursor<'_>, tag: &str) -> Result<(Arc<str>, Expression, Arc<str>), Fault> {
    let name: Arc<str> = cursor.name().ok_or_else(|| Fault::new(format!("`{tag}` needs a variable's name")))?.into();
    if cursor.rest().starts_with(',') {
        return Err(Fault::jinja(&format!(
            "`{tag}` has one variable; an object gives pairs, `{name}[0]` and `{name}[1]`"
        )));
    }
    if !cursor.take_word("in") {
        return Err(Fault::new(format!("`in` is missing after `{tag} {name}`")));
    }
    let from = cursor.rest();
    let collection = cursor.expression()?;
    let written = from.strip_suffix(cursor.rest()).unwrap_or(from);
    let label = format!("{name}-{}", without_blanks(written)).into();
    Ok((name, collection, label))
}

/// Drops the whitespace outside of quotes.
fn without_blanks(written: &str) -> String {
    let mut quote = None;
    written
        .chars()
        .filter(|character| {
            match (quote, character) {
                (None, '\'' | '"') => quote = Some(*character),
                (Some(open), closing) if open == *closing => quote = None,
                _ => {}
            }
            quote.is_some() || !character.is_whitespace()
        })
        .collect()
}

fn for_head(markup: &str) -> Result<For, Fault> {
    let mut cursor = Cursor::new(markup);
    let (name, collection, label) = loop_source(&mut cursor, "for")?;
    let mut head = For {
        label,
        name,
        collection,
        limit: None,
        offset: None,
        reversed: false,
        block: Block::new(),
        otherwise: Block::new(),
    };
    while !cursor.is_at_end() {
        if cursor.take_word("reversed") {
            head.reversed = true;
        } else if cursor.take_word("limit") && cursor.take(":") {
            head.limit = Some(cursor.expression()?);
        } else if cursor.take_word("offset") && cursor.take(":") {
            let is_continue = cursor.take_word("continue");
            head.offset = Some(if is_continue { LoopOffset::Continue } else { LoopOffset::At(cursor.expression()?) });
        } else if !cursor.take(",") {
            return Err(cursor.unexpected());
        }
    }
    Ok(head)
}

fn table_row_head(markup: &str) -> Result<TableRow, Fault> {
    let mut cursor = Cursor::new(markup);
    let (name, collection, _) = loop_source(&mut cursor, "tablerow")?;
    let mut head = TableRow { name, collection, columns: None, limit: None, offset: None, block: Block::new() };
    while !cursor.is_at_end() {
        let slot = match LOOP_WORDS.into_iter().find(|word| cursor.take_word(word)) {
            Some("cols") => &mut head.columns,
            Some("limit") => &mut head.limit,
            Some("offset") => &mut head.offset,
            _ if cursor.take(",") => continue,
            _ => return Err(cursor.unexpected()),
        };
        if !cursor.take(":") {
            return Err(cursor.unexpected());
        }
        *slot = Some(cursor.expression()?);
    }
    Ok(head)
}

fn cycle(markup: &str) -> Result<NodeKind, Fault> {
    let mut cursor = Cursor::new(markup);
    let first = cursor.expression()?;
    let mut values = Vec::new();
    let group = if cursor.take(":") {
        values.push(cursor.expression()?);
        CycleGroup::Named(first)
    } else {
        values.push(first);
        CycleGroup::Values(without_blanks(markup).into())
    };
    while cursor.take(",") {
        if cursor.is_at_end() {
            break;
        }
        values.push(cursor.expression()?);
    }
    cursor.finish()?;
    Ok(NodeKind::Cycle { group, values })
}

fn inline_comment(markup: &str) -> Result<(), Fault> {
    let plain = markup.lines().skip(1).map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
    match plain {
        Some(_) => Err(Fault::new("each line of an inline comment starts with `#`")),
        None => Ok(()),
    }
}
