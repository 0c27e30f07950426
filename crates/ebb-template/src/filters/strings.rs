//! Filters on text.

use std::borrow::Cow;
use std::sync::LazyLock;

use ebb_row::Value;
use regex::Regex;

use crate::compare::is_true;
use crate::error::Fault;
use crate::filters::made::{Made, copies};
use crate::filters::{Arguments, Call, Filter, ITEM, owned};
use crate::print::text_of;

pub(super) const FILTERS: &[Filter] = &[
    Filter::new("append", "Puts text behind.", append).takes("text", 1, 0).shows(
        "{{ name | append: '!' }}",
        r#"{"name":"Ada"}"#,
        r#""Ada!""#,
    ),
    Filter::new("prepend", "Puts text in front.", prepend).takes("text", 1, 0).shows(
        "{{ id | prepend: 'acct_' }}",
        r#"{"id":7}"#,
        r#""acct_7""#,
    ),
    Filter::new("capitalize", "Makes the first character upper case and the rest lower case.", capitalize).shows(
        "{{ plan | capitalize }}",
        r#"{"plan":"proPlan"}"#,
        r#""Proplan""#,
    ),
    Filter::new("downcase", "Makes lower case.", downcase).shows(
        "{{ email | downcase }}",
        r#"{"email":"Ada@Example.ORG"}"#,
        r#""ada@example.org""#,
    ),
    Filter::new("upcase", "Makes upper case.", upcase).shows("{{ plan | upcase }}", r#"{"plan":"pro"}"#, r#""PRO""#),
    Filter::new("strip", "Drops whitespace on both sides.", strip).shows(
        "{{ name | strip }}",
        r#"{"name":"  Ada "}"#,
        r#""Ada""#,
    ),
    Filter::new("lstrip", "Drops whitespace on the left.", lstrip).shows(
        "{{ name | lstrip }}",
        r#"{"name":"  Ada "}"#,
        r#""Ada ""#,
    ),
    Filter::new("rstrip", "Drops whitespace on the right.", rstrip).shows(
        "{{ name | rstrip }}",
        r#"{"name":"  Ada "}"#,
        r#""  Ada""#,
    ),
    Filter::new("strip_newlines", "Drops line breaks.", strip_newlines).shows(
        "{{ note | strip_newlines }}",
        r#"{"note":"a\r\nb\n"}"#,
        r#""ab""#,
    ),
    Filter::new("squish", "Drops whitespace on both sides and makes each inner run one space.", squish).shows(
        "{{ name | squish }}",
        r#"{"name":" Ada \n King "}"#,
        r#""Ada King""#,
    ),
    Filter::new("normalize_whitespace", "The same as `squish`.", squish).shows(
        "{{ name | normalize_whitespace }}",
        r#"{"name":"a  b"}"#,
        r#""a b""#,
    ),
    Filter::new("newline_to_br", "Puts `<br />` before each line break.", newline_to_br).shows(
        "{{ note | newline_to_br }}",
        r#"{"note":"a\r\nb"}"#,
        r#""a<br />\nb""#,
    ),
    Filter::new("strip_html", "Drops tags, comments, scripts and styles.", strip_html).shows(
        "{{ note | strip_html }}",
        r#"{"note":"<p>Hi <b>you</b><!-- x --></p>"}"#,
        r#""Hi you""#,
    ),
    Filter::new("escape", "Escapes `&`, `<`, `>` and quotes for HTML.", escape).shows(
        "{{ note | escape }}",
        r#"{"note":"<b> & 'c'"}"#,
        r#""&lt;b&gt; &amp; &#39;c&#39;""#,
    ),
    Filter::new("h", "The same as `escape`.", escape).shows("{{ a | h }}", r#"{"a":"<"}"#, r#""&lt;""#),
    Filter::new("escape_once", "Escapes for HTML, but leaves what is escaped already.", escape_once).shows(
        "{{ note | escape_once }}",
        r#"{"note":"&lt; & <"}"#,
        r#""&lt; &amp; &lt;""#,
    ),
    Filter::new("replace", "Replaces every occurrence of a plain text.", replace)
        .takes("search, replacement = \"\"", 1, 1)
        .shows("{{ phone | replace: '-', ' ' }}", r#"{"phone":"1-2-3"}"#, r#""1 2 3""#),
    Filter::new("replace_first", "Replaces the first occurrence.", replace_first)
        .takes("search, replacement = \"\"", 1, 1)
        .shows("{{ phone | replace_first: '-', ' ' }}", r#"{"phone":"1-2-3"}"#, r#""1 2-3""#),
    Filter::new("replace_last", "Replaces the last occurrence.", replace_last)
        .takes("search, replacement", 2, 0)
        .shows("{{ phone | replace_last: '-', ' ' }}", r#"{"phone":"1-2-3"}"#, r#""1-2 3""#),
    Filter::new("remove", "Removes every occurrence of a plain text.", replace).takes("search", 1, 0).shows(
        "{{ phone | remove: '-' }}",
        r#"{"phone":"1-2-3"}"#,
        r#""123""#,
    ),
    Filter::new("remove_first", "Removes the first occurrence.", replace_first).takes("search", 1, 0).shows(
        "{{ phone | remove_first: '-' }}",
        r#"{"phone":"1-2-3"}"#,
        r#""12-3""#,
    ),
    Filter::new("remove_last", "Removes the last occurrence.", replace_last).takes("search", 1, 0).shows(
        "{{ phone | remove_last: '-' }}",
        r#"{"phone":"1-2-3"}"#,
        r#""1-23""#,
    ),
    Filter::new(
        "slice",
        "Takes characters of a text, or items of a list, from a position; negative ones count from the end.",
        slice,
    )
    .takes("start, length = 1", 1, 1)
    .shows("{{ code | slice: -3, 2 }}", r#"{"code":"abcdef"}"#, r#""de""#),
    Filter::new("split", "Makes a list of the parts between separators; empty parts at the end are dropped.", split)
        .takes("separator", 1, 0)
        .shows("{{ tags | split: ',' }}", r#"{"tags":"a,b,,"}"#, r#"["a","b"]"#),
    Filter::new("truncate", "Shortens to a number of characters, the end included.", truncate)
        .takes("length = 50, end = \"...\"", 0, 2)
        .shows("{{ note | truncate: 8 }}", r#"{"note":"a long note"}"#, r#""a lon...""#),
    Filter::new("truncatewords", "Shortens to a number of words.", truncatewords)
        .takes("words = 15, end = \"...\"", 0, 2)
        .shows("{{ note | truncatewords: 2 }}", r#"{"note":"one two three"}"#, r#""one two...""#),
    Filter::new("size", "Counts the characters of a text or the items of a list or object; 0 for anything else.", size)
        .shows("{{ name | size }}", r#"{"name":"Zoë"}"#, "3"),
    Filter::new("url_encode", "Encodes for a URL's query; a space becomes `+`.", url_encode).shows(
        "{{ q | url_encode }}",
        r#"{"q":"a b&c"}"#,
        r#""a+b%26c""#,
    ),
    Filter::new("url_decode", "Decodes what `url_encode` gives.", url_decode).shows(
        "{{ q | url_decode }}",
        r#"{"q":"a+b%26c"}"#,
        r#""a b&c""#,
    ),
];

type Output<'v> = Result<Cow<'v, Value>, Fault>;

fn append<'v>(call: &Call<'_>, input: Cow<'v, Value>, arguments: &Arguments<'v>) -> Output<'v> {
    joined(call, &text_of(&input)?, &arguments.text(0)?)
}

fn prepend<'v>(call: &Call<'_>, input: Cow<'v, Value>, arguments: &Arguments<'v>) -> Output<'v> {
    joined(call, &arguments.text(0)?, &text_of(&input)?)
}

fn joined<'v>(call: &Call<'_>, first: &str, second: &str) -> Output<'v> {
    call.budget.afford(first.len() + second.len())?;
    let mut text = String::with_capacity(first.len() + second.len());
    text.push_str(first);
    text.push_str(second);
    Ok(owned(text))
}

fn capitalize<'v>(_: &Call<'_>, input: Cow<'v, Value>, _: &Arguments<'v>) -> Output<'v> {
    let text = text_of(&input)?;
    let mut characters = text.chars();
    let first = characters.next().map(title_case).unwrap_or_default();
    Ok(owned(first + &characters.as_str().to_lowercase()))
}

/// Returns a character as a capital: of a ligature (`ﬀ`, `ß`, `ǆ`) only the first letter is one.
fn title_case(character: char) -> String {
    match character {
        'Ǆ'..='ǆ' => "ǅ".to_owned(),
        'Ǉ'..='ǉ' => "ǈ".to_owned(),
        'Ǌ'..='ǌ' => "ǋ".to_owned(),
        'Ǳ'..='ǳ' => "ǲ".to_owned(),
        'ŉ' => "ʼN".to_owned(),
        _ => {
            let mut upper = character.to_uppercase();
            let first: String = upper.next().into_iter().collect();
            first + &upper.collect::<String>().to_lowercase()
        }
    }
}

fn downcase<'v>(call: &Call<'_>, input: Cow<'v, Value>, _: &Arguments<'v>) -> Output<'v> {
    let text = text_of(&input)?;
    let length = |character: char| character.to_lowercase().map(char::len_utf8).sum::<usize>();
    call.budget.afford(if text.is_ascii() { text.len() } else { text.chars().map(length).sum() })?;
    Ok(owned(text.to_lowercase()))
}

