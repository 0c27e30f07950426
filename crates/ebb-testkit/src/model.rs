use std::sync::Arc;

use arrow_array::{Int64Array, RecordBatch, StringArray};
use arrow_schema::{ArrowError, Schema};
use ebb_row::{Batch, Column, ColumnType};

use crate::random::Random;

/// One row of a model with the columns `id`, `name`, `plan` and `seats`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelRow {
    /// The primary key.
    pub id: Option<String>,
    /// Text, which may be null.
    pub name: Option<String>,
    /// Text, which may be null.
    pub plan: Option<String>,
    /// An integer.
    pub seats: i64,
}

/// The rows that a model returns, and how they change from read to read.
#[derive(Clone, Debug, Default)]
pub struct Model {
    /// The rows in the order in which they are read.
    pub rows: Vec<ModelRow>,
    next: u64,
}

const PLANS: [&str; 4] = ["free", "pro", "team", "enterprise"];
/// Keys that have to be escaped in a URL.
const ODD: [&str; 3] = ["a b/", "50%#", "é&?"];

impl Model {
    /// Makes a model of `count` rows.
    pub fn of(count: u64, random: &mut Random) -> Self {
        let mut model = Self::default();
        for _ in 0..count {
            model.add(random);
        }
        model
    }

    /// Adds a row with a key that was never used; returns its key.
    pub fn add(&mut self, random: &mut Random) -> String {
        self.next += 1;
        let number = self.next;
        let odd = if random.chance(10) { random.position(ODD.len()).and_then(|at| ODD.get(at)) } else { None };
        let key = format!("{}k-{number}", odd.copied().unwrap_or_default());
        let mut row = ModelRow { id: Some(key.clone()), name: Some(format!("Row {number}")), plan: None, seats: 1 };
        alter(&mut row, random);
        self.rows.push(row);
        key
    }

    /// Changes a row, if there is one.
    pub fn alter(&mut self, random: &mut Random) {
        if let Some(row) = random.position(self.rows.len()).and_then(|at| self.rows.get_mut(at)) {
            alter(row, random);
        }
    }

    /// Takes a row out, if there is one.
    pub fn remove(&mut self, random: &mut Random) -> Option<ModelRow> {
        random.position(self.rows.len()).map(|at| self.rows.remove(at))
    }

    /// Gives a row's key to another row too, or takes a row's key away.
    pub fn spoil_key(&mut self, random: &mut Random) {
        let repeated = random.chance(50);
        let from = random.position(self.rows.len()).and_then(|at| self.rows.get(at)).cloned();
        if let Some(mut row) = from {
            row.seats += 1;
            if !repeated {
                row.id = None;
            }
            self.rows.push(row);
        }
    }

    /// Takes rows with a null or repeated key out; returns how many.
    pub fn heal_keys(&mut self) -> usize {
        let before = self.rows.len();
        let mut known = std::collections::BTreeSet::new();
        self.rows.retain(|row| row.id.as_ref().is_some_and(|id| known.insert(id.clone())));
        before - self.rows.len()
    }

    /// Returns the columns as a source describes them.
    pub fn columns() -> Vec<Column> {
        [
            ("id", ColumnType::Text),
            ("name", ColumnType::Text),
            ("plan", ColumnType::Text),
            ("seats", ColumnType::Integer),
        ]
        .into_iter()
        .map(|(name, kind)| Column { name: name.to_owned(), kind, source_type: kind.word().to_owned() })
        .collect()
    }

    /// Returns some rows as a source yields them.
    ///
    /// # Errors
    /// None for rows that fit in a batch.
    pub fn batch(rows: &[ModelRow]) -> Result<Batch, ArrowError> {
        let fields: Vec<_> = Self::columns().iter().map(|column| column.kind.field(&column.name)).collect();
        let text = |cell: fn(&ModelRow) -> Option<&str>| Arc::new(rows.iter().map(cell).collect::<StringArray>());
        let seats = Int64Array::from_iter_values(rows.iter().map(|row| row.seats));
        let rows = RecordBatch::try_new(
            Arc::new(Schema::new(fields)),
            vec![
                text(|row| row.id.as_deref()),
                text(|row| row.name.as_deref()),
                text(|row| row.plan.as_deref()),
                Arc::new(seats),
            ],
        )?;
        Ok(Batch { rows, faults: Vec::new() })
    }
}

fn alter(row: &mut ModelRow, random: &mut Random) {
    let plan = random.position(PLANS.len()).and_then(|at| PLANS.get(at));
    row.plan = if random.chance(20) { None } else { plan.map(|plan| (*plan).to_owned()) };
    // Few values, so that rows change back to what was sent before.
    row.seats = i64::try_from(random.between(1, 4)).unwrap_or(1);
    if random.chance(10)
        && let Some(name) = &mut row.name
    {
        name.push('\'');
    }
}
