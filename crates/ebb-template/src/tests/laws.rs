//! What holds for any text.

use bigdecimal::BigDecimal;
use chrono::{DateTime, NaiveDate, Utc};
use ebb_row::{Lookup, Value};
use proptest::prelude::*;

use super::{world, world_of};
use crate::{Language, Names, Template, filters};

/// What templates are made of, so that random ones reach deep.
const PIECES: &str = "{{ }} {% %} {%- -%} {{- -}} | : , . .. [ ] ( ) ' \" = == < contains and or if elsif else endif for x in \
    endfor case when endcase assign capture endcapture raw endraw comment endcomment liquid row .list reversed limit \
    offset cycle 1 -2.5 true nil blank append split date slice truncate '%Y-%10N' plus times divided_by round sort \
    first json break # unless endunless increment é 😀 set ~ {# #} default";

fn piece() -> impl Strategy<Value = String> {
    let mut known: Vec<&str> = PIECES.split_whitespace().collect();
    known.extend(["\n", " "]);
    prop_oneof![8 => prop::sample::select(known).prop_map(str::to_owned), 1 => ".{0,4}"]
}

fn never_panics(source: &str) {
    let world = world(r#"{"list":[1,"a",null,[2],{"k":1.5}],"x":"é😀 text","n":-3}"#);
    for language in [Language::Liquid, Language::Jinja] {
        if let Ok(template) = Template::parse(source, language) {
            template.check(&Names { columns: Some(&["list"]), roots: Some(&[]) });
            template.reads();
            let typed = template.render(&world);
            let text = template.render_text(&world);
            if language == Language::Liquid && !template.is_expression() {
                assert_eq!(typed.map(|value| value.as_text().map(str::to_owned)), text.map(Some), "{source}");
            }
        }
    }
}

#[test]
fn no_filter_panics_on_any_type() {
    let cells = [
        ("a", Value::Null),
        ("b", Value::Bool(false)),
        ("c", Value::Int(i128::MIN)),
        ("d", Value::Int(i128::MAX)),
        ("e", Value::Int(-1)),
        ("f", Value::Float(f64::NAN)),
        ("g", Value::Float(-1.5e300)),
        ("h", Value::from("12345678901234567890.12345".parse::<BigDecimal>().expect("a number"))),
        ("i", Value::from("1e-9000".parse::<BigDecimal>().expect("a number"))),
        ("j", Value::from("é😀 %Y-%m-%d '\"<&>")),
        ("k", Value::from("2024-01-02T03:04:05Z")),
        ("l", Value::Bytes([255_u8, 0].as_slice().into())),
        ("m", Value::Instant(DateTime::<Utc>::MAX_UTC)),
        ("n", Value::Date(NaiveDate::MIN)),
        ("o", Value::List(vec![Value::Int(1), Value::from("x"), Value::Null, Value::List(Vec::new())])),
        ("p", Value::Object([("k".into(), Value::Int(1))].into_iter().collect())),
        ("q", Value::Lookup(Lookup { object: "account".into(), external_id: "1".into() })),
        ("r", Value::from("")),
    ];
    let world = world_of(&cells);
    let names = || cells.iter().map(|(name, _)| *name);
    for filter in filters() {
        for input in names() {
            let mut sources = vec![format!("{{{{ {input} | {} }}}}", filter.name)];
            for first in names() {
                sources.push(format!("{{{{ {input} | {}: {first} }}}}", filter.name));
                for second in names().step_by(6) {
                    sources.push(format!("{{{{ {input} | {}: {first}, {second} }}}}", filter.name));
                }
            }
            for source in sources {
                if let Ok(template) = Template::parse(&source, Language::Liquid) {
                    drop((template.render(&world), template.render_text(&world)));
                }
            }
        }
    }
}

#[test]
fn a_template_is_shared_between_threads() {
    fn shared<T: Send + Sync + Clone>() {}
    shared::<Template>();
}

proptest! {
    #[test]
    fn no_text_panics(source in "\\PC{0,200}") {
        never_panics(&source);
    }

    #[test]
    fn no_mix_of_pieces_panics(pieces in prop::collection::vec(piece(), 0..40)) {
        never_panics(&pieces.join(" "));
        never_panics(&pieces.concat());
    }

    #[test]
    fn no_output_of_pieces_panics(pieces in prop::collection::vec(piece(), 0..12)) {
        never_panics(&format!("{{{{ x {} }}}}", pieces.join(" ")));
        never_panics(&format!("{{{{ row.list | {} }}}}", pieces.join(" ")));
    }

    #[test]
    fn text_without_braces_is_itself(source in "[^{}]{0,100}") {
        let template = Template::parse(&source, Language::Liquid).expect("plain text");
        prop_assert_eq!(template.render_text(&world("{}")).expect("plain text"), source);
    }

    #[test]
    fn integers_calculate_as_integers(left in any::<i64>(), right in any::<i64>()) {
        let world = world(&format!(r#"{{"a":{left},"b":{right}}}"#));
        let check = |source: &str, expected: i128| {
            let value = Template::parse(source, Language::Liquid).expect("valid").render(&world).expect("a number");
            assert_eq!(value, ebb_row::Value::Int(expected), "{source}");
        };
        let (left, right) = (i128::from(left), i128::from(right));
        check("{{ a | plus: b }}", left + right);
        check("{{ a | minus: b }}", left - right);
        check("{{ a | times: b }}", left * right);
        if right != 0 {
            let quotient = left.div_euclid(right);
            let floor = if right < 0 && left.rem_euclid(right) != 0 { quotient - 1 } else { quotient };
            check("{{ a | divided_by: b }}", floor);
            check("{{ a | modulo: b }}", left - floor * right);
        }
    }

    #[test]
    fn escapes_come_back(text in "\\PC{0,60}") {
        let row = format!(r#"{{"a":{}}}"#, super::json(&ebb_row::Value::from(text.as_str())));
        let world = world(&row);
        for pair in ["url_encode | url_decode", "base64_encode | base64_decode", "json | parse"] {
            let template = Template::parse(&format!("{{{{ a | {pair} }}}}"), Language::Liquid).expect("valid");
            let back = template.render(&world).expect("a text");
            prop_assert_eq!(back.as_text(), Some(text.as_str()), "{}", pair);
        }
    }
}
