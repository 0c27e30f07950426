use std::str::FromStr;
use std::sync::Arc;

use bigdecimal::BigDecimal;

use crate::record::Lookup;
use crate::value::{Object, Value, float_text, instant_text};

/// The deepest nesting of lists and objects that is read or written.
const MAX_DEPTH: usize = 128;

/// Why a text is not JSON, or a value has no JSON form.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// The text is not one JSON value.
    #[error("not valid JSON at byte {offset}: {expected}")]
    Syntax {
        /// Byte offset into the text, from 0.
        offset: usize,
        /// What was expected or found there, without quoting the text.
        expected: &'static str,
    },
    /// An object has two fields of one name; only where that is asked to be an error.
    #[error("a field name is repeated at byte {offset}")]
    Repeated {
        /// Byte offset of the second one, from 0.
        offset: usize,
    },
    /// Lists and objects nest deeper than 128.
    #[error("JSON nests deeper than 128 levels")]
    TooDeep,
    /// A number is NaN or infinite.
    #[error("a number is NaN or infinite, which JSON cannot hold")]
    NotFinite,
    /// A value is binary.
    #[error("binary has no JSON form; encode it, for instance with `base64_encode`")]
    Binary,
}

/// Appends `value` as JSON to `out`; numbers keep all their digits, times become RFC 3339 in UTC.
///
/// A look-up is written as `{"$lookup":"account","externalId":"..."}`, the form in which records are kept.
///
/// # Errors
/// [`JsonError::NotFinite`], [`JsonError::Binary`] and [`JsonError::TooDeep`]; `out` then holds a part.
pub fn write_json(value: &Value, out: &mut Vec<u8>) -> Result<(), JsonError> {
    write_at(value, out, 0)
}

fn write_at(value: &Value, out: &mut Vec<u8>, depth: usize) -> Result<(), JsonError> {
    if depth > MAX_DEPTH {
        return Err(JsonError::TooDeep);
    }
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Int(number) => match i64::try_from(*number) {
            Ok(number) => out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes()),
            Err(_) => out.extend_from_slice(itoa::Buffer::new().format(*number).as_bytes()),
        },
        Value::Float(number) if number.is_finite() => {
            out.extend_from_slice(float_text(*number, &mut ryu::Buffer::new()).as_bytes());
        }
        Value::Float(_) => return Err(JsonError::NotFinite),
        Value::Decimal(number) => out.extend_from_slice(number.to_plain_string().as_bytes()),
        Value::Text(text) => write_json_string(text, out),
        Value::Bytes(_) => return Err(JsonError::Binary),
        Value::Instant(instant) => write_json_string(&instant_text(instant), out),
        Value::LocalTime(time) => write_json_string(&instant_text(&time.and_utc()), out),
        Value::Date(date) => write_json_string(&date.to_string(), out),
        Value::List(items) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_at(item, out, depth + 1)?;
            }
            out.push(b']');
        }
        Value::Object(object) => {
            out.push(b'{');
            for (index, (name, field)) in object.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_json_string(name, out);
                out.push(b':');
                write_at(field, out, depth + 1)?;
            }
            out.push(b'}');
        }
        Value::Lookup(lookup) => {
            out.extend_from_slice(b"{\"$lookup\":");
            write_json_string(&lookup.object, out);
            out.extend_from_slice(b",\"externalId\":");
            write_json_string(&lookup.external_id, out);
            out.push(b'}');
        }
    }
    Ok(())
}

