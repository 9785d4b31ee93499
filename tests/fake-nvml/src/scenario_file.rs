//! Reads the scenario that [`SCENARIO`] names, again whenever its file changes.

use std::{
    ffi::OsStr,
    fs,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use crate::{SCENARIO, scenario::Scenario};

/// The least time between two looks at the file.
pub const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// The newest scenario.
#[derive(Default)]
pub struct ScenarioFile {
    pub scenario: Arc<Scenario>,
    /// Modification time and length of the file that was read.
    stamp: Option<(SystemTime, u64)>,
    polled: Option<Instant>,
    /// The variable has GPUs instead of the name of a file.
    is_inline: bool,
}

impl ScenarioFile {
    /// Reads the scenario if it is time and the file has changed.
    pub fn refresh(&mut self) {
        if self
            .polled
            .is_some_and(|polled| polled.elapsed() < POLL_INTERVAL)
        {
            return;
        }
        self.polled = Some(Instant::now());
        if let Some(name) = std::env::var_os(SCENARIO) {
            self.read(&name);
        }
    }

    fn read(&mut self, name: &OsStr) {
        let Ok(metadata) = fs::metadata(name) else {
            if self.stamp.is_none() && !self.is_inline {
                let gpus = name.to_string_lossy();
                let scenario = Scenario::parse(&gpus).unwrap_or_else(|error| {
                    eprintln!("{SCENARIO} names neither a file nor GPUs: {error}");
                    Scenario::default()
                });
                self.is_inline = true;
                self.scenario = Arc::new(scenario);
            }
            return;
        };
        let stamp = (metadata.modified().unwrap_or(UNIX_EPOCH), metadata.len());
        if self.stamp == Some(stamp) {
            return;
        }
        // A file that is being written is read at the next look.
        let Ok(text) = fs::read_to_string(name) else {
            return;
        };
        if let Ok(scenario) = serde_json::from_str(&text) {
            self.stamp = Some(stamp);
            self.scenario = Arc::new(scenario);
        }
    }
}
