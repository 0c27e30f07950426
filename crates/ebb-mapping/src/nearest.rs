//! Hints that name what was probably meant.

/// How many names a hint lists before it says how many more there are.
const LISTED_NAMES: usize = 12;

/// Returns the candidate that `name` was probably meant to be.
pub(crate) fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = (name.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (distance(name, candidate), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

fn distance(name: &str, candidate: &str) -> usize {
    if name.eq_ignore_ascii_case(candidate) { 0 } else { strsim::osa_distance(name, candidate) }
}

/// Returns a hint: the nearest candidate, or else all of them as `label`.
pub(crate) fn suggest<'a>(name: &str, label: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let candidates: Vec<&str> = candidates.into_iter().collect();
    if let Some(candidate) = nearest(name, candidates.iter().copied()) {
        return Some(format!("did you mean `{candidate}`?"));
    }
    if candidates.is_empty() {
        return None;
    }
    let listed: Vec<String> = candidates.iter().take(LISTED_NAMES).map(|candidate| format!("`{candidate}`")).collect();
    let more = candidates.len().saturating_sub(LISTED_NAMES);
    let tail = if more > 0 { format!(" and {more} more") } else { String::new() };
    Some(format!("{label} are {}{tail}", listed.join(", ")))
}
