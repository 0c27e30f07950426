//! What a template reads, and the names it may not.

use std::collections::BTreeSet;

use super::{liquid, shown};
use crate::{Form, Language, Names, Reads, Template};

fn check(source: &str, language: Language, expected: &[&str]) {
    let names = Names { columns: Some(&["id", "name", "mrr cents", "items"]), roots: Some(&["context"]) };
    let template = Template::parse(source, language).expect("valid");
    let got: Vec<String> = template.check(&names).iter().map(shown).collect();
    assert_eq!(got, expected, "{source}");
}

fn reads(source: &str, language: Language, columns: &[&str], every_column: bool, run_dependent: bool) {
    let template = Template::parse(source, language).expect("valid");
    let columns: BTreeSet<String> = columns.iter().map(|column| (*column).to_owned()).collect();
    assert_eq!(template.reads(), Reads { columns, every_column, run_dependent }, "{source}");
}

#[test]
fn known_names_pass() {
    let source = "{{ row.id }}{{ record['mrr cents'] }}{{ name }}{{ context.sync }}{{ ['mrr cents'] }}\
        {% for item in row.items %}{{ item.x }}{{ forloop.index }}{% endfor %}\
        {% assign total = 1 %}{{ total }}{% capture text %}{% endcapture %}{{ text }}{% increment n %}{{ n }}";
    check(source, Language::Liquid, &[]);
    check(
        "{{ row.id }}{{ name }}{% for i in row['items'] %}{{ i.x }}{{ loop.index }}{% endfor %}",
        Language::Jinja,
        &[],
    );
}

#[test]
fn unknown_names_are_all_told_with_the_nearest_one() {
    check(
        "{{ row.nmae }}\n  {{ nam }} {% if record['zzz'] %}{% elsif context.run %}{% endif %}",
        Language::Liquid,
        &[
            "unknown column `nmae` (line 1, column 1)\nhint: did you mean `name`?",
            "unknown variable `nam` (line 2, column 3)\nhint: did you mean `name`?",
            "unknown column `zzz` (line 2, column 13)",
            "`context` has no `run` (line 2, column 35)\nhint: it has `sync`, `run_id` and `run_time`",
        ],
    );
    check(
        "{{ row.id | append: row.di }}",
        Language::Liquid,
        &["unknown column `di` (line 1, column 1)\nhint: did you mean `id`?"],
    );
    check(
        "{% for x in row.items %}{% endfor %}{{ x }}",
        Language::Liquid,
        &["unknown variable `x` (line 1, column 37)"],
    );
    check(
        "{{ row.id }}\n{{ row.nmae }} {{ row['zzz'] }} {{ other }}",
        Language::Jinja,
        &[
            "unknown column `nmae` (line 2, column 1)\nhint: did you mean `name`?",
            "unknown column `zzz` (line 2, column 16)",
            "unknown variable `other` (line 2, column 33)",
        ],
    );
}

#[test]
fn what_is_not_known_is_not_checked() {
    let template = liquid("{{ row.anything }}{{ other.thing }}");
    assert!(template.check(&Names::default()).is_empty());
    assert_eq!(template.check(&Names { columns: Some(&["a"]), roots: None }).len(), 1);
    assert_eq!(template.check(&Names { columns: None, roots: Some(&[]) }).len(), 0);
}

#[test]
fn columns_are_found_wherever_they_are_read() {
    let source = "{{ row.a | append: row.b }}{% if c > record['d'] %}{% endif %}{% case row.e %}{% when row.f %}{% endcase %}\
        {% for x in row.g limit: row.h %}{{ x.y }}{{ row.list[row.i] }}{% endfor %}{% assign z = row.j %}{% cycle row.k, 'x' %}";
    let columns = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "list"];
    reads(source, Language::Liquid, &columns, false, false);
    reads("{{ row.a.b.c }}{{ row['x y'] }}{{ bare }}", Language::Jinja, &["a", "bare", "x y"], false, false);
}

#[test]
fn a_row_as_a_whole_reads_every_column() {
    for source in [
        "{{ row | json }}",
        "{{ row[row.a] }}",
        "{% for pair in row %}{% endfor %}",
        "{% assign r = row %}",
        "{{ [name] }}",
    ] {
        assert!(liquid(source).reads().every_column, "{source}");
    }
    for source in
        ["{{ row | tojson }}", "{{ row[name] }}", "{% for k in row %}{{ k }}{% endfor %}", "{% set r = row %}{{ r.x }}"]
    {
        assert!(Template::parse(source, Language::Jinja).expect("valid").reads().every_column, "{source}");
    }
}

