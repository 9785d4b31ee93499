//! Where counters outlive the agent: which directory, that one agent has it at a time, and whether what is there can be
//! gone on with.

mod ahead;

pub use self::ahead::probe;
use self::ahead::{at_zero, ended, examine};

use std::{
    fs::{self, File, TryLockError},
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::SystemTime,
};

use nix::sys::statfs::{BPF_FS_MAGIC, statfs};
use tracing::{info, warn};

use super::{
    layout::Layout,
    loader::{Folder, Removed, Unfit},
};
use crate::{
    Misconfigured,
    config::{Config, Pin},
    finding::or_else,
    lock,
    safe_dir::{self, UnsafeDirectory},
};

/// Where BPF file systems are mounted.
const MOUNT: &str = "/sys/fs/bpf";
/// The directory in it, unless another is configured.
const NAME: &str = "partymeter";

/// What is pinned, or is to be; this agent's alone as long as this is there.
#[derive(Debug, Default)]
pub struct Pins {
    locked: Option<Locked>,
    /// Numbers to go on with.
    layout: Option<Layout>,
    /// Why what is there cannot be gone on with.
    unfit: Option<String>,
    /// Why nothing is to be pinned.
    nowhere: Option<String>,
    /// Why nothing is pinned although it could be.
    limit: Option<String>,
}

/// A directory that nobody else has.
#[derive(Debug)]
struct Locked {
    folder: Folder,
    /// Whether this agent has made it.
    made: bool,
    /// Given back with the process, however that ends.
    lock: File,
}

impl Drop for Locked {
    fn drop(&mut self) {
        // Only where nothing was pinned, as where the agent does not start after all.
        if self.made {
            drop(fs::remove_dir(&self.folder.0));
        }
    }
}

/// What a start goes on with.
#[derive(Debug)]
pub(super) struct Base {
    /// Where to pin; `None`: nowhere.
    pub(super) folder: Option<Folder>,
    /// Whether maps are there to be gone on with.
    pub(super) taken_over: bool,
    /// Which load of the programs the next one is.
    pub(super) generation: u32,
    /// Since when is counted.
    pub(super) since: SystemTime,
}

impl Base {
    /// Nothing is there, and nothing is pinned.
    pub(super) fn nothing() -> Self {
        Self {
            folder: None,
            taken_over: false,
            generation: 1,
            since: SystemTime::now(),
        }
    }
}

/// The directory of a configuration.
enum Place {
    /// `None`, with the reason, where nothing is to be pinned.
    Nowhere(String),
    /// `chosen`: the configuration names it.
    At { path: PathBuf, chosen: bool },
}

impl Place {
    fn of(config: &Config) -> Result<Self, Misconfigured> {
        let path = match &config.network.bpf_pin_path {
            Pin::Nothing => return Ok(Self::Nowhere("network.bpf_pin_path is \"\"".to_owned())),
            Pin::At(path) => path.clone(),
            Pin::Mounted if is_bpf(Path::new(MOUNT)) => {
                let path = Path::new(MOUNT).join(NAME);
                return Ok(Self::At {
                    path,
                    chosen: false,
                });
            }
            Pin::Mounted => {
                let why = format!("no BPF file system is mounted at {MOUNT}");
                return Ok(Self::Nowhere(why));
            }
        };
        let nearest = if path.exists() {
            Some(path.as_path())
        } else {
            path.parent()
        };
        if nearest.is_some_and(is_bpf) {
            return Ok(Self::At { path, chosen: true });
        }
        Err(unusable(&format!(
            "{} is not in a BPF file system; help: mount one with `mount -t bpf bpf {MOUNT}` and name a directory there",
            path.display()
        )))
    }
}

impl Pins {
    /// For an agent whose counters end with it.
    pub fn none() -> Self {
        Self::default()
    }

    /// Takes the directory of a configuration, and looks at what is there; changes nothing in it.
    ///
    /// # Errors
    /// If another agent has it, or the configuration names one that cannot be used. The default that cannot be is a
    /// limit, and all else goes on.
    pub fn open(config: &Config) -> anyhow::Result<Self> {
        let (path, chosen) = match Place::of(config)? {
            Place::At { path, chosen } => (path, chosen),
            Place::Nowhere(why) => {
                return Ok(Self {
                    nowhere: Some(why),
                    ..Self::none()
                });
            }
        };
        let made = fs::symlink_metadata(&path).is_err();
        let refused = |why: String| {
            // Not what others have made or put there.
            if made {
                drop(fs::remove_dir(&path));
            }
            if chosen {
                return Err(unusable(&why).into());
            }
            Ok(Self {
                limit: Some(ended(&why)),
                ..Self::none()
            })
        };
        let looked = safe_dir::probe(&path);
        let directory = match looked.and_then(|()| safe_dir::open_or_create(&path, 0o700)) {
            Ok(directory) => directory,
            Err(error) => return refused(not_to_be_used(&error)),
        };
        match lock::take(&directory) {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(busy(&path)),
            Err(TryLockError::Error(error)) => {
                return refused(format!("cannot use {}: {error}", path.display()));
            }
        }
        let folder = Folder(path.clone());
        let found = match examine(&folder, config) {
            Ok(found) => found,
            Err(why) => return refused(why),
        };
        if let Err(error) = folder.try_out() {
            return refused(error.to_string());
        }
        let mut pins = Self {
            layout: found.layout,
            unfit: found.unfit,
            ..Self::none()
        };
        pins.locked = Some(Locked {
            folder,
            made,
            lock: directory,
        });
        Ok(pins)
    }

