//! Errors of aya and the kernel, in one line each.

use std::io;

use aya::programs::ProgramError;

/// Why the programs are not running.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BpfError {
    /// The kernel has no BTF, or none that the programs fit.
    #[error("{0}")]
    Btf(String),
    /// A privilege is missing.
    #[error("the kernel refused to {0}: no permission")]
    Permission(&'static str),
    /// The kernel would accept the program, and the program could crash the machine.
    #[error("{0}")]
    UnsafeDirectory(&'static str),
    /// Anything else.
    #[error("cannot {0}: {1}")]
    Kernel(&'static str, String),
}

/// The operating system's error at the end of a chain.
pub(crate) fn cause<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a io::Error> {
    let mut at = Some(error);
    while let Some(error) = at {
        if let Some(io) = error.downcast_ref() {
            return Some(io);
        }
        at = error.source();
    }
    None
}

/// EPERM only: EACCES is the verifier rejecting a program.
fn is_denied(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EPERM)
}

pub(crate) fn kernel_error(
    action: &'static str,
    error: &(dyn std::error::Error + 'static),
) -> BpfError {
    if cause(error).is_some_and(is_denied) {
        return BpfError::Permission(action);
    }
    let mut text = error.to_string();
    let mut at = error.source();
    while let Some(error) = at {
        text = format!("{text}: {error}");
        at = error.source();
    }
    BpfError::Kernel(action, text)
}

/// As [`kernel_error`], with the last useful line of the verifier's log.
pub(crate) fn program_error(action: &'static str, error: &ProgramError) -> BpfError {
    match error {
        ProgramError::LoadError {
            io_error,
            verifier_log,
        } => {
            if is_denied(io_error) {
                return BpfError::Permission(action);
            }
            let log = verifier_log.to_string();
            tracing::debug!(target: "partymeter::verifier", "{log}");
            // The log ends with the rejected instruction and the reason, then statistics.
            let figures = ["processed", "verification time", "stack depth"];
            let end: Vec<&str> = log
                .lines()
                .filter(|line| !line.is_empty() && !figures.iter().any(|f| line.starts_with(f)))
                .rev()
                .take(1)
                .collect();
            BpfError::Kernel(action, format!("{io_error}: {}", end.join(" | ")))
        }
        _ => kernel_error(action, error),
    }
}
