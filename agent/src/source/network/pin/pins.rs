//! The directory that this agent holds, and what a start resumes from.

use std::{
    fs::{self, File, TryLockError},
    os::unix::fs::MetadataExt as _,
    path::Path,
    time::SystemTime,
};

use tracing::{info, warn};

use super::{
    directory::{PinDirectory, PinError},
    examine::examine,
    path::{
        PinPath, counters_not_pinned, counters_reset, in_use, invalid_pin_path, is_bpf,
        unusable_directory,
    },
};
use crate::{config::Config, lock, safe_dir, source::network::layout::Layout};

/// What is or will be pinned. The directory stays locked while this exists.
#[derive(Debug, Default)]
pub struct Pins {
    locked: Option<LockedDirectory>,
    /// The numbers to resume with.
    layout: Option<Layout>,
    /// Why the agent cannot resume.
    incompatible: Option<String>,
    /// Why pinning is off.
    disabled: Option<String>,
    /// Why pinning does not work.
    limit: Option<String>,
}

#[derive(Debug)]
struct LockedDirectory {
    directory: PinDirectory,
    made: bool,
    /// The process's end releases it.
    lock: File,
}

impl Drop for LockedDirectory {
    fn drop(&mut self) {
        // Empty only if nothing was pinned, as after a failed start.
        if self.made {
            drop(fs::remove_dir(&self.directory.0));
        }
    }
}

/// What a start begins with.
#[derive(Debug)]
pub(crate) struct StartPoint {
    /// `None`: nothing is pinned.
    pub(crate) directory: Option<PinDirectory>,
    /// Whether to resume from pinned maps.
    pub(crate) taken_over: bool,
    /// The generation of the next load.
    pub(crate) generation: u32,
    /// When counting started.
    pub(crate) since: SystemTime,
}

impl StartPoint {
    /// A start without pins.
    pub(crate) fn unpinned() -> Self {
        Self {
            directory: None,
            taken_over: false,
            generation: 1,
            since: SystemTime::now(),
        }
    }
}

impl Pins {
    /// For an agent whose counters end with it.
    pub fn none() -> Self {
        Self::default()
    }

    /// Locks the configured directory and examines it without changing it.
    ///
    /// # Errors
    /// If another agent holds it, or a directory named in the configuration cannot be used. If the default cannot be
    /// used, that is a limit and the agent runs.
    pub fn open(config: &Config) -> anyhow::Result<Self> {
        let (path, chosen) = match PinPath::of(config)? {
            PinPath::At { path, chosen } => (path, chosen),
            PinPath::Disabled(why) => {
                return Ok(Self {
                    disabled: Some(why),
                    ..Self::none()
                });
            }
        };
        let made = fs::symlink_metadata(&path).is_err();
        let refused = |why: String| {
            // Only what this call made.
            if made {
                drop(fs::remove_dir(&path));
            }
            if chosen {
                return Err(invalid_pin_path(&why).into());
            }
            Ok(Self {
                limit: Some(counters_not_pinned(&why)),
                ..Self::none()
            })
        };
        let looked = safe_dir::probe(&path);
        let lock_file = match looked.and_then(|()| safe_dir::open_or_create(&path, 0o700)) {
            Ok(file) => file,
            Err(error) => return refused(unusable_directory(&error)),
        };
        match lock::take(&lock_file) {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(in_use(&path)),
            Err(TryLockError::Error(error)) => {
                return refused(format!("cannot use {}: {error}", path.display()));
            }
        }
        let directory = PinDirectory(path.clone());
        let found = match examine(&directory, config) {
            Ok(found) => found,
            Err(why) => return refused(why),
        };
        if let Err(error) = directory.check_writable() {
            return refused(error.to_string());
        }
        let mut pins = Self {
            layout: found.layout,
            incompatible: found.incompatible,
            ..Self::none()
        };
        pins.locked = Some(LockedDirectory {
            directory,
            made,
            lock: lock_file,
        });
        Ok(pins)
    }

    /// The numbers to resume with, including the parties and protocols of the configuration.
    pub fn layout(&self, config: &Config) -> Layout {
        self.layout.clone().unwrap_or_else(|| Layout::new(config))
    }

    /// Why pinning does not work.
    pub(crate) fn limit(&self) -> Option<&String> {
        self.limit.as_ref()
    }

    pub(crate) fn directory(&self) -> Option<&Path> {
        Some(&self.locked.as_ref()?.directory.0)
    }

    /// Locks the directory again if the locked one was removed or another file system covers it.
    ///
    /// # Errors
    /// Why it cannot be locked.
    pub(crate) fn relock(&mut self) -> Result<(), String> {
        let Some(locked) = &mut self.locked else {
            return Ok(());
        };
        let path = &locked.directory.0;
        let shown = path.display();
        let nearest = if path.exists() {
            Some(path.as_path())
        } else {
            path.parent()
        };
        if !nearest.is_some_and(is_bpf) {
            return Err(format!("{shown} is no longer in a BPF file system"));
        }
        let file = |found: fs::Metadata| (found.dev(), found.ino());
        let taken = locked.lock.metadata().map(file).ok();
        if taken.is_some() && fs::metadata(path).map(file).ok() == taken {
            return Ok(());
        }
        let lock = safe_dir::open_or_create(path, 0o700)
            .map_err(|error| format!("cannot use the directory: {error}"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(format!("another agent has {shown}")),
            Err(TryLockError::Error(error)) => return Err(format!("cannot use {shown}: {error}")),
        }
        locked.lock = lock;
        Ok(())
    }

    /// What a start begins with; clears the directory if it cannot resume. `layout` must extend that of
    /// [`Pins::layout`].
    pub(crate) fn start(&mut self, layout: &Layout) -> Result<StartPoint, String> {
        let mut start_point = StartPoint::unpinned();
        let Some(LockedDirectory { directory, .. }) = &self.locked else {
            if let Some(why) = self.disabled.take() {
                info!("counters end with the agent: {why}");
            }
            return Ok(start_point);
        };
        start_point.directory = Some(directory.clone());
        let path = directory.0.display();
        let free = directory.check_conflicts();
        free.map_err(|error| format!("cannot pin under {path}: {error}"))?;
        let found = match directory.read() {
            Ok(found) => found.filter(|_| self.incompatible.is_none()),
            Err(PinError::Foreign(why)) => {
                self.incompatible.get_or_insert(why.to_owned());
                None
            }
            Err(PinError::Unreadable(why)) => return Err(why),
        };
        if let Some(found) = found.filter(|found| found.layout.dimensions() == layout.dimensions())
        {
            start_point.taken_over = true;
            start_point.generation = found.generation + 1;
            start_point.since = found.since;
            let since = humantime::format_rfc3339_seconds(found.since);
            info!("resuming the counters under {path}, counting since {since}");
            return Ok(start_point);
        }
        let removed = directory.clear();
        removed.map_err(|error| format!("cannot remove what is pinned under {path}: {error}"))?;
        if let Some(why) = self.incompatible.take() {
            warn!("{}", counters_reset(&directory.0, &why));
        } else {
            info!("counters are pinned under {path} and outlive the agent");
        }
        Ok(start_point)
    }
}
