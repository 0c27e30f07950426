//! What can be seen in the text of a Jinja template, since minijinja does not show its tree.

use std::sync::LazyLock;

use regex::Regex;

static COLUMN: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r#"\b(row|record)\s*\[\s*(?:'([^'\\]*)'|"([^"\\]*)")\s*\]"#).ok());
static ROW: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r#"\b(?:row|record)\b(\s*\.\s*[A-Za-z_]|\s*\[\s*(?:'[^'\\]*'|"[^"\\]*")\s*\])?"#).ok());
static LONE: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r#"^\s*\{\{[-+]?\s*(?:row|record)(?:\.([A-Za-z_]\w*)|\[(?:'([^'\\]*)'|"([^"\\]*)")\])\s*[-+]?\}\}\s*$"#)
        .ok()
});
/// Strings, and pipes with the name behind them, in the order of the text.
static TOKEN: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r#"(?s)'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|\|\s*([A-Za-z_]\w*)"#).ok());
/// What makes `{%` the beginning of a raw block.
static RAW: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"^[-+]?[ \t\n\x0C\r]*raw[ \t\n\x0C\r]*[-+]?%\}").ok());
static END_RAW: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"\{%[-+]?[ \t\n\x0C\r]*endraw[ \t\n\x0C\r]*[-+]?%\}").ok());

/// A `{{ … }}` or `{% … %}` of the source.
#[derive(Clone, Copy, Debug)]
struct Tag<'a> {
    /// Where it begins and ends; a tag that is not closed ends with the source.
    start: usize,
    end: usize,
    is_output: bool,
    /// What stands in it, without the sign before its end.
    part: &'a str,
}

/// Returns the tags of the source as minijinja's lexer parts them: comments and raw blocks hold none, and a tag ends
/// where no bracket is open.
fn tags(source: &str) -> Vec<Tag<'_>> {
    let mut tags = Vec::new();
    let mut at = 0;
    while let Some((start, kind)) = next_opening(source, at) {
        let inner = source.get(start + 2..).unwrap_or_default();
        if kind == b'#' {
            let sign = usize::from(inner.starts_with(['-', '+']));
            let length = inner.get(sign..).and_then(|rest| rest.find("#}"));
            at = length.map_or(source.len(), |length| start + 2 + sign + length + 2);
            continue;
        }
        let raw = RAW.as_ref().filter(|_| kind == b'%').and_then(|raw| raw.find(inner));
        if let Some(raw) = raw {
            let end = END_RAW.as_ref().and_then(|end| end.find_at(inner, raw.end()));
            at = end.map_or(source.len(), |end| start + 2 + end.end());
            continue;
        }
        let (length, whole) = tag_length(inner, if kind == b'{' { "}}" } else { "%}" });
        at = start + 2 + whole;
        let part = inner.get(..length).unwrap_or_default();
        tags.push(Tag { start, end: at, is_output: kind == b'{', part });
    }
    tags
}

/// Returns where the next tag or comment begins, and the character that says which.
fn next_opening(source: &str, from: usize) -> Option<(usize, u8)> {
    let braces = source.get(from..)?.match_indices('{').map(|(at, _)| from + at);
    braces.filter_map(|at| Some((at, *source.as_bytes().get(at + 1)?))).find(|(_, kind)| b"{%#".contains(kind))
}

/// Returns the length of what stands in a tag, and of that with the tag's end.
fn tag_length(inner: &str, closing: &str) -> (usize, usize) {
    let mut end = (inner.len(), inner.len());
    each_outside(inner, |at, depth| {
        let rest = inner.get(at..).unwrap_or_default();
        let signed = rest.strip_prefix(['-', '+']).filter(|rest| rest.starts_with(closing));
        let is_end = depth == 0 && (signed.is_some() || rest.starts_with(closing));
        if is_end {
            end = (at, at + usize::from(signed.is_some()) + closing.len());
        }
        !is_end
    });
    end
}

