//! Places inside of a scalar: which character of the file an offset into its text is.

/// How a scalar is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    /// Plain, and what stands below `|` or `>`.
    Bare,
    /// In `'`.
    Single,
    /// In `"`.
    Double,
}

/// Returns where in `file` the character at byte `offset` of a scalar's `text` stands; the scalar begins at byte `at`. At
/// a blank it is the next character that is none. `None` where file and text cannot be brought together.
///
/// Folding, indentation and the ends of lines change nothing but blanks, so the two are walked along the characters
/// that are none, and each must be the same.
pub(crate) fn place_within(file: &str, at: usize, text: &str, offset: usize) -> Option<usize> {
    let source = file.get(at..)?;
    let (style, start) = match source.chars().next()? {
        '"' => (Style::Double, 1),
        '\'' => (Style::Single, 1),
        '|' | '>' => (Style::Bare, source.find('\n')? + 1),
        _ => (Style::Bare, 0),
    };
    let (before, rest) = (text.get(..offset)?, text.get(offset..)?);
    let is_visible = |character: &char| !is_blank(*character);
    let mut walk = Walk { source, at: start, style };
    for wanted in before.chars().filter(is_visible) {
        if walk.visible()?.1 != wanted {
            return None;
        }
    }
    let wanted = rest.chars().find(is_visible)?;
    let (place, found) = walk.visible()?;
    (found == wanted).then_some(at + place)
}

fn is_blank(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\n' | '\r')
}

/// A walk along the characters that a scalar means.
struct Walk<'a> {
    source: &'a str,
    at: usize,
    style: Style,
}

impl Walk<'_> {
    /// Returns the next character that is no blank, with its byte offset.
    fn visible(&mut self) -> Option<(usize, char)> {
        loop {
            let place = self.at;
            let character = self.next()?;
            if !is_blank(character) {
                return Some((place, character));
            }
        }
    }

    fn next(&mut self) -> Option<char> {
        let character = self.take()?;
        match (self.style, character) {
            (Style::Single, '\'') => self.take().filter(|second| *second == '\''),
            (Style::Double, '"') => None,
            (Style::Double, '\\') => self.escaped(),
            _ => Some(character),
        }
    }

    fn take(&mut self) -> Option<char> {
        let character = self.source.get(self.at..)?.chars().next()?;
        self.at += character.len_utf8();
        Some(character)
    }

    /// Reads what follows a backslash (YAML 1.2.2, 5.7); rare ones end the walk.
    fn escaped(&mut self) -> Option<char> {
        let digits = match self.take()? {
            'n' | 't' | 'r' | ' ' | '\n' | '\r' => return Some(' '),
            character @ ('"' | '/' | '\\') => return Some(character),
            'x' => 2,
            'u' => 4,
            'U' => 8,
            _ => return None,
        };
        let code = self.source.get(self.at..self.at + digits)?;
        self.at += digits;
        u32::from_str_radix(code, 16).ok().and_then(char::from_u32)
    }
}

#[cfg(test)]
mod tests {
    use ebb_mapping::NodeKind;

    use super::*;
    use crate::yaml;

    /// Parses the one value of a map, and looks for the place of `~` in its text, which stands once in the file.
    fn check(file: &str) {
        let node = yaml::parse(file).expect("YAML");
        let NodeKind::Map(entries) = &node.kind else { panic!("{file}") };
        let (key, value) = &entries[0];
        let (at, text) = if let NodeKind::Text(text) = &value.kind
            && text.contains('~')
        {
            (value.at, text)
        } else {
            (key.at, &key.name)
        };
        let offset = text.find('~').expect("a mark");
        assert_eq!(place_within(file, at, text, offset), file.find('~'), "{file:?}");
    }

    #[test]
    fn a_place_in_a_scalar_is_a_place_in_the_file() {
        for file in [
            "a: x {{ y }} ~z\n",
            "a: 'it''s ä ~'\n",
            "a: \"say \\\"no\\\" \\u00e4 \\\\ \\n ~\"\n",
            "a: \"one\n  two\n\n  three\\\n  ~four\"\n",
            "a: 'one\n  two\n\n  ~three'\n",
            "a: one\n  two\n   ~three\n",
            "a: |\n  one\n    two\n\n  ~three\n",
            "a: |2-\n    one\n  ~two\n",
            "a: | # said\r\n  one\r\n  ~two\r\n",
            "a: >\n  one\n  two\n\n    more\n  ~three\n",
            "a: !!str \"x ~\"\n",
            "a: &anchor 'x ~'\n",
            "\"a ~\": 1\n",
            "? |\n  one\n  ~two\n: x\n",
        ] {
            check(file);
        }
    }

    #[test]
    fn what_does_not_match_has_no_place() {
        assert_eq!(place_within("a: xyz\n", 3, "xay", 2), None);
        assert_eq!(place_within("a: 'x'\n", 3, "x y", 2), None);
        assert_eq!(place_within("a: \"\\_~\"\n", 3, "\u{a0}~", 2), None);
        assert_eq!(place_within("a: x\n", 30, "x", 0), None);
    }
}