fn upcase<'v>(call: &Call<'_>, input: Cow<'v, Value>, _: &Arguments<'v>) -> Output<'v> {
    let text = text_of(&input)?;
    if text.is_ascii() {
        call.budget.afford(text.len())?;
        return Ok(owned(text.to_ascii_uppercase()));
    }
    let mut out = Made::with_room(call, text.len())?;
    for upper in text.chars().flat_map(char::to_uppercase) {
        out.room_for(upper.len_utf8())?.push(upper);
    }
    out.done()
}

/// Returns a part of the input's text; the input itself where nothing was cut.
fn part(input: Cow<'_, Value>, cut: fn(&str) -> &str) -> Output<'_> {
    if let Value::Text(text) = &*input
        && cut(text).len() == text.len()
    {
        return Ok(input);
    }
    let text = text_of(&input)?;
    Ok(Cow::Owned(Value::from(cut(&text))))
}

fn strip<'v>(_: &Call<'_>, input: Cow<'v, Value>, _: &Arguments<'v>) -> Output<'v> {
    part(input, str::trim)
}

fn lstrip<'v>(_: &Call<'_>, input: Cow<'v, Value>, _: &Arguments<'v>) -> Output<'v> {
    part(input, str::trim_start)
}

fn rstrip<'v>(_: &Call<'_>, input: Cow<'v, Value>, _: &Arguments<'v>) -> Output<'v> {
    part(input, str::trim_end)
}

