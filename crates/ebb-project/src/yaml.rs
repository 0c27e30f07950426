//! YAML text to a tree of nodes that know where they stand. The only place that knows the YAML library.

use std::collections::{HashMap, HashSet};

use ebb_mapping::{Key, Node, NodeKind};
use ebb_row::{Value, parse_json};
use serde_saphyr::granit_parser::{Event, Options, Parser, ScalarStyle, Span, Tag};

/// Collections within collections, at most.
const MAX_DEPTH: usize = 64;
/// Nodes in a document, at most, each alias counted with all that it stands for.
const MAX_NODES: usize = 20_000;
/// Faults told of one document, at most.
const MAX_FAULTS: usize = 100;
/// Bytes of text that aliases may repeat, at most.
const MAX_ALIAS_BYTES: usize = 1 << 20;

/// A fault at a byte offset of the parsed text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Spot {
    pub(crate) at: usize,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

impl Spot {
    pub(crate) fn new(at: usize, message: impl Into<String>) -> Self {
        Self { at, message: message.into(), hint: None }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// Parses one YAML document; offsets are bytes of `text`. An empty document is a null at 0.
///
/// The faults that do not stop the parser (repeated keys, unknown tags) are all returned.
pub(crate) fn parse(text: &str) -> Result<Node, Vec<Spot>> {
    match parse_on(text) {
        (Some(node), faults) if faults.is_empty() => Ok(node),
        (_, faults) => Err(faults),
    }
}

/// As [`parse`], with the whole tree also where faults did not stop the parser, so that it can be checked further.
pub(crate) fn parse_on(text: &str) -> (Option<Node>, Vec<Spot>) {
    let mut options = Options::default();
    options.flow_nesting_limit = MAX_DEPTH;
    options.block_nesting_limit = MAX_DEPTH;
    options.set_emit_comments(false);
    let mut tree = Tree::default();
    let mut is_whole = true;
    for next in Parser::new_from_str_with_options(text, options) {
        match next {
            Ok((event, span)) => {
                if let Err(spot) = tree.event(event, span) {
                    tree.faults.push(spot);
                    is_whole = false;
                } else if tree.faults.len() >= MAX_FAULTS {
                    is_whole = false;
                }
            }
            Err(error) => {
                let at = error.marker().byte_offset().unwrap_or_else(|| byte_offset(text, error.marker().index()));
                tree.faults.push(syntax_fault(at, &error.info()));
                is_whole = false;
            }
        }
        if !is_whole {
            break;
        }
    }
    let root = tree.root.unwrap_or(Node { at: 0, kind: NodeKind::Null });
    (is_whole.then_some(root), tree.faults)
}

fn byte_offset(text: &str, characters: usize) -> usize {
    text.char_indices().nth(characters).map_or(text.len(), |(at, _)| at)
}

fn syntax_fault(at: usize, info: &str) -> Spot {
    let spot = Spot::new(at, format!("this is not valid YAML: {info}"));
    if info.contains("tab") {
        return spot.hint("indent with spaces");
    }
    spot
}

/// A collection that is being read.
enum Open {
    List { at: usize, anchor: usize, items: Vec<Node> },
    Map { at: usize, anchor: usize, entries: Vec<(Key, Node)>, key: Option<Key>, seen: HashSet<String> },
}

#[derive(Default)]
struct Tree {
    root: Option<Node>,
    open: Vec<Open>,
    anchors: HashMap<usize, (Node, Weight)>,
    nodes: usize,
    alias_bytes: usize,
    documents: usize,
    faults: Vec<Spot>,
}

/// What an alias costs.
#[derive(Clone, Copy, Default)]
struct Weight {
    nodes: usize,
    bytes: usize,
}

impl Tree {
    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), Spot> {
        let at = span.start.byte_offset().unwrap_or_default();
        let tag_at = span.tag_start().and_then(|mark| mark.byte_offset()).unwrap_or(at);
        #[expect(clippy::wildcard_enum_match_arm, reason = "the library may add events that carry no values")]
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err(Spot::new(at, "one file holds one YAML document, and here a second one begins"));
                }
                Ok(())
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.check_tag(tag_at, tag.as_deref(), "str");
                self.scalar(at, &text, style, (anchor, tag.is_some()))
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.check_tag(tag_at, tag.as_deref(), "seq");
                self.enter(at, Open::List { at, anchor, items: Vec::new() })
            }
            Event::MappingStart(_, anchor, tag) => {
                self.check_tag(tag_at, tag.as_deref(), "map");
                self.enter(at, Open::Map { at, anchor, entries: Vec::new(), key: None, seen: HashSet::new() })
            }
            Event::SequenceEnd | Event::MappingEnd => self.leave(),
            Event::Alias(id) => self.alias(at, id),
            _ => Ok(()),
        }
    }

    fn check_tag(&mut self, at: usize, tag: Option<&Tag>, allowed: &str) {
        if let Some(tag) = tag
            && tag.core_suffix() != Some(allowed)
        {
            self.faults.push(Spot::new(at, format!("the tag `{}` is not supported here", tag.original())));
        }
    }

    fn scalar(
        &mut self,
        at: usize,
        text: &str,
        style: ScalarStyle,
        (anchor, has_tag): (usize, bool),
    ) -> Result<(), Spot> {
        self.count(at)?;
        if self.wants_key() {
            return self.key(at, text);
        }
        let is_text = has_tag || style != ScalarStyle::Plain;
        let kind = if is_text { NodeKind::Text(text.to_owned()) } else { plain(at, text)? };
        self.place(Node { at, kind }, anchor)
    }

    fn wants_key(&self) -> bool {
        matches!(self.open.last(), Some(Open::Map { key: None, .. }))
    }

    fn key(&mut self, at: usize, name: &str) -> Result<(), Spot> {
        if name == "<<" {
            return Err(Spot::new(at, "merge keys (`<<`) are not supported").hint("write the keys out"));
        }
        if let Some(Open::Map { key, seen, .. }) = self.open.last_mut() {
            if !seen.insert(name.to_owned()) {
                self.faults.push(Spot::new(at, format!("the key `{name}` is there twice")));
            }
            *key = Some(Key { name: name.to_owned(), at });
        }
        Ok(())
    }

    fn enter(&mut self, at: usize, open: Open) -> Result<(), Spot> {
        self.count(at)?;
        if self.wants_key() {
            return Err(Spot::new(at, "a key must be text, and this one is a list or a map")
                .hint("put a value that starts with `{` into quotes: \"{{ row.name }}\""));
        }
        if self.open.len() >= MAX_DEPTH {
            return Err(Spot::new(at, format!("this nests deeper than {MAX_DEPTH} levels")));
        }
        self.open.push(open);
        Ok(())
    }

    fn leave(&mut self) -> Result<(), Spot> {
        match self.open.pop() {
            Some(Open::List { at, anchor, items }) => self.place(Node { at, kind: NodeKind::List(items) }, anchor),
            Some(Open::Map { at, anchor, entries, .. }) => {
                self.place(Node { at, kind: NodeKind::Map(entries) }, anchor)
            }
            None => Ok(()),
        }
    }

    fn alias(&mut self, at: usize, id: usize) -> Result<(), Spot> {
        if self.wants_key() {
            return Err(Spot::new(at, "an alias cannot be a key"));
        }
        let Some((node, weight)) = self.anchors.get(&id) else {
            return Err(Spot::new(at, "this alias stands inside of what it names"));
        };
        self.nodes = self.nodes.saturating_add(weight.nodes);
        self.alias_bytes = self.alias_bytes.saturating_add(weight.bytes);
        if self.nodes > MAX_NODES || self.alias_bytes > MAX_ALIAS_BYTES {
            return Err(Spot::new(at, "the aliases of this file stand for too much"));
        }
        let node = node.clone();
        if self.open.len() + depth(&node) > MAX_DEPTH {
            return Err(Spot::new(at, format!("this nests deeper than {MAX_DEPTH} levels")));
        }
        self.place(node, 0)
    }

    fn count(&mut self, at: usize) -> Result<(), Spot> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(Spot::new(at, format!("this file holds more than {MAX_NODES} values")));
        }
        Ok(())
    }

    fn place(&mut self, node: Node, anchor: usize) -> Result<(), Spot> {
        if anchor > 0 {
            let weight = weigh(&node);
            self.nodes = self.nodes.saturating_add(weight.nodes);
            if self.nodes > MAX_NODES {
                return Err(Spot::new(node.at, format!("this file holds more than {MAX_NODES} values")));
            }
            self.anchors.insert(anchor, (node.clone(), weight));
        }
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open::List { items, .. }) => items.push(node),
            Some(Open::Map { entries, key, .. }) => {
                if let Some(key) = key.take() {
                    entries.push((key, node));
                }
            }
        }
        Ok(())
    }
}

