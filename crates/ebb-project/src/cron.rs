//! The shape of a cron expression: five fields, each a list of numbers, names, ranges and steps.

const MONTHS: &[&str] = &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: &[&str] = &["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

struct Part {
    name: &'static str,
    lowest: u32,
    highest: u32,
    names: &'static [&'static str],
}

const PARTS: [Part; 5] = [
    Part { name: "minute", lowest: 0, highest: 59, names: &[] },
    Part { name: "hour", lowest: 0, highest: 23, names: &[] },
    Part { name: "day of month", lowest: 1, highest: 31, names: &[] },
    Part { name: "month", lowest: 1, highest: 12, names: MONTHS },
    Part { name: "day of week", lowest: 0, highest: 7, names: DAYS },
];

/// Returns what is wrong with an expression.
pub(crate) fn check(expression: &str) -> Result<(), String> {
    let fields: Vec<&str> = expression.split_whitespace().collect();
    if fields.len() != PARTS.len() {
        return Err(format!(
            "a cron expression has five fields (minute, hour, day of month, month, day of week), and this one {}",
            fields.len()
        ));
    }
    for (field, part) in fields.iter().zip(&PARTS) {
        for item in field.split(',') {
            check_item(item, part).ok_or_else(|| {
                format!(
                    "`{item}` is no {}: that takes {} to {}, ranges, and steps such as `*/5`",
                    part.name, part.lowest, part.highest
                )
            })?;
        }
    }
    Ok(())
}

fn check_item(item: &str, part: &Part) -> Option<()> {
    let (range, step) = match item.split_once('/') {
        Some((range, step)) => (range, Some(step)),
        None => (item, None),
    };
    if let Some(step) = step {
        let step: u32 = step.parse().ok()?;
        if step == 0 || step > part.highest {
            return None;
        }
    }
    if range == "*" {
        return Some(());
    }
    match range.split_once('-') {
        Some((from, to)) => (number(from, part)? <= number(to, part)?).then_some(()),
        None => number(range, part).map(|_| ()),
    }
}

fn number(text: &str, part: &Part) -> Option<u32> {
    let named = part.names.iter().position(|name| name.eq_ignore_ascii_case(text));
    if let Some(index) = named {
        return u32::try_from(index).ok().map(|index| index + part.lowest);
    }
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok().filter(|number| (part.lowest..=part.highest).contains(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_fields_within_their_bounds() {
        for good in ["*/15 * * * *", "0 6 * * mon-fri", "0,30 8-18/2 1 jan,JUL 0", "5 4 * * 7"] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in [
            "* * * *",
            "60 * * * *",
            "* 24 * * *",
            "* * 0 * *",
            "*/0 * * * *",
            "5-1 * * * *",
            "a * * * *",
            "@daily",
            "* * * foo *",
            "+5 * * * *",
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}
