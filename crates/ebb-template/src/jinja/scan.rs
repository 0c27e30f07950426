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
/// Strings, pipes with the name behind them, and the ends of tags, in the order of the text.
static TOKEN: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r#"(?s)\{#.*?#\}|'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|\|\s*([A-Za-z_]\w*)|[-+]?[%}]\}"#).ok()
});

/// Returns the parts of the source inside `{{ }}` and `{% %}`, and where each begins; strings in them may hold anything.
fn code(source: &str) -> Vec<(usize, &str)> {
    let mut parts = Vec::new();
    let mut at = 0;
    while let Some(opening) = next_opening(source, at) {
        let rest = source.get(opening..).unwrap_or_default();
        if rest.starts_with("{#") {
            at = rest.find("#}").map_or(source.len(), |length| opening + length + 2);
            continue;
        }
        let inner = rest.get(2..).unwrap_or_default();
        let closing = if rest.starts_with("{{") { "}}" } else { "%}" };
        let end = TOKEN.as_ref().and_then(|token| {
            token.find_iter(inner).find(|found| found.as_str().ends_with(closing)).map(|found| found.start())
        });
        let length = end.unwrap_or(inner.len());
        parts.push((opening + 2, inner.get(..length).unwrap_or_default()));
        at = opening + 2 + length;
    }
    parts
}

fn next_opening(source: &str, from: usize) -> Option<usize> {
    let rest = source.get(from..)?;
    ["{{", "{%", "{#"].iter().filter_map(|opening| rest.find(opening)).min().map(|at| from + at)
}

/// Returns where each `{{ … }}` begins and ends that prints into the result, not into a `set`, `macro`, `call` or `filter`.
pub(super) fn outputs(source: &str) -> Vec<(usize, usize)> {
    let mut outputs = Vec::new();
    let mut depth = 0_usize;
    for (at, part) in code(source) {
        let is_output = source.get(..at).is_some_and(|before| before.ends_with("{{"));
        let closing = source.get(at + part.len()..).and_then(|rest| rest.find("}}"));
        match (is_output, closing) {
            (true, Some(closing)) if depth == 0 => outputs.push((at - 2, at + part.len() + closing + 2)),
            (true, _) => {}
            (false, _) => match first_word(part) {
                "macro" | "call" | "filter" => depth += 1,
                "set" if !part.contains('=') => depth += 1,
                "endmacro" | "endcall" | "endfilter" | "endset" => depth = depth.saturating_sub(1),
                _ => {}
            },
        }
    }
    outputs
}

fn first_word(part: &str) -> &str {
    let is_end = |next: char| !next.is_alphanumeric() && next != '_';
    part.trim_start_matches(['-', '+']).trim_start().split(is_end).next().unwrap_or_default()
}

/// Returns the name of the filter that an expression ends in.
pub(super) fn last_filter(expression: &str) -> Option<&str> {
    let token = TOKEN.as_ref()?;
    let last = token.captures_iter(expression).filter_map(|found| found.get(1)).last()?;
    let behind = expression.get(last.end()..)?.trim();
    (behind.is_empty() || (behind.starts_with('(') && behind.ends_with(')'))).then_some(last.as_str())
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
    code(source).iter().any(|(_, part)| part.split(|next: char| !next.is_alphanumeric() && next != '_').any(is_word))
}

/// Returns whether a template may make values that are larger than those it is given: by operators or filters.
pub(super) fn grows_values(source: &str) -> bool {
    code(source).iter().any(|(_, part)| part.contains(['|', '~', '*', '+']))
}

/// The deepest nesting of blocks, and of brackets.
const NESTING: usize = 50;
/// The most operators that one expression applies to each other, and the most branches of one `if`.
const CHAIN: usize = 250;

/// Returns what nests too deep for minijinja, which reads, compiles and drops by recursion, and where.
pub(super) fn too_deep(source: &str) -> Option<(String, usize)> {
    const OPENING: [&str; 10] = ["if", "for", "with", "set", "filter", "call", "macro", "autoescape", "block", "raw"];
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
            "set" if part.contains('=') => {}
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
    code(source).into_iter().flat_map(|(_, part)| {
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