/// Calls `see` with the place of each character that is in no string, and how many brackets are open before it, as
/// long as it returns true.
fn each_outside(text: &str, mut see: impl FnMut(usize, isize) -> bool) {
    let mut depth = 0_isize;
    let mut quote = None;
    let mut chars = text.char_indices();
    while let Some((at, next)) = chars.next() {
        if let Some(open) = quote {
            match next {
                '\\' => drop(chars.next()),
                _ if next == open => quote = None,
                _ => {}
            }
            continue;
        }
        if !see(at, depth) {
            return;
        }
        match next {
            '\'' | '"' => quote = Some(next),
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            _ => {}
        }
    }
}

/// Returns the parts of the source inside `{{ }}` and `{% %}`, and where each begins.
fn code(source: &str) -> impl Iterator<Item = (usize, &str)> {
    tags(source).into_iter().map(|tag| (tag.start + 2, tag.part))
}

/// What prints into the result, not into a `set`, `macro`, `call` or `filter`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Print {
    pub(super) start: usize,
    pub(super) end: usize,
    /// It is all of a `call` or `filter` block, no `{{ … }}`.
    pub(super) is_block: bool,
}

/// Returns what prints into the result, in the order of the source.
pub(super) fn prints(source: &str) -> Vec<Print> {
    let mut prints = Vec::new();
    let mut depth = 0_usize;
    let mut block = None;
    for tag in tags(source) {
        if tag.is_output {
            if depth == 0 {
                prints.push(Print { start: tag.start, end: tag.end, is_block: false });
            }
            continue;
        }
        match first_word(tag.part) {
            word @ ("macro" | "call" | "filter") => {
                if depth == 0 {
                    block = (word != "macro").then_some(tag.start);
                }
                depth += 1;
            }
            "set" if is_set_block(tag.part) => depth += 1,
            "endmacro" | "endcall" | "endfilter" | "endset" => {
                depth = depth.saturating_sub(1);
                if depth == 0
                    && let Some(start) = block.take()
                {
                    prints.push(Print { start, end: tag.end, is_block: true });
                }
            }
            _ => {}
        }
    }
    prints
}

/// Returns whether a `set` takes what stands up to its `endset`.
fn is_set_block(part: &str) -> bool {
    let mut is_block = true;
    each_outside(part, |at, depth| {
        is_block = depth != 0 || !part.get(at..).is_some_and(|rest| rest.starts_with('='));
        is_block
    });
    is_block
}

fn first_word(part: &str) -> &str {
    let is_end = |next: char| !next.is_alphanumeric() && next != '_';
    part.trim_start_matches(['-', '+']).trim_start().split(is_end).next().unwrap_or_default()
}

/// Returns the name of the last filter of an expression, if that is applied to all before it: to one name, literal or
/// group with what is called or looked up on it, and the filters behind. An operator may bind less than a filter.
pub(super) fn covering_filter(expression: &str) -> Option<&str> {
    const OPERATORS: [&str; 8] = ["not", "and", "or", "in", "is", "if", "else", "recursive"];
    let mut rest = expression.trim();
    if rest.starts_with(['(', '[', '{', '\'', '"']) {
        rest = behind_group(rest)?;
    } else {
        let (name, behind) = name_before(rest)?;
        rest = Some(behind).filter(|_| !OPERATORS.contains(&name))?;
    }
    loop {
        rest = rest.trim_start();
        if let Some(behind) = rest.strip_prefix('.') {
            rest = name_before(behind.trim_start())?.1;
        } else if rest.starts_with(['[', '(']) {
            rest = behind_group(rest)?;
        } else {
            break;
        }
    }
    let mut last = None;
    while !rest.is_empty() {
        let (name, behind) = name_before(rest.strip_prefix('|')?.trim_start())?;
        rest = behind.trim_start();
        if rest.starts_with('(') {
            rest = behind_group(rest)?.trim_start();
        }
        last = Some(name);
    }
    last
}

/// Parts a name or whole number from what stands behind it.
fn name_before(text: &str) -> Option<(&str, &str)> {
    let length = text.find(|next: char| !next.is_alphanumeric() && next != '_').unwrap_or(text.len());
    text.split_at_checked(length).filter(|(name, _)| !name.is_empty())
}