fn strip_newlines<'v>(call: &Call<'_>, input: Cow<'v, Value>, _: &Arguments<'v>) -> Output<'v> {
    lines_joined(call, &text_of(&input)?, "")
}

/// Puts a text in the place of each line break.
fn lines_joined<'v>(call: &Call<'_>, text: &str, between: &str) -> Output<'v> {
    let breaks = text.bytes().filter(|byte| *byte == b'\n').count();
    let mut out = Made::with_room(call, (text.len() - breaks).saturating_add(breaks.saturating_mul(between.len())))?;
    let mut lines = text.split('\n');
    let last = lines.next_back().unwrap_or_default();
    for line in lines {
        out.push_str(line.strip_suffix('\r').unwrap_or(line))?;
        out.push_str(between)?;
    }
    out.push_str(last)?;
    out.done()
}

fn squish<'v>(call: &Call<'_>, input: Cow<'v, Value>, _: &Arguments<'v>) -> Output<'v> {
    let text = text_of(&input)?;
    call.budget.afford(text.len())?;
    let mut out = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(word);
    }
    Ok(owned(out))
}

fn newline_to_br<'v>(call: &Call<'_>, input: Cow<'v, Value>, _: &Arguments<'v>) -> Output<'v> {
    lines_joined(call, &text_of(&input)?, "<br />\n")
}

/// How a block that is dropped with its contents begins, and how each kind ends.
struct Blocks {
    begins: Regex,
    script_ends: Regex,
    style_ends: Regex,
    comment_ends: Regex,
    tags: Regex,
}

impl Blocks {
    fn compile() -> Result<Self, regex::Error> {
        Ok(Self {
            begins: Regex::new("(?i)<script|<!--|<style")?,
            script_ends: Regex::new("(?i)</script>")?,
            style_ends: Regex::new("(?i)</style>")?,
            comment_ends: Regex::new("-->")?,
            tags: Regex::new("(?s)<.*?>")?,
        })
    }

