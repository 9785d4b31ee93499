//! The health of a source, apart from its data: a failure never passes for a value.

use std::sync::Arc;

use super::Durations;

/// The health of one source.
#[derive(Clone, Debug)]
pub struct SourceHealth {
    /// The value of the label `source`.
    pub source: Arc<str>,
    /// Why it is down, in one line with the help; `None`: it is up.
    pub down: Option<String>,
    /// The kind of that failure.
    pub kind: Option<FailureKind>,
    /// Failures since the start, by kind.
    pub errors: [u64; FailureKind::ALL.len()],
    /// The durations of its rounds.
    pub durations: Durations,
    /// Age of its newest sample, in seconds; `None` before the first.
    pub age_seconds: Option<f64>,
}

/// Why a source could not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// A capability or permission is missing.
    Permission,
    /// The kernel, driver or machine does not support it.
    Unsupported,
    /// Something configured was not found.
    NotFound,
    /// There is nothing to read: no such hardware, or no driver. Not a fault of this node.
    Absent,
    /// What it has read is gone or does not respond.
    Lost,
    /// A read failed.
    Read,
    /// No response in time.
    Deadline,
}

impl FailureKind {
    /// Every kind, in the order of [`SourceHealth::errors`].
    pub const ALL: [Self; 7] = [
        Self::Permission,
        Self::Unsupported,
        Self::NotFound,
        Self::Absent,
        Self::Lost,
        Self::Read,
        Self::Deadline,
    ];

    /// The value of the label `kind`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Permission => "permission",
            Self::Unsupported => "unsupported",
            Self::NotFound => "not_found",
            Self::Absent => "absent",
            Self::Lost => "lost",
            Self::Read => "read",
            Self::Deadline => "deadline",
        }
    }
}