/// Appends `text` as a JSON string, quotes included; control characters are escaped, the rest is UTF-8 as it is.
pub fn write_json_string(text: &str, out: &mut Vec<u8>) {
    out.reserve(text.len() + 2);
    out.push(b'"');
    let mut rest = text.as_bytes();
    while let Some(at) = first_special(rest) {
        let (plain, tail) = rest.split_at(at);
        out.extend_from_slice(plain);
        let Some((special, tail)) = tail.split_first() else { break };
        match special {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            control => out.extend_from_slice(format!("\\u{control:04x}").as_bytes()),
        }
        rest = tail;
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

/// Returns where the first byte stands that a JSON string must escape.
fn first_special(bytes: &[u8]) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    let is_special = |byte: &u8| *byte < 0x20 || *byte == b'"' || *byte == b'\\';
    // Eight bytes at a time: a byte below `n` borrows into its highest bit when `n` is taken from it.
    let below = |word: u64, n: u64| word.wrapping_sub(ONES * n) & !word & HIGHS;
    let (words, _) = bytes.as_chunks::<8>();
    let clean = words.iter().take_while(|word| {
        let word = u64::from_le_bytes(**word);
        let quote = word ^ (ONES * u64::from(b'"'));
        let backslash = word ^ (ONES * u64::from(b'\\'));
        below(word, 0x20) | below(quote, 1) | below(backslash, 1) == 0
    });
    let skipped = clean.count() * 8;
    bytes.get(skipped..)?.iter().position(is_special).map(|at| skipped + at)
}

/// Reads one JSON value; integers of up to 128 bits and decimals keep all their digits.
///
/// Where an object repeats a name, the last value counts. An object of exactly `$lookup` and `externalId`, both
/// text, is read as a look-up when `lookups` is set (kept records), and as an object otherwise (cells).
///
/// # Errors
/// [`JsonError::Syntax`] with the byte offset, or [`JsonError::TooDeep`].
pub fn parse_json(text: &str, lookups: bool) -> Result<Value, JsonError> {
    Reader { text, bytes: text.as_bytes(), at: 0, lookups, written: false, name_at: 0 }.whole()
}

/// Reads one JSON value as people write it by hand: a comma may stand before `}` and `]`, and no object repeats a name.
///
/// # Errors
/// As [`parse_json`]; a repeated name is [`JsonError::Repeated`].
pub fn parse_written_json(text: &str) -> Result<Value, JsonError> {
    Reader { text, bytes: text.as_bytes(), at: 0, lookups: false, written: true, name_at: 0 }.whole()
}

/// Reads an object's fields of these names and passes over the others without keeping them; the whole text is checked all
/// the same. `None` when the text is JSON but no object.
///
/// # Errors
/// As [`parse_json`].
pub fn parse_json_fields(text: &str, wanted: &[&str]) -> Result<Option<Object>, JsonError> {
    let mut reader = Reader { text, bytes: text.as_bytes(), at: 0, lookups: false, written: false, name_at: 0 };
    reader.skip_space();
    if reader.peek() != Some(b'{') {
        return parse_json(text, false).map(|_| None);
    }
    let mut object = Object::default();
    reader.fields(0, |reader, name, depth| {
        if wanted.contains(&&*name) {
            let value = reader.value(depth)?;
            object.insert(name, value);
            Ok(())
        } else {
            reader.pass_over(depth)
        }
    })?;
    reader.skip_space();
    if reader.at < reader.bytes.len() {
        return Err(reader.fault("the end of the text"));
    }
    Ok(Some(object))
}

struct Reader<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    lookups: bool,
    /// A comma may stand before a closing bracket, and no name is repeated.
    written: bool,
    /// Where the last field's name begins.
    name_at: usize,
}

