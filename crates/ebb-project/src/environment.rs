use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use ebb_mapping::{Node, NodeKind};

use crate::fault::{Fault, Faults};
use crate::file;
use crate::yaml::Spot;

/// The variable that allows tokens to be sent to hosts other than the vendor's; never taken from `.env`.
const ALLOW_HOSTS: &str = "EBB_ALLOW_HOSTS";

/// What the process lends of its environment. This crate never reads the process's own.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Environment {
    /// Names and values.
    pub variables: BTreeMap<String, String>,
}

/// Shows names only.
impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.variables.keys()).finish()
    }
}

impl Environment {
    /// Returns the hosts that `EBB_ALLOW_HOSTS` lists, lower case.
    pub(crate) fn allowed_hosts(&self) -> Vec<String> {
        let listed = self.variables.get(ALLOW_HOSTS).map_or("", String::as_str);
        listed.split(',').map(|host| host.trim().to_ascii_lowercase()).filter(|host| !host.is_empty()).collect()
    }

    /// Returns this environment over what `.env` beside `ebb.yaml` adds to it.
    pub(crate) fn with_dotenv(&self, root: &Path) -> Result<Self, Faults> {
        let path = Path::new(".env");
        if root.join(path).symlink_metadata().is_err() {
            return Ok(self.clone());
        }
        let file = file::read(root, path, file::MAX_FILE_BYTES)?;
        let mut variables = BTreeMap::new();
        let mut faults = Vec::new();
        for (index, line) in file.text.lines().enumerate() {
            match dotenv_line(line) {
                Ok(Some((name, value))) => drop(variables.insert(name, value)),
                Ok(None) => {}
                // The line is not shown: it may hold a secret.
                Err(message) => {
                    let fault = Fault::of_file(path, message);
                    faults.push(Fault { line: index + 1, ..fault }.with_hint("lines are NAME=value"));
                }
            }
        }
        if !faults.is_empty() {
            return Err(Faults(faults));
        }
        variables.extend(self.variables.clone());
        Ok(Self { variables })
    }
}

fn dotenv_line(line: &str) -> Result<Option<(String, String)>, &'static str> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let line = line.strip_prefix("export ").unwrap_or(line);
    let (name, value) = line.split_once('=').ok_or("this line has no `=`")?;
    let name = name.trim();
    if !is_name(name) {
        return Err("what stands before `=` is not a variable's name");
    }
    let value = value.trim();
    let value = match value.chars().next() {
        Some(quote @ ('"' | '\'')) => {
            let rest = value.get(1..).unwrap_or_default();
            let end = closing_quote(rest, quote).ok_or("the closing quote is missing")?;
            let inner = rest.get(..end).unwrap_or_default();
            if quote == '"' { unescape(inner) } else { inner.to_owned() }
        }
        Some(_) | None => match value.find(" #") {
            Some(end) => value.get(..end).unwrap_or_default().trim_end().to_owned(),
            None => value.to_owned(),
        },
    };
    Ok(Some((name.to_owned(), value)))
}

fn closing_quote(text: &str, quote: char) -> Option<usize> {
    let mut is_escaped = false;
    for (at, character) in text.char_indices() {
        if character == quote && !is_escaped {
            return Some(at);
        }
        is_escaped = quote == '"' && character == '\\' && !is_escaped;
    }
    None
}

fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match (character, character == '\\') {
            (_, true) => match characters.next() {
                Some('n') => out.push('\n'),
                Some(other) => out.push(other),
                None => out.push('\\'),
            },
            (plain, false) => out.push(plain),
        }
    }
    out
}

fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// What an interpolated text was before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    /// As the file has it; the only form that messages may show.
    pub(crate) raw: String,
    /// Variables that are not set and have no default.
    pub(crate) missing: Vec<String>,
}

/// Interpolated texts by their offset.
pub(crate) type Origins = BTreeMap<usize, Origin>;

