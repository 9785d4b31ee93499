//! The catalog for people and programs: what `partymeter metrics` prints.

use std::io::{self, Write};

use serde::Serialize;

use super::{Metric, catalog};

/// How to print the catalog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Aligned columns.
    Table,
    /// A list of objects.
    Json,
    /// A table for the documentation.
    Markdown,
}

#[derive(Serialize)]
struct Row {
    name: &'static str,
    kind: &'static str,
    unit: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
    source: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    reset: &'static str,
    opentelemetry: &'static str,
}

impl From<&'static Metric> for Row {
    fn from(metric: &'static Metric) -> Self {
        let Metric {
            name,
            unit,
            help,
            labels,
            source,
            reset,
            opentelemetry,
            ..
        } = metric;
        let kind = metric.kind.name();
        Self {
            name,
            kind,
            unit,
            labels,
            help,
            source,
            reset,
            opentelemetry,
        }
    }
}

impl Row {
    fn series(&self) -> String {
        match self.labels {
            [] => self.name.to_owned(),
            labels => format!("{}{{{}}}", self.name, labels.join(",")),
        }
    }
}

/// Prints the catalog.
///
/// # Errors
/// If `out` cannot be written.
pub fn print(format: Format, out: &mut dyn Write) -> io::Result<()> {
    let rows: Vec<Row> = catalog().map(Row::from).collect();
    match format {
        Format::Json => {
            serde_json::to_writer_pretty(&mut *out, &rows)?;
            writeln!(out)
        }
        Format::Table => {
            let width = rows.iter().map(|row| row.series().len()).max().unwrap_or(0);
            for row in &rows {
                writeln!(out, "{:width$}  {:9}  {}", row.series(), row.kind, row.help)?;
            }
            Ok(())
        }
        Format::Markdown => {
            writeln!(out, "| metric | kind | meaning | source | OpenTelemetry |")?;
            writeln!(out, "| --- | --- | --- | --- | --- |")?;
            for row in &rows {
                let (
                    series,
                    Row {
                        kind,
                        help,
                        source,
                        opentelemetry,
                        ..
                    },
                ) = (row.series(), row);
                writeln!(
                    out,
                    "| `{series}` | {kind} | {help} | {source} | `{opentelemetry}` |"
                )?;
            }
            Ok(())
        }
    }
}