    /// Drops the blocks. A kind whose end was once not found is not looked for again: that would be quadratic.
    fn dropped<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let mut out = String::new();
        let (mut kept, mut from) = (0, 0);
        let mut has_no_end = [false; 3];
        while let Some(begin) = self.begins.find_at(text, from) {
            from = begin.end();
            let (ends, has_no_end) = match (begin.as_str().as_bytes().last(), &mut has_no_end) {
                (Some(b'-'), [comment, _, _]) => (&self.comment_ends, comment),
                (Some(b't' | b'T'), [_, script, _]) => (&self.script_ends, script),
                (_, [_, _, style]) => (&self.style_ends, style),
            };
            if *has_no_end {
                continue;
            }
            match ends.find_at(text, from) {
                Some(end) => {
                    out.push_str(text.get(kept..begin.start()).unwrap_or_default());
                    (kept, from) = (end.end(), end.end());
                }
                None => *has_no_end = true,
            }
        }
        if kept == 0 {
            return Cow::Borrowed(text);
        }
        out.push_str(text.get(kept..).unwrap_or_default());
        Cow::Owned(out)
    }
}

fn strip_html<'v>(call: &Call<'_>, input: Cow<'v, Value>, _: &Arguments<'v>) -> Output<'v> {
    static BLOCKS: LazyLock<Option<Blocks>> = LazyLock::new(|| Blocks::compile().ok());
    let Some(blocks) = BLOCKS.as_ref() else { return Err(Fault::new("is not available")) };
    let text = text_of(&input)?;
    call.budget.afford(text.len())?;
    let without_blocks = blocks.dropped(&text);
    let without_tags = match blocks.tags.replace_all(&without_blocks, "") {
        Cow::Owned(without_tags) => without_tags,
        Cow::Borrowed(_) => return Ok(Cow::Owned(Value::from(&*without_blocks))),
    };
    drop(without_blocks);
    Ok(owned(without_tags))
}

fn escape<'v>(call: &Call<'_>, input: Cow<'v, Value>, _: &Arguments<'v>) -> Output<'v> {
    escaped(call, input, false)
}

fn escape_once<'v>(call: &Call<'_>, input: Cow<'v, Value>, _: &Arguments<'v>) -> Output<'v> {
    escaped(call, input, true)
}

fn escaped<'v>(call: &Call<'_>, input: Cow<'v, Value>, once: bool) -> Output<'v> {
    if input.is_null() && !once {
        return Ok(input);
    }
    let text = text_of(&input)?;
    let mut out = Made::with_room(call, text.len())?;
    let mut rest = &*text;
    while let Some((plain, special)) = rest.find(['&', '<', '>', '"', '\'']).and_then(|at| rest.split_at_checked(at)) {
        out.push_str(plain)?;
        let mut behind = special.chars();
        let escape = match behind.next() {
            Some('&') if once && starts_entity(behind.as_str()) => "&",
            Some('&') => "&amp;",
            Some('<') => "&lt;",
            Some('>') => "&gt;",
            Some('"') => "&quot;",
            _ => "&#39;",
        };
        out.push_str(escape)?;
        rest = behind.as_str();
    }
    out.push_str(rest)?;
    out.done()
}

/// Returns whether `name;` or `#123;` follows an ampersand. It looks no further than the next ampersand.
fn starts_entity(rest: &str) -> bool {
    let (name, is_part): (_, fn(&u8) -> bool) = match rest.strip_prefix('#') {
        Some(digits) => (digits, u8::is_ascii_digit),
        None => (rest, u8::is_ascii_alphabetic),
    };
    let length = name.bytes().take_while(is_part).count();
    length > 0 && name.as_bytes().get(length) == Some(&b';')
}

fn replace<'v>(call: &Call<'_>, input: Cow<'v, Value>, arguments: &Arguments<'v>) -> Output<'v> {
    let (search, replacement) = (arguments.text(0)?, arguments.text(1)?);
    if let Value::Text(text) = &*input
        && !text.contains(&*search)
    {
        return Ok(input);
    }
    let text = text_of(&input)?;
    let occurrences = text.matches(&*search).count();
    let kept = text.len().saturating_sub(occurrences.saturating_mul(search.len()));
    let mut out = Made::with_room(call, kept.saturating_add(occurrences.saturating_mul(replacement.len())))?;
    let mut from = 0;
    for (at, found) in text.match_indices(&*search) {
        out.push_str(text.get(from..at).unwrap_or_default())?;
        out.push_str(&replacement)?;
        from = at + found.len();
    }
    out.push_str(text.get(from..).unwrap_or_default())?;
    out.done()
}

fn replace_first<'v>(call: &Call<'_>, input: Cow<'v, Value>, arguments: &Arguments<'v>) -> Output<'v> {
    replace_one(call, input, arguments, |text, search| text.find(search))
}

