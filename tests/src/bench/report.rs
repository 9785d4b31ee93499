//! What was measured, once as tables for people and once as JSON. A part fills [`Table`]s; both forms come from the
//! same cells, so a figure has one name.

use std::{fmt::Display, path::Path, time::SystemTime};

use anyhow::Context as _;
use serde_json::{Map, Value, json};

use super::{Context, machine};

/// One line to whoever watches.
#[expect(
    clippy::print_stderr,
    reason = "the one place that reports progress and errors"
)]
pub(super) fn say(line: impl Display) {
    eprintln!("{line}");
}

#[expect(clippy::print_stdout, reason = "the tables are this program's output")]
fn show(text: &str) {
    println!("{text}");
}

/// One value of a table.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    shown: String,
    value: Value,
}

impl Cell {
    /// Words.
    pub(super) fn text(text: impl Into<String>) -> Self {
        let shown = text.into();
        let value = Value::from(shown.clone());
        Self { shown, value }
    }

    /// A figure, shown with so many decimals; JSON has all of it. What is no number shows as missing.
    pub(super) fn number(value: f64, decimals: usize) -> Self {
        if !value.is_finite() {
            return Self::missing();
        }
        Self {
            shown: format!("{value:.decimals$}"),
            value: Value::from(value),
        }
    }

    /// A whole number, shown in groups of three digits.
    pub(super) fn count(value: u64) -> Self {
        let digits = value.to_string();
        let mut shown = String::new();
        for (place, digit) in digits.chars().enumerate() {
            if place > 0 && (digits.len() - place).is_multiple_of(3) {
                shown.push(',');
            }
            shown.push(digit);
        }
        Self {
            shown,
            value: Value::from(value),
        }
    }

    /// Not measured, or does not apply.
    pub(super) fn missing() -> Self {
        Self {
            shown: "-".to_owned(),
            value: Value::Null,
        }
    }
}

/// What a figure should be.
#[derive(Clone, Copy, Debug)]
pub(super) enum Aim {
    AtLeast(f64),
    AtMost(f64),
}

impl Aim {
    /// The cells of the columns "aim" and "met".
    pub(super) fn cells(aim: Option<Self>, value: f64) -> [Cell; 2] {
        let Some(aim) = aim else {
            return [Cell::missing(), Cell::missing()];
        };
        let (text, met) = match aim {
            Self::AtLeast(limit) => (format!(">= {limit}"), value >= limit),
            Self::AtMost(limit) => (format!("<= {limit}"), value <= limit),
        };
        let met = Cell {
            shown: if met { "yes" } else { "NO" }.to_owned(),
            value: Value::from(met),
        };
        [Cell::text(text), met]
    }

    /// The same for a figure that is known to lie within bounds: where the limit does, too, the answer has a `?`.
    pub(super) fn cells_between(self, value: f64, bounds: [f64; 2]) -> [Cell; 2] {
        let [text, mut met] = Self::cells(Some(self), value);
        let answers = bounds.map(|bound| Self::cells(Some(self), bound)[1].value.clone());
        if answers[0] != answers[1] {
            met.shown.push('?');
        }
        [text, met]
    }
}

/// What one part found.
#[derive(Debug)]
pub(super) struct Table {
    name: &'static str,
    /// What the columns mean and how it was measured.
    note: String,
    columns: &'static [&'static str],
    rows: Vec<Vec<Cell>>,
}

