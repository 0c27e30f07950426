//! Text from outside, made safe for a terminal and for Markdown.
//!
//! A cell, a key, a server's message may hold anything: escape sequences that rewrite the screen, marks that reverse
//! the reading direction, invisible characters, markup. Here each becomes a visible sign.

use std::borrow::Cow;
use std::fmt::Write;

/// Returns text on one line with every control, bidirectional and invisible character as a visible sign.
pub(crate) fn terminal(text: &str) -> Cow<'_, str> {
    shown(text, false)
}

/// The same, line feeds kept: for messages that are several lines by intent.
pub(crate) fn terminal_lines(text: &str) -> Cow<'_, str> {
    shown(text, true)
}

fn shown(text: &str, keep_lines: bool) -> Cow<'_, str> {
    let is_plain = |character: char| !is_hidden(character) && character != '\u{200d}';
    if text.chars().all(|character| is_plain(character) || (keep_lines && character == '\n')) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    let mut last = ' ';
    for character in text.chars() {
        match u32::from(character) {
            0x0a if keep_lines => out.push('\n'),
            code @ 0..=0x1f => out.push(char::from_u32(0x2400 + code).unwrap_or('\u{fffd}')),
            0x7f => out.push('\u{2421}'),
            // Joins emoji; between letters it only hides.
            0x200d if !last.is_alphanumeric() && !last.is_whitespace() => out.push(character),
            code if is_hidden(character) || code == 0x200d => {
                let written = write!(out, "<U+{code:04X}>");
                debug_assert!(written.is_ok(), "a string takes any text");
            }
            _ => out.push(character),
        }
        last = character;
    }
    Cow::Owned(out)
}

/// C0, C1, soft hyphen, bidirectional marks, zero-width characters, line separators, interlinear marks, tags.
fn is_hidden(character: char) -> bool {
    matches!(character,
        '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}'
        | '\u{17b4}' | '\u{17b5}' | '\u{180e}' | '\u{200b}' | '\u{200c}' | '\u{200e}' | '\u{200f}'
        | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
        | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Returns JSON text with hidden characters inside its strings as `\u` escapes; the same JSON, safe on a terminal.
pub(crate) fn json(text: &str) -> Cow<'_, str> {
    let is_safe = |character: char| character == '\n' || !is_hidden(character);
    if text.chars().all(is_safe) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if is_safe(character) {
            out.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                let written = write!(out, "\\u{unit:04x}");
                debug_assert!(written.is_ok(), "a string takes any text");
            }
        }
    }
    Cow::Owned(out)
}

/// Returns text as Markdown code that shows it and does nothing else: no markup, links, mentions, table cells or HTML.
pub(crate) fn markdown_code(text: &str) -> String {
    let text = terminal(text);
    let is_plain = |character: char| character.is_ascii_alphanumeric() || matches!(character, '_' | '.' | '-');
    if !text.is_empty() && text.chars().all(is_plain) {
        return format!("`{text}`");
    }
    format!("<code>{}</code>", entities(&text))
}

/// Returns text as Markdown prose that shows it and does nothing else.
pub(crate) fn markdown(text: &str) -> String {
    entities(&terminal(text))
}

/// References to characters are text wherever Markdown could see structure (`CommonMark` 0.31, 2.5).
fn entities(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let mut last = ' ';
    for character in text.chars() {
        // A space and a full stop inside a word are harmless; `www.` and a number at a line's start are not.
        let is_kept = !character.is_ascii_punctuation()
            || (matches!(character, ',' | ';')
                || (matches!(character, '.' | '-' | '_') && last.is_ascii_alphanumeric()))
                && !out.to_ascii_lowercase().ends_with("www");
        if is_kept {
            out.push(character);
        } else {
            let written = write!(out, "&#{};", u32::from(character));
            debug_assert!(written.is_ok(), "a string takes any text");
        }
        last = character;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_shown() {
        let check = |text: &str, expected: &str| assert_eq!(terminal(text), expected);
        check("plain ü 日本 🎉", "plain ü 日本 🎉");
        check("a\u{1b}[31mred\u{7}", "a␛[31mred␇");
        check("a\r\nb\tc\0", "a␍␊b␉c␀");
        check("\u{7f}\u{9b}2J\u{85}", "␡<U+009B>2J<U+0085>");
        check("\u{1b}]8;;https://evil.example\u{1b}\\x", "␛]8;;https://evil.example␛\\x");
        assert_eq!(terminal_lines("a\nb\u{1b}"), "a\nb␛");
    }

    #[test]
    fn marks_that_reverse_or_hide_are_shown() {
        assert_eq!(terminal("user\u{202e}gpj.exe"), "user<U+202E>gpj.exe");
        assert_eq!(terminal("a\u{200b}b\u{feff}c\u{2066}"), "a<U+200B>b<U+FEFF>c<U+2066>");
        assert_eq!(terminal("a\u{e0041}"), "a<U+E0041>");
        assert_eq!(terminal("a\u{200d}b"), "a<U+200D>b");
        assert_eq!(terminal("👩\u{200d}🚀"), "👩\u{200d}🚀");
    }

    #[test]
    fn json_stays_the_same_json() {
        let value = serde_json::json!({ "a": "x\u{9b}2J\u{202e}\u{e0041}", "b": "plain ü" });
        let text = serde_json::to_string(&value).unwrap();
        let safe = json(&text);
        assert_eq!(safe, r#"{"a":"x\u009b2J\u202e\udb40\udc41","b":"plain ü"}"#);
        assert_eq!(serde_json::from_str::<serde_json::Value>(&safe).unwrap(), value);
    }

    #[test]
    fn markdown_shows_markup_as_text() {
        assert_eq!(markdown_code("traits.plan"), "`traits.plan`");
        assert_eq!(markdown_code("a|b"), "<code>a&#124;b</code>");
        assert_eq!(markdown_code("`x`"), "<code>&#96;x&#96;</code>");
        assert_eq!(markdown_code(""), "<code></code>");
        for hostile in [
            "<script>alert(1)</script>",
            "![x](https://evil.example/p.png)",
            "[x](javascript:alert(1))",
            "@everyone #12 owner/repo#3",
            "www.evil.example https://evil.example",
            "| a | b |\n|---|---|",
            "</code><img src=x onerror=alert(1)>",
            "a\n\n# heading",
            "**bold** _em_ ~~x~~ $x$",
        ] {
            for shown in [markdown_code(hostile), markdown(hostile)] {
                let inner = shown.trim_start_matches("<code>").trim_end_matches("</code>");
                let is_structure = |c: char| "<>[]()!|`*~@$\n\\:\"'=/{}".contains(c);
                assert!(!inner.contains(is_structure), "{shown}");
                assert!(!inner.contains("www."), "{shown}");
                assert_eq!(inner.matches('#').count(), inner.matches("&#").count(), "{shown}");
            }
        }
    }
}
