//! What keeps secrets out of shown source lines.

/// What stands for a secret.
pub(crate) const MASK: &str = "***";

/// Lines above a line that are searched for the key that it belongs to.
const MAX_LOOK_BACK: usize = 1_000;

/// Parts of key names whose values are secret.
const SECRET_KEYS: &[&str] = &["token", "secret", "password", "write_key", "api_key"];

/// Returns whether a key of `ebb.yaml` holds a secret by its name.
pub(crate) fn is_secret_key(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET_KEYS.iter().any(|part| name.contains(part))
}

/// Returns a line of any file with what looks like a credential masked: passwords of URLs and Vitally keys.
pub(crate) fn any_line(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        out.push_str(before);
        let end = after.find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | ',')).unwrap_or(after.len());
        let (authority, tail) = after.split_at(end);
        match authority.rsplit_once('@') {
            Some((user, host)) if !user.starts_with("${") || user.contains(":-") => {
                out.push_str(user.split(':').next().unwrap_or_default());
                out.push(':');
                out.push_str(MASK);
                out.push('@');
                out.push_str(host);
            }
            Some(_) | None => out.push_str(authority),
        }
        rest = tail;
    }
    out.push_str(rest);
    mask_keys_by_shape(&out)
}

/// Masks `sk_live_...` and header values of basic and bearer authorization.
fn mask_keys_by_shape(line: &str) -> String {
    let mut out = line.to_owned();
    for shape in ["sk_live_", "sk_test_", "Basic ", "Bearer "] {
        let mut done = 0;
        while let Some(found) = out.get(done..).and_then(|rest| rest.find(shape)) {
            let start = done + found + shape.len();
            let tail = out.get(start..).unwrap_or_default();
            let length = tail.find(|c: char| !(c.is_alphanumeric() || "_-+/=.:".contains(c))).unwrap_or(tail.len());
            if length >= 6 {
                out.replace_range(start..start + length, MASK);
                done = start + MASK.len();
            } else {
                done = start;
            }
        }
    }
    out
}

/// Returns a line of `ebb.yaml` (from 1) with the values of secret keys masked, also where a value stands on lines
/// after its key.
pub(crate) fn settings_line<'a>(lines: impl Fn(usize) -> &'a str, wanted: usize) -> String {
    let line = lines(wanted);
    if belongs_to_secret(&lines, wanted) {
        let indent: String = line.chars().take_while(|c| c.is_whitespace()).collect();
        return format!("{indent}{MASK}");
    }
    any_line(&mask_pairs(line))
}

/// Returns whether a line continues the value of a secret key that stands above it.
fn belongs_to_secret<'a>(lines: &impl Fn(usize) -> &'a str, wanted: usize) -> bool {
    let indent = |line: &str| line.chars().take_while(|c| *c == ' ').count();
    let own = indent(lines(wanted));
    for above in (1..wanted).rev().take(MAX_LOOK_BACK) {
        let line = lines(above);
        if line.trim().is_empty() {
            continue;
        }
        let opens = last_secret_value(line).is_some_and(|value| {
            let value = value.trim();
            value.is_empty() || value.starts_with(['|', '>', '"', '\'', '[', '&', '!']) && !value.contains('}')
        });
        if opens && (indent(line) < own || last_secret_value(line).is_some_and(|value| value.trim().is_empty())) {
            return true;
        }
        if indent(line) < own && !opens {
            return false;
        }
    }
    false
}

/// Returns what follows the last secret key of a line.
fn last_secret_value(line: &str) -> Option<&str> {
    secret_values(line).last().and_then(|start| line.get(*start..))
}

/// Returns where the values of secret keys begin in a line.
fn secret_values(line: &str) -> Vec<usize> {
    let mut starts = Vec::new();
    for (colon, _) in line.match_indices(':') {
        let before = line.get(..colon).unwrap_or_default().trim_end().trim_end_matches(['"', '\'']);
        let begin = before
            .rfind(|c: char| !(c.is_alphanumeric() || c == '_' || c == '-'))
            .map_or(0, |at| at + before.get(at..).and_then(|s| s.chars().next()).map_or(1, char::len_utf8));
        let after = line.get(colon + 1..).unwrap_or_default();
        if is_secret_key(before.get(begin..).unwrap_or_default())
            && (after.is_empty() || after.starts_with([' ', '\t']))
        {
            starts.push(colon + 1);
        }
    }
    starts
}

