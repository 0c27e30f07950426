use super::{DAY, KeySpec, Shape, key, later, required};

/// A model: the header of a `.sql` file (without `sql`, `table` and `dbt`), or a `.yaml` file.
pub(crate) const MODEL: &[KeySpec] = &[
    key("description", Shape::Text, "What the model is, for people."),
    key("source", Shape::Text, "The source to read; may be left out when the project has one."),
    required("primary_key", Shape::Texts, "The column, or the list of columns, that names a row."),
    key("cursor", Shape::Text, "Column of an append-only table by which only new rows are read."),
    key(
        "lookback",
        Shape::Duration(0, 3650 * DAY),
        "How far before the last cursor value to read again. Default: nothing.",
    ),
    key(
        "columns",
        Shape::Columns,
        "The result's columns, as a list or with their types, for checks without the source.",
    ),
    key("sql", Shape::Text, "The query; one of `sql`, `table` and `dbt` (`.yaml` models only)."),
    key(
        "table",
        Shape::Text,
        "A table or view, such as `analytics.accounts`, all of its columns (`.yaml` models only).",
    ),
    key("dbt", Shape::Text, "A dbt model, resolved through `target/manifest.json` (`.yaml` models only)."),
    later("object", "What to read of a source that is no database."),
];
