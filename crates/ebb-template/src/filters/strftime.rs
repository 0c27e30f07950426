//! Our own strftime, with Ruby's directives, flags and widths.

use chrono::{DateTime, Datelike, FixedOffset, Timelike};

use crate::error::Fault;
use crate::limits::Budget;

/// A time as it is shown: with its offset, and the zone's short name where it has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Zoned {
    pub(super) time: DateTime<FixedOffset>,
    pub(super) zone: Option<String>,
}

/// What stands between `%` and the directive's letter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Style {
    no_padding: bool,
    padding: Option<char>,
    upper: bool,
    swap_case: bool,
    width: Option<usize>,
    colons: usize,
}

/// Formats `zoned`; an unknown directive stays as it is written.
pub(super) fn strftime(zoned: &Zoned, format: &str, budget: &Budget) -> Result<String, Fault> {
    let mut out = String::with_capacity(format.len() * 2);
    let mut rest = format;
    while let Some(at) = rest.find('%') {
        out.push_str(rest.get(..at).unwrap_or_default());
        let directive = rest.get(at..).unwrap_or_default();
        let (style, letter, length) = read_style(directive.get(1..).unwrap_or_default());
        let written = letter.and_then(|letter| directive_text(zoned, letter, style));
        match written {
            Some(text) => out.push_str(&text),
            None => out.push_str(directive.get(..=length).unwrap_or(directive)),
        }
        rest = directive.get(1 + length..).unwrap_or_default();
        budget.afford(out.len())?;
    }
    out.push_str(rest);
    Ok(out)
}

/// Reads flags, width and letter; returns also how many bytes they take.
fn read_style(text: &str) -> (Style, Option<char>, usize) {
    let mut style = Style::default();
    for (at, character) in text.char_indices() {
        match character {
            '-' => style.no_padding = true,
            '0' if style.width.is_none() => style.padding = Some('0'),
            '_' => style.padding = Some(' '),
            '^' => style.upper = true,
            '#' => style.swap_case = true,
            ':' => style.colons += 1,
            'E' | 'O' if is_modified(character, text.get(at + 1..).unwrap_or_default()) => {}
            _ => match character.to_digit(10).and_then(|digit| usize::try_from(digit).ok()) {
                Some(digit) => style.width = Some((style.width.unwrap_or(0) * 10 + digit).min(1024)),
                None => return (style, Some(character), at + character.len_utf8()),
            },
        }
    }
    (style, None, text.len())
}

/// Returns whether a directive follows that `E` or `O` may stand before; they change nothing here.
fn is_modified(modifier: char, rest: &str) -> bool {
    let letters = if modifier == 'E' { "cCxXyY" } else { "deHkIlmMSuUVwWy" };
    rest.starts_with(|letter| letters.contains(letter))
}

fn directive_text(zoned: &Zoned, letter: char, style: Style) -> Option<String> {
    if let Some(format) = compound(letter) {
        let text = strftime(zoned, format, &Budget::default()).ok()?;
        return Some(textual(text, Style { swap_case: false, ..style }));
    }
    if let Some((number, width, padding)) = numeric(&zoned.time, letter) {
        return Some(padded(number, width, padding, style));
    }
    let time = &zoned.time;
    Some(match letter {
        'B' => textual(time.format("%B").to_string(), style),
        'b' | 'h' => textual(time.format("%b").to_string(), style),
        'A' => textual(time.format("%A").to_string(), style),
        'a' => textual(time.format("%a").to_string(), style),
        'p' if style.swap_case => {
            textual(time.format("%P").to_string(), Style { swap_case: false, upper: false, ..style })
        }
        'p' => textual(time.format("%p").to_string(), style),
        'P' => textual(time.format("%P").to_string(), style),
        'Z' => zoned.zone.as_ref().map_or_else(String::new, |zone| {
            let name = if style.swap_case { zone.to_lowercase() } else { zone.clone() };
            textual(name, Style { upper: false, swap_case: false, ..style })
        }),
        'z' => offset(time.offset().local_minus_utc(), style),
        'L' => fraction(time.nanosecond(), style.width.unwrap_or(3)),
        'N' => fraction(time.nanosecond(), style.width.unwrap_or(9)),
        'n' => textual("\n".to_owned(), style),
        't' => textual("\t".to_owned(), style),
        '%' => textual("%".to_owned(), style),
        _ => return None,
    })
}