fn mask_pairs(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut done = 0;
    for start in secret_values(line) {
        if start < done {
            continue;
        }
        let value = line.get(start..).unwrap_or_default();
        let end = start + value_end(value);
        out.push_str(line.get(done..start).unwrap_or_default());
        let value = line.get(start..end).unwrap_or_default();
        if is_reference(value) || value.trim().is_empty() {
            out.push_str(value);
        } else {
            out.push(' ');
            out.push_str(MASK);
        }
        done = end;
    }
    out.push_str(line.get(done..).unwrap_or_default());
    out
}

/// Returns where a value ends: at the `,` or `}` of a flow map, outside of `${...}` and quotes.
fn value_end(value: &str) -> usize {
    let (mut depth, mut quote) = (0_usize, None);
    let mut before = ' ';
    for (at, character) in value.char_indices() {
        match (quote, character) {
            (Some(open), close) if open == close => quote = None,
            (None, '"' | '\'') if before == ' ' => quote = Some(character),
            (None, '{' | '[') => depth += 1,
            (None, '}' | ']') if depth > 0 => depth -= 1,
            (None, ',' | '}' | ']') if depth == 0 => return at,
            (None, '#') if before == ' ' => return at,
            (Some(_) | None, _) => {}
        }
        before = character;
    }
    value.len()
}

/// Returns whether a value is nothing but one `${NAME}` without a default.
fn is_reference(value: &str) -> bool {
    let value = value.trim().trim_matches(['"', '\'']);
    value
        .strip_prefix("${")
        .and_then(|rest| rest.strip_suffix('}'))
        .is_some_and(|name| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str, line: usize) -> String {
        let lines: Vec<&str> = text.split('\n').collect();
        settings_line(|wanted| lines.get(wanted.wrapping_sub(1)).copied().unwrap_or(""), line)
    }

    #[test]
    fn literal_secrets_are_masked_and_references_are_not() {
        let cases = [
            ("rest_token: sk_live_abc", "rest_token: ***"),
            ("rest_token: ${VITALLY_TOKEN}", "rest_token: ${VITALLY_TOKEN}"),
            ("rest_token: ${VITALLY_TOKEN:-sk_live_abc}", "rest_token: ***"),
            ("x: { type: segment, write_key: abc, region: us }", "x: { type: segment, write_key: ***, region: us }"),
            ("  \"rest_token\": 'a, b' # note", "  \"rest_token\": *** # note"),
            ("url: postgres://ebb:hunter2@db/x", "url: postgres://ebb:***@db/x"),
            ("url: \"postgres://ebb:p@ss@db/x\"", "url: \"postgres://ebb:***@db/x\""),
            ("region: sk_live_abcdef", "region: sk_live_***"),
            ("# a comment: Basic c2tfbGl2ZV9h", "# a comment: Basic ***"),
        ];
        for (line, shown) in cases {
            let shown = if line.starts_with('#') || line.contains("note") { shown } else { shown.trim_end() };
            assert_eq!(settings(line, 1).replace("***#", "*** #"), shown, "{line}");
        }
    }

    #[test]
    fn a_secret_on_the_lines_after_its_key_is_masked() {
        assert_eq!(settings("a:\n  rest_token:\n    hunter2\n", 3), "    ***");
        assert_eq!(settings("a:\n  rest_token: |\n    hunter2\n\n    more\n", 5), "    ***");
        assert_eq!(settings("a:\n  rest_token: x\n  region: us\n", 3), "  region: us");
        assert_eq!(settings("a:\n  rest_token: \"x\n    y\"\n", 3), "    ***");
        assert_eq!(settings("a:\n  write_keys:\n    - one\n    - two\n", 4), "    ***");
    }
}