fn depth(node: &Node) -> usize {
    match &node.kind {
        NodeKind::List(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        NodeKind::Map(entries) => 1 + entries.iter().map(|(_, value)| depth(value)).max().unwrap_or(0),
        NodeKind::Null | NodeKind::Bool(_) | NodeKind::Number(_) | NodeKind::Text(_) => 0,
    }
}

fn weigh(node: &Node) -> Weight {
    let mut sum = Weight { nodes: 1, bytes: 0 };
    let mut add = |part: Weight| {
        sum.nodes += part.nodes;
        sum.bytes += part.bytes;
    };
    match &node.kind {
        NodeKind::Text(text) => add(Weight { nodes: 0, bytes: text.len() }),
        NodeKind::List(items) => items.iter().map(weigh).for_each(add),
        NodeKind::Map(entries) => {
            for (key, value) in entries {
                add(Weight { nodes: 0, bytes: key.name.len() });
                add(weigh(value));
            }
        }
        NodeKind::Null | NodeKind::Bool(_) | NodeKind::Number(_) => {}
    }
    sum
}

/// Resolves a plain scalar by YAML 1.2's core schema (<https://yaml.org/spec/1.2.2/#103-core-schema>): `yes`, `no` and
/// `on` are text. Numbers keep their digits.
fn plain(at: usize, text: &str) -> Result<NodeKind, Spot> {
    Ok(match text {
        "" | "~" | "null" | "Null" | "NULL" => NodeKind::Null,
        "true" | "True" | "TRUE" => NodeKind::Bool(true),
        "false" | "False" | "FALSE" => NodeKind::Bool(false),
        ".nan" | ".NaN" | ".NAN" => return Err(Spot::new(at, "`.nan` has no form in JSON")),
        _ if matches!(text.trim_start_matches(['+', '-']), ".inf" | ".Inf" | ".INF") => {
            return Err(Spot::new(at, "an infinite number has no form in JSON"));
        }
        _ => match number(at, text)? {
            Some(number) => NodeKind::Number(number),
            None => NodeKind::Text(text.to_owned()),
        },
    })
}

/// Reads a number of the core schema; `None` where the text is none.
fn number(at: usize, text: &str) -> Result<Option<Value>, Spot> {
    for (prefix, radix) in [("0x", 16), ("0o", 8)] {
        if let Some(digits) = text.strip_prefix(prefix)
            && !digits.is_empty()
            && digits.chars().all(|c| c.is_digit(radix))
        {
            let too_long = || Spot::new(at, "this number is longer than 128 bits").hint("put it into quotes");
            return i128::from_str_radix(digits, radix).map(|n| Some(Value::Int(n))).map_err(|_| too_long());
        }
    }
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let (mantissa, exponent) = match digits.find(['e', 'E']) {
        Some(split) => digits.split_at(split),
        None => (digits, ""),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let all_digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let exponent_digits = exponent.get(1..).map(|rest| rest.strip_prefix(['+', '-']).unwrap_or(rest));
    let is_number = all_digits(whole)
        && fraction.is_none_or(all_digits)
        && !(whole.is_empty() && fraction.is_none_or(str::is_empty))
        && exponent_digits.is_none_or(|digits| !digits.is_empty() && all_digits(digits));
    if !is_number {
        return Ok(None);
    }
    let whole = match whole.trim_start_matches('0') {
        "" => "0",
        digits => digits,
    };
    let fraction = fraction.filter(|digits| !digits.is_empty()).map_or(String::new(), |digits| format!(".{digits}"));
    parse_json(&format!("{sign}{whole}{fraction}{exponent}"), false).map(Some).map_err(|_| {
        Spot::new(at, "this number is too large or too small").hint("put it into quotes to send it as text")
    })
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;

    fn show(node: &Node) -> String {
        match &node.kind {
            NodeKind::Null => "null".to_owned(),
            NodeKind::Bool(flag) => flag.to_string(),
            NodeKind::Number(number) => format!("#{}", number.canonical_text().expect("finite")),
            NodeKind::Text(text) => format!("{text:?}"),
            NodeKind::List(items) => {
                let items: Vec<String> = items.iter().map(|item| format!("{}@{}", show(item), item.at)).collect();
                format!("[{}]", items.join(" "))
            }
            NodeKind::Map(entries) => {
                let mut out = String::new();
                for (key, value) in entries {
                    write!(out, "{}@{}={}@{} ", key.name, key.at, show(value), value.at).expect("a string");
                }
                format!("{{{}}}", out.trim_end())
            }
        }
    }

    fn check(text: &str, expected: &str) {
        let shown = match parse(text) {
            Ok(node) => show(&node),
            Err(spots) => {
                spots.iter().map(|spot| format!("{}: {}", spot.at, spot.message)).collect::<Vec<_>>().join("; ")
            }
        };
        assert_eq!(shown, expected, "{text}");
    }

    #[test]
    fn nodes_know_their_byte_offsets() {
        check("ä: 1\nb: [x, 'y']\n", r#"{ä@0=#1@4 b@6=["x"@10 "y"@13]@9}"#);
        check("a: &x { b: c }\nd: *x\n", r#"{a@0={b@8="c"@11}@6 d@15={b@8="c"@11}@6}"#);
        check("", "null");
        check("# only a comment\n", "null");
    }

    #[test]
    fn plain_scalars_follow_the_core_schema_and_keep_digits() {
        check("[~, true, no, 1, -0, 007, 0x1F, 0o17]", r#"[null@1 true@4 "no"@10 #1@14 #0@17 #7@21 #31@26 #15@32]"#);
        check(
            "[1.50, 12345678901234567890123, 1e3, .5, 5.]",
            "[#1.50@1 #12345678901234567890123@7 #1000@32 #0.5@37 #5@41]",
        );
        check("[1.2.3, 1_000, 12:30, '5', !!str 5]", r#"["1.2.3"@1 "1_000"@8 "12:30"@15 "5"@22 "5"@33]"#);
        check("a: .nan", "3: `.nan` has no form in JSON");
        check("a: 1e999999999", "3: this number is too large or too small");
    }

    #[test]
    fn every_repeated_key_and_tag_is_told() {
        check("a: 1\na: 2\nb: {c: 1, c: 2}\n", "5: the key `a` is there twice; 20: the key `c` is there twice");
        check("a: !env X\n", "3: the tag `!env` is not supported here");
        check("a: 1\n---\nb: 2\n", "5: one file holds one YAML document, and here a second one begins");
        check("a: {{ row.x }}\n", "4: a key must be text, and this one is a list or a map");
        check("<<: {a: 1}\n", "0: merge keys (`<<`) are not supported");
    }

    #[test]
    fn bombs_and_depth_are_refused() {
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..12 {
            let below = format!("*a{}", level - 1);
            writeln!(bomb, "a{level}: &a{level} [{}]", vec![below; 10].join(", ")).expect("a string");
        }
        let spots = parse(&bomb).expect_err("a bomb");
        assert_eq!(spots.len(), 1);
        assert!(
            spots[0].message.contains("too much") || spots[0].message.contains("more than"),
            "{}",
            spots[0].message
        );
        assert!(parse(&"[".repeat(100_000)).is_err());
        assert!(parse(&format!("{}x{}", "[".repeat(63), "]".repeat(63))).is_ok());
        assert!(parse("a: &a [*a]").is_err());
        let long = "- ".repeat(100);
        assert!(parse(&long).is_err());
    }
}
