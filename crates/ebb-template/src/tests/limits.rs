//! Every render ends, and within its bounds.

use super::{liquid, outcome, text_outcome, world};
use crate::{Language, Template};

fn fails(source: &str, data: &str, message: &str) {
    let got = text_outcome(source, Language::Liquid, &world(data));
    assert!(got.starts_with(&format!("error: {message}")), "{source}: {}", got.chars().take(200).collect::<String>());
}

const TOO_MUCH: &str = "the template produces more than 1 MiB";

#[test]
fn a_loop_that_doubles_a_text_stops() {
    fails(
        "{% assign a = 'xxxxxxxx' %}{% for i in (1..100) %}{% assign a = a | append: a %}{% endfor %}",
        "{}",
        "append: the template produces more than 1 MiB (line 1, column 51)",
    );
    fails(
        "{% assign a = 'x' %}{% for i in (1..100) %}{% capture a %}{{ a }}{{ a }}{% endcapture %}{% endfor %}",
        "{}",
        TOO_MUCH,
    );
    fails(
        "{% assign a = (1..10) %}{% for i in (1..100) %}{% assign a = a | concat: a %}{% endfor %}",
        "{}",
        "concat: the template",
    );
    fails(
        "{% assign a = 'xy' %}{% for i in (1..100) %}{% assign a = a | replace: 'x', a %}{% endfor %}",
        "{}",
        "replace: the",
    );
    fails(
        "{% assign a = 9 %}{% for i in (1..100) %}{% assign a = a | times: a %}{% endfor %}",
        "{}",
        "times: the result needs",
    );
    fails(
        "{% assign a = 0.5 %}{% for i in (1..100) %}{% assign a = a | times: d %}{% endfor %}",
        r#"{"d":1e-9000}"#,
        "times: the result needs",
    );
}

