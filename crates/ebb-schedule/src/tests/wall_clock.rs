use chrono::{DateTime, SecondsFormat};
use chrono_tz::Tz;

use super::{at, cron, times};

/// Whether the expression's times after `after` are these, by the zone's own wall clock.
fn check(zone: Tz, expression: &str, after: &str, expected: &[&str]) {
    let found: Vec<String> = times(&cron(expression, zone), after, expected.len())
        .into_iter()
        .map(|time| time.with_timezone(&zone).to_rfc3339_opts(SecondsFormat::Secs, false))
        .collect();
    assert_eq!(found, expected, "{zone}: {expression} after {after}");
}

#[test]
fn berlin_puts_its_clocks_forward_at_two_and_back_at_three() {
    let zone = chrono_tz::Europe::Berlin;
    let spring = "2026-03-28T12:00:00Z";
    check(zone, "30 2 * * *", spring, &["2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"]);
    check(zone, "0,20,40 2 * * *", spring, &["2026-03-29T03:00:00+02:00", "2026-03-30T02:00:00+02:00"]);
    check(zone, "0 2,3 * * *", spring, &["2026-03-29T03:00:00+02:00", "2026-03-30T02:00:00+02:00"]);
    check(zone, "30 1,2 29 * *", spring, &["2026-03-29T01:30:00+01:00", "2026-03-29T03:00:00+02:00"]);
    let night = "2026-03-29T00:20:00Z";
    check(zone, "*/30 * * * *", night, &["2026-03-29T01:30:00+01:00", "2026-03-29T03:00:00+02:00"]);
    check(zone, "30 * * * *", night, &["2026-03-29T01:30:00+01:00", "2026-03-29T03:30:00+02:00"]);
    check(zone, "15 */2 * * *", night, &["2026-03-29T04:15:00+02:00", "2026-03-29T06:15:00+02:00"]);

    let autumn = "2026-10-24T12:00:00Z";
    check(zone, "30 2 * * *", autumn, &["2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"]);
    check(
        zone,
        "0,30 2 * * *",
        autumn,
        &["2026-10-25T02:00:00+02:00", "2026-10-25T02:30:00+02:00", "2026-10-26T02:00:00+01:00"],
    );
    check(zone, "*/30 2 * * *", "2026-10-25T00:30:00Z", &["2026-10-26T02:00:00+01:00"]);
    check(
        zone,
        "*/30 * * * *",
        "2026-10-24T23:30:00Z",
        &[
            "2026-10-25T02:00:00+02:00",
            "2026-10-25T02:30:00+02:00",
            "2026-10-25T02:00:00+01:00",
            "2026-10-25T02:30:00+01:00",
            "2026-10-25T03:00:00+01:00",
        ],
    );
    // Asked within the repeated hour, once in each half.
    check(zone, "30 2 * * *", "2026-10-25T00:10:00Z", &["2026-10-25T02:30:00+02:00"]);
    check(zone, "30 2 * * *", "2026-10-25T01:10:00Z", &["2026-10-26T02:30:00+01:00"]);
}

#[test]
fn new_york_puts_its_clocks_forward_at_two_and_back_at_two() {
    let zone = chrono_tz::America::New_York;
    let spring = "2026-03-07T12:00:00Z";
    check(zone, "30 2 * * *", spring, &["2026-03-08T03:00:00-04:00", "2026-03-09T02:30:00-04:00"]);
    check(zone, "0 3 * * *", spring, &["2026-03-08T03:00:00-04:00", "2026-03-09T03:00:00-04:00"]);
    // The skipped time belongs to its own day: on Sundays, it is not moved to a day that does not fit.
    check(zone, "30 2 * * sun", spring, &["2026-03-08T03:00:00-04:00", "2026-03-15T02:30:00-04:00"]);
    check(zone, "30 2 * * mon", spring, &["2026-03-09T02:30:00-04:00"]);

    let autumn = "2026-10-31T12:00:00Z";
    check(zone, "30 1 * * *", autumn, &["2026-11-01T01:30:00-04:00", "2026-11-02T01:30:00-05:00"]);
    check(
        zone,
        "0 * * * *",
        "2026-11-01T04:30:00Z",
        &["2026-11-01T01:00:00-04:00", "2026-11-01T01:00:00-05:00", "2026-11-01T02:00:00-05:00"],
    );
}

