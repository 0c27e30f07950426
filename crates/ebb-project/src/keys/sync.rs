use super::{DAY, KeySpec, SECOND, Shape, key, later, required};

/// A sync.
pub(crate) const SYNC: &[KeySpec] = &[
    key("description", Shape::Text, "What the sync is for, for people."),
    required("model", Shape::Text, "The model whose rows are sent."),
    required("destination", Shape::Text, "The destination that takes them."),
    required(
        "object",
        Shape::Text,
        "What a row becomes there: `account`, `organization`, `user` or `event` of Vitally.",
    ),
    key(
        "api",
        Shape::Words(&["rest", "analytics"]),
        "The API that carries it. Default: `rest` for objects, `analytics` for events.",
    ),
    key(
        "mode",
        Shape::Words(&["upsert", "update", "insert"]),
        "What may be sent. Default: `upsert`, for events `insert`.",
    ),
    key(
        "match",
        Shape::Match,
        "The destination's field by which an existing record is found, and the column that holds it.",
    ),
    required("fields", Shape::Fields, "The destination's fields and what fills them."),
    key("language", Shape::Words(&["liquid", "jinja"]), "The language of the templates. Default: the project's."),
    key(
        "on_removed",
        Shape::WordsOr(&["ignore", "delete", "unlink", "unset"], ON_REMOVED),
        "What happens when a row leaves the model. Default: `ignore`. The others, `fields` and `after` come later.",
    ),
    key(
        "on_unmapped",
        Shape::Words(&["keep", "unset"]),
        "What happens to a field that leaves the mapping. Default: `keep`. `unset` comes later.",
    ),
    key(
        "nulls",
        Shape::Words(&["send", "omit"]),
        "What a null does. Default: sent in REST traits, left out elsewhere.",
    ),
    key(
        "links",
        Shape::Words(&["add", "managed"]),
        "Whether a user's links are only added. Default: `add`. `managed` comes later.",
    ),
    key(
        "first_run",
        Shape::Words(&["send", "adopt"]),
        "Whether a first run sends every row, or takes them as already there. Default: `send`.",
    ),
    key("guards", Shape::Section(GUARDS), "Limits that refuse a plan before the first call."),
    key("rejected", Shape::Section(REJECTED), "What happens to rejected rows."),
    key("schedule", Shape::Section(SCHEDULE), "When `ebb serve` and `ebb run --due` run the sync: `cron` or `every`."),
    key("after", Shape::Texts, "Syncs that run before this one; it does not run if one of them failed."),
    key("concurrency", Shape::Integer(1, 256), "Requests in flight, at most. Default: the destination's."),
    key("redact", Shape::Texts, "Fields to mask in logs, such as `traits.email`, for this sync."),
    key("planner", Shape::Words(&["local"]), "Where the plan is computed. Default: the project's."),
    later("stream", "A stream of messages instead of a model."),
    later("on", "Which messages of a stream are taken."),
    later("preset", "A ready-made mapping of messages."),
    later("account_property", "Where a message names its account."),
    later("ignore_events", "Events that are not taken from a stream."),
    later("for_each", "One record for each of these."),
];

const ON_REMOVED: &[KeySpec] = &[
    key("action", Shape::Words(&["ignore", "delete", "unlink", "unset"]), "What happens to the record."),
    key("fields", Shape::Fields, "Fields to write instead; comes later."),
    key("after", Shape::Duration(SECOND, 3650 * DAY), "How long a row must be gone; comes later."),
];

const GUARDS: &[KeySpec] = &[
    key("removed", Shape::Limit, "Rows that left the model. Default: `30%`, once the snapshot has 10 rows."),
    key("added", Shape::Limit, "Rows to add. Default: no limit."),
    key("changed", Shape::Limit, "Rows to change. Default: no limit."),
    key("rejected", Shape::Limit, "Rows that the mapping rejects. Default: no limit."),
    key("empty", Shape::Boolean, "Refuse a model that had rows and returns none. Default: `true`."),
];

const REJECTED: &[KeySpec] = &[key(
    "tries",
    Shape::Integer(1, 1000),
    "Runs in which a rejected row is tried before it is quarantined. Default: 10.",
)];

const SCHEDULE: &[KeySpec] = &[
    key("cron", Shape::Cron, "Five fields: minute, hour, day of month, month, day of week."),
    key("timezone", Shape::TimeZone, "The time zone of `cron`, such as `Europe/Berlin`. Default: `UTC`."),
    key(
        "every",
        Shape::Duration(SECOND, 366 * DAY),
        "Each multiple of an interval, such as `15m`, counted in UTC; instead of `cron`.",
    ),
    key(
        "jitter",
        Shape::Duration(SECOND, DAY),
        "The times come later by up to this, each sync's by as much each time. Default: not.",
    ),
    key(
        "missed",
        Shape::Words(&["run_once", "skip", "catch_up"]),
        "What becomes of times at which nothing ran: one run for all, none, or one for each. Default: `run_once`.",
    ),
];
