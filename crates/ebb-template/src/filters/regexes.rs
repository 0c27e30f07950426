//! Filters with regular expressions; each is compiled once for a template.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};

use ebb_row::Value;
use regex::{Regex, RegexBuilder};

use crate::error::Fault;
use crate::filters::made::Made;
use crate::filters::{Arguments, Call, Filter};
use crate::limits::{Budget, REGEX_BYTES};
use crate::print::text_of;

pub(super) const FILTERS: &[Filter] = &[
    Filter::new(
        "regex_replace",
        "Replaces every match of a regular expression; `$1` or `\\1` in the replacement is a group. Flags: `i` ignores case, `m` lets `.` match line breaks and `^`, `$` match at lines, `x` ignores blanks in the pattern.",
        regex_replace,
    )
    .takes("pattern, replacement, flags = \"\"", 2, 1)
    .checked(check_replace)
    .shows("{{ phone | regex_replace: '[^0-9]', '' }}", r#"{"phone":"+1 (2) 3"}"#, r#""123""#),
    Filter::new("regex_test", "Returns whether a regular expression matches.", regex_test)
        .takes("pattern, flags = \"\"", 1, 1)
        .checked(check_test)
        .shows("{{ id | regex_test: '^[0-9]+$' }}", r#"{"id":"12a"}"#, "false"),
    Filter::new("match_regex", "Returns the text if the regular expression matches; else it is an error for the row.", match_regex)
        .takes("pattern, flags = \"\"", 1, 1)
        .checked(check_test)
        .shows("{{ id | match_regex: '^[0-9]+$' }}", r#"{"id":"12"}"#, r#""12""#),
];

type Output<'v> = Result<Cow<'v, Value>, Fault>;

/// How many compiled expressions a template keeps.
const KEPT: usize = 32;
/// What compiling one costs, since patterns may come from cells and differ each time.
const COMPILE_STEPS: usize = 500;

/// How much text is searched in a step.
const SEARCHED_BYTES: usize = 256;
/// How much text is looked at in a step to find a further match; mostly it is far less.
const LOOKED_AHEAD_BYTES: usize = 16 * 1024;

#[derive(Debug)]
struct Compiled {
    pattern: String,
    flags: String,
    regex: Arc<Regex>,
}

/// The regular expressions that a template has compiled.
#[derive(Debug, Default)]
pub(crate) struct Regexes {
    compiled: Mutex<Vec<Compiled>>,
}

impl Regexes {
    fn get(&self, budget: &Budget, pattern: &str, flags: &str) -> Result<Arc<Regex>, Fault> {
        let mut compiled = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = compiled.iter().find(|known| known.pattern == pattern && known.flags == flags) {
            return Ok(Arc::clone(&known.regex));
        }
        budget.step(COMPILE_STEPS)?;
        let regex = Arc::new(compile(pattern, flags)?);
        if compiled.len() >= KEPT {
            compiled.remove(0);
        }
        compiled.push(Compiled { pattern: pattern.to_owned(), flags: flags.to_owned(), regex: Arc::clone(&regex) });
        Ok(regex)
    }
}

fn compile(pattern: &str, flags: &str) -> Result<Regex, Fault> {
    let mut builder = RegexBuilder::new(pattern);
    builder.size_limit(REGEX_BYTES);
    for flag in flags.chars() {
        match flag {
            'i' => builder.case_insensitive(true),
            'm' => builder.multi_line(true).dot_matches_new_line(true),
            'x' => builder.ignore_whitespace(true),
            'g' => &mut builder,
            _ => return Err(Fault::new("the flags of a regular expression are `i`, `m`, `x`")),
        };
    }
    builder.build().map_err(|error| {
        if matches!(error, regex::Error::CompiledTooBig(_)) {
            return Fault::new("the regular expression is too large");
        }
        Fault::new("the regular expression is not valid").hint("look-around and back-references are not supported")
    })
}

fn check_at(arguments: &[Option<&Value>], flags_at: usize) -> Result<(), Fault> {
    let text = |at: usize| arguments.get(at).copied().flatten().and_then(Value::as_text);
    if let Some(pattern) = text(0) {
        compile(pattern, text(flags_at).unwrap_or_default())?;
    }
    Ok(())
}

fn check_replace(arguments: &[Option<&Value>]) -> Result<(), Fault> {
    check_at(arguments, 2)
}

fn check_test(arguments: &[Option<&Value>]) -> Result<(), Fault> {
    check_at(arguments, 1)
}

fn regex_replace<'v>(call: &Call<'_>, input: Cow<'v, Value>, arguments: &Arguments<'v>) -> Output<'v> {
    let regex = call.regexes.get(call.budget, &arguments.text(0)?, &arguments.text(2)?)?;
    let replacement = dollar_groups(&arguments.text(1)?);
    let references = replacement.matches('$').count();
    let text = text_of(&input)?;
    call.budget.step(text.len() / SEARCHED_BYTES)?;
    let mut out = Made::with_room(call, 0)?;
    let (mut from, mut looked_ahead) = (0, 0);
    for groups in regex.captures_iter(&text) {
        let Some(whole) = groups.get(0) else { break };
        // A search may look at all that is left before it knows of a match close by.
        looked_ahead += text.len() - from;
        call.budget.step(looked_ahead / LOOKED_AHEAD_BYTES)?;
        looked_ahead %= LOOKED_AHEAD_BYTES;
        out.push_str(text.get(from..whole.start()).unwrap_or_default())?;
        // No group is longer than the whole match.
        let expanded = replacement.len().saturating_add(references.saturating_mul(whole.len()));
        groups.expand(&replacement, out.room_for(expanded)?);
        from = whole.end();
    }
    out.push_str(text.get(from..).unwrap_or_default())?;
    out.done()
}

/// Writes `\1` as `${1}`, for people who come from Ruby, and `$1` too, so that `$1a` is a group and an `a`.
fn dollar_groups(replacement: &str) -> String {
    let mut out = String::with_capacity(replacement.len());
    let mut characters = replacement.chars().peekable();
    while let Some(character) = characters.next() {
        let digit = characters.peek().copied().filter(char::is_ascii_digit);
        match (character, digit) {
            ('\\' | '$', Some(digit)) => {
                characters.next();
                out.push_str("${");
                out.push(digit);
                out.push('}');
            }
            _ => out.push(character),
        }
    }
    out
}

fn matches(call: &Call<'_>, input: &Value, arguments: &Arguments<'_>) -> Result<bool, Fault> {
    let regex = call.regexes.get(call.budget, &arguments.text(0)?, &arguments.text(1)?)?;
    let text = text_of(input)?;
    call.budget.step(text.len() / SEARCHED_BYTES)?;
    Ok(regex.is_match(&text))
}

fn regex_test<'v>(call: &Call<'_>, input: Cow<'v, Value>, arguments: &Arguments<'v>) -> Output<'v> {
    matches(call, &input, arguments).map(|found| Cow::Owned(Value::Bool(found)))
}

fn match_regex<'v>(call: &Call<'_>, input: Cow<'v, Value>, arguments: &Arguments<'v>) -> Output<'v> {
    if matches(call, &input, arguments)? { Ok(input) } else { Err(Fault::new("the value does not match")) }
}
