//! JSON bodies: what is found without a row, and what they read.

use super::{shown, world};
use crate::{Form, Language, Names, Template};

fn faults(source: &str) -> Vec<String> {
    let template = Template::parse_as(source, Language::Liquid, Form::Json).expect("it parses");
    template.check(&Names { columns: Some(&["a", "b"]), roots: Some(&["context"]) }).iter().map(shown).collect()
}

#[test]
fn json_that_no_row_makes_right_is_found_without_one() {
    assert_eq!(
        faults("{\n  \"a\": {{ row.a }}\n  \"b\": {{ row.b }}\n}"),
        ["the result is not JSON: expected `,` or `}` (line 3, column 3)"]
    );
    assert_eq!(
        faults("{ a: {{ row.a }} }"),
        ["the result is not JSON: expected a field name in quotes (line 1, column 3)"]
    );
    assert_eq!(
        faults("{ \"a\": \"{{ row.a }} }"),
        ["the result is not JSON: expected a closing quote (line 1, column 22)"]
    );
    assert_eq!(faults("{ \"a\": 1, \"a\": 2 }"), ["the result names a field twice (line 1, column 11)"]);
    assert_eq!(faults("just words"), ["the result is not JSON: expected a JSON value (line 1, column 1)"]);
    assert_eq!(
        faults("{ \"a\": {{ row.c }} }"),
        ["unknown column `c` (line 1, column 8)\nhint: did you mean `a`?"],
        "names are checked too"
    );
}

#[test]
fn json_that_a_row_may_make_right_passes() {
    for source in [
        "{ \"a\": {{ row.a }}, \"{{ row.a }}\": \"{{ row.b }}{{ row.a }}\", {{ row.a | json }}: {{ row.b }}, }",
        "{ \"a\": -{{ row.a }}, \"b\": 1{{ row.b }} }",
        "{ {{ row.a | raw }} }",
        "{ {% if row.a %}\"a\": 1{% endif %} }",
        "{% assign x = row.a %}{% capture y %}{{ x }},{% endcapture %} [ {{ x }}, \"{{ y }}\" ] ",
        "{{ row.a }}",
        "{ \"line{{ row.a }}\": 1, \"line2\": 2, \"line1\": 2 }",
    ] {
        assert_eq!(faults(source), Vec::<String>::new(), "{source}");
    }
}

#[test]
fn a_body_is_no_expression_and_prints_as_json() {
    let template = Template::parse_as("{{ row.a }}", Language::Liquid, Form::Json).expect("it parses");
    assert!(!template.is_expression());
    assert_eq!(template.lone_column(), None);
    assert_eq!(template.render_text(&world(r#"{"a":" [1, 2]"}"#)).as_deref(), Ok("[1,2]"));
}

#[test]
fn a_long_loop_of_small_outputs_stays_within_its_bytes() {
    let source = "[{% for i in (1..9000) %}{% for j in (1..5) %}{{ i }},{% endfor %}{% endfor %}]";
    let template = Template::parse_as(source, Language::Liquid, Form::Json).expect("it parses");
    let error = template.render(&world("{}")).expect_err("too much to remember");
    assert_eq!(error.message, "the template produces more than 1 MiB");
}