#[test]
fn a_render_is_bounded_in_steps() {
    fails(
        "{% for a in (1..1000) %}{% for b in (1..1000) %}{% assign x = b %}{% endfor %}{% endfor %}",
        "{}",
        "the template takes more than 100000 steps",
    );
    let long = format!(r#"{{"t":"{}"}}"#, "x".repeat(1_000_000));
    fails("{% for a in (1..10000) %}{% assign x = row.t | size %}{% endfor %}", &long, "size: the template takes more");
}

#[test]
fn ranges_nesting_and_source_are_bounded() {
    fails("{{ (1..10001) | size }}", "{}", "a range has more than 10000 items");
    fails("{{ (1..n) | size }}", r#"{"n":170141183460469231731687303715884105727}"#, "a range has more");
    fails(&"{% if true %}".repeat(200), "{}", "blocks nest deeper than 100");
    fails(&format!("{{{{ a{}", "[a".repeat(5000)), "{}", "`{{` is not closed");
    fails(&format!("{{{{ a{}{} }}}}", "[a".repeat(5000), "]".repeat(5000)), "{}", "brackets nest deeper than 100");
    let deep = format!("{}x{}", "{% if true %}".repeat(100), "{% endif %}".repeat(100));
    assert_eq!(text_outcome(&deep, Language::Liquid, &world("{}")), "x");
    let condition = format!("{{% if {} a %}}x{{% endif %}}", "a and ".repeat(9000));
    assert_eq!(text_outcome(&condition, Language::Liquid, &world("{}")), "");
    assert!(Template::parse(&"x".repeat(64 * 1024), Language::Liquid).is_ok());
    let error = Template::parse(&"x".repeat(64 * 1024 + 1), Language::Liquid).expect_err("too long");
    assert_eq!(error.to_string(), "the template is longer than 64 KiB (line 1, column 1)");
}

#[test]
fn a_cell_beyond_the_bound_is_still_a_value() {
    let long = format!(r#"{{"t":"{}"}}"#, "x".repeat(2_000_000));
    let value = liquid("{{ row.t }}").render(&world(&long)).expect("a value");
    assert_eq!(value.as_text().map(str::len), Some(2_000_000));
    fails("{{ row.t }}", &long, TOO_MUCH);
}

#[test]
fn regular_expressions_are_bounded() {
    let got = outcome("{{ 'a' | regex_test: '(a{1000}){1000}' }}", Language::Liquid, &world("{}"));
    assert!(got.starts_with("error: the regular expression is too large"), "{got}");
    fails(
        "{% assign a = 'xx' %}{% for i in (1..60) %}{% assign a = a | regex_replace: 'x', '$0$0' %}{% endfor %}",
        "{}",
        "regex_replace: the template",
    );
}

#[test]
fn a_jinja_template_that_keeps_values_ends_early() {
    for (rounds, ends) in [(200, false), (2_000, true)] {
        let source = format!(
            "{{% set ns = namespace(x=0) %}}{{% for i in range({rounds}) %}}{{% set ns.x = ns.x + i %}}{{% endfor %}}{{{{ ns.x }}}}"
        );
        let got = outcome(&source, Language::Jinja, &world("{}"));
        assert_eq!(got.starts_with("error: the template takes more steps than it may"), ends, "{got}");
    }
    let plain = "{% for i in range(9000) %}.{% endfor %}";
    assert_eq!(text_outcome(plain, Language::Jinja, &world("{}")).len(), 9000);
}

#[test]
fn jinja_is_bounded_too() {
    for source in [
        "{% set ns = namespace(x='xxxxxxxx') %}{% for i in range(100) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}{{ ns.x }}",
        "{{ 'x' * 100000000 }}",
        "{{ ('x' * 100000000) | length }}",
        "{% for a in range(10000) %}{% for b in range(10000) %}x{% endfor %}{% endfor %}",
        "{% set ns = namespace(x='xxxxxxxx') %}{% for i in range(100) %}{% set ns.x = ns.x | append(ns.x) %}{% endfor %}",
        "{{ [1] * 90000000 }}",
    ] {
        let got = outcome(source, Language::Jinja, &world("{}"));
        assert!(got.starts_with("error: "), "{source}: {}", got.chars().take(200).collect::<String>());
    }
}

#[test]
fn looking_at_long_values_counts_as_work() {
    let blank = format!(
        "{}{{% endfor %}}{{% endcapture %}}",
        "{% capture s %}{% for i in (1..10000) %}".to_owned() + &" ".repeat(40) + "{{ '' }}"
    );
    let over = "the template takes more than 100000 steps";
    let rounds = |test: &str| {
        format!("{blank}{{% for i in (1..9000) %}}{{% for j in (1..3) %}}{test}{{% endfor %}}{{% endfor %}}")
    };
    for test in [
        "{% if s == blank %}{% endif %}",
        "{% if s contains 'x' %}{% endif %}",
        "{% if row.l contains 'x' %}{% endif %}",
        "{% if row.l == row.l %}{% endif %}",
        "{{ row.size }}",
        "{% cycle s: 1, 2 %}",
    ] {
        let list = vec!["0"; 20_000].join(",");
        fails(&rounds(test), &format!(r#"{{"l":[{list}]}}"#), over);
    }
}

#[test]
fn loops_inside_loops_hold_a_bounded_number_of_items() {
    let list = vec!["0"; 7_000].join(",");
    let nested = "{% for a in row.l %}{% for b in row.l %}{% for c in row.l %}{% break %}{% endfor %}{% break %}{% endfor %}{% break %}{% endfor %}";
    assert_eq!(text_outcome(nested, Language::Liquid, &world(&format!(r#"{{"l":[{list}]}}"#))), "");
    let deep = format!("{}{}", "{% for a in row.l %}".repeat(5), "{% break %}{% endfor %}".repeat(5));
    fails(&deep, &format!(r#"{{"l":[{list}]}}"#), "the template produces more than 1 MiB");
    let ranges = format!("{}{}", "{% for a in (1..10000) %}".repeat(50), "{% break %}{% endfor %}".repeat(50));
    assert_eq!(text_outcome(&ranges, Language::Liquid, &world("{}")), "");
}