/// Returns what stands behind the string or the brackets that a text begins with.
fn behind_group(text: &str) -> Option<&str> {
    let mut behind = None;
    let mut chars = text.chars();
    if let Some(quote @ ('\'' | '"')) = chars.next() {
        while let Some(next) = chars.next() {
            match next {
                '\\' => drop(chars.next()),
                _ if next == quote => return Some(chars.as_str()),
                _ => {}
            }
        }
        return None;
    }
    each_outside(text, |at, depth| {
        let rest = text.get(at..).unwrap_or_default();
        if depth == 1 && rest.starts_with([')', ']', '}']) {
            behind = rest.get(1..);
        }
        behind.is_none()
    });
    behind
}

/// Returns the filters that a template uses and where.
pub(super) fn filters_used(source: &str) -> Vec<(&str, usize)> {
    let mut used = Vec::new();
    let Some(token) = TOKEN.as_ref() else { return used };
    for (offset, part) in code(source) {
        let names = token.captures_iter(part).filter_map(|found| found.get(1));
        used.extend(names.map(|name| (name.as_str(), offset + name.start())));
    }
    used
}

/// Returns whether a template gives names to values, by which it can nest them deeper than it is written.
pub(super) fn keeps_values(source: &str) -> bool {
    const WORDS: [&str; 5] = ["set", "with", "macro", "call", "recursive"];
    let is_word = |word: &str| WORDS.contains(&word);
    code(source).any(|(_, part)| part.split(|next: char| !next.is_alphanumeric() && next != '_').any(is_word))
}

/// Returns whether a template may make values that are larger than those it is given: by operators or filters.
pub(super) fn grows_values(source: &str) -> bool {
    code(source).any(|(_, part)| part.contains(['|', '~', '*', '+']))
}

/// The deepest nesting of blocks, and of brackets.
const NESTING: usize = 50;
/// The most operators that one expression applies to each other, and the most branches of one `if`.
const CHAIN: usize = 250;

/// Returns what nests too deep for minijinja, which reads, compiles and drops by recursion, and where.
pub(super) fn too_deep(source: &str) -> Option<(String, usize)> {
    const OPENING: [&str; 9] = ["if", "for", "with", "set", "filter", "call", "macro", "autoescape", "block"];
    let mut blocks: Vec<usize> = Vec::new();
    for (at, part) in code(source) {
        if let Some(fault) = deep_expression(part) {
            return Some((fault, opening_before(source, at)));
        }
        if !source.get(..at).is_some_and(|before| before.ends_with("{%")) {
            continue;
        }
        match first_word(part) {
            "elif" => {
                if let Some(branches) = blocks.last_mut() {
                    *branches += 1;
                }
            }
            "set" if !is_set_block(part) => {}
            word if OPENING.contains(&word) => blocks.push(1),
            word if word.starts_with("end") => drop(blocks.pop()),
            _ => {}
        }
        if blocks.len() > NESTING {
            return Some((format!("blocks nest deeper than {NESTING}"), opening_before(source, at)));
        }
        if blocks.iter().sum::<usize>() > CHAIN {
            return Some((format!("blocks have more than {CHAIN} branches in each other"), opening_before(source, at)));
        }
    }
    None
}

/// Returns what is too deep in one expression. A comma or colon ends a chain; whatever binds two values adds to it.
fn deep_expression(part: &str) -> Option<String> {
    const WORDS: [&str; 7] = ["and", "or", "not", "in", "is", "if", "else"];
    let mut levels = vec![0_usize];
    let mut quote = None;
    let mut chars = part.char_indices();
    let mut word = 0;
    while let Some((at, next)) = chars.next() {
        match (quote, next) {
            (Some(_), '\\') => drop(chars.next()),
            (Some(open), _) if open == next => quote = None,
            (None, '\'' | '"') => quote = Some(next),
            (None, '(' | '[' | '{') => levels.push(1),
            (None, ')' | ']' | '}') if levels.len() > 1 => {
                levels.pop();
                // What stands in brackets is one more operand of what is around them.
                levels.last_mut().into_iter().for_each(|count| *count += 1);
            }
            (None, ',' | ':') => levels.last_mut().into_iter().for_each(|count| *count = 1),
            (None, '.' | '|' | '~' | '*' | '+' | '-' | '/' | '%' | '<' | '>' | '=' | '!') => {
                levels.last_mut().into_iter().for_each(|count| *count += 1);
            }
            _ => {}
        }
        if !(next.is_alphanumeric() || next == '_') {
            word = at + next.len_utf8();
        } else if quote.is_none()
            && chars.as_str().chars().next().is_none_or(|after| !after.is_alphanumeric() && after != '_')
            && part.get(word..at + next.len_utf8()).is_some_and(|word| WORDS.contains(&word))
        {
            levels.last_mut().into_iter().for_each(|count| *count += 1);
        }
        if levels.len() > NESTING + 1 {
            return Some(format!("brackets nest deeper than {NESTING}"));
        }
        if levels.iter().sum::<usize>() > CHAIN {
            return Some(format!("an expression has more than {CHAIN} operators in each other"));
        }
    }
    None
}

