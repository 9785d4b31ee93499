//! Notices that a file may have changed, whichever way: written in place, renamed over (editors), or by a symbolic
//! link somewhere on its way (a Kubernetes `ConfigMap`). Directories are watched, for a file's own watch goes with it.

use std::{
    collections::BTreeSet,
    ffi::{OsStr, OsString},
    io,
    os::fd::{AsFd as _, AsRawFd, RawFd},
    path::{Path, PathBuf},
    sync::Arc,
};

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use tokio::{
    io::{Interest, unix::AsyncFd},
    task::{JoinHandle, spawn_blocking},
};
use tracing::warn;

/// Symbolic links on the way that are followed; the kernel follows no more (`MAXSYMLINKS`).
const LINKS: usize = 40;

/// A file that is watched.
pub(super) struct Watch(Option<Watched>);

struct Watched {
    path: PathBuf,
    events: AsyncFd<Events>,
    way: Way,
    /// Looking where the way leads now, on a thread of its own: a file system on it may not answer.
    arming: Option<JoinHandle<Way>>,
}

struct Events(Arc<Inotify>);

impl AsRawFd for Events {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl Watch {
    /// Of no file, it never changes.
    pub(super) fn new(path: Option<PathBuf>) -> Self {
        let Some(path) = path else { return Self(None) };
        let events = init().and_then(|inotify| {
            // SAFETY: the descriptor is open, and owned by what is handed over, which never changes it.
            let events = unsafe {
                AsyncFd::register_with_interest(Events(Arc::new(inotify)), Interest::READABLE)
            };
            events.map_err(io::Error::from)
        });
        match events {
            Ok(events) => {
                let mut watched = Watched {
                    path,
                    events,
                    way: Way::default(),
                    arming: None,
                };
                watched.arm();
                Self(Some(watched))
            }
            Err(error) => {
                warn!("{}", unwatched(&path, &error));
                Self(None)
            }
        }
    }

    /// Waits until the file may have changed; at the beginning it may have, too, before it was watched. What is under
    /// way when this is dropped goes on the next time.
    pub(super) async fn changed(&mut self) {
        let Some(watched) = &mut self.0 else {
            return std::future::pending().await;
        };
        if watched.arming.is_none() {
            watched.event().await;
            // The way to the file may be another one now.
            watched.arm();
        }
        if let Some(arming) = &mut watched.arming {
            // An error is the end of the runtime.
            if let Ok(way) = arming.await {
                watched.way = way;
            }
            watched.arming = None;
        }
    }
}

impl Watched {
    fn arm(&mut self) {
        let (path, inotify) = (self.path.clone(), Arc::clone(&self.events.get_ref().0));
        self.arming = Some(spawn_blocking(move || arm(&path, &inotify)));
    }

    /// Waits for an event that is about the file.
    async fn event(&mut self) {
        let mut matters = false;
        while !matters {
            // An error is of no use to anybody: the file is read now and then as well.
            let Ok(mut ready) = self.events.readable().await else {
                return std::future::pending().await;
            };
            let read = |events: &AsyncFd<Events>| Ok(events.get_ref().0.read_events()?);
            while let Ok(Ok(list)) = ready.try_io(read) {
                // Without a name: the directory itself, or more events than were kept.
                let on_the_way = |name: OsString| self.way.names.contains(&name);
                matters |= list.into_iter().any(|it| it.name.is_none_or(on_the_way));
            }
        }
    }
}

fn init() -> io::Result<Inotify> {
    Ok(Inotify::init(
        InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC,
    )?)
}

fn unwatched(path: &Path, error: &io::Error) -> String {
    let path = path.display();
    format!(
        "cannot watch {path}, it is read now and then instead: {error}; help: raise fs.inotify.max_user_instances"
    )
}

/// Why a file would not be watched, if so.
pub(super) fn probe(path: &Path) -> Option<String> {
    let error = init().err()?;
    Some(unwatched(path, &error))
}

/// Watches every directory on the way to the file. One that is watched already stays so.
fn arm(path: &Path, inotify: &Inotify) -> Way {
    let changes = AddWatchFlags::IN_CLOSE_WRITE
        | AddWatchFlags::IN_CREATE
        | AddWatchFlags::IN_MOVED_TO
        | AddWatchFlags::IN_MOVED_FROM
        | AddWatchFlags::IN_DELETE
        | AddWatchFlags::IN_ONLYDIR;
    let way = Way::to(path);
    for directory in &way.directories {
        // What cannot be watched is read now and then.
        let _ = inotify.add_watch(directory, changes);
    }
    way
}

/// Where a path leads.
#[derive(Debug, Default)]
struct Way {
    /// The directories of the file and of every link to it.
    directories: BTreeSet<PathBuf>,
    /// What the file and these links are called there.
    names: BTreeSet<OsString>,
}

impl Way {
    fn to(path: &Path) -> Self {
        let mut way = Self::default();
        let mut at = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        for _ in 0..LINKS {
            way.add(&at);
            // The first link on the way, from the root, decides where it goes on.
            let mut parts: Vec<&Path> = at.ancestors().collect();
            parts.reverse();
            let link = parts
                .into_iter()
                .find_map(|part| Some((part.to_owned(), std::fs::read_link(part).ok()?)));
            let Some((link, target)) = link else { break };
            way.add(&link);
            let rest = at.strip_prefix(&link).unwrap_or(Path::new(""));
            let target = link.parent().unwrap_or(Path::new("/")).join(target);
            // Joined with nothing it would end with a slash, which means a directory.
            at = if rest.as_os_str().is_empty() {
                target
            } else {
                target.join(rest)
            };
        }
        way
    }

    fn add(&mut self, path: &Path) {
        self.directories.extend(path.parent().map(Path::to_owned));
        self.names.extend(path.file_name().map(OsStr::to_owned));
    }
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
        let way = Way::to(&root.join("map/c.toml"));
        std::fs::remove_dir_all(&root).unwrap();
        for wanted in ["map", "map/..2026_11"] {
            assert!(
                way.directories.contains(&root.join(wanted)),
                "{wanted}: {way:?}"
            );
        }
        let names: Vec<_> = way.names.iter().collect();
        assert_eq!(names, ["..data", "c.toml"]);
    }

    #[test]
    fn links_in_a_circle_come_to_an_end() {
        let link = std::env::temp_dir().join(format!("partymeter-circle-{}", std::process::id()));
        symlink(&link, &link).unwrap();
        let way = Way::to(&link);
        std::fs::remove_file(&link).unwrap();
        assert_eq!(way.directories.len(), 1, "{way:?}");
    }
}
