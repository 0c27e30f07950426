//! A model's text as a part of ebb's own statement: its closing `;`, the wrapper around it, and places in it.

use ebb_row::ColumnType;

use crate::SourceError;

/// Whose rules of quoting and comments a text follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    Postgres,
    Mysql,
    Sqlite,
}

/// What stands before the model's text in [`wrap`]; on the text's own first line, so that lines stay as they are.
pub(crate) const PREFIX: &str = "select * from (";

/// Returns the one statement that reads the model, with `tail` behind it (` where ...`, ` limit ...`).
///
/// A line ends before the bracket, so that a comment at the text's end does not swallow it.
pub(crate) fn wrap(sql: &str, dialect: Dialect, tail: &str) -> String {
    format!("{PREFIX}{}\n) as ebb_model{tail}", without_terminator(sql, dialect))
}

/// Returns an error when `sql` is nothing but space and comments, or holds a NUL, at which some servers stop reading.
pub(crate) fn refuse_unreadable(sql: &str, dialect: Dialect) -> Result<(), SourceError> {
    if sql.contains('\0') {
        return Err(SourceError::query("the model holds a NUL character"));
    }
    let mut scanner = Scanner { bytes: sql.as_bytes(), at: 0, dialect };
    match scanner.next_significant() {
        Some(_) => Ok(()),
        None => Err(SourceError::query("the model has no statement")),
    }
}

/// Whether a cursor's bound is a value that a column of type `kind` compares with.
pub(crate) fn is_cursor_value(kind: ColumnType, from: &str) -> bool {
    match kind {
        ColumnType::Integer => from.parse::<i64>().is_ok(),
        ColumnType::Unsigned => from.parse::<u64>().is_ok(),
        ColumnType::Float => from.parse::<f64>().is_ok_and(f64::is_finite),
        ColumnType::Decimal => is_plain_number(from.as_bytes()),
        ColumnType::Text => true,
        ColumnType::Timestamp | ColumnType::LocalTimestamp | ColumnType::Date => {
            crate::calendar::parse(from.as_bytes()).is_some()
        }
        ColumnType::Boolean | ColumnType::Binary | ColumnType::Json | ColumnType::Any => false,
    }
}

/// Whether a text is digits, with a sign and a point at most.
pub(crate) fn is_plain_number(text: &[u8]) -> bool {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    digits.split(|byte| *byte == b'.').count() <= 2
        && digits.first().is_some_and(u8::is_ascii_digit)
        && digits.last().is_some_and(u8::is_ascii_digit)
        && digits.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.')
}

/// Whether a host is this machine.
pub(crate) fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Returns `sql` with the `;` that close it blanked; every other byte stays where it is.
///
/// This is for convenience, not safety: whatever it returns, the server itself refuses more than one statement.
pub(crate) fn without_terminator(sql: &str, dialect: Dialect) -> String {
    let mut scanner = Scanner { bytes: sql.as_bytes(), at: 0, dialect };
    let mut closing = Vec::new();
    while let Some(significant) = scanner.next_significant() {
        match significant {
            (at, b';') => closing.push(at),
            _ => closing.clear(),
        }
    }
    let mut text = sql.to_owned();
    for at in closing {
        text.replace_range(at..=at, " ");
    }
    text
}

/// Returns the line and column, both from 1, of the character at `offset` (from 0) of `sql`; an offset past the end
/// is at the end.
pub(crate) fn place(sql: &str, offset: usize) -> (usize, usize) {
    let mut line = 1;
    let mut column = 1;
    for character in sql.chars().take(offset) {
        if character == '\n' {
            line += 1;
            column = 1;
        } else {
            column += 1;
        }
    }
    (line, column)
}

/// Returns an error when two columns share a name.
pub(crate) fn refuse_duplicates<'a>(names: impl Iterator<Item = &'a str>) -> Result<(), SourceError> {
    let mut seen = std::collections::HashSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(duplicate(name));
        }
    }
    Ok(())
}

/// Returns the error for a name that two columns have.
pub(crate) fn duplicate(name: &str) -> SourceError {
    SourceError::query(format!("the query returns two columns named `{name}`; give one of them another name with `as`"))
}

struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
    dialect: Dialect,
}

