//! Prints the catalog, for `partymeter metrics`.

use std::{
    collections::BTreeMap,
    io::{self, Write},
};

use serde::Serialize;

use super::{Metric, OpenTelemetry, catalog, gpu};

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
    /// The least and greatest value; others are not exported.
    #[serde(skip_serializing_if = "Option::is_none")]
    range: Option<[f64; 2]>,
    opentelemetry: Vec<Converted>,
}

/// The metric in OpenTelemetry.
#[derive(Serialize)]
struct Converted {
    name: &'static str,
    instrument: &'static str,
    unit: &'static str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    attributes: BTreeMap<&'static str, &'static str>,
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
        let converted = |it: &OpenTelemetry| Converted {
            name: it.name,
            instrument: it.instrument(metric).name(),
            unit: it.unit_of(metric),
            attributes: it.constant.iter().copied().collect(),
        };
        Self {
            name,
            kind,
            unit,
            labels,
            help,
            source,
            reset: reset.text(),
            range: gpu::range(name).map(|range| [range.min, range.max]),
            opentelemetry: opentelemetry.iter().map(converted).collect(),
        }
    }
}

impl Converted {
    fn series(&self) -> String {
        let constant = self
            .attributes
            .iter()
            .map(|(name, value)| format!("{name}={value}"));
        let constant: Vec<String> = constant.collect();
        match constant.as_slice() {
            [] => format!("`{}`", self.name),
            constant => format!("`{}{{{}}}`", self.name, constant.join(",")),
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
                let Row {
                    kind, help, source, ..
                } = row;
                let series = row.series();
                let converted = row.opentelemetry.iter().map(Converted::series);
                let converted = converted.collect::<Vec<_>>().join(", ");
                writeln!(
                    out,
                    "| `{series}` | {kind} | {help} | {source} | {converted} |"
                )?;
            }
            Ok(())
        }
    }
}
