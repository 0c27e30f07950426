//! Tables of text.

use super::escape;

/// How a column is aligned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    /// To the left.
    Left,
    /// To the right: numbers.
    Right,
}

/// A table whose columns are as wide as their widest cell.
#[derive(Debug)]
pub(crate) struct Table {
    columns: Vec<(String, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Starts a table.
    pub(crate) fn new(columns: &[(&str, Align)]) -> Self {
        Self {
            columns: columns.iter().map(|(name, align)| (escape::terminal(name).into_owned(), *align)).collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row; its cells are escaped here.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = impl AsRef<str>>) {
        self.rows.push(cells.into_iter().map(|cell| escape::terminal(cell.as_ref()).into_owned()).collect());
    }

    /// Returns the header and the rows as lines without trailing spaces.
    pub(crate) fn lines(&self) -> Vec<String> {
        let header: Vec<String> = self.columns.iter().map(|(name, _)| name.clone()).collect();
        let widths: Vec<usize> = (0..self.columns.len())
            .map(|at| {
                let cells = std::iter::once(&header).chain(&self.rows);
                cells.filter_map(|row| row.get(at)).map(|cell| width(cell)).max().unwrap_or(0)
            })
            .collect();
        std::iter::once(&header).chain(&self.rows).map(|row| self.line(row, &widths)).collect()
    }

    fn line(&self, row: &[String], widths: &[usize]) -> String {
        let mut out = String::new();
        for ((cell, (_, align)), wanted) in row.iter().zip(&self.columns).zip(widths) {
            if !out.is_empty() {
                out.push_str("  ");
            }
            let padding = " ".repeat(wanted.saturating_sub(width(cell)));
            match align {
                Align::Left => out.extend([cell.as_str(), &padding]),
                Align::Right => out.extend([padding.as_str(), cell]),
            }
        }
        out.truncate(out.trim_end().len());
        out
    }
}

/// Returns how many cells of a terminal text takes, about: East Asian and emoji take two, combining marks none.
pub(crate) fn width(text: &str) -> usize {
    text.chars().map(character_width).sum()
}

fn character_width(character: char) -> usize {
    match character {
        '\u{300}'..='\u{36f}' | '\u{200d}' | '\u{fe00}'..='\u{fe0f}' | '\u{1f3fb}'..='\u{1f3ff}' => 0,
        '\u{1100}'..='\u{115f}'
        | '\u{2e80}'..='\u{303e}'
        | '\u{3041}'..='\u{a4cf}'
        | '\u{ac00}'..='\u{d7a3}'
        | '\u{f900}'..='\u{faff}'
        | '\u{fe30}'..='\u{fe6f}'
        | '\u{ff00}'..='\u{ff60}'
        | '\u{ffe0}'..='\u{ffe6}'
        | '\u{1f300}'..='\u{1f64f}'
        | '\u{1f680}'..='\u{1f6ff}'
        | '\u{1f900}'..='\u{1f9ff}'
        | '\u{20000}'..='\u{3fffd}' => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let mut table = Table::new(&[("name", Align::Left), ("rows", Align::Right)]);
        table.row(["日本", "7"]);
        table.row(["a\nb", "1,204"]);
        assert_eq!(table.lines(), ["name   rows", "日本      7", "a␊b   1,204"]);
    }
}