#[test]
fn lord_howe_moves_its_clocks_by_half_an_hour() {
    let zone = chrono_tz::Australia::Lord_Howe;
    let spring = "2026-10-03T06:00:00Z";
    check(zone, "15 2 * * *", spring, &["2026-10-04T02:30:00+11:00", "2026-10-05T02:15:00+11:00"]);
    check(zone, "15,45 2 * * *", spring, &["2026-10-04T02:30:00+11:00", "2026-10-04T02:45:00+11:00"]);
    check(zone, "*/15 * * * *", "2026-10-03T15:10:00Z", &["2026-10-04T01:45:00+10:30", "2026-10-04T02:30:00+11:00"]);

    let autumn = "2026-04-04T06:00:00Z";
    check(zone, "45 1 * * *", autumn, &["2026-04-05T01:45:00+11:00", "2026-04-06T01:45:00+10:30"]);
    check(
        zone,
        "*/15 * * * *",
        "2026-04-04T14:20:00Z",
        &[
            "2026-04-05T01:30:00+11:00",
            "2026-04-05T01:45:00+11:00",
            "2026-04-05T01:30:00+10:30",
            "2026-04-05T01:45:00+10:30",
            "2026-04-05T02:00:00+10:30",
        ],
    );
}

#[test]
fn clocks_that_go_over_midnight_and_a_day_that_never_was() {
    // Back from 00:01 to 23:01 of the day before: its last hour comes twice, and the new day begins twice.
    let newfoundland = chrono_tz::America::St_Johns;
    check(
        newfoundland,
        "30 * * * *",
        "2008-11-02T01:45:00Z",
        &["2008-11-01T23:30:00-02:30", "2008-11-01T23:30:00-03:30", "2008-11-02T00:30:00-03:30"],
    );
    check(
        newfoundland,
        "0 * * * *",
        "2008-11-02T02:15:00Z",
        &["2008-11-02T00:00:00-02:30", "2008-11-02T00:00:00-03:30", "2008-11-02T01:00:00-03:30"],
    );
    check(
        newfoundland,
        "0 0 * * *",
        "2008-11-02T02:15:00Z",
        &["2008-11-02T00:00:00-02:30", "2008-11-03T00:00:00-03:30"],
    );
    // Samoa had no 30 December 2011.
    check(
        chrono_tz::Pacific::Apia,
        "0 9 * * *",
        "2011-12-29T20:00:00Z",
        &["2011-12-31T00:00:00+14:00", "2011-12-31T09:00:00+14:00"],
    );
}

#[test]
fn days_of_months_and_weeks() {
    let zone = Tz::UTC;
    let start = "2026-01-01T00:00:00Z";
    check(zone, "0 0 29 2 *", start, &["2028-02-29T00:00:00+00:00", "2032-02-29T00:00:00+00:00"]);
    check(zone, "0 0 31 * *", start, &["2026-01-31T00:00:00+00:00", "2026-03-31T00:00:00+00:00"]);
    // One of the two where both are named; both where one begins with `*`.
    check(zone, "0 0 13 * fri", start, &["2026-01-02T00:00:00+00:00", "2026-01-09T00:00:00+00:00"]);
    check(zone, "0 0 1-7 * *", "2026-01-07T12:00:00Z", &["2026-02-01T00:00:00+00:00"]);
    check(zone, "0 0 */2 * mon", start, &["2026-01-05T00:00:00+00:00", "2026-01-19T00:00:00+00:00"]);
    for sunday in ["sun", "0", "7", "sun-0", "7-7"] {
        check(zone, &format!("0 6 * * {sunday}"), start, &["2026-01-04T06:00:00+00:00"]);
    }
    check(zone, "0 6 * * sat-sun", start, &["2026-01-03T06:00:00+00:00", "2026-01-04T06:00:00+00:00"]);
    check(
        zone,
        "5-59/15 8-18/5 * * *",
        "2026-01-01T08:30:00Z",
        &["2026-01-01T08:35:00+00:00", "2026-01-01T08:50:00+00:00", "2026-01-01T13:05:00+00:00"],
    );
    // A time itself is not after itself, and a second before it is.
    check(zone, "0 6 * * *", "2026-01-01T06:00:00Z", &["2026-01-02T06:00:00+00:00"]);
    check(zone, "0 6 * * *", "2026-01-01T05:59:59.999Z", &["2026-01-01T06:00:00+00:00"]);
}

#[test]
fn the_calendar_ends() {
    assert_eq!(cron("0 6 * * *", Tz::UTC).next_after("accounts", DateTime::<chrono::Utc>::MAX_UTC), None);
    assert!(cron("0 6 * * *", Tz::UTC).next_after("accounts", at("2199-12-31T12:00:00Z")).is_some());
}