/// The directives that stand for several others.
fn compound(letter: char) -> Option<&'static str> {
    Some(match letter {
        'c' => "%a %b %e %H:%M:%S %Y",
        'D' | 'x' => "%m/%d/%y",
        'F' => "%Y-%m-%d",
        'v' => "%e-%^b-%Y",
        'X' | 'T' => "%H:%M:%S",
        'r' => "%I:%M:%S %p",
        'R' => "%H:%M",
        _ => return None,
    })
}

/// The directives that are a number: its value, usual width and padding.
fn numeric(time: &DateTime<FixedOffset>, letter: char) -> Option<(i64, usize, char)> {
    let week = time.iso_week();
    let (_, hour12) = time.hour12();
    let days = i64::from(time.ordinal0());
    let from_sunday = i64::from(time.weekday().num_days_from_sunday());
    let from_monday = i64::from(time.weekday().num_days_from_monday());
    Some(match letter {
        'Y' => (time.year().into(), 4, '0'),
        'C' => (time.year().div_euclid(100).into(), 2, '0'),
        'y' => (time.year().rem_euclid(100).into(), 2, '0'),
        'm' => (time.month().into(), 2, '0'),
        'j' => (time.ordinal().into(), 3, '0'),
        'd' => (time.day().into(), 2, '0'),
        'e' => (time.day().into(), 2, ' '),
        'H' => (time.hour().into(), 2, '0'),
        'k' => (time.hour().into(), 2, ' '),
        'I' => (hour12.into(), 2, '0'),
        'l' => (hour12.into(), 2, ' '),
        'M' => (time.minute().into(), 2, '0'),
        'S' => (time.second().into(), 2, '0'),
        'u' => (from_monday + 1, 1, '0'),
        'w' => (from_sunday, 1, '0'),
        'G' => (week.year().into(), 4, '0'),
        'g' => (week.year().rem_euclid(100).into(), 2, '0'),
        'V' => (week.week().into(), 2, '0'),
        'U' => ((days + 7 - from_sunday) / 7, 2, '0'),
        'W' => ((days + 7 - from_monday) / 7, 2, '0'),
        's' => (time.timestamp(), 1, '0'),
        _ => return None,
    })
}

fn padded(number: i64, width: usize, padding: char, style: Style) -> String {
    if style.no_padding {
        return number.to_string();
    }
    let width = style.width.unwrap_or(width);
    let (sign, digits) = (if number < 0 { "-" } else { "" }, number.unsigned_abs().to_string());
    let missing = width.saturating_sub(sign.len() + digits.len());
    let padding = style.padding.unwrap_or(padding);
    let fill: String = std::iter::repeat_n(padding, missing).collect();
    if padding == '0' { format!("{sign}{fill}{digits}") } else { format!("{fill}{sign}{digits}") }
}

fn textual(text: String, style: Style) -> String {
    let text = if style.upper || style.swap_case { text.to_uppercase() } else { text };
    let missing = style.width.unwrap_or(0).saturating_sub(text.chars().count());
    if missing == 0 || style.no_padding {
        return text;
    }
    let fill: String = std::iter::repeat_n(style.padding.unwrap_or(' '), missing).collect();
    fill + &text
}

/// Writes an offset; a width counts all of it, and the hours are what is padded.
fn offset(seconds: i32, style: Style) -> String {
    let sign = if seconds < 0 { '-' } else { '+' };
    let seconds = seconds.unsigned_abs();
    let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let behind = match style.colons {
        0 => format!("{minutes:02}"),
        1 => format!(":{minutes:02}"),
        _ => format!(":{minutes:02}:{rest:02}"),
    };
    let width = style.width.unwrap_or(0).saturating_sub(behind.len()).max(3);
    if style.padding == Some(' ') {
        let hours = format!("{sign}{hours}");
        return format!("{hours:>width$}{behind}");
    }
    let digits = width - 1;
    format!("{sign}{hours:0digits$}{behind}")
}

fn fraction(nanos: u32, digits: usize) -> String {
    // A leap second counts past the end of its second.
    let text = format!("{:09}", nanos % 1_000_000_000);
    let kept: String = text.chars().take(digits).collect();
    let missing = digits.saturating_sub(kept.len());
    kept + &"0".repeat(missing)
}