/// Fills in `${NAME}` and `${NAME:-default}` in every text below `node`; `$${` stands for `${`.
pub(crate) fn interpolate(node: &mut Node, environment: &Environment, origins: &mut Origins, spots: &mut Vec<Spot>) {
    let at = node.at;
    match &mut node.kind {
        NodeKind::Text(text) if text.contains("${") => match fill(text, environment) {
            Ok((filled, missing)) => {
                let raw = std::mem::replace(text, filled);
                origins.insert(at, Origin { raw, missing });
            }
            Err(message) => {
                spots.push(Spot::new(at, message).hint("write ${NAME} or ${NAME:-default}; $${ stands for a plain ${"));
            }
        },
        NodeKind::List(items) => {
            for item in items {
                interpolate(item, environment, origins, spots);
            }
        }
        NodeKind::Map(entries) => {
            for (_, value) in entries {
                interpolate(value, environment, origins, spots);
            }
        }
        NodeKind::Null | NodeKind::Bool(_) | NodeKind::Number(_) | NodeKind::Text(_) => {}
    }
}

fn fill(text: &str, environment: &Environment) -> Result<(String, Vec<String>), String> {
    let mut out = String::new();
    let mut missing = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, after) = rest.split_at(at);
        let after = after.get(2..).unwrap_or_default();
        if let Some(before) = before.strip_suffix('$') {
            out.push_str(before);
            out.push_str("${");
            rest = after;
            continue;
        }
        out.push_str(before);
        let (inner, tail) = after.split_once('}').ok_or("`${` is not closed by `}`")?;
        let (name, default) = match inner.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (inner, None),
        };
        if !is_name(name) {
            return Err("between `${` and `}` stands no variable's name".to_owned());
        }
        match (environment.variables.get(name), default) {
            (Some(value), None) => out.push_str(value),
            (Some(value), Some(_)) if !value.is_empty() => out.push_str(value),
            (Some(_) | None, Some(default)) => out.push_str(default),
            (None, None) => missing.push(name.to_owned()),
        }
        rest = tail;
    }
    out.push_str(rest);
    Ok((out, missing))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment() -> Environment {
        let pairs = [("A", "one"), ("EMPTY", "")];
        Environment { variables: pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect() }
    }

    #[test]
    fn variables_and_defaults_are_filled_in() {
        let check = |text: &str, filled: &str, missing: &[&str]| {
            let (out, names) = fill(text, &environment()).expect("well formed");
            assert_eq!(
                (out.as_str(), names.iter().map(String::as_str).collect::<Vec<_>>()),
                (filled, missing.to_vec())
            );
        };
        check("x ${A} y", "x one y", &[]);
        check("${B:-two}", "two", &[]);
        check("${EMPTY:-two}${EMPTY}", "two", &[]);
        check("${B}${C}", "", &["B", "C"]);
        check("$${A} $A", "${A} $A", &[]);
        check("${B:-http://127.0.0.1:8787}", "http://127.0.0.1:8787", &[]);
        assert!(fill("${A", &environment()).is_err());
        assert!(fill("${A B}", &environment()).is_err());
    }

    #[test]
    fn dotenv_lines_are_read_as_shells_write_them() {
        let check = |line: &str, expected: Option<(&str, &str)>| {
            let read = dotenv_line(line).expect("well formed");
            assert_eq!(read, expected.map(|(name, value)| (name.to_owned(), value.to_owned())), "{line}");
        };
        check("A=b", Some(("A", "b")));
        check("export A = b # note", Some(("A", "b")));
        check("A='b # c'", Some(("A", "b # c")));
        check(r#"A="b\n\"c\"""#, Some(("A", "b\n\"c\"")));
        check("A=", Some(("A", "")));
        check("A=b=c#d", Some(("A", "b=c#d")));
        check("# note", None);
        assert!(dotenv_line("A").is_err());
        assert!(dotenv_line("1A=b").is_err());
        assert!(dotenv_line("A='b").is_err());
    }
}
