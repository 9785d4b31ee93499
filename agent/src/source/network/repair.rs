//! Restores programs and pins that were removed while the agent runs, before each round.

use std::{path::Path, time::Instant};

use tracing::{info, warn};

use super::{pin::Pins, running::Running};
use crate::source::Failure;

impl Running {
    /// Reattaches detached programs; returns whether connections may have been missed.
    pub(super) fn reattach(&mut self) -> Result<bool, Failure> {
        let now = Instant::now();
        self.gaps.register(self.programs.attached());
        let found = self.programs.reattach();
        let mut missed = false;
        for (program, outcome) in found? {
            missed |= self.gaps.record(program, outcome, now);
        }
        self.gaps.checked(now);
        self.accounting.bytes = self.programs.accounting();
        Ok(missed)
    }

    /// Restores removed pins. Counting does not depend on them.
    pub(super) fn repin(&mut self, pins: &mut Pins) {
        if self.programs.is_as_pinned() {
            return;
        }
        let pinned = pins.relock().and_then(|()| self.programs.repin());
        let path = pins.directory().unwrap_or(Path::new("")).display();
        match (pinned, self.unpinned.take()) {
            (Ok(_), Some(_)) => info!("counters are pinned under {path} again"),
            (Ok(count), None) => warn!(
                "{count} pinned files under {path} were removed; pinned again, nothing is lost"
            ),
            (Err(why), before) => {
                if before.as_ref() != Some(&why) {
                    warn!(
                        "pinned files under {path} were removed; counting continues, but counters end with the agent until they \
                         can be pinned again: {why}"
                    );
                }
                self.unpinned = Some(why);
            }
        }
        self.accounting.pin = if self.unpinned.is_none() { "on" } else { "off" };
    }

    /// What the source lacks, one line each.
    pub(super) fn limits(&self) -> Vec<String> {
        let unpinned = self.unpinned.iter();
        let unpinned = unpinned.map(|why| format!("counters end with the agent ({why})"));
        let fixed = self.limits.iter().cloned();
        fixed.chain(self.gaps.limits()).chain(unpinned).collect()
    }
}
