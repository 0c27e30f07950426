//! Cells of every type, in and out.

use bigdecimal::BigDecimal;
use chrono::{NaiveDate, TimeZone, Utc};
use ebb_row::{Lookup, Value};

use super::{World, liquid, outcome, shown, text_outcome, world, world_of};
use crate::Language;

fn decimal(text: &str) -> Value {
    Value::from(text.parse::<BigDecimal>().expect("a number"))
}

fn cells() -> World {
    let time = Utc.with_ymd_and_hms(2024, 7, 1, 10, 20, 30).single().expect("a time");
    world_of(&[
        ("at", Value::Instant(time)),
        ("local", Value::LocalTime(time.naive_utc())),
        ("day", Value::Date(NaiveDate::from_ymd_opt(2024, 7, 1).expect("a date"))),
        ("price", decimal("12.50")),
        ("huge", decimal("12345678901234567890.123456789")),
        ("bytes", Value::Bytes([0_u8, 255, 16].as_slice().into())),
        ("big", Value::Int(i128::MAX)),
        ("nan", Value::Float(f64::NAN)),
        ("lookup", Value::Lookup(Lookup { object: "account".into(), external_id: "1".into() })),
    ])
}

fn check(template: &str, expected: &str) {
    assert_eq!(outcome(template, Language::Liquid, &cells()), expected, "{template}");
}

fn check_text(template: &str, expected: &str) {
    assert_eq!(text_outcome(template, Language::Liquid, &cells()), expected, "{template}");
}

#[test]
fn cells_keep_their_type() {
    assert!(matches!(liquid("{{ row.at }}").render(&cells()), Ok(Value::Instant(_))));
    assert!(matches!(liquid("{{ row.price }}").render(&cells()), Ok(Value::Decimal(_))));
    assert!(matches!(liquid("{{ row.bytes }}").render(&cells()), Ok(Value::Bytes(_))));
    assert!(matches!(liquid("{{ row.day | default: 1 }}").render(&cells()), Ok(Value::Date(_))));
    check("{{ row.big }}", "170141183460469231731687303715884105727");
    check("{{ row.huge }}", "12345678901234567890.123456789");
}

#[test]
fn times_print_as_rfc_3339_and_compare_with_text() {
    check_text("{{ at }} {{ local }} {{ day }}", "2024-07-01T10:20:30.000Z 2024-07-01T10:20:30.000Z 2024-07-01");
    check_text("{% if day == '2024-07-01' and at > '2024' and at == local %}yes{% endif %}", "yes");
    check("{{ at | append: '!' }}", "\"2024-07-01T10:20:30.000Z!\"");
    check("{{ day | json }}", r#""\"2024-07-01\"""#);
}

#[test]
fn times_are_formatted_in_any_zone() {
    check("{{ at | date: '%H:%M %Z %z' }}", "\"10:20 UTC +0000\"");
    check("{{ local | date: '%H:%M %Z %::z', 'America/New_York' }}", "\"06:20 EDT -04:00:00\"");
    check("{{ day | date: '%F %R', 'America/New_York' }}", "\"2024-07-01 00:00\"");
    check("{{ price | date: '%Y' }}", "\"1970\"");
}

#[test]
fn decimals_stay_exact() {
    check("{{ price | plus: 1 }}", "13.50");
    check("{{ price | times: 0.1 }}", "1.250");
    check("{{ huge | plus: 1 }}", "12345678901234567891.123456789");
    check("{{ huge | times: 10 | round: 2 }}", "123456789012345678901.23");
    check("{{ price | divided_by: 3 }}", "4.166666666666666666666666666666667");
    check("{{ price | divided_by: 5 }}", "2.50");
    check("{{ big | plus: 1 }}", "170141183460469231731687303715884105728");
    check("{{ price | floor }}", "12");
    check_text("{{ price }} {{ price | modulo: 5 }}", "12.50 2.50");
    check_text(
        "{% if price == 12.5 and price < 13 and price > '1' %}{% endif %}",
        "error: a number cannot be ordered against a text (line 1, column 1)",
    );
    check_text("{% if price == 12.5 and price < 13 and big > price %}yes{% endif %}", "yes");
}

#[test]
fn binary_is_hashed_and_encoded_as_bytes() {
    check("{{ bytes | base64_encode }}", "\"AP8Q\"");
    check("{{ bytes | md5 }}", "\"481e4551ec039aada760901cf52b1917\"");
    check_text(
        "{{ bytes }}",
        "error: binary has no text form (line 1, column 1)\nhint: encode it, for instance with `base64_encode`",
    );
}

#[test]
fn what_is_no_number_is_an_error_for_the_row() {
    check("{{ row.nan }}", "error: the result is NaN or infinite (line 1, column 1)");
    check("{{ row.nan | plus: 1 }}", "error: plus: a number is NaN or infinite (line 1, column 1)");
    check_text("{{ lookup }}", "error: a look-up has no text form (line 1, column 1)");
}

#[test]
fn errors_hold_no_cell_value() {
    let world = world(r#"{"secret":"hunter2","list":["hunter2",1]}"#);
    for source in [
        "{{ secret | cast: 'number' }}",
        "{{ secret | parse }}",
        "{{ secret | base64_decode }}",
        "{{ secret | map: 'x' }}",
        "{{ list | sort }}",
        "{{ secret | slice: secret }}",
        "{{ secret | match_regex: '^[0-9]+$' }}",
        "{{ secret | regex_test: secret | append: 1 | match_regex: '^$' }}",
        "{{ 'x' | cast: secret }}",
        "{{ 1 | date: '%Y', secret }}",
        "{{ secret | to_datetime: '%Y' }}",
    ] {
        let error = liquid(source).render(&world).expect_err(source);
        assert!(!shown(&error).contains("hunter2"), "{source}: {}", shown(&error));
    }
}

#[test]
fn a_cell_that_says_now_is_no_time() {
    let world = world(r#"{"a":"now"}"#);
    assert_eq!(outcome("{{ a | date: '%Y' }}", Language::Liquid, &world), "\"now\"");
    let timeless = World { now: None, ..super::world("{}") };
    let got = outcome("{{ 'now' | date: '%Y' }}", Language::Liquid, &timeless);
    assert_eq!(got, "error: date: `'now'` has no time here, outside of a run (line 1, column 1)");
}

#[test]
fn a_name_that_is_computed_is_looked_up_each_time() {
    let rows = [
        r#"{"a":1,"b":2,"c":3,"ks":["a","b","c"],"which":"b"}"#,
        r#"{"c":3,"ks":["c","b","a"],"b":2,"which":"a","a":1}"#,
    ];
    let template = liquid("{% for k in row.ks %}{{ row[k] }}{{ [k] }}{% endfor %} {{ row[row.which] }}");
    for _ in 0..2 {
        let texts = rows.map(|row| template.render_text(&world(row)).expect("a text"));
        assert_eq!(texts, ["112233 2", "332211 1"]);
    }
}

#[test]
fn a_column_is_found_in_rows_of_other_models_too() {
    for source in ["{{ row.a }}", "{{ row.a }}!", "{{ a }}!"] {
        let template = liquid(source);
        for (row, expected) in
            [(r#"{"a":1,"b":2}"#, "1"), (r#"{"b":2,"a":3}"#, "3"), (r#"{"b":2}"#, ""), (r#"{"a":4}"#, "4")]
        {
            let text = template.render_text(&world(row)).expect("a text");
            assert_eq!(text.trim_end_matches('!'), expected, "{source} {row}");
        }
    }
}
