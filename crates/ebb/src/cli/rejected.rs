//! `ebb rejected`: rows that a sync could not deliver.

use clap::Args;
use ebb_state::{Rejection, RejectionKind};
use serde::Serialize;

use super::Context;
use crate::exit::{Exit, Failure};
use crate::output::number::{counted, grouped, json_time, time};
use crate::output::table::{Align, Table};
use crate::workspace::Workspace;

/// Lists the rows that a sync could not deliver, oldest first, with their reasons.
#[derive(Debug, Args)]
pub(crate) struct RejectedArgs {
    /// The sync.
    #[arg(value_name = "SYNC")]
    sync: String,
    /// At most this many; 0 lists all.
    #[arg(long, value_name = "N", default_value_t = 0)]
    limit: u32,
}

#[derive(Serialize)]
struct Line<'a> {
    key: &'a str,
    rejected_by: &'a str,
    reason: &'a str,
    tries: u32,
    quarantined: bool,
    time: String,
    first_run: &'a str,
    last_run: &'a str,
}

pub(super) async fn main(context: &Context, args: RejectedArgs) -> Result<Exit, Failure> {
    let is_json = context.is_json()?;
    let workspace = Workspace::open(context)?;
    let most = workspace.sync(&args.sync)?.rejected_tries;
    let mut rejections = Vec::new();
    if let Some(store) = workspace.existing_store()?
        && let Some(state) = store.find_sync(&args.sync).await?
    {
        rejections = store.rejections(state.id, args.limit).await?;
    }
    let mut out = context.out();
    if is_json {
        for rejection in &rejections {
            out.json(&line(rejection, most));
        }
        out.finish()?;
        return Ok(Exit::Done);
    }
    if rejections.is_empty() {
        context.notes().say(format_args!("sync `{}` has no rejected rows", args.sync));
    } else {
        let mut table = Table::new(&[
            ("key", Align::Left),
            ("by", Align::Left),
            ("tries", Align::Right),
            ("last", Align::Left),
            ("reason", Align::Left),
        ]);
        for rejection in &rejections {
            let reason = if is_quarantined(rejection, most) {
                format!("{} (quarantined)", rejection.reason)
            } else {
                rejection.reason.clone()
            };
            let tries = grouped(rejection.tries.into());
            table.row([rejection.key.text(), rejection.kind.word(), &tries, &time(&rejection.time), &reason]);
        }
        for line in table.lines() {
            out.line(line);
        }
        let count = u64::try_from(rejections.len()).unwrap_or(u64::MAX);
        out.line("");
        out.line(format_args!(
            "{}; after {most} tries a row waits for `ebb retry {}`",
            counted(count, "row"),
            args.sync
        ));
    }
    out.finish()?;
    Ok(Exit::Done)
}

fn line(rejection: &Rejection, most: u32) -> Line<'_> {
    Line {
        key: rejection.key.text(),
        rejected_by: rejection.kind.word(),
        reason: &rejection.reason,
        tries: rejection.tries,
        quarantined: is_quarantined(rejection, most),
        time: json_time(&rejection.time),
        first_run: &rejection.first_run.0,
        last_run: &rejection.last_run.0,
    }
}

/// Returns why a row was rejected as one sentence: `sync S, field F, row id=K: why`, without a field where it is not
/// one field's fault.
pub(super) fn sentence(sync: &str, primary_key: &[String], rejection: &Rejection) -> String {
    let (names, key) = (primary_key.join(","), rejection.key.text());
    // A mapping's reasons begin with their field; one that is named by a template may hold a colon itself.
    let field = rejection.reason.split_once(": ").filter(|(field, _)| {
        rejection.kind == RejectionKind::Mapping && field.starts_with("field ") && !field.contains("{{")
    });
    match field {
        Some((field, why)) => format!("sync {sync}, {field}, row {names}={key}: {why}"),
        None => format!("sync {sync}, row {names}={key}: {}", rejection.reason),
    }
}

/// Whether a row is not tried again by itself.
fn is_quarantined(rejection: &Rejection, most: u32) -> bool {
    match rejection.kind {
        RejectionKind::Unknown => true,
        RejectionKind::Mapping | RejectionKind::Destination | RejectionKind::Key => rejection.tries >= most,
    }
}