    /// The numbers to go on with, which have the parties and protocols of the configuration.
    pub fn layout(&self, config: &Config) -> Layout {
        self.layout.clone().unwrap_or_else(|| Layout::new(config))
    }

    /// Why nothing is pinned although it could be.
    pub(super) fn limit(&self) -> Option<&String> {
        self.limit.as_ref()
    }

    /// Where pins are.
    pub(super) fn directory(&self) -> Option<&Path> {
        Some(&self.locked.as_ref()?.folder.0)
    }

    /// Takes the directory again where it is not the one any more that was taken: removed, or with another file system
    /// in its place.
    ///
    /// # Errors
    /// Why it cannot be had.
    pub(super) fn take_again(&mut self) -> Result<(), String> {
        let Some(locked) = &mut self.locked else {
            return Ok(());
        };
        let path = &locked.folder.0;
        let shown = path.display();
        let nearest = if path.exists() {
            Some(path.as_path())
        } else {
            path.parent()
        };
        if !nearest.is_some_and(is_bpf) {
            return Err(format!("{shown} is in no BPF file system any more"));
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

    /// What to start from; where it has to be from the beginning, removes what is there. `layout` has grown from that
    /// of [`Pins::layout`].
    pub(super) fn begin(&mut self, layout: &Layout) -> Result<Base, String> {
        let mut base = Base::nothing();
        let Some(Locked { folder, .. }) = &self.locked else {
            if let Some(why) = self.nowhere.take() {
                info!("counters end with the agent: {why}");
            }
            return Ok(base);
        };
        base.folder = Some(folder.clone());
        let path = folder.0.display();
        let free = folder.nothing_in_the_way();
        free.map_err(|error| format!("cannot pin under {path}: {error}"))?;
        let kept = match folder.read() {
            Ok(kept) => kept.filter(|_| self.unfit.is_none()),
            Err(Unfit::Foreign(why)) => {
                self.unfit.get_or_insert(why.to_owned());
                None
            }
            Err(Unfit::Unreadable(why)) => return Err(why),
        };
        if let Some(kept) = kept.filter(|kept| kept.layout.measures() == layout.measures()) {
            base.taken_over = true;
            base.generation = kept.generation + 1;
            base.since = kept.since;
            let since = humantime::format_rfc3339_seconds(kept.since);
            info!("going on with the counters under {path}, which count since {since}");
            return Ok(base);
        }
        let removed = folder.clear();
        removed.map_err(|error| format!("cannot remove what is pinned under {path}: {error}"))?;
        if let Some(why) = self.unfit.take() {
            warn!("{}", at_zero(&folder.0, &why));
        } else {
            info!("counters are pinned under {path}, and outlive the agent");
        }
        Ok(base)
    }
}

/// Removes everything that a configuration's agents have pinned, and says what that was.
///
/// # Errors
/// If an agent is running, or the kernel refuses.
pub fn detach(config: &Config) -> anyhow::Result<String> {
    let path = match Place::of(config)? {
        Place::At { path, .. } => path,
        Place::Nowhere(why) => return Ok(format!("nothing to remove: {why}")),
    };
    let shown = path.display();
    let directory = match safe_dir::open(&path) {
        Ok(directory) => directory,
        Err(error) if error.is_missing() => {
            return Ok(format!("nothing to remove: there is no {shown}"));
        }
        Err(error) => return Err(unusable(&not_to_be_used(&error)).into()),
    };
    match lock::take(&directory) {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(busy(&path)),
        Err(TryLockError::Error(error)) => anyhow::bail!("cannot use {shown}: {error}"),
    }
    let removed = Folder(path.clone()).clear();
    let Removed { links, maps, left } =
        removed.map_err(|error| anyhow::anyhow!("cannot remove what is under {shown}: {error}"))?;
    match fs::remove_dir(&path) {
        // It may be shared with others, or be the whole file system.
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

fn not_to_be_used(error: &UnsafeDirectory) -> String {
    format!("cannot use the directory: {error}")
}

fn unusable(why: &str) -> Misconfigured {
    Misconfigured(or_else(
        &format!("network.bpf_pin_path: {why}"),
        "set it to \"\" to pin nothing",
    ))
}

fn busy(path: &Path) -> anyhow::Error {
    anyhow::anyhow!(
        "network.bpf_pin_path: an agent is running with {}; help: stop it first, or set another directory, or \"\" for none",
        path.display()
    )
}

pub(super) fn is_bpf(path: &Path) -> bool {
    statfs(path).is_ok_and(|found| found.filesystem_type() == BPF_FS_MAGIC)
}