impl Scanner<'_> {
    fn peek(&self, ahead: usize) -> Option<u8> {
        self.bytes.get(self.at + ahead).copied()
    }

    /// Returns the next byte that is neither space nor comment, and where it is; a quoted text counts by its quote.
    fn next_significant(&mut self) -> Option<(usize, u8)> {
        loop {
            let start = self.at;
            let byte = self.peek(0)?;
            match byte {
                _ if byte.is_ascii_whitespace() => self.at += 1,
                b'-' if self.peek(1) == Some(b'-') && self.dash_comment() => self.skip_line(),
                b'#' if self.dialect == Dialect::Mysql => self.skip_line(),
                b'/' if self.peek(1) == Some(b'*') && !self.is_code_comment() => self.skip_comment(),
                b'\'' => return Some((start, self.skip_quoted(b'\'', self.has_backslashes(start)))),
                b'"' => return Some((start, self.skip_quoted(b'"', self.dialect == Dialect::Mysql))),
                b'`' if self.dialect != Dialect::Postgres => return Some((start, self.skip_quoted(b'`', false))),
                b'[' if self.dialect == Dialect::Sqlite => return Some((start, self.skip_quoted(b']', false))),
                b'$' if self.dialect == Dialect::Postgres => {
                    self.skip_dollar_quoted();
                    return Some((start, byte));
                }
                _ => {
                    self.at += 1;
                    return Some((start, byte));
                }
            }
        }
    }

    /// Whether `--` starts a comment: in `MySQL` only before a space or the end.
    fn dash_comment(&self) -> bool {
        self.dialect != Dialect::Mysql || self.peek(2).is_none_or(|next| next <= b' ')
    }

    /// Whether `/*` starts text that `MySQL` or `MariaDB` runs.
    fn is_code_comment(&self) -> bool {
        self.dialect == Dialect::Mysql
            && (self.peek(2) == Some(b'!') || (self.peek(2) == Some(b'M') && self.peek(3) == Some(b'!')))
    }

    /// Whether a backslash escapes in the string whose quote is at `start`.
    fn has_backslashes(&self, start: usize) -> bool {
        let before = |back: usize| start.checked_sub(back).and_then(|at| self.bytes.get(at)).copied();
        match self.dialect {
            Dialect::Mysql => true,
            Dialect::Sqlite => false,
            Dialect::Postgres => {
                matches!(before(1), Some(b'e' | b'E'))
                    && !before(2).is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            }
        }
    }

    fn skip_line(&mut self) {
        while self.peek(0).is_some_and(|byte| byte != b'\n') {
            self.at += 1;
        }
    }

    fn skip_comment(&mut self) {
        let mut depth = 0_usize;
        while self.peek(0).is_some() {
            match (self.peek(0), self.peek(1)) {
                (Some(b'/'), Some(b'*')) if depth == 0 || self.dialect == Dialect::Postgres => {
                    depth += 1;
                    self.at += 2;
                }
                (Some(b'*'), Some(b'/')) => {
                    depth -= 1;
                    self.at += 2;
                    if depth == 0 {
                        return;
                    }
                }
                _ => self.at += 1,
            }
        }
    }

    /// Skips to behind the closing quote and returns that quote; doubled quotes are two quoted texts in a row.
    fn skip_quoted(&mut self, close: u8, backslashes: bool) -> u8 {
        self.at += 1;
        while let Some(byte) = self.peek(0) {
            self.at += if byte == b'\\' && backslashes { 2 } else { 1 };
            if byte == close {
                break;
            }
        }
        close
    }

    fn skip_dollar_quoted(&mut self) {
        let rest = self.bytes.get(self.at + 1..).unwrap_or_default();
        let tag_len = rest.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count();
        let is_tag = rest.get(tag_len) == Some(&b'$') && !rest.first().is_some_and(u8::is_ascii_digit);
        if !is_tag {
            self.at += 1;
            return;
        }
        let length = tag_len + 2;
        let tag = self.bytes.get(self.at..self.at + length).unwrap_or_default();
        self.at += length;
        while self.at < self.bytes.len() {
            if self.bytes.get(self.at..self.at + length) == Some(tag) {
                self.at += length;
                return;
            }
            self.at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closing_semicolon_is_blanked_and_no_other() {
        use Dialect::{Mysql, Postgres, Sqlite};
        let check = |dialect, sql: &str, expected: &str| {
            assert_eq!(without_terminator(sql, dialect), expected, "{dialect:?} {sql}");
        };
        for dialect in [Postgres, Mysql, Sqlite] {
            check(dialect, "select 1", "select 1");
            check(dialect, "select 1;", "select 1 ");
            check(dialect, "select 1 ;; \n -- that's; all\n/* ; */", "select 1    \n -- that's; all\n/* ; */");
            check(dialect, "select ';'", "select ';'");
            check(dialect, "select 'it''s;' ;", "select 'it''s;'  ");
            check(dialect, "select 1; select 2", "select 1; select 2");
            check(dialect, "select 1 as \"a;\";", "select 1 as \"a;\" ");
            check(dialect, "select 1 /* unclosed ;", "select 1 /* unclosed ;");
        }
        check(Postgres, r"select E'\';';", r"select E'\';' ");
        check(Postgres, r"select '\';", r"select '\' ");
        check(Postgres, "select $a$;$$;$a$;", "select $a$;$$;$a$ ");
        check(Postgres, "select 1; /* a /* b */ ; */", "select 1  /* a /* b */ ; */");
        check(Mysql, r"select '\';';", r"select '\';' ");
        check(Mysql, "select `a;`; # done;", "select `a;`  # done;");
        check(Mysql, "select 1; --5", "select 1; --5");
        check(Mysql, "select 1; /*! , 2 */", "select 1; /*! , 2 */");
        check(Sqlite, "select [a;];", "select [a;] ");
    }

    #[test]
    fn places_count_lines_and_characters_from_one() {
        assert_eq!(place("select ä,\n  x", 0), (1, 1));
        assert_eq!(place("select ä,\n  x", 8), (1, 9));
        assert_eq!(place("select ä,\n  x", 12), (2, 3));
        assert_eq!(place("a", 99), (1, 2));
    }
}