fn replace_last<'v>(call: &Call<'_>, input: Cow<'v, Value>, arguments: &Arguments<'v>) -> Output<'v> {
    replace_one(call, input, arguments, |text, search| text.rfind(search))
}

fn replace_one<'v>(
    call: &Call<'_>,
    input: Cow<'v, Value>,
    arguments: &Arguments<'v>,
    find: fn(&str, &str) -> Option<usize>,
) -> Output<'v> {
    let (search, replacement) = (arguments.text(0)?, arguments.text(1)?);
    let text = text_of(&input)?;
    let Some((before, rest)) = find(&text, &search).and_then(|at| text.split_at_checked(at)) else {
        return Ok(whole(&input, &text));
    };
    let after = rest.strip_prefix(&*search).unwrap_or(rest);
    call.budget.afford(text.len() + replacement.len())?;
    Ok(owned([before, &replacement, after].concat()))
}

/// Returns the input's text uncut: the input itself where it is a text.
fn whole<'v>(input: &Cow<'v, Value>, text: &str) -> Cow<'v, Value> {
    match input {
        Cow::Borrowed(input @ Value::Text(_)) => Cow::Borrowed(input),
        Cow::Owned(input @ Value::Text(_)) => Cow::Owned(input.clone()),
        Cow::Borrowed(_) | Cow::Owned(_) => Cow::Owned(Value::from(text)),
    }
}

/// Returns a text from the character at `begin` on, at most `length` characters.
fn characters(text: &str, begin: usize, length: usize) -> &str {
    let behind = |text: &str, count: usize| text.char_indices().nth(count).map_or(text.len(), |(at, _)| at);
    let rest = text.get(behind(text, begin)..).unwrap_or_default();
    rest.get(..behind(rest, length)).unwrap_or_default()
}

fn slice<'v>(call: &Call<'_>, input: Cow<'v, Value>, arguments: &Arguments<'v>) -> Output<'v> {
    let start = arguments.integer(0, 0)?;
    let length = if is_true(arguments.value(1)) { arguments.integer(1, 1)? } else { 1 };
    let span = |size: usize| {
        let begin = if start < 0 {
            size.checked_sub(usize::try_from(start.unsigned_abs()).ok()?)?
        } else {
            usize::try_from(start).ok()?
        };
        let length = usize::try_from(length).ok()?;
        (begin <= size).then_some((begin, length))
    };
    if let Value::List(items) = &*input {
        let (begin, length) = span(items.len()).unwrap_or((0, 0));
        let kept: Vec<&Value> = items.iter().skip(begin).take(length).collect();
        return copies(call, &kept).map(|kept| Cow::Owned(Value::List(kept)));
    }
    let text = text_of(&input)?;
    let (begin, length) = span(text.chars().count()).unwrap_or((0, 0));
    Ok(Cow::Owned(Value::from(characters(&text, begin, length))))
}

fn split<'v>(call: &Call<'_>, input: Cow<'v, Value>, arguments: &Arguments<'v>) -> Output<'v> {
    let (text, separator) = (text_of(&input)?, arguments.text(0)?);
    match &*separator {
        "" => {
            let mut bytes = [0; 4];
            let part = |character: char| Value::from(&*character.encode_utf8(&mut bytes));
            listed(call, text.chars().count(), text.chars().map(part))
        }
        " " => listed(call, text.split_whitespace().count(), text.split_whitespace().map(Value::from)),
        separator => {
            let parts = || text.split(separator);
            let count = parts().enumerate().filter(|(_, part)| !part.is_empty()).last().map_or(0, |(at, _)| at + 1);
            listed(call, count, parts().map(Value::from))
        }
    }
}

/// Makes a list of the first `count` parts, if it may still be produced.
fn listed<'v>(call: &Call<'_>, count: usize, parts: impl Iterator<Item = Value>) -> Output<'v> {
    call.budget.afford(count.saturating_mul(ITEM))?;
    let mut list = Vec::with_capacity(count);
    list.extend(parts.take(count));
    Ok(Cow::Owned(Value::List(list)))
}

/// Returns the argument at 1 as the text that ends a cut, `...` by default.
fn ending<'a>(arguments: &'a Arguments<'_>) -> Result<Cow<'a, str>, Fault> {
    arguments.get(1).map_or(Ok(Cow::Borrowed("...")), text_of)
}