impl Reader<'_> {
    fn whole(mut self) -> Result<Value, JsonError> {
        self.skip_space();
        let value = self.value(0)?;
        self.skip_space();
        if self.at < self.bytes.len() {
            return Err(self.fault("the end of the text"));
        }
        Ok(value)
    }

    fn fault(&self, expected: &'static str) -> JsonError {
        JsonError::Syntax { offset: self.at, expected }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn word(&mut self, word: &str, value: Value) -> Result<Value, JsonError> {
        if self.text.get(self.at..).is_some_and(|rest| rest.starts_with(word)) {
            self.at += word.len();
            Ok(value)
        } else {
            Err(self.fault("a JSON value"))
        }
    }

    fn value(&mut self, depth: usize) -> Result<Value, JsonError> {
        if depth > MAX_DEPTH {
            return Err(JsonError::TooDeep);
        }
        match self.peek() {
            Some(b'n') => self.word("null", Value::Null),
            Some(b't') => self.word("true", Value::Bool(true)),
            Some(b'f') => self.word("false", Value::Bool(false)),
            Some(b'"') => Ok(Value::Text(self.string()?)),
            Some(b'[') => self.list(depth),
            Some(b'{') => self.object(depth),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => Err(self.fault("a JSON value")),
        }
    }

    fn list(&mut self, depth: usize) -> Result<Value, JsonError> {
        let mut items = Vec::new();
        self.members(b']', |reader| {
            items.push(reader.value(depth + 1)?);
            Ok(())
        })?;
        Ok(Value::List(items))
    }

    fn object(&mut self, depth: usize) -> Result<Value, JsonError> {
        let mut fields = Vec::new();
        let mut names_at = Vec::new();
        self.fields(depth, |reader, name, depth| {
            if reader.written {
                names_at.push(reader.name_at);
            }
            let value = reader.value(depth)?;
            fields.push((name, value));
            Ok(())
        })?;
        let mut object = Object::with_capacity_and_hasher(fields.len(), foldhash::fast::RandomState::default());
        if self.written {
            for ((name, value), offset) in fields.into_iter().zip(names_at) {
                if object.insert(name, value).is_some() {
                    return Err(JsonError::Repeated { offset });
                }
            }
        } else {
            object.extend(fields);
        }
        Ok(self.finish_object(object))
    }

    /// Reads an object's names, and has each value read by `read` at its depth.
    fn fields(
        &mut self,
        depth: usize,
        mut read: impl FnMut(&mut Self, Arc<str>, usize) -> Result<(), JsonError>,
    ) -> Result<(), JsonError> {
        self.members(b'}', |reader| {
            if reader.peek() != Some(b'"') {
                return Err(reader.fault("a field name in quotes"));
            }
            reader.name_at = reader.at;
            let name = reader.string()?;
            reader.skip_space();
            if reader.peek() != Some(b':') {
                return Err(reader.fault("`:`"));
            }
            reader.at += 1;
            reader.skip_space();
            read(reader, name, depth + 1)
        })
    }

    /// Passes over a value without keeping any of it.
    fn pass_over(&mut self, depth: usize) -> Result<(), JsonError> {
        if depth > MAX_DEPTH {
            return Err(JsonError::TooDeep);
        }
        match self.peek() {
            Some(b'"') => self.pass_over_string(),
            Some(b'{') => self.members(b'}', |reader| {
                if reader.peek() != Some(b'"') {
                    return Err(reader.fault("a field name in quotes"));
                }
                reader.pass_over_string()?;
                reader.skip_space();
                if reader.peek() != Some(b':') {
                    return Err(reader.fault("`:`"));
                }
                reader.at += 1;
                reader.skip_space();
                reader.pass_over(depth + 1)
            }),
            Some(b'[') => self.members(b']', |reader| reader.pass_over(depth + 1)),
            _ => self.value(depth).map(drop),
        }
    }

    /// Reads what stands between the brackets of a list or an object, each member by `read`.
    fn members(
        &mut self,
        close: u8,
        mut read: impl FnMut(&mut Self) -> Result<(), JsonError>,
    ) -> Result<(), JsonError> {
        self.at += 1;
        self.skip_space();
        if self.peek() == Some(close) {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.skip_space();
            read(self)?;
            self.skip_space();
            match self.peek() {
                Some(b',') => {
                    self.at += 1;
                    self.skip_space();
                    if self.written && self.peek() == Some(close) {
                        self.at += 1;
                        return Ok(());
                    }
                }
                Some(byte) if byte == close => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return Err(self.fault(if close == b']' { "`,` or `]`" } else { "`,` or `}`" })),
            }
        }
    }

    fn pass_over_string(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        self.at += 1;
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => {
                    self.at = start;
                    return self.string().map(drop);
                }
                Some(0..=0x1f) | None => return Err(self.fault("a closing quote")),
                Some(_) => self.at += 1,
            }
        }
    }

    fn finish_object(&self, object: Object) -> Value {
        if self.lookups
            && object.len() == 2
            && let (Some(Value::Text(target)), Some(Value::Text(external_id))) =
                (object.get("$lookup"), object.get("externalId"))
        {
            return Value::Lookup(Lookup { object: Arc::clone(target), external_id: Arc::clone(external_id) });
        }
        Value::Object(object)
    }

    fn number(&mut self) -> Result<Value, JsonError> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits(),
            _ => return Err(self.fault("a digit")),
        }
        let mut is_integer = true;
        if self.peek() == Some(b'.') {
            is_integer = false;
            self.at += 1;
            self.some_digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            is_integer = false;
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.some_digits()?;
        }
        let text = self.text.get(start..self.at).unwrap_or_default();
        if is_integer && let Ok(number) = text.parse::<i128>() {
            return Ok(Value::Int(number));
        }
        read_decimal(text).ok_or(JsonError::Syntax { offset: start, expected: "a number of a usable size" })
    }

    fn digits(&mut self) {
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
    }

    fn some_digits(&mut self) -> Result<(), JsonError> {
        if !matches!(self.peek(), Some(b'0'..=b'9')) {
            return Err(self.fault("a digit"));
        }
        self.digits();
        Ok(())
    }

    fn string(&mut self) -> Result<Arc<str>, JsonError> {
        self.at += 1;
        let start = self.at;
        loop {
            match self.peek() {
                Some(b'"') => {
                    let text = self.text.get(start..self.at).unwrap_or_default();
                    self.at += 1;
                    return Ok(text.into());
                }
                Some(b'\\') => return self.escaped_string(start),
                Some(0..=0x1f) | None => return Err(self.fault("a closing quote")),
                Some(_) => self.at += 1,
            }
        }
    }

    fn escaped_string(&mut self, start: usize) -> Result<Arc<str>, JsonError> {
        let mut text = self.text.get(start..self.at).unwrap_or_default().to_owned();
        loop {
            let plain = self.at;
            while !matches!(self.peek(), Some(b'"' | b'\\' | 0..=0x1f) | None) {
                self.at += 1;
            }
            text.push_str(self.text.get(plain..self.at).unwrap_or_default());
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(text.into());
                }
                Some(b'\\') => {
                    self.at += 1;
                    let character = self.escape()?;
                    text.push(character);
                }
                _ => return Err(self.fault("a closing quote")),
            }
        }
    }

    fn escape(&mut self) -> Result<char, JsonError> {
        let escape = self.peek();
        self.at += 1;
        Ok(match escape {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                let high = self.hex()?;
                if !(0xd800..0xe000).contains(&high) {
                    return char::from_u32(high).ok_or_else(|| self.fault("a character"));
                }
                // A lone surrogate has no UTF-8 form; it becomes the replacement character.
                if high >= 0xdc00 || self.text.get(self.at..self.at + 2) != Some("\\u") {
                    return Ok('\u{fffd}');
                }
                let back = self.at;
                self.at += 2;
                let low = self.hex()?;
                if !(0xdc00..0xe000).contains(&low) {
                    self.at = back;
                    return Ok('\u{fffd}');
                }
                char::from_u32(0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00))
                    .ok_or_else(|| self.fault("a character"))?
            }
            _ => return Err(self.fault("an escape")),
        })
    }

    fn hex(&mut self) -> Result<u32, JsonError> {
        let digits = self.text.get(self.at..self.at + 4).ok_or_else(|| self.fault("four hex digits"))?;
        if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(self.fault("four hex digits"));
        }
        self.at += 4;
        u32::from_str_radix(digits, 16).map_err(|_| self.fault("four hex digits"))
    }
}

