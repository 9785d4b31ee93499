//! Removes what agents have pinned.

use std::{
    fs::{self, TryLockError},
    io,
};

use super::{
    directory::{PinDirectory, Removed},
    path::{PinPath, in_use, invalid_pin_path, unusable_directory},
};
use crate::{config::Config, lock, safe_dir};

/// Removes everything that agents with this configuration have pinned, and describes it.
///
/// # Errors
/// If an agent is running or the kernel refuses.
pub fn detach(config: &Config) -> anyhow::Result<String> {
    let path = match PinPath::of(config)? {
        PinPath::At { path, .. } => path,
        PinPath::Disabled(why) => return Ok(format!("nothing to remove: {why}")),
    };
    let shown = path.display();
    let lock_file = match safe_dir::open(&path) {
        Ok(file) => file,
        Err(error) if error.is_missing() => {
            return Ok(format!("nothing to remove: there is no {shown}"));
        }
        Err(error) => return Err(invalid_pin_path(&unusable_directory(&error)).into()),
    };
    match lock::take(&lock_file) {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(in_use(&path)),
        Err(TryLockError::Error(error)) => anyhow::bail!("cannot use {shown}: {error}"),
    }
    let removed = PinDirectory(path.clone()).clear();
    let Removed { links, maps, left } =
        removed.map_err(|error| anyhow::anyhow!("cannot remove what is under {shown}: {error}"))?;
    match fs::remove_dir(&path) {
        // The directory may be shared, or be the root of the file system.
        Err(error)
            if !matches!(
                error.kind(),
                io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::ResourceBusy
            ) =>
        {
            anyhow::bail!("cannot remove {shown}: {error}")
        }
        _ => {}
    }
    let mut line = format!("removed {links} links and {maps} maps under {shown}");
    if !left.is_empty() {
        line += "; left alone what is not partymeter's: ";
        line += &left.join(", ");
    }
    Ok(line)
}