fn truncate<'v>(call: &Call<'_>, input: Cow<'v, Value>, arguments: &Arguments<'v>) -> Output<'v> {
    if input.is_null() {
        return Ok(input);
    }
    let length = match arguments.get(0) {
        Some(Value::Int(length)) => *length,
        _ => arguments.integer(0, 50)?.into(),
    };
    let end = ending(arguments)?;
    let text = text_of(&input)?;
    if i128::try_from(text.chars().count()).is_ok_and(|count| count <= length) {
        return Ok(whole(&input, &text));
    }
    let kept = usize::try_from(length).unwrap_or(0).saturating_sub(end.chars().count());
    joined(call, characters(&text, 0, kept), &end)
}

fn truncatewords<'v>(call: &Call<'_>, input: Cow<'v, Value>, arguments: &Arguments<'v>) -> Output<'v> {
    if input.is_null() {
        return Ok(input);
    }
    let count = usize::try_from(arguments.integer(0, 15)?).unwrap_or(0).max(1);
    let end = ending(arguments)?;
    let text = text_of(&input)?;
    let mut rest = text.trim_start();
    let mut kept = 0;
    while kept < count && !rest.is_empty() {
        let (_, behind) = rest.split_at(rest.find(char::is_whitespace).unwrap_or(rest.len()));
        kept += 1;
        rest = if kept < count { behind.trim_start() } else { behind };
    }
    // Whitespace behind the last word that is kept is something to cut, too.
    if rest.is_empty() {
        return Ok(whole(&input, &text));
    }
    let mut out = Made::with_room(call, (text.len() - rest.len()).saturating_add(end.len()))?;
    for (index, word) in text.split_whitespace().take(kept).enumerate() {
        out.push_str(if index > 0 { " " } else { "" })?;
        out.push_str(word)?;
    }
    out.push_str(&end)?;
    out.done()
}

fn size<'v>(_: &Call<'_>, input: Cow<'v, Value>, _: &Arguments<'v>) -> Output<'v> {
    Ok(Cow::Owned(Value::Int(size_of(&input).unwrap_or(0))))
}

/// Counts characters, items or fields; `None` for what has no size.
pub(crate) fn size_of(value: &Value) -> Option<i128> {
    let size = match value {
        Value::Text(text) => text.chars().count(),
        Value::List(items) => items.len(),
        Value::Object(object) => object.len(),
        Value::Bytes(bytes) => bytes.len(),
        Value::Null
        | Value::Bool(_)
        | Value::Int(_)
        | Value::Float(_)
        | Value::Decimal(_)
        | Value::Instant(_)
        | Value::LocalTime(_)
        | Value::Date(_)
        | Value::Lookup(_) => return None,
    };
    i128::try_from(size).ok()
}

fn url_encode<'v>(call: &Call<'_>, input: Cow<'v, Value>, _: &Arguments<'v>) -> Output<'v> {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    if input.is_null() {
        return Ok(input);
    }
    let text = text_of(&input)?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~');
    let encoded = text.bytes().filter(|byte| !is_plain(*byte) && *byte != b' ').count();
    let length = text.len().saturating_add(encoded.saturating_mul(2));
    call.budget.afford(length)?;
    let mut out = String::with_capacity(length);
    for byte in text.bytes() {
        match byte {
            _ if is_plain(byte) => out.push(char::from(byte)),
            b' ' => out.push('+'),
            _ => {
                out.push('%');
                for digit in [byte >> 4, byte & 15] {
                    out.push(char::from(HEX.get(usize::from(digit)).copied().unwrap_or(b'0')));
                }
            }
        }
    }
    Ok(owned(out))
}

fn url_decode<'v>(_: &Call<'_>, input: Cow<'v, Value>, _: &Arguments<'v>) -> Output<'v> {
    if input.is_null() {
        return Ok(input);
    }
    let text = text_of(&input)?;
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let escaped = || {
            let mut ahead = bytes.clone();
            let digit = |byte: Option<u8>| char::from(byte?).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
            Some((digit(ahead.next())? << 4 | digit(ahead.next())?, ahead))
        };
        match byte {
            b'+' => out.push(b' '),
            b'%' => match escaped() {
                Some((decoded, ahead)) => {
                    out.push(decoded);
                    bytes = ahead;
                }
                None => out.push(byte),
            },
            _ => out.push(byte),
        }
    }
    String::from_utf8(out).map(owned).map_err(|_| Fault::new("the decoded text is not UTF-8"))
}