/// Reads a decimal number exactly; `None` when it is no number or its exponent is beyond ±10,000.
///
/// The bound keeps `1e999999999` from becoming a gigabyte of zeros.
fn read_decimal(text: &str) -> Option<Value> {
    if let Some(at) = text.find(['e', 'E']) {
        let exponent: i64 = text.get(at + 1..)?.parse().ok()?;
        if exponent.abs() > 10_000 {
            return None;
        }
    }
    BigDecimal::from_str(text).ok().map(Value::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input: &str, expected: &str) {
        let value = parse_json(input, false).expect("valid");
        let mut out = Vec::new();
        write_json(&value, &mut out).expect("writable");
        assert_eq!(String::from_utf8(out).expect("utf-8"), expected, "input {input}");
    }

    #[test]
    fn digits_survive() {
        check("9007199254740993", "9007199254740993");
        check("170141183460469231731687303715884105727", "170141183460469231731687303715884105727");
        check("0.1000", "0.1000");
        check("12345678901234567890.123456789012345678901", "12345678901234567890.123456789012345678901");
        check("1e3", "1000");
        check("-0.5E-2", "-0.005");
    }

    #[test]
    fn text_survives() {
        check(r#""a\"b\\c\/d\u00e9\ud83d\ude00\n""#, "\"a\\\"b\\\\c/d\u{e9}\u{1f600}\\n\"");
        check(r#""\ud800x""#, "\"\u{fffd}x\"");
        check(r#"{"a":[1,true,null,{}],"b":"\u0001"}"#, r#"{"a":[1,true,null,{}],"b":"\u0001"}"#);
    }

    #[test]
    fn every_byte_that_needs_it_is_escaped_wherever_it_stands() {
        for special in (0..0x20).map(char::from).chain(['"', '\\']) {
            for before in 0..20 {
                let text = format!(
                    "{}{special}{}",
                    "x\u{e9}".repeat(before).chars().take(before).collect::<String>(),
                    "y".repeat(20)
                );
                let mut out = Vec::new();
                write_json_string(&text, &mut out);
                let written = String::from_utf8(out).expect("utf-8");
                assert!(
                    !written.get(1..written.len() - 1).expect("quotes").contains(special)
                        || special == '\\'
                        || special == '"'
                );
                assert_eq!(parse_json(&written, false), Ok(Value::from(text)), "{special:?} behind {before}");
            }
        }
    }

    #[test]
    fn written_json_allows_a_last_comma_and_no_repeated_name() {
        let value = parse_written_json(r#" {"a": [1, 2, ], "b": {"c": null,},} "#).expect("valid");
        let mut out = Vec::new();
        write_json(&value, &mut out).expect("writable");
        assert_eq!(String::from_utf8(out).expect("utf-8"), r#"{"a":[1,2],"b":{"c":null}}"#);
        assert_eq!(parse_written_json(r#"{"a":1, "a":2}"#), Err(JsonError::Repeated { offset: 8 }));
        for broken in ["[,]", "[1,,]", "{,}", "[1,] x", "{'a':1}"] {
            assert!(parse_written_json(broken).is_err(), "{broken}");
        }
        assert!(parse_json("[1,]", false).is_err(), "strict elsewhere");
    }

    #[test]
    fn only_the_wanted_fields_are_kept_and_the_rest_is_checked() {
        let text = r#"{"id":"x","traits":{"id":1},"name":"a\"b","n":[1,{}],"last":null}"#;
        let object = parse_json_fields(text, &["id", "last", "missing"]).expect("valid").expect("an object");
        assert_eq!(object.keys().map(|name| &**name).collect::<Vec<_>>(), ["id", "last"]);
        assert_eq!(parse_json_fields("[1]", &[]), Ok(None));
        for broken in [r#"{"a":"b}"#, r#"{"a":[1,}"#, r#"{"a":1}x"#, r#"{"a":tru}"#] {
            assert!(parse_json_fields(broken, &["b"]).is_err(), "{broken}");
        }
    }

    #[test]
    fn faults_are_placed() {
        for (input, offset) in [("[1,]", 3), ("{\"a\" 1}", 5), ("01", 1), ("\"abc", 4), ("nul", 0), ("1.", 2), ("", 0)]
        {
            match parse_json(input, false) {
                Err(JsonError::Syntax { offset: at, .. }) => assert_eq!(at, offset, "input {input}"),
                other => panic!("{input}: {other:?}"),
            }
        }
        assert!(parse_json(&"[".repeat(200), false).is_err());
        assert!(parse_json("1e999999999", false).is_err());
    }

    #[test]
    fn what_json_cannot_hold_is_refused() {
        let mut out = Vec::new();
        assert_eq!(write_json(&Value::Float(f64::NAN), &mut out), Err(JsonError::NotFinite));
        assert_eq!(write_json(&Value::Bytes([1_u8].as_slice().into()), &mut out), Err(JsonError::Binary));
    }
}
