//! What a render holds at its worst, and how deep it calls: templates that grow values end within both bounds.
//!
//! A binary of its own, since the allocator counts all threads together.

use std::sync::{Mutex, PoisonError};
use std::thread;

use ebb_row::{Row, Value, parse_json};
use ebb_template::{Form, Language, Root, Template, TemplateError, Variables};
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// The most bytes that a render may hold beyond what was there before.
const HELD_BYTES: usize = 2 * 1024 * 1024;
/// Half the stack of the threads that render in the product.
const STACK_BYTES: usize = 1024 * 1024;
/// minijinja's calls need several times as much without optimisation.
const JINJA_STACK_BYTES: usize = if cfg!(debug_assertions) { 4 * STACK_BYTES } else { STACK_BYTES };

/// One test at a time: they share the allocator.
static ONE: Mutex<()> = Mutex::new(());

struct Cells(Row);

impl Variables for Cells {
    fn root(&self, name: &str) -> Option<Root<'_>> {
        (name == "row").then_some(Root::Row(&self.0))
    }
}

fn cells() -> Cells {
    let text = format!(r#"{{"t":"{}","n":1000000,"l":[1,2,3],"o":{{"a":1}},"c":"a,b"}}"#, "x".repeat(1000));
    let Ok(Value::Object(cells)) = parse_json(&text, false) else { panic!("the cells are JSON") };
    Cells(Row::new(cells.keys().cloned().collect(), cells.values().cloned().collect()))
}

/// Renders and returns the result and the bytes held at the worst moment.
fn held(source: &str, language: Language, form: Form) -> (Result<Value, TemplateError>, usize) {
    held_of(&cells(), source, language, form)
}

fn held_of(cells: &Cells, source: &str, language: Language, form: Form) -> (Result<Value, TemplateError>, usize) {
    let template = Template::parse_as(source, language, form).unwrap_or_else(|error| panic!("{source}: {error}"));
    // What is made once for all renders does not count.
    drop(template.render(cells));
    let before = ALLOCATOR.current_usage();
    ALLOCATOR.reset_peak_usage();
    let result = template.render(cells);
    (result, ALLOCATOR.peak_usage().saturating_sub(before))
}

fn check(sources: &[&str], language: Language, bound: usize) {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut faults = Vec::new();
    for source in sources {
        for form in [Form::Value, Form::Text] {
            let (result, held) = held(source, language, form);
            if held >= bound {
                faults.push(format!("{source}\n  as {}: {held} bytes", form.word()));
            }
            if let Ok(value) = result {
                faults.push(format!("{source}\n  as {}: ends with a {:?}", form.word(), value.kind()));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn liquid_that_doubles_holds_less_than_2_mib() {
    check(
        &[
            "{% assign a = 'xxxxxxxx' %}{% for i in (1..100) %}{% assign a = a | append: a %}{% endfor %}",
            "{% assign a = 'xxxxxxxx' %}{% for i in (1..100) %}{% assign a = a | prepend: a %}{% endfor %}",
            "{% assign a = 'x' %}{% for i in (1..100) %}{% capture a %}{{ a }}{{ a }}{% endcapture %}{% endfor %}",
            "{% assign a = 'xy' %}{% for i in (1..100) %}{% assign a = a | replace: 'x', a %}{% endfor %}",
            "{% assign a = 'xy' %}{% for i in (1..100) %}{% assign a = a | regex_replace: 'x', '$0$0' %}{% endfor %}",
            "{% assign a = '<' %}{% for i in (1..100) %}{% assign a = a | escape | append: a %}{% endfor %}",
            "{% assign a = 'a' %}{% for i in (1..100) %}{% assign a = a | base64_encode %}{% endfor %}",
            "{% assign a = 'a ' %}{% for i in (1..100) %}{% assign a = a | url_encode | append: a %}{% endfor %}",
            "{% assign a = (1..10) %}{% for i in (1..100) %}{% assign a = a | concat: a %}{% endfor %}",
            "{% assign a = 'a,b' | split: ',' %}{% for i in (1..100) %}{% assign a = a | join: t | split: '' %}{% endfor %}",
            "{% assign a = 'x' %}{% for i in (1..100) %}{% assign a = a | json | append: a %}{% endfor %}",
            "{% for i in (1..10000) %}{{ t }}{% endfor %}",
        ],
        Language::Liquid,
        HELD_BYTES,
    );
}

/// Renders each template for a row of one column `t` and returns those that hold too much.
fn heavy(cell: &Value, sources: &[&str]) -> Vec<String> {
    let cells = Cells(Row::new(["t".into()].into(), [cell.clone()].into()));
    let held = |source: &&str| {
        let (result, held) = held_of(&cells, source, Language::Liquid, Form::Value);
        let end = result.map_or_else(|error| error.to_string(), |value| value.kind().to_string());
        (held >= HELD_BYTES).then(|| format!("{source}: {held} bytes ({end})"))
    };
    sources.iter().filter_map(held).collect()
}

#[test]
fn filters_on_a_long_text_hold_less_than_2_mib() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let words = [
        "split: ' '",
        "split: ''",
        "split: 'a'",
        "truncatewords: 99999999",
        "truncatewords: 9999",
        "truncate: 99999999",
        "json",
        "escape",
        "escape_once",
        "url_encode",
        "url_decode",
        "newline_to_br",
        "base64_encode",
        "base64_url_safe_encode",
        "base64_url_safe_decode",
        "regex_replace: '.', '$0$0'",
        "regex_replace: '', 'xy'",
        "regex_replace: '.', ''",
        "replace: 'a', 'bcd'",
        "replace: '', 'b'",
        "replace_first: 'a', t",
        "remove: 'a'",
        "append: t",
        "upcase",
        "downcase",
        "capitalize",
        "squish",
        "strip_html",
        "strip_newlines",
        "parse",
        "slice: 1, 99999999",
        "uniq",
        "sort_natural",
        "array_to_sentence_string",
        "date: t",
    ];
    let sources: Vec<String> = words.iter().map(|filter| format!("{{{{ t | {filter} }}}}")).collect();
    let sources: Vec<&str> = sources.iter().map(String::as_str).collect();
    let mut faults = Vec::new();
    for unit in ["a ", "a", " ", "&", "\"", "\n", "\u{1}", "\u{390}", "<a", "[1],", "%A", "\u{20ac}"] {
        faults.extend(heavy(&Value::from(unit.repeat(500_000 / unit.len())), &sources));
    }
    for (start, unit, end) in
        [("[", "1,", "1]"), ("[", "[],", "1]"), ("{", "\"a\":1,", "\"b\":1}"), ("[", "\"\",", "1]")]
    {
        let json = [start, &unit.repeat(300_000 / unit.len()), end].concat();
        faults.extend(heavy(&Value::from(json), &["{{ t | parse }}", "{{ t | parse | size }}"]));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn filters_on_a_long_list_hold_less_than_2_mib() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let filters = [
        "map: 'x'",
        "where: 'y'",
        "reject: 'z'",
        "find: 'y'",
        "sort: 'n'",
        "sort_natural: 'n'",
        "sort_natural: 'x'",
        "uniq",
        "uniq: 'x'",
        "compact",
        "reverse",
        "concat: t",
        "push: t",
        "pop",
        "shift",
        "first",
        "last",
        "slice: 0, 99",
        "group_by: 'n'",
        "group_by: 'x'",
        "group_by_exp: 'p', 'p.n'",
        "group_by_exp: 'p', 'p.x'",
        "where_exp: 'p', 'p.y'",
        "find_exp: 'p', 'p.y'",
        "join",
        "array_to_sentence_string",
        "json",
        "sha256",
        "append: 'x'",
        "size",
    ];
    let sources: Vec<String> = filters.iter().map(|filter| format!("{{{{ t | {filter} }}}}")).collect();
    let mut sources: Vec<&str> = sources.iter().map(String::as_str).collect();
    sources.extend([
        "{% assign r = (1..10000) %}{{ (1..900) | group_by_exp: 'p', 'r' | size }}",
        "{{ (1..900) | group_by_exp: 'p', 't' | size }}",
        "{{ t[0] | only: 'x', 'n' }}{{ t[0] | except: 'y' }}",
        "{{ (1..900) | where_exp: 'p', 't' | size }}",
    ]);
    let mut faults = Vec::new();
    let nulls = ["null"; 1000].join(",");
    let texts = [r#""\u0001\u0001\u0001\u0001\u0001""#; 1000].join(",");
    for inner in [nulls, texts] {
        for count in [1, 10, 100] {
            let items: Vec<String> = (0..count).map(|n| format!(r#"{{"x":[{inner}],"n":{n},"y":true}}"#)).collect();
            let list = parse_json(&format!("[{}]", items.join(",")), false).expect("JSON");
            faults.extend(heavy(&list, &sources));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn jinja_that_doubles_holds_less_than_2_mib() {
    let grows = "{% set ns = namespace(x='xxxxxxxx', l=[1, 2]) %}{% for i in range(100) %}";
    let each: Vec<String> = [
        "{% set ns.x = ns.x ~ ns.x %}",
        "{% set ns.x = ns.x + ns.x %}",
        "{% set ns.x = ns.x * 2 %}",
        "{% set ns.x = [ns.x, ns.x] | join %}",
        "{% set ns.x = ns.x | replace('x', ns.x) %}",
        "{% set ns.x = '%s%s' | format(ns.x, ns.x) %}",
        "{% set ns.x = (ns.x ~ '\\n' ~ ns.x) | indent(ns.x | length) %}",
        "{% set ns.x = ns.x | append(ns.x) %}",
        "{% set ns.x = [ns.x, ns.x] | tojson %}",
        "{% set ns.x = [ns.x, ns.x] | string %}",
        "{% set ns.x = [ns.x, ns.x] | pprint %}",
        "{% set ns.x = ('<' ~ ns.x ~ ns.x) | escape | string %}",
        "{% set y %}{{ ns.x }}{{ ns.x }}{% endset %}{% set ns.x = y %}",
        "{% set ns.x = ns.x | list | join('xx') %}",
        "{% set ns.l = ns.l + ns.l %}{{ ns.l | join | length }}",
        "{% set ns.l = (ns.l * 2) | list %}",
        "{% set ns.l = ns.l | zip(ns.l) | list + ns.l | list %}{{ ns.l | string | length }}",
        "{% set ns.l = [ns.l, ns.l] %}{{ ns.l | string | length }}",
        "{% set ns.l = ns.l | chain(ns.l) | list %}",
        "{% set ns.l = ns.l | batch(1) | list %}{% set ns.l = ns.l + ns.l %}{{ ns.l | list | length }}",
    ]
    .iter()
    .map(|step| format!("{grows}{step}{{% endfor %}}{{{{ ns.x }}}}{{{{ ns.l | string }}}}"))
    .collect();
    let mut sources: Vec<&str> = each.iter().map(String::as_str).collect();
    sources.extend([
        "{{ 'x' * 100000000 }}",
        "{{ 'x' * row.n }}{{ 'x' * row.n }}",
        "{{ ('x' * row.n) | length }}{{ ('x' * row.n) | length }}",
        "{{ row.t * 1040 }}{{ row.t * 1040 }}",
        "{{ [1] * 90000000 }}",
        "{{ ([1] * row.n) | list | length }}",
        "{{ ([1] * row.n) | join(row.t) }}",
        "{{ range(99999) | list | length }}{{ range(99999) | list | length }}{{ range(99999) | join(row.t) }}",
        "{{ range(99999) | batch(1) | list | length }}",
        "{{ range(9999) | batch(1) | list | length }}",
        "{{ range(4999) | batch(1) | list | length }}{{ range(4999) | batch(1) | list | length }}",
        "{{ range(99999) | map('string') | join(row.t) }}",
        "{{ '%1000000s' | format(1) }}{{ '%1000000s' | format(1) }}",
        "{{ 'x' | indent(100000000, true) }}",
        "{{ row.t | replace('', row.t) | replace('', row.t) }}",
        "{{ row.t | replace('x', row.t) | replace('x', row.t) }}",
        "{{ row.t | list | join(row.t) | list | join(row.t) }}",
        "{{ row.l | map('append', row.t * 300) | list | join(row.t * 300) | append('x' * 900000) }}",
        "{% macro m(x) %}{{ x }}{{ x }}{% endmacro %}{{ m(m(m(m(m(m(m(m(m(m(m(row.t))))))))))) }}",
        "{% macro m(x, n) %}{% if n > 0 %}{{ m(x ~ x, n - 1) }}{% else %}{{ x }}{% endif %}{% endmacro %}{{ m(row.t, 20) }}",
        "{% for a in range(10000) %}{{ row.t }}{% endfor %}",
        "{% for a in range(10000) %}{% for b in range(10000) %}x{% endfor %}{% endfor %}",
        "{{ dict(a=row.t * 900) | tojson }}",
    ]);
    check(&sources, Language::Jinja, HELD_BYTES);
}

/// Renders in a thread of a small stack; the value is dropped there too.
fn renders_in_a_small_stack(source: &str, language: Language) {
    let source = source.to_owned();
    let bytes = if language == Language::Jinja { JINJA_STACK_BYTES } else { STACK_BYTES };
    let thread = thread::Builder::new().stack_size(bytes).spawn(move || {
        let Ok(template) = Template::parse(&source, language) else { return };
        drop(template.render(&cells()));
        drop(template.render_text(&cells()));
    });
    thread.expect("a thread starts").join().expect("the render ends");
}

#[test]
fn values_that_nest_do_not_overflow_the_stack() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let nests = [
        "{% set ns.x = [ns.x] %}",
        "{% set ns.x = [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[ns.x]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]] %}",
        "{% set ns.x = ((((((((ns.x,),),),),),),),) %}",
        "{% set ns.x = {'a': {'a': {'a': {'a': ns.x}}}} %}",
        "{% set ns.x = dict(a=dict(a=ns.x)) %}",
        "{% set ns.x = namespace(a=ns.x) %}",
        "{% set ns.x = ns.x + [ns.x] %}",
        "{% set ns.x = [ns.x] * 2 %}",
        "{% set ns.x = [ns.x] | chain([1]) %}",
        "{% set ns.x = [ns.x] | map('first') %}",
        "{% set ns.x = [ns.x] | zip([1]) %}",
        "{% set ns.x = [ns.x] | reverse %}",
        "{% set ns.x = [[ns.x]] | batch(1) %}",
        "{% set ns.x = [ns.x][:1] %}",
    ];
    let uses = [
        "",
        "{{ ns.x }}",
        "{{ ns.x | tojson }}",
        "{{ ns.x | pprint }}",
        "{{ ns.x | json }}",
        "{{ ns.x | string | length }}",
        "{{ ns.x == ns.x }}{{ [ns.x] == [ns.x, 1] }}",
        "{{ ns.x | sum }}{{ ns.x | list | sort }}{{ ns.x | unique | list }}",
    ];
    for nest in nests {
        for used in uses {
            // Some rounds end before the fuel does, so that what was nested is used.
            for rounds in [60, 300, 100_000] {
                let source = format!(
                    "{{% set ns = namespace(x=[1]) %}}{{% for i in range({rounds}) %}}{nest}{{% endfor %}}{used}"
                );
                renders_in_a_small_stack(&source, Language::Jinja);
            }
        }
    }
}

#[test]
fn templates_that_nest_do_not_overflow_the_stack() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let deep = format!("{}1{}", "[".repeat(50), "]".repeat(50));
    for source in [
        format!("{{{{ {deep} }}}}"),
        format!("x{{{{ {deep} }}}}"),
        format!("{{{{ {deep} | tojson }}}}"),
        format!("{}x{}", "{% if true %}".repeat(50), "{% endif %}".repeat(50)),
        format!("{}x{}", "{% for a in [1] %}".repeat(50), "{% endfor %}".repeat(50)),
        format!("{{{{ {}row.n{} }}}}", "(".repeat(50), ")".repeat(50)),
        format!("{{{{ {}row.n }}}}", "not ".repeat(5000)),
        format!("{{{{ {}row.n }}}}", "-".repeat(5000)),
        format!("{{{{ {}1{} }}}}", "[".repeat(140), "]".repeat(140)),
        format!("{}x{}", "{% if true %}".repeat(140), "{% endif %}".repeat(140)),
        format!("{{% if a %}}{}{{% endif %}}", "{% elif a %}".repeat(240)),
        format!("{{% if a %}}{}{{% endif %}}", "{% elif a %}".repeat(4000)),
        format!("{{{{ {}row.n }}}}", "not ".repeat(240)),
        format!("{{{{ {}row.n }}}}", "-".repeat(240)),
        format!("{{{{ row.n{} }}}}", "|abs".repeat(240)),
        format!("{{{{ row.n{} }}}}", " + 1".repeat(240)),
        format!("{{{{ row.n{} }}}}", " ** 1".repeat(120)),
        format!("{{{{ row.n{} }}}}", "[0]".repeat(240)),
        format!("{{{{ 1{} }}}}", " if row.n else 1".repeat(120)),
        format!("{{{{ row.n{} }}}}", ".a".repeat(10_000)),
        format!("{{{{ row.n{} }}}}", "|abs".repeat(10_000)),
        format!("{{{{ row.n{} }}}}", " + 1".repeat(10_000)),
        format!("{{{{ row.n{} }}}}", " ~ 1".repeat(10_000)),
        format!("{{{{ 1{} }}}}", " if row.n else 1".repeat(3000)),
        format!("{{{{ {}1{} }}}}", "1 if row.n else (".repeat(50), ")".repeat(50)),
        format!("{{{{ '{}' | parse }}}}", "[".repeat(60_000)),
        "{% macro m(x) %}{{ m(x) }}{% endmacro %}{{ m(1) }}".to_owned(),
        "{% macro m(x) %}{% call m(x) %}{{ m(x) }}{% endcall %}{{ caller() }}{% endmacro %}{{ m(1) }}".to_owned(),
        "{% macro m(x) %}{{ [x] | map('string') | list }}{{ m([x]) }}{% endmacro %}{{ m([1]) }}".to_owned(),
        "{% for a in [[[[1]]]] recursive %}{{ loop([a]) }}{% endfor %}".to_owned(),
    ] {
        renders_in_a_small_stack(&source, Language::Jinja);
    }
    for source in [
        format!("{}x{}", "{% if true %}".repeat(100), "{% endif %}".repeat(100)),
        format!("{}x{}", "{% for a in row.l %}".repeat(100), "{% endfor %}".repeat(100)),
        format!("{{{{ row{}{} }}}}", "[row".repeat(90), "]".repeat(90)),
        format!("{{{{ row.n{} }}}}", ".a".repeat(20_000)),
        format!("{{{{ row.n{} }}}}", " | plus: 1".repeat(6_000)),
        format!("{{% if a{} %}}x{{% endif %}}", " and a".repeat(9_000)),
        format!("{{{{ '{}1{}' | parse | json | parse }}}}", "[".repeat(120), "]".repeat(120)),
        format!("{{{{ '{}' | parse }}}}", "[".repeat(60_000)),
    ] {
        renders_in_a_small_stack(&source, Language::Liquid);
    }
}

#[test]
fn plain_jinja_of_20_000_steps_renders() {
    let source = "{% for i in range(3500) %}{% if i > 2 %}{{ row.c }}{% endif %}{% endfor %}";
    let template = Template::parse(source, Language::Jinja).expect("valid");
    assert_eq!(template.render_text(&cells()).map(|text| text.len()), Ok(3497 * 3));
}
