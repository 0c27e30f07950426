use super::{DAY, HOUR, KeySpec, SECOND, Shape, Variant, key, required};

/// `ebb.yaml`.
pub(crate) const SETTINGS: &[KeySpec] = &[
    required("version", Shape::Integer(1, 1), "Version of the project format: 1."),
    key("project", Shape::Uuid, "Identity of the project, written by `ebb init`: the namespace of message ids."),
    key(
        "state",
        Shape::Text,
        "Where ebb keeps what it knows: `sqlite:PATH`, relative to the project. Default: `sqlite:.ebb/state.db`.",
    ),
    key("sources", Shape::Named(&SOURCE), "Databases that models read, by name."),
    key("destinations", Shape::Named(&DESTINATION), "Services that syncs write to, by name."),
    key(
        "language",
        Shape::Words(&["liquid", "jinja"]),
        "The language of templates where neither the sync nor the field names one. Default: `liquid`.",
    ),
    key("logs", Shape::Section(LOGS), "The log of calls."),
    key("redact", Shape::Texts, "Fields to mask in logs, such as `traits.email`, for every destination."),
    key("planner", Shape::Words(&["local"]), "Where plans are computed. Default: `local`."),
];

const LOGS: &[KeySpec] = &[
    key("keep", Shape::Duration(HOUR, 3650 * DAY), "How long logs of runs are kept. Default: `30d`."),
    key("body_cap", Shape::Size, "How much of a request's or reply's body a log line holds. Default: `64KiB`."),
];

const SOURCE: Shape = Shape::Typed(
    &[
        Variant { words: &["sqlite"], keys: SQLITE },
        Variant { words: &["postgres"], keys: POSTGRES },
        Variant { words: &["mysql", "mariadb"], keys: MYSQL },
    ],
    &["duckdb", "snowflake", "bigquery", "databricks", "segment", "segment_profiles", "vitally"],
);

const STATEMENT_TIMEOUT: KeySpec =
    key("statement_timeout", Shape::Duration(SECOND, DAY), "How long one model's query may take. Default: `10m`.");

const SQLITE: &[KeySpec] = &[
    key("url", Shape::Secret, "The file as `sqlite:PATH`, relative to the project."),
    key("path", Shape::Text, "The file, relative to the project; instead of `url`."),
    STATEMENT_TIMEOUT,
];

const POSTGRES: &[KeySpec] = &[
    required("url", Shape::Secret, "`postgres://user:password@host:port/database?sslmode=verify-full`."),
    STATEMENT_TIMEOUT,
];

const MYSQL: &[KeySpec] = &[
    required("url", Shape::Secret, "`mysql://user:password@host:port/database?ssl-mode=VERIFY_IDENTITY`."),
    STATEMENT_TIMEOUT,
];

const DESTINATION: Shape = Shape::Typed(&[Variant { words: &["vitally"], keys: VITALLY }], &["segment"]);

const VITALLY: &[KeySpec] = &[
    key("region", Shape::Words(&["us", "eu"]), "Where the Vitally workspace lives. Default: `us`."),
    key("subdomain", Shape::Text, "`acme` when you log in at `https://acme.vitally.io`; needed for us."),
    key("rest_token", Shape::Secret, "Key of the REST API, in any of the forms in which Vitally shows it."),
    key("analytics_token", Shape::Secret, "Key of the Analytics API, for events and objects with `api: analytics`."),
    key("rest_url", Shape::Url, "Another base URL for REST: a proxy or a sandbox."),
    key("analytics_url", Shape::Url, "Another base URL for the Analytics API; needed for it in region eu."),
    key("account", Shape::Text, "Tells workspaces apart where host and subdomain do not."),
    key("rate_limit", Shape::Section(RATE_LIMIT), "The rate that all syncs to this destination share."),
    key("concurrency", Shape::Integer(1, 256), "Requests in flight, at most. Default: 32."),
    key("timeout", Shape::Duration(SECOND, 12 * SECOND), "How long one request may take, 12s at most. Default: `10s`."),
    key("redact", Shape::Texts, "Fields to mask in logs, such as `traits.email`, for this destination."),
];

const RATE_LIMIT: &[KeySpec] = &[
    key("per_minute", Shape::Integer(1, 100_000_000), "REST requests a minute that the key allows. Default: 1000."),
    key("analytics_per_minute", Shape::Integer(1, 100_000_000), "Analytics batches a minute. Default: 60."),
    key("share", Shape::Percent, "How much of these rates ebb may use, `1%` to `100%`. Default: `100%`."),
];
