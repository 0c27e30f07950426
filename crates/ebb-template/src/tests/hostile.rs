//! Templates written to do harm: each ends in an error that says why, or in a small result.

use ebb_row::Value;

use super::{outcome, outcome_as, world, world_of};
use crate::{Form, Language};

/// How a render has to end.
#[derive(Clone, Copy, Debug)]
enum End {
    /// In an error that holds these words.
    Fails(&'static str),
    /// In a result of this many bytes at most.
    Small(usize),
}

use End::{Fails, Small};

const PRODUCES: End = Fails("the template produces more than 1 MiB");
const STEPS: End = Fails("the template takes more than 100000 steps");
const RANGE: End = Fails("a range has more than 10000 items");
const TEXT: End = Fails("a list or object has more than 1 MiB of text");
const FUEL: End = Fails("the template takes more steps than it may");

/// Columns that a template may turn against the engine.
const ROW: &str = r#"{"n":170141183460469231731687303715884105727,"f":1e300,"t":"a\"b\\c\u0000d","e":"","z":null,
    "l":[{"x":1},{"x":2}],"s":"1e999999999","d":1e-900}"#;

/// Renders each template and compares how it ends; all that end otherwise are told together.
fn end_so(language: Language, form: Form, cases: &[(String, End)]) {
    let world = world(ROW);
    let told: Vec<String> = cases
        .iter()
        .filter_map(|(source, end)| {
            let got = outcome_as(source, language, form, &world);
            let is_error = got.starts_with("error: ");
            let is_so = match end {
                Fails(words) => is_error && got.contains(words) && got.len() < 1024,
                Small(bytes) => !is_error && got.len() <= *bytes,
            };
            let short = |text: &str| text.chars().take(160).collect::<String>();
            (!is_so).then(|| format!("{} => {} ({} bytes), not {end:?}", short(source), short(&got), got.len()))
        })
        .collect();
    assert!(told.is_empty(), "{}", told.join("\n"));
}

fn liquid(cases: &[(String, End)]) {
    end_so(Language::Liquid, Form::Text, cases);
}

/// Repeats a tag inside a loop of 10,000 rounds.
fn looped(before: &str, body: &str) -> String {
    format!("{before}{{% for i in (1..10000) %}}{body}{{% endfor %}}")
}

#[test]
fn loops_end() {
    let nested = |tag: &str, end: &str| format!("{}x{}", tag.repeat(6), end.repeat(6));
    liquid(&[
        (nested("{% for i in (1..10000) %}", "{% endfor %}"), STEPS),
        (nested("{% tablerow i in (1..10000) cols: 1 %}", "{% endtablerow %}"), PRODUCES),
        (looped("", "{% for j in (1..10000) %}{% endfor %}"), STEPS),
        (looped("", "{% for j in (1..10000) %}{% break %}{% endfor %}"), Small(0)),
        (looped("", "{% for j in (1..10000) offset: continue %}{% continue %}{% endfor %}{{ i }}"), Small(40_000)),
        (
            looped(
                "",
                "{% ifchanged %}{{ i }}{{ 'x' | append: i }}{% endifchanged %}{% increment k %}{% decrement m %}",
            ),
            Small(200_000),
        ),
        (looped("", "{% cycle 'a', 'b' %}{% cycle 'g': 1, 2 %}"), Small(20_000)),
        (looped("", "{% case i %}{% when 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 %}x{% endcase %}"), STEPS),
        ("{{ (1..100000000000) | size }}".into(), RANGE),
        ("{% for i in (row.n..row.n) %}{{ i }}{% endfor %}".into(), Small(64)),
        ("{% for i in (0..row.n) limit: 1 %}x{% endfor %}".into(), RANGE),
        ("{% for i in (1..3) offset: row.n limit: row.n %}x{% endfor %}".into(), Small(0)),
        ("{% tablerow i in (1..3) cols: row.n %}x{% endtablerow %}".into(), Small(200)),
        ("{% for i in (1..row.f) %}x{% endfor %}".into(), Fails("range")),
        (
            looped(
                "",
                "{% for j in row.l %}{% for k in row.l %}{% for m in row.l %}x{% endfor %}{% endfor %}{% endfor %}",
            ),
            STEPS,
        ),
    ]);
}

