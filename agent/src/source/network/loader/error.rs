//! What aya and the kernel say, in one line: whether a privilege is missing, or what else.

use std::io;

use aya::programs::ProgramError;

/// Why the programs are not running.
#[derive(Debug, thiserror::Error)]
pub(in super::super) enum Error {
    /// The kernel has no BTF, or none that the programs can be fitted to.
    #[error("{0}")]
    Btf(String),
    /// The kernel refused: no privilege.
    #[error("the kernel refused to {0}: no permission")]
    Permission(&'static str),
    /// The kernel would accept it, and it could crash the machine.
    #[error("{0}")]
    Unsafe(&'static str),
    /// Anything else.
    #[error("cannot {0}: {1}")]
    Kernel(&'static str, String),
}

/// The operating system's error at the bottom of a chain, if there is one.
pub(super) fn cause<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a io::Error> {
    let mut at = Some(error);
    while let Some(error) = at {
        if let Some(io) = error.downcast_ref() {
            return Some(io);
        }
        at = error.source();
    }
    None
}

/// EPERM only: the verifier says EACCES when it does not like a program.
fn is_denied(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EPERM)
}

pub(super) fn kernel_error(
    action: &'static str,
    error: &(dyn std::error::Error + 'static),
) -> Error {
    if cause(error).is_some_and(is_denied) {
        return Error::Permission(action);
    }
    let mut text = error.to_string();
    let mut at = error.source();
    while let Some(error) = at {
        text = format!("{text}: {error}");
        at = error.source();
    }
    Error::Kernel(action, text)
}

/// As [`kernel_error`]; of the verifier's log only the end is of use in one line.
pub(super) fn program_error(action: &'static str, error: &ProgramError) -> Error {
    match error {
        ProgramError::LoadError {
            io_error,
            verifier_log,
        } => {
            if is_denied(io_error) {
                return Error::Permission(action);
            }
            let log = verifier_log.to_string();
            tracing::debug!(target: "partymeter::verifier", "{log}");
            // The log ends with the instruction and what is wrong with it, then figures.
            let figures = ["processed", "verification time", "stack depth"];
            let end: Vec<&str> = log
                .lines()
                .filter(|line| !line.is_empty() && !figures.iter().any(|f| line.starts_with(f)))
                .rev()
                .take(1)
                .collect();
            Error::Kernel(action, format!("{io_error}: {}", end.join(" | ")))
        }
        _ => kernel_error(action, error),
    }
}
