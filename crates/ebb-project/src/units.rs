//! Quantities with a unit, as users write them.

use std::time::Duration;

use ebb_plan::Limit;

/// Reads `500ms`, `15s`, `10m`, `24h`, `30d`, `2w`; `None` for anything else.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let split = text.find(|c: char| !c.is_ascii_digit())?;
    let (digits, unit) = text.split_at(split);
    let number: u64 = digits.parse().ok()?;
    let unit_ms: u64 = match unit.trim_start() {
        "ms" => 1,
        "s" => 1_000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        "w" => 604_800_000,
        _ => return None,
    };
    number.checked_mul(unit_ms).map(Duration::from_millis)
}

/// Writes a number of milliseconds in the largest unit that divides it.
pub(crate) fn duration_text(ms: u64) -> String {
    for (unit, unit_ms) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)] {
        if ms >= unit_ms && ms.is_multiple_of(unit_ms) {
            return format!("{}{unit}", ms / unit_ms);
        }
    }
    if ms == 0 { "0s".to_owned() } else { format!("{ms}ms") }
}

/// Reads `512B`, `64KiB`, `1MiB`; `None` for anything else.
pub(crate) fn size(text: &str) -> Option<u64> {
    let split = text.find(|c: char| !c.is_ascii_digit())?;
    let (digits, unit) = text.split_at(split);
    let number: u64 = digits.parse().ok()?;
    let bytes: u64 = match unit.trim_start() {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        _ => return None,
    };
    number.checked_mul(bytes)
}

/// Reads `80%`, 0 to 100.
pub(crate) fn percent(text: &str) -> Option<u32> {
    text.strip_suffix('%')?.trim_end().parse().ok().filter(|percent| *percent <= 100)
}

/// Reads `30%` or a count.
pub(crate) fn limit(text: &str) -> Option<Limit> {
    match percent(text) {
        Some(percent) => Some(Limit::Percent(percent)),
        None => text.parse().ok().map(Limit::Count),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_read_and_written() {
        assert_eq!(duration("15m"), Some(Duration::from_mins(15)));
        assert_eq!(duration("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(duration("30 d"), Some(Duration::from_hours(720)));
        for wrong in ["", "15", "m", "1.5h", "-1s", "99999999999999999999s", "1h30m", "9999999999999999w"] {
            assert_eq!(duration(wrong), None, "{wrong}");
        }
        assert_eq!(duration_text(90_000), "90s");
        assert_eq!(duration_text(3_600_000), "1h");
        assert_eq!(size("64KiB"), Some(65_536));
        assert_eq!(size("64kb"), None);
        assert_eq!(percent("100%"), Some(100));
        assert_eq!(percent("101%"), None);
        assert_eq!(limit("30%"), Some(Limit::Percent(30)));
        assert_eq!(limit("200"), Some(Limit::Count(200)));
        assert_eq!(limit("-1"), None);
    }
}
