//! When to make a call again that failed or is not supported.

use std::time::Instant;

use super::{
    api::Schedule,
    error::{NvmlError, NvmlReturn},
    session::NvmlSession,
};
use crate::backoff::Backoff;

/// One call of an open device.
#[derive(Clone, Copy)]
pub(super) struct CallState {
    /// How often it is made.
    pub(super) schedule: Schedule,
    /// Whether the device supports it.
    pub(super) is_supported: bool,
    failures: u32,
    retry_at: Option<Instant>,
}

/// How the calls of a round went.
#[derive(Default)]
pub(super) struct Outcome {
    /// Whether any call succeeded.
    pub(super) succeeded: bool,
    /// The last error that the round survived.
    pub(super) error: Option<NvmlError>,
}

impl CallState {
    /// A call that has not been made.
    pub(super) const fn new(schedule: Schedule, is_supported: bool) -> Self {
        Self {
            schedule,
            is_supported,
            failures: 0,
            retry_at: None,
        }
    }

    /// Whether to make the call now.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.is_supported && self.retry_at.is_none_or(|at| now >= at)
    }

    /// Records the result of the call.
    ///
    /// # Errors
    /// The result's error if it is fatal.
    pub(super) fn record(
        &mut self,
        result: Result<(), NvmlError>,
        now: Instant,
        session: &NvmlSession,
        outcome: &mut Outcome,
    ) -> Result<(), NvmlError> {
        match result {
            Ok(()) => {
                (self.failures, self.retry_at) = (0, None);
                outcome.succeeded = true;
            }
            Err(error) if error.code.is_unsupported() => {
                self.is_supported = false;
                if error.code == NvmlReturn::NO_PERMISSION {
                    session.count_error(error);
                }
            }
            Err(error) => {
                session.count_error(error);
                if error.code.is_fatal() {
                    return Err(error);
                }
                self.failures += 1;
                // A single failure costs one round only.
                let pause = Backoff::of_reads(session.interval).pause(self.failures);
                self.retry_at = (self.failures > 1).then(|| now + pause);
                outcome.error = Some(error);
            }
        }
        Ok(())
    }
}