#[test]
fn what_doubles_stops() {
    let doubled = |start: &str, filters: &str| {
        looped(&format!("{{% assign a = {start} %}}"), &format!("{{% assign a = a | {filters} %}}"))
    };
    liquid(&[
        (doubled("'xy'", "append: a"), PRODUCES),
        (doubled("'xy'", "prepend: a"), PRODUCES),
        (doubled("'xy'", "replace: 'x', a"), PRODUCES),
        (doubled("'xx'", "replace_first: 'x', a"), PRODUCES),
        (doubled("'xx'", "replace_last: 'x', a"), PRODUCES),
        (doubled("'xx'", "regex_replace: 'x+', '$0$0$0'"), PRODUCES),
        (doubled("'xx'", "regex_replace: 'x', '$0$0$0'"), STEPS),
        (doubled("'&'", "escape"), PRODUCES),
        (doubled("'%'", "url_encode"), PRODUCES),
        (doubled("'\"'", "json"), PRODUCES),
        (doubled("'x'", "base64_encode"), PRODUCES),
        (doubled("'xy'", "split: '' | join: 'xxx'"), PRODUCES),
        (doubled("'x'", "truncate: 1, a | append: a"), PRODUCES),
        (doubled("'xyz'", "split: 'y' | array_to_sentence_string: a"), PRODUCES),
        (doubled("(1..10)", "concat: a"), PRODUCES),
        (doubled("(1..10)", "push: a"), PRODUCES),
        (doubled("(1..10)", "unshift: a"), PRODUCES),
        (doubled("'1,2'", "split: ',' | join: a"), PRODUCES),
        (doubled("7", "times: a"), Fails("times: the result needs")),
        (doubled("row.d", "times: row.d"), Fails("times: the result needs")),
        (looped("", "{% capture a %}{{ a }}{{ a }}x{% endcapture %}"), PRODUCES),
        (looped("", "{% capture a %}{% ifchanged %}{{ a }}x{{ a }}{% endifchanged %}{% endcapture %}"), PRODUCES),
    ]);
}

#[test]
fn what_nests_is_refused() {
    let deep = |open: &str, close: &str| format!("{}x{}", open.repeat(1000), close.repeat(1000));
    liquid(&[
        (deep("{% if 1 %}", "{% endif %}"), Fails("blocks nest deeper than 100")),
        (deep("{% case 1 %}{% when 1 %}", "{% endcase %}"), Fails("blocks nest deeper than 100")),
        (deep("{% capture a %}", "{% endcapture %}"), Fails("blocks nest deeper than 100")),
        (deep("{% ifchanged %}", "{% endifchanged %}"), Fails("blocks nest deeper than 100")),
        (format!("{{{{ {}x{} }}}}", "a[".repeat(2000), "]".repeat(2000)), Fails("brackets nest deeper than 100")),
        (format!("{{{{ {}1{} }}}}", "(1..".repeat(2000), ")".repeat(2000)), Fails("brackets nest deeper than 100")),
        (format!("{{{{ a{} }}}}", ".b".repeat(20_000)), Small(0)),
        (format!("{{{{ row.t{} }}}}", " | upcase".repeat(6000)), Small(64)),
        (format!("{{% if {}1 %}}x{{% endif %}}", "z or ".repeat(12_000)), Small(1)),
        (deep("{% comment %}", "{% endcomment %}"), Small(64_000)),
    ]);
}

#[test]
fn widths_and_lengths_are_bounded() {
    liquid(&[
        ("{{ 'now' | date: '%1000000Y' }}".into(), Small(2_048)),
        ("{{ 'now' | date: '%99999999999999999999Y' }}".into(), Small(2_048)),
        (format!("{{{{ 'now' | date: '{}' }}}}", "%99999Y".repeat(5000)), PRODUCES),
        ("{{ 'x' | truncate: row.n }}{{ 'x' | slice: -9223372036854775807, 9223372036854775807 }}".into(), Small(8)),
        ("{{ 1.5 | round: 999999999 }}{{ 1.5 | round: -999999999 }}".into(), Small(64)),
        ("{{ row.s | plus: 1 }}{{ row.s | ceil }}{{ row.s | cast: 'number' }}".into(), Fails("cast: ")),
        ("{{ row.f | times: row.f | times: row.f | times: row.f }}".into(), Small(1_300)),
        ("{{ row.n | plus: row.n | minus: 1 | divided_by: -1 | modulo: row.n | abs }}".into(), Small(64)),
        ("{{ row.n | date: '%Y' }}{{ row.n | to_integer }}{{ row.f | to_integer | size }}".into(), Small(512)),
    ]);
}

#[test]
fn regular_expressions_are_linear_and_small() {
    liquid(&[
        ("{{ 'a' | regex_test: '((((a{99}){99}){99}){99})' }}".into(), Fails("the regular expression is too large")),
        (looped("", "{{ 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa' | regex_test: '^(a|a|aa)+$b' }}"), Small(60_000)),
        ("{{ row.t | regex_test: '(?=a)' }}".into(), Fails("the regular expression")),
        ("{{ row.t | regex_replace: '', 'xxxxxxxxxxxxxxxxxxxxxxxx' }}".into(), Small(1_024)),
    ]);
}

#[test]
fn expressions_on_items_are_counted() {
    let inner = "{{ (1..10000) | where_exp: 'a', 'a > 0' | size }}";
    liquid(&[
        (inner.into(), Small(5)),
        (inner.repeat(20), Fails("where_exp: the template")),
        (looped("", "{% assign k = (1..100) | has_exp: 'p', 'p == i' %}"), Fails("has_exp: the template takes more")),
        ("{{ (1..5000) | group_by_exp: 'p', 'p | append: p | append: p' | size }}".into(), Fails("group_by_exp: ")),
        ("{{ row.l | where_exp: 'p', 'p.x > 1 | where_exp: p, p' }}".into(), Fails("where_exp")),
        (
            "{{ (1..200) | group_by_exp: 'p', '(1..200) | where_exp: \"q\", \"q > p\" | size' | size }}".into(),
            Fails("more than"),
        ),
    ]);
}

