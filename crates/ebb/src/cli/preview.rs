//! `ebb preview`: rows of a model.

use arrow_schema::Schema;
use clap::Args;
use ebb_row::{Batch, Column, RowReader, Value};
use ebb_source::{Query, ReadOptions};
use serde_json::value::RawValue;

use super::Context;
use crate::exit::{Exit, Failure};
use crate::output::Out;
use crate::output::table::{Align, Table};
use crate::output::value::{cut, json_text};
use crate::workspace::{Workspace, model_failure};

/// The characters of a cell that are shown.
const SHOWN_CELL: usize = 40;

/// Shows the first rows of a model, as its source gives them.
#[derive(Debug, Args)]
pub(crate) struct PreviewArgs {
    /// The model.
    #[arg(value_name = "MODEL")]
    model: String,
    /// How many rows.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    limit: u64,
}

/// A cell: its value, or why it cannot be read.
type Cell = Result<Value, String>;

pub(super) async fn main(context: &Context, args: PreviewArgs) -> Result<Exit, Failure> {
    let is_json = context.is_json()?;
    let workspace = Workspace::open(context)?;
    let model = workspace.model(&args.model)?;
    let source = workspace.source_of(model)?;
    let query = Query { sql: model.sql().to_owned(), cursor: None };
    let options = ReadOptions {
        statement_timeout: workspace.project.statement_timeout(&model.source),
        limit: Some(args.limit),
        ..ReadOptions::default()
    };
    let failed = |error| model_failure(model, error);
    let mut reader = source.read(&query, &options).await.map_err(failed)?;
    let columns = reader.columns().to_vec();
    let fields: Vec<_> = columns.iter().map(|column| column.kind.field(&column.name)).collect();
    let rows_of = RowReader::new(&Schema::new(fields)).ok_or_else(|| Failure::failed("a column has no type"))?;
    let mut rows = Vec::new();
    while let Some(batch) = reader.next().await.map_err(failed)? {
        rows.extend((0..batch.rows.num_rows()).map(|at| cells(&rows_of, &batch, at, columns.len())));
    }
    let mut out = context.out();
    if is_json {
        write_json(&mut out, &model.name, &columns, &rows);
    } else {
        write_text(&mut out, &columns, &rows);
    }
    out.finish()?;
    Ok(Exit::Done)
}

/// Returns a row's cells. A row with a cell that is not what its type says is shown with that reason.
fn cells(rows_of: &RowReader, batch: &Batch, at: usize, width: usize) -> Vec<Cell> {
    let mut cells: Vec<Cell> = match rows_of.row(&batch.rows, at) {
        Ok(row) => row.values().iter().cloned().map(Ok).collect(),
        Err((column, reason)) => (0..width)
            .map(|other| if other == column { Err(reason.clone()) } else { Err("the row cannot be read".to_owned()) })
            .collect(),
    };
    for fault in batch.faults.iter().filter(|fault| fault.row == at) {
        if let Some(cell) = cells.get_mut(fault.column) {
            *cell = Err(fault.reason.clone());
        }
    }
    cells
}

fn write_text(out: &mut Out, columns: &[Column], rows: &[Vec<Cell>]) {
    let heads: Vec<(String, Align)> =
        columns.iter().map(|column| (format!("{} ({})", column.name, column.kind), Align::Left)).collect();
    let heads: Vec<(&str, Align)> = heads.iter().map(|(name, align)| (name.as_str(), *align)).collect();
    let mut table = Table::new(&heads);
    for row in rows {
        table.row(row.iter().map(|cell| match cell {
            Ok(value) => cut(&json_text(value), SHOWN_CELL),
            Err(reason) => format!("(unreadable: {reason})"),
        }));
    }
    for line in table.lines() {
        out.line(line);
    }
}

fn write_json(out: &mut Out, model: &str, columns: &[Column], rows: &[Vec<Cell>]) {
    out.text("{\"model\":");
    out.json_part(&model);
    out.text(",\"columns\":");
    let described = |column: &Column| serde_json::json!({ "name": column.name, "type": column.kind.word(), "source_type": column.source_type });
    out.json_part(&columns.iter().map(described).collect::<Vec<_>>());
    out.text(",\"rows\":[");
    for (at, row) in rows.iter().enumerate() {
        out.text(if at == 0 { "\n{" } else { ",\n{" });
        for (at, (column, cell)) in columns.iter().zip(row).enumerate() {
            out.text(if at == 0 { "" } else { "," });
            out.json_part(&column.name);
            out.text(":");
            match cell {
                Ok(value) => match RawValue::from_string(json_text(value)) {
                    Ok(raw) => out.json_part(&raw),
                    Err(_) => out.json_part(&json_text(value)),
                },
                Err(reason) => out.json_part(&serde_json::json!({ "$unreadable": reason })),
            }
        }
        out.text("}");
    }
    out.text("\n]}\n");
}
