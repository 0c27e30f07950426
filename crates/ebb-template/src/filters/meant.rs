//! Names of filters that people know from other tools, with what ebb has for them.

/// Each name with its hint, sorted by name.
const MEANT: &[(&str, &str)] = &[
    ("add", "use `plus`"),
    ("any", "use `has`, with a key and a value"),
    ("b64decode", "use `base64_decode`"),
    ("b64encode", "use `base64_encode`"),
    ("base64decode", "use `base64_decode`"),
    ("base64encode", "use `base64_encode`"),
    ("blank", BLANK),
    ("bool", "use `cast: \"boolean\"`"),
    ("boolean", "use `cast: \"boolean\"`"),
    ("camelcase", LETTERS),
    ("ceiling", "use `ceil`"),
    ("coalesce", "use `default`"),
    ("collapse", "use `squish`"),
    ("contains", CONTAINS),
    ("count", "use `size`"),
    ("currency", "use `round: 2`; the sign goes around the output"),
    ("date_format", STRFTIME),
    ("dateformat", STRFTIME),
    ("datetime", STRFTIME),
    ("decimal", "use `cast: \"number\"`"),
    ("dig", "write `a.b.c`, or `a[\"b\"]`"),
    ("distinct", "use `uniq`"),
    ("divide", "use `divided_by`"),
    ("dump", "use `json`"),
    ("empty", BLANK),
    ("fallback", "use `default`"),
    ("filter", "use `where`"),
    ("float", "use `cast: \"number\"`"),
    ("fmt", "use `date` for a time, or `round` for a number"),
    ("format", "use `date` for a time, or `round` for a number"),
    ("format_date", STRFTIME),
    ("format_number", "use `round: 2`"),
    ("from_json", "use `parse`"),
    ("fromjson", "use `parse`"),
    ("get", "write `a.b`, or `a[\"b\"]`"),
    ("hash", "use `sha256`"),
    ("html_escape", "use `escape`"),
    ("if_null", "use `default`"),
    ("ifnull", "use `default`"),
    ("include", CONTAINS),
    ("index", "write `list[0]`"),
    ("int", "use `to_integer`"),
    ("integer", "use `to_integer`"),
    ("is_blank", BLANK),
    ("is_empty", BLANK),
    ("is_null", BLANK),
    ("isblank", BLANK),
    ("isempty", BLANK),
    ("isnull", BLANK),
    ("json_decode", "use `parse`"),
    ("json_encode", "use `json`"),
    ("json_parse", "use `parse`"),
    ("lcase", "use `downcase`"),
    ("left", "use `slice: 0, length`"),
    ("len", "use `size`"),
    ("length", "use `size`"),
    ("lower", "use `downcase`"),
    ("lowercase", "use `downcase`"),
    ("ltrim", "use `lstrip`"),
    ("max", "use `at_least` for two numbers, or `sort | last` for a list"),
    ("md5hex", "use `md5`"),
    ("mid", "use `slice: start, length`"),
    ("min", "use `at_most` for two numbers, or `sort | first` for a list"),
    ("mod", "use `modulo`"),
    ("money", "use `round: 2`; the sign goes around the output"),
    ("mul", "use `times`"),
    ("multiply", "use `times`"),
    ("not_blank", BLANK),
    ("number", "use `cast: \"number\"`"),
    ("number_format", "use `round: 2`"),
    ("nvl", "use `default`"),
    ("or", "use `default`"),
    ("parse_json", "use `parse`"),
    ("pluck", "use `map`"),
    ("presence", BLANK),
    ("present", BLANK),
    ("random", RANDOM),
    ("regexp_replace", "use `regex_replace`"),
    ("right", "use `slice` with a start below 0"),
    ("rtrim", "use `rstrip`"),
    ("sample", RANDOM),
    ("select", "use `where`"),
    ("sha", "use `sha256`"),
    ("shuffle", RANDOM),
    ("sort_by", "use `sort` with a key"),
    ("str", "use `cast: \"string\"`"),
    ("strftime", STRFTIME),
    ("string", "use `cast: \"string\"`"),
    ("sub", "use `minus` for numbers, or `replace` for a text"),
    ("substr", "use `slice: start, length`"),
    ("substring", "use `slice: start, length`"),
    ("subtract", "use `minus`"),
    ("title", LETTERS),
    ("titlecase", LETTERS),
    ("titleize", LETTERS),
    ("to_bool", "use `cast: \"boolean\"`"),
    ("to_boolean", "use `cast: \"boolean\"`"),
    ("to_date", STRFTIME),
    ("to_float", "use `cast: \"number\"`"),
    ("to_i", "use `to_integer`"),
    ("to_int", "use `to_integer`"),
    ("to_json", "use `json`"),
    ("to_lower", "use `downcase`"),
    ("to_number", "use `cast: \"number\"`"),
    ("to_s", "use `cast: \"string\"`"),
    ("to_str", "use `cast: \"string\"`"),
    ("to_string", "use `cast: \"string\"`"),
    ("to_upper", "use `upcase`"),
    ("tojson", "use `json`"),
    ("tolower", "use `downcase`"),
    ("tostring", "use `cast: \"string\"`"),
    ("toupper", "use `upcase`"),
    ("trim", "use `strip`"),
    ("ucase", "use `upcase`"),
    ("unique", "use `uniq`"),
    ("upper", "use `upcase`"),
    ("uppercase", "use `upcase`"),
    ("uri_escape", "use `url_encode`"),
    ("url_escape", "use `url_encode`"),
    ("urldecode", "use `url_decode`"),
    ("urlencode", "use `url_encode`"),
];

const BLANK: &str = "write `!= blank` in a condition";
const CONTAINS: &str = "use `includes`, or write `contains` in a condition";
const LETTERS: &str = "`capitalize` makes only the first letter upper case; no filter does so for each word";
const RANDOM: &str = "there is no randomness in a template: the same row gives the same result";
const STRFTIME: &str = "use `date: \"%Y-%m-%d\"`";

/// Returns a hint for a name that is no filter here but is one elsewhere, by this name or in upper case.
pub(crate) fn meant(name: &str) -> Option<&'static str> {
    let name = name.to_ascii_lowercase();
    let at = MEANT.binary_search_by(|(known, _)| (*known).cmp(name.as_str())).ok()?;
    MEANT.get(at).map(|(_, hint)| *hint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filters::{filter, filters};

    #[test]
    fn names_are_sorted_and_no_filters() {
        for (before, after) in MEANT.iter().zip(MEANT.iter().skip(1)) {
            assert!(before.0 < after.0, "{} stands before {}", before.0, after.0);
        }
        let taken: Vec<_> = MEANT.iter().filter(|(name, _)| filter(name).is_some()).collect();
        assert!(taken.is_empty(), "{taken:?}");
    }

    #[test]
    fn hints_name_filters_that_exist() {
        for (name, hint) in MEANT {
            // What stands in a condition or a path is no filter.
            if hint.starts_with("write ") || *hint == RANDOM {
                continue;
            }
            let quoted = hint.split('`').nth(1).unwrap_or_default();
            for part in quoted.split(" | ") {
                let filter = part.split(':').next().unwrap_or_default();
                assert!(filters().iter().any(|known| known.name == filter), "{name}: {hint}");
            }
        }
    }

    #[test]
    fn names_of_other_tools_have_a_hint() {
        assert_eq!(meant("upper"), Some("use `upcase`"));
        assert_eq!(meant("LENGTH"), Some("use `size`"));
        assert_eq!(meant("present"), Some(BLANK));
        assert_eq!(meant("upcase"), None);
    }
}