#[test]
fn what_depends_on_the_run_is_known() {
    reads("{{ context.run_id }}", Language::Liquid, &[], false, true);
    reads("{{ context['run_time'] | date: '%Y' }}", Language::Liquid, &[], false, true);
    reads("{{ context | json }}", Language::Liquid, &[], false, true);
    reads("{{ context.sync }}", Language::Liquid, &[], false, false);
    reads("{{ 'now' | date: '%Y' }}", Language::Liquid, &[], false, true);
    reads("{% assign t = 'today' %}{{ t | date: '%Y' }}", Language::Liquid, &["t"], false, true);
    reads("{{ row.a | default: 'now' | date: '%Y' }}", Language::Liquid, &["a"], false, true);
    reads("{{ row.a | replace: 'now', 'later' }}", Language::Liquid, &["a"], false, false);
    reads("{% if row.a == 'now' %}{{ row.b | date: '%Y' }}{% endif %}", Language::Liquid, &["a", "b"], false, false);
    reads("{{ context.run_id }}", Language::Jinja, &[], false, true);
    reads("{{ context.sync }}", Language::Jinja, &[], false, false);
    reads("{{ 'now' | date('%Y') }}", Language::Jinja, &[], false, true);
}

#[test]
fn a_lone_column_is_seen() {
    let lone = |source, language| {
        let template = Template::parse(source, language).expect("valid");
        template.lone_column().map(str::to_owned)
    };
    for language in [Language::Liquid, Language::Jinja] {
        assert_eq!(lone("{{ row.x }}", language).as_deref(), Some("x"));
        assert_eq!(lone(" {{- record['a b'] -}}\n", language).as_deref(), Some("a b"));
        for source in [
            "{{ row.x.y }}",
            "{{ x }}",
            "a{{ row.x }}",
            "{{ row.x }}{{ row.y }}",
            "{{ row[x] }}",
            "{{ row.x | upper }}",
        ] {
            if language == Language::Jinja || !source.contains("upper") {
                assert_eq!(lone(source, language), None, "{source}");
            }
        }
    }
    assert_eq!(lone("{{ row.x | upcase }}", Language::Liquid), None);
}

#[test]
fn an_expression_is_one_output_and_nothing_else() {
    let is = |source, language| Template::parse(source, language).expect("valid").is_expression();
    for language in [Language::Liquid, Language::Jinja] {
        for source in ["{{ row.x }}", "\n {{- row.x -}} ", "{{ '}}' }}"] {
            assert!(is(source, language), "{source}");
        }
        for source in ["", "x", "{{ a }}.", "{{ a }}{{ b }}", "{% if a %}{{ a }}{% endif %}", "{{ '{{' }} {{ '}}' }}"] {
            assert!(!is(source, language), "{source}");
        }
    }
    assert!(!is("{% comment %}{% endcomment %}{{ a }}", Language::Liquid));
    assert!(!is("{% echo a %}", Language::Liquid));
}

#[test]
fn every_fault_of_a_template_is_told_at_once() {
    let told = |source: &str| {
        let names = Names { columns: Some(&["plan", "l"]), roots: Some(&["context"]) };
        let faults = Template::faults(source, Language::Liquid, Form::Value, &names);
        faults.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(
        told(
            "{{ plan | upcas }}{{ row.plna }}\n{% if plan = 1 %}{{ plan | append }}{% endif %}{% for x l %}{{ x }}{% endfor %}"
        ),
        [
            "unknown filter `upcas` (line 1, column 1)",
            "unknown column `plna` (line 1, column 19)",
            "unexpected `=` (line 2, column 1)",
            "filter `append` takes 1 argument, not 0 (line 2, column 18)",
            "`in` is missing after `for x` (line 2, column 48)",
        ]
    );
    assert_eq!(
        told("{{ a | upcas }}{% if %}"),
        [
            "unknown filter `upcas` (line 1, column 1)",
            "a value is missing (line 1, column 16)",
            "`if` is not closed by `endif` (line 1, column 16)",
        ]
    );
    assert_eq!(
        told("{{ plan | upcas }}{{ plan | default('x') }}"),
        [
            "`default(…)` is a call; Liquid writes `default: …`; this looks like Jinja: set `language: jinja` (line 1, column 19)"
        ]
    );
    assert_eq!(told("{{ plan | upcase }}"), Vec::<String>::new());
}
