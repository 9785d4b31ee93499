//! Counts calls, and writes the counts into the file that [`CALLS`] names.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    time::{Duration, Instant},
};

use crate::CALLS;

/// The least time between two writes of the file.
const WRITE_INTERVAL: Duration = Duration::from_millis(500);

/// The counts of calls, by function.
#[derive(Default)]
pub struct CallCounter {
    calls: BTreeMap<&'static str, u64>,
    /// The counts that were in the file when the library was loaded.
    earlier: BTreeMap<String, u64>,
    written: Option<Instant>,
}

impl CallCounter {
    /// Counts a call, and writes the file if it is time.
    pub fn count(&mut self, function: &'static str) {
        let Some(path) = std::env::var_os(CALLS) else {
            return;
        };
        if self.written.is_none() {
            self.earlier = parse(&fs::read_to_string(&path).unwrap_or_default());
        }
        *self.calls.entry(function).or_insert(0) += 1;
        if self
            .written
            .is_some_and(|written| written.elapsed() < WRITE_INTERVAL)
        {
            return;
        }
        self.written = Some(Instant::now());
        let mut sums = self.earlier.clone();
        for (function, count) in &self.calls {
            *sums.entry((*function).to_owned()).or_insert(0) += count;
        }
        let mut text = String::new();
        for (function, count) in sums {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{function} {count}");
        }
        // A test that reads the file notices that it is missing.
        let _ = fs::write(path, text);
    }
}

fn parse(text: &str) -> BTreeMap<String, u64> {
    let lines = text.lines().filter_map(|line| line.split_once(' '));
    lines
        .filter_map(|(function, count)| Some((function.to_owned(), count.parse().ok()?)))
        .collect()
}