/// Returns the text of each string literal.
pub(super) fn literals(source: &str) -> impl Iterator<Item = &str> {
    code(source).flat_map(|(_, part)| {
        let found = TOKEN.as_ref().map(|token| token.find_iter(part).map(|found| found.as_str()));
        let quoted = found.into_iter().flatten().filter(|text| text.starts_with(['\'', '"']));
        quoted.map(|text| text.get(1..text.len() - 1).unwrap_or_default())
    })
}

/// Returns the inside of the output that is the whole template, if it looks like that.
pub(super) fn sole_output(source: &str) -> Option<&str> {
    let inner = source.trim().strip_prefix("{{")?.strip_suffix("}}")?;
    let inner = inner.strip_prefix(['-', '+']).unwrap_or(inner);
    Some(inner.strip_suffix(['-', '+']).unwrap_or(inner))
}

/// Returns the column of `{{ row.x }}` or `{{ row["x"] }}`.
pub(super) fn lone_column(source: &str) -> Option<String> {
    let found = LONE.as_ref()?.captures(source)?;
    let column = found.iter().skip(1).flatten().next()?;
    Some(column.as_str().to_owned())
}

/// Returns each `row["x"]` as root, column and text.
pub(super) fn bracket_columns(source: &str) -> impl Iterator<Item = (&str, &str, &str)> {
    COLUMN.as_ref().into_iter().flat_map(move |column| {
        column.captures_iter(source).filter_map(|found| {
            let name = found.get(2).or_else(|| found.get(3))?;
            Some((found.get(1)?.as_str(), name.as_str(), found.get(0)?.as_str()))
        })
    })
}

/// Returns whether `row` stands anywhere without a column's name behind it; counts plain text too.
pub(super) fn uses_row_whole(source: &str) -> bool {
    ROW.as_ref().is_none_or(|row| row.captures_iter(source).any(|found| found.get(1).is_none()))
}

/// Returns where a name or path stands that the template does not define: `loop` outside of loops, if it does.
pub(super) fn place_of(source: &str, written: &str) -> Option<usize> {
    let is_word = |next: char| next.is_alphanumeric() || next == '_';
    let mut loops = 0_usize;
    let mut found = None;
    for (offset, part) in code(source) {
        let word = first_word(part);
        if word == "endfor" {
            loops = loops.saturating_sub(1);
        }
        for (at, _) in part.match_indices(written) {
            let before = part.get(..at).unwrap_or_default();
            let behind = part.get(at + written.len()..).unwrap_or_default();
            let is_inner = written.starts_with(is_word) && before.ends_with(|next| is_word(next) || next == '.');
            if is_inner || written.ends_with(is_word) && behind.starts_with(is_word) {
                continue;
            }
            found = Some(offset + at);
            if written != "loop" || loops == 0 {
                return found;
            }
        }
        if word == "for" && !source.get(..offset).is_some_and(|before| before.ends_with("{{")) {
            loops += 1;
        }
    }
    found
}

/// Returns where the tag or output around an offset begins.
pub(super) fn opening_before(source: &str, offset: usize) -> usize {
    let before = source.get(..offset).unwrap_or(source);
    ["{{", "{%"].iter().filter_map(|opening| before.rfind(opening)).max().unwrap_or(0)
}

/// Returns where the first tag or output on a line begins, or the last one before it.
pub(super) fn opening_on_line(source: &str, line: usize) -> usize {
    let start: usize = source.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    let text = source.get(start..).and_then(|rest| rest.lines().next()).unwrap_or_default();
    let first = ["{{", "{%"].iter().filter_map(|opening| text.find(opening)).min();
    first.map_or_else(|| opening_before(source, start), |at| start + at)
}