#[test]
fn bodies_end() {
    let list = |body: &str| format!("[{{% for i in (1..10000) %}}{body}{{% endfor %}}]");
    end_so(
        Language::Liquid,
        Form::Json,
        &[
            (list(&"\"{{ row.t }}\",".repeat(10)), PRODUCES),
            (list(&"[".repeat(20)), Fails("the JSON has too many values")),
            (format!("{}1{}", "[".repeat(1000), "]".repeat(1000)), Fails("the result is not JSON")),
            (list("{% capture a %}{{ a }}{{ row.t }}{% endcapture %}\"{{ a }}\","), PRODUCES),
            ("{\"a\":\"{{ row.t }}\",\"{{ row.t }}\":{{ row.t | json }}}".into(), Small(128)),
            ("{\"a\":{{ row.t }}}".into(), Fails("a text stands where JSON has a value")),
        ],
    );
}

#[test]
fn jinja_ends() {
    end_so(
        Language::Jinja,
        Form::Text,
        &[
            ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}".into(), Fails("invalid operation")),
            ("{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}".into(), FUEL),
            ("{% for x in [[1]] recursive %}{{ loop([[1]]) }}{% endfor %}".into(), Fails("invalid operation")),
            ("{% set x = 'x' * 500000 %}{{ x ~ x ~ x }}".into(), FUEL),
            ("{{ '%1000000d' | format(1) }}".into(), Fails("a width is more than 9999")),
            (
                format!("{}1{}", "{{ ".to_owned() + &"(".repeat(500), ")".repeat(500) + " }}"),
                Fails("brackets nest deeper than 50"),
            ),
            (format!("{{{{ {}1 }}}}", "not ".repeat(2000)), Fails("operators in each other")),
            (format!("{}{}", "{% if 1 %}".repeat(500), "{% endif %}".repeat(500)), Fails("blocks nest deeper than 50")),
            ("{{ range(1000000000) | list | length }}".into(), Fails("invalid operation")),
            ("{{ (['x' * 5000] * 16000) | sha256 }}".into(), TEXT),
            ("{{ (['x' * 5000] * 16000) | append('a') }}".into(), TEXT),
            ("{{ (['x' * 3000] * 16000) | json }}".into(), TEXT),
            ("{{ (['x' * 5000] * 16000) | upper }}".into(), TEXT),
            ("{{ 'x' | replace('x', ['x' * 5000] * 16000) }}".into(), TEXT),
            ("{{ (['x' * 5000] * 16000) | join }}".into(), TEXT),
            ("{{ range(9999) | join('x' * 5000) }}".into(), PRODUCES),
            ("{% set y %}{{ ['x' * 5000] * 16000 }}{% endset %}{{ y | length }}".into(), TEXT),
            ("{{ ([row.d] * 16000) | json }}".into(), TEXT),
            ("{{ ('a,' * 300000) | split(',') | sort | join('xxxxxxxx') }}".into(), FUEL),
            (
                "{% set ns = namespace(a=[1]) %}{% for i in range(9999) %}{% set ns.a = [ns.a, ns.a] %}{% endfor %}"
                    .into(),
                FUEL,
            ),
            (
                "{{ row.t | regex_replace('((a{99}){99}){99}', 'x') }}".into(),
                Fails("the regular expression is too large"),
            ),
        ],
    );
    end_so(
        Language::Jinja,
        Form::Json,
        &[
            ("{\"a\": \"{{ row.t }}\", \"{{ row.t }}\": {{ row.l }}}".into(), Small(128)),
            ("[{% for a in range(9000) %}{{ row.l }}{{ row.l | json }},{% endfor %}]".into(), FUEL),
            ("{{ ['x' * 5000] * 16000 }}".into(), TEXT),
        ],
    );
}

#[test]
fn time_that_grows_faster_than_a_text_is_counted() {
    let world = world_of(&[
        ("digits", Value::from("1".repeat(700_000))),
        ("amps", Value::from("a&".repeat(100_000))),
        ("begins", Value::from("<script<!---->".repeat(20_000))),
        ("texts", Value::List(vec![Value::from("x".repeat(900)); 1000])),
    ]);
    for (source, end) in [
        ("{{ digits | parse }}".into(), "error: parse: the template takes more than 100000 steps"),
        (looped("", "{% assign a = texts | sha256 %}"), "error: sha256: the template takes more than 100000 steps"),
        // These are quadratic where what was once not found is looked for again: seconds, or minutes.
        ("{{ amps | escape_once | size }}".into(), "600000"),
        ("{{ begins | strip_html | size }}".into(), "140000"),
    ] {
        let got = outcome(&source, Language::Liquid, &world);
        assert!(got.starts_with(end), "{source}: {}", got.chars().take(200).collect::<String>());
    }
}