impl Table {
    pub(super) fn new(
        name: &'static str,
        note: impl Into<String>,
        columns: &'static [&'static str],
    ) -> Self {
        Self {
            name,
            note: note.into(),
            columns,
            rows: Vec::new(),
        }
    }

    /// Adds a row with a cell for each column.
    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }

    fn print(&self) {
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            let shown = cells.map(|cell| cell.shown.chars().count());
            let header = self.columns[column].chars().count();
            shown.fold(header, usize::max)
        };
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        let line = |words: Vec<&str>| {
            let padded = words.iter().zip(&widths).enumerate();
            let padded = padded.map(|(at, (word, &width))| {
                if at == 0 {
                    format!("{word:<width$}")
                } else {
                    format!("{word:>width$}")
                }
            });
            padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        };
        show(&format!("\n{}: {}", self.name, self.note));
        show(&format!("  {}", line(self.columns.to_vec())));
        for row in &self.rows {
            let words = row.iter().map(|cell| cell.shown.as_str()).collect();
            show(&format!("  {}", line(words)));
        }
    }

    fn json(&self) -> Value {
        let row = |cells: &Vec<Cell>| {
            let pairs = self.columns.iter().zip(cells);
            pairs
                .map(|(column, cell)| (column.replace(' ', "_"), cell.value.clone()))
                .collect::<Map<_, _>>()
        };
        json!({
            "note": self.note,
            "rows": self.rows.iter().map(row).collect::<Vec<_>>(),
        })
    }
}

/// All tables, and what they were measured on.
pub(super) struct Report {
    about: Map<String, Value>,
    parts: Map<String, Value>,
}

impl Report {
    /// An empty one; prints what machine this is.
    pub(super) fn new(context: &Context, other_agents: usize) -> Self {
        let date = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
        let mut about = machine::describe();
        about.insert("agent".to_owned(), Value::from(context.program.version()));
        about.insert("date".to_owned(), Value::from(date));
        about.insert("other_agents".to_owned(), Value::from(other_agents));
        about.insert("quick".to_owned(), Value::from(context.quick));
        for (name, value) in &about {
            let value = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            show(&format!("{name}: {value}"));
        }
        Self {
            about,
            parts: Map::new(),
        }
    }

    /// Prints a table and keeps it.
    pub(super) fn add(&mut self, table: &Table) {
        table.print();
        self.parts.insert(table.name.to_owned(), table.json());
    }

    /// Writes everything as JSON; the file belongs to whom its directory belongs to, not to root.
    pub(super) fn write(self, path: &Path) -> anyhow::Result<()> {
        let mut whole = self.about;
        whole.insert("parts".to_owned(), Value::Object(self.parts));
        let mut text = serde_json::to_string_pretty(&Value::Object(whole))?;
        text.push('\n');
        std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
        if let Some(directory) = path.parent().filter(|it| !it.as_os_str().is_empty()) {
            use std::os::unix::fs::{MetadataExt as _, chown};
            let owner = std::fs::metadata(directory)?;
            chown(path, Some(owner.uid()), Some(owner.gid()))
                .with_context(|| format!("cannot give {} to its owner", path.display()))?;
        }
        show(&format!("\nwritten to {}", path.display()));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_grouped() {
        for (value, shown) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(Cell::count(value).shown, shown);
        }
    }

    #[test]
    fn an_aim_is_met_at_its_limit() {
        let met = |aim, value| Aim::cells(Some(aim), value)[1].value == true;
        assert!(met(Aim::AtLeast(0.99), 0.99));
        assert!(!met(Aim::AtLeast(0.99), 0.989));
        assert!(met(Aim::AtMost(50.0), 50.0));
        assert!(!met(Aim::AtMost(50.0), f64::NAN));
    }

    #[test]
    fn an_aim_within_the_error_is_doubted() {
        let shown = |bounds| {
            Aim::AtLeast(0.99).cells_between(1.0, bounds)[1]
                .shown
                .clone()
        };
        assert_eq!(shown([0.995, 1.01]), "yes");
        assert_eq!(shown([0.98, 1.01]), "yes?");
    }

    #[test]
    fn both_forms_have_the_same_cells() {
        let mut table = Table::new("name", "note", &["what", "ns per run"]);
        table.row([Cell::text("a"), Cell::number(1.25, 1)]);
        assert_eq!(
            table.json(),
            json!({"note": "note", "rows": [{"what": "a", "ns_per_run": 1.25}]})
        );
    }
}
