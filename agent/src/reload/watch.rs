//! Notices that a file may have changed, whichever way: written in place, renamed over (editors), or by a symbolic
//! link somewhere on its way (a Kubernetes `ConfigMap`). Directories are watched, for a file's own watch goes with it.

use std::{
    collections::BTreeSet,
    io,
    os::fd::{AsFd as _, AsRawFd, RawFd},
    path::{Path, PathBuf},
};

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use tokio::io::{Interest, unix::AsyncFd};
use tracing::warn;

/// Symbolic links on the way that are followed; the kernel follows no more (`MAXSYMLINKS`).
const LINKS: usize = 40;

/// A file that is watched.
pub(super) struct Watch(Option<(PathBuf, AsyncFd<Events>)>);

struct Events(Inotify);

impl AsRawFd for Events {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl Watch {
    /// Of no file, it never changes.
    pub(super) fn new(path: Option<PathBuf>) -> Self {
        let Some(path) = path else { return Self(None) };
        let events = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)
            .map_err(io::Error::from)
            .and_then(|inotify| {
                // SAFETY: the descriptor is open, and owned by what is handed over, which never changes it.
                let events =
                    unsafe { AsyncFd::register_with_interest(Events(inotify), Interest::READABLE) };
                events.map_err(io::Error::from)
            });
        match events {
            Ok(events) => {
                arm(&path, &events.get_ref().0);
                Self(Some((path, events)))
            }
            Err(error) => {
                let path = path.display();
                warn!("cannot watch {path}, it is read now and then instead: {error}");
                Self(None)
            }
        }
    }

    /// Waits until the file may have changed.
    pub(super) async fn changed(&mut self) {
        let Some((path, events)) = &mut self.0 else {
            return std::future::pending().await;
        };
        // An error is of no use to anybody: the file is read now and then as well.
        if let Ok(mut ready) = events.readable().await {
            let read = |events: &AsyncFd<Events>| Ok(events.get_ref().0.read_events()?);
            while let Ok(Ok(_)) = ready.try_io(read) {}
        }
        // The way to the file may be another one now.
        arm(path, &events.get_ref().0);
    }
}

/// Watches every directory on the way to the file. One that is watched already stays so.
fn arm(path: &Path, inotify: &Inotify) {
    let changes = AddWatchFlags::IN_CLOSE_WRITE
        | AddWatchFlags::IN_CREATE
        | AddWatchFlags::IN_MOVED_TO
        | AddWatchFlags::IN_MOVED_FROM
        | AddWatchFlags::IN_DELETE
        | AddWatchFlags::IN_ONLYDIR;
    for directory in directories(path) {
        // What cannot be watched is read now and then.
        let _ = inotify.add_watch(&directory, changes);
    }
}

/// The directory of the file, and those of what it and its directories are links to.
fn directories(path: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut at = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    for _ in 0..LINKS {
        // The first link on the way, from the root, decides where it goes on.
        let prefixes: Vec<&Path> = at.ancestors().collect();
        let link = prefixes
            .into_iter()
            .rev()
            .find_map(|part| Some((part.to_owned(), std::fs::read_link(part).ok()?)));
        if let Some(parent) = at.parent() {
            found.insert(parent.to_owned());
        }
        let Some((link, target)) = link else { break };
        let parent = link.parent().unwrap_or(Path::new("/"));
        found.insert(parent.to_owned());
        let rest = at.strip_prefix(&link).unwrap_or(Path::new("")).to_owned();
        at = if rest.as_os_str().is_empty() {
            parent.join(target)
        } else {
            parent.join(target).join(rest)
        };
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn every_directory_on_the_way_of_a_config_map_is_watched() {
        let root = std::env::temp_dir().join(format!("partymeter-watch-{}", std::process::id()));
        let root = root.canonicalize().unwrap_or(root);
        std::fs::create_dir_all(root.join("map/..2026_11")).unwrap();
        std::fs::write(root.join("map/..2026_11/c.toml"), "").unwrap();
        symlink("..2026_11", root.join("map/..data")).unwrap();
        symlink("..data/c.toml", root.join("map/c.toml")).unwrap();
        let found = directories(&root.join("map/c.toml"));
        std::fs::remove_dir_all(&root).unwrap();
        for wanted in ["map", "map/..2026_11"] {
            assert!(found.contains(&root.join(wanted)), "{wanted}: {found:?}");
        }
    }

    #[test]
    fn links_in_a_circle_come_to_an_end() {
        let link = std::env::temp_dir().join(format!("partymeter-circle-{}", std::process::id()));
        symlink(&link, &link).unwrap();
        let found = directories(&link);
        std::fs::remove_file(&link).unwrap();
        assert!(found.len() <= 2, "{found:?}");
    }
}
