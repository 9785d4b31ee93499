//! What somebody may take away while the agent runs, programs and pins: looked at before each round, put back, and told.

use std::{path::Path, time::Instant};

use tracing::{info, warn};

use super::{Failure, Pins, Running, explain::explain};

impl Running {
    /// Attaches what somebody has detached; returns whether connections may have been missed.
    pub(super) fn attach_again(&mut self) -> Result<bool, Failure> {
        let now = Instant::now();
        self.gaps.watch(self.programs.attached());
        let found = self.programs.attach_again();
        let mut news = false;
        for (program, outcome) in found.map_err(|error| explain(&error))? {
            news |= self.gaps.found(program, outcome, now);
        }
        self.gaps.looked(now);
        self.accounting.bytes = self.programs.accounting();
        Ok(news)
    }

    /// Pins what somebody has removed. Nothing else depends on it while the agent runs.
    pub(super) fn pin_again(&mut self, pins: &mut Pins) {
        if self.programs.is_as_pinned() {
            return;
        }
        let pinned = pins.take_again().and_then(|()| self.programs.pin_again());
        let path = pins.directory().unwrap_or(Path::new("")).display();
        match (pinned, self.unpinned.take()) {
            (Ok(_), Some(_)) => info!("counters are pinned under {path} again"),
            (Ok(count), None) => warn!(
                "somebody has removed {count} files under {path}: they are pinned again, and nothing is lost"
            ),
            (Err(why), before) => {
                if before.as_ref() != Some(&why) {
                    warn!(
                        "somebody has removed what was pinned under {path}: counting goes on, and its counters end with                          the agent until they can be pinned again ({why})"
                    );
                }
                self.unpinned = Some(why);
            }
        }
        self.accounting.pin = if self.unpinned.is_none() { "on" } else { "off" };
    }

    /// What goes without, in one line each.
    pub(super) fn limits(&self) -> Vec<String> {
        let unpinned = self.unpinned.iter();
        let unpinned = unpinned.map(|why| format!("counters end with the agent ({why})"));
        let fixed = self.limits.iter().cloned();
        fixed.chain(self.gaps.limits()).chain(unpinned).collect()
    }
}
