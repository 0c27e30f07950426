//! Jinja sees the same cells and gives the same types.

use bigdecimal::BigDecimal;
use ebb_row::Value;

use super::{outcome, shown, text_outcome, world, world_of};
use crate::{Language, Names, Template};

fn decimal(text: &str) -> Value {
    Value::from(text.parse::<BigDecimal>().expect("a number"))
}

#[test]
fn numbers_keep_their_digits() {
    let world = world_of(&[
        ("big", Value::Int(i128::MAX)),
        ("price", decimal("12.50")),
        ("huge", decimal("12345678901234567890.123456789")),
    ]);
    let check =
        |source: &str, expected: &str| assert_eq!(outcome(source, Language::Jinja, &world), expected, "{source}");
    check("{{ row.big }}", "170141183460469231731687303715884105727");
    check("{{ row.price * 2 }}", "25");
    check("{{ row.huge }}", "12345678901234567890.123456789");
    check("{{ row.huge | plus(1) }}", "12345678901234567891.123456789");
    check("{{ [row.huge] }}", "[12345678901234567890.123456789]");
    assert_eq!(text_outcome("= {{ row.huge }}", Language::Jinja, &world), "= 12345678901234567890.123456789");
    assert!(outcome("{{ row.huge * 2 }}", Language::Jinja, &world).starts_with("error: tried to use * operator"));
}

#[test]
fn errors_hold_no_cell_value() {
    let world = world(r#"{"secret":"hunter2"}"#);
    for source in [
        "{{ secret | int }}",
        "{{ secret + 1 }}",
        "{{ secret | cast('number') }}",
        "{{ secret.x.y }}",
        "{{ secret() }}",
        "{{ range(secret) }}",
        "{{ secret | map(attribute='x') | list }}",
        "{{ [1] | join(secret) | float }}",
        "{{ secret is secret }}",
        "{{ secret | format(1) | date(secret, secret) }}",
        "{{ secret | batch(secret) | list }}",
    ] {
        let Ok(template) = Template::parse(source, Language::Jinja) else { continue };
        if let Err(error) = template.render(&world) {
            assert!(!shown(&error).contains("hunter2"), "{source}: {}", shown(&error));
        }
    }
}

#[test]
fn a_template_renders_many_rows() {
    let template =
        Template::parse("{% for i in row.a %}{{ i | append('!') }}{% endfor %}", Language::Jinja).expect("valid");
    for count in 1..20 {
        let row = format!(r#"{{"a":[{}]}}"#, vec!["\"x\""; count].join(","));
        assert_eq!(template.render_text(&world(&row)).expect("a text"), "x!".repeat(count));
    }
}

#[test]
fn an_unknown_name_is_told_where_it_stands() {
    let names = Names { columns: Some(&["a"]), roots: Some(&["context"]) };
    for (source, place) in [
        ("{% for x in row.a %}{{ loop.index }}{% endfor %}\n{{ loop }}", "(line 2, column 1)"),
        ("word zed\n{{ row.a }}{{ zed }}", "(line 2, column 12)"),
        ("{% raw %}{{ zed }}{% endraw %}\n{{ row.a ~ zed }}", "(line 2, column 1)"),
    ] {
        let template = Template::parse(source, Language::Jinja).expect("valid");
        let told: Vec<String> = template.check(&names).iter().map(shown).collect();
        assert!(told.len() == 1 && told.iter().all(|text| text.contains(place)), "{source}: {told:?}");
    }
}
