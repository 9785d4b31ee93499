//! What a directory offers to resume from.

use super::directory::{PinDirectory, PinError};
use crate::{config::Config, source::network::layout::Layout};

/// What a directory offers to resume from.
pub(super) struct Examined {
    /// The numbers to resume with.
    pub(super) layout: Option<Layout>,
    /// Why an agent cannot resume.
    pub(super) incompatible: Option<String>,
}

/// Examines a directory without changing it.
///
/// # Errors
/// Why nothing can be pinned there.
pub(super) fn examine(directory: &PinDirectory, config: &Config) -> Result<Examined, String> {
    directory
        .check_conflicts()
        .map_err(|error| error.to_string())?;
    let (layout, incompatible) = match directory.read() {
        Ok(None) => (None, None),
        Ok(Some(found)) => {
            let mut layout = found.layout;
            match layout.resume(config) {
                Ok(()) => (Some(layout), None),
                Err(full) => (None, Some(full.to_string())),
            }
        }
        Err(PinError::Foreign(why)) => (None, Some(why.to_owned())),
        Err(PinError::Unreadable(why)) => return Err(why),
    };
    Ok(Examined {
        layout,
        incompatible,
    })
}
