//! The configuration file while the agent runs. Comparing its bytes notices every change: written in place, renamed over
//! (editors), a symbolic link on its path (a Kubernetes `ConfigMap`), on any file system.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::Semaphore,
    task::spawn_blocking,
    time::{sleep, timeout},
};

use crate::config::{self, ConfigError, Options};

/// A change is accepted once the file reads the same twice, this far apart: an editor may still be writing it.
const SETTLED: Duration = Duration::from_millis(200);
/// A file system that takes longer is given up on; the thread that waits for it is abandoned.
pub(super) const READ: Duration = Duration::from_secs(10);
/// The most abandoned threads.
const READS: usize = 4;

/// A file's text, or why it cannot be read.
pub(super) type Contents = Result<String, ConfigError>;

/// A file and its last contents.
pub(super) struct Watch {
    path: PathBuf,
    seen: Contents,
    /// One permit for each thread that may read the file.
    reads: Arc<Semaphore>,
}

impl Watch {
    /// The configuration file; `None` without one, and for a pipe, which can be read only once.
    pub(super) fn new(options: &Options) -> Option<Self> {
        let path = options.file.clone()?;
        let is_file = std::fs::metadata(&path).map_or(true, |it| it.is_file());
        is_file.then(|| Self {
            seen: config::text_again(&path),
            path,
            reads: Arc::new(Semaphore::new(READS)),
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the file, changed or not.
    pub(super) async fn read(&mut self) -> Contents {
        self.seen = self.contents().await;
        self.seen.clone()
    }

    /// Reads the file; `None` while it is unchanged.
    pub(super) async fn changed(&mut self) -> Option<Contents> {
        let mut now = self.contents().await;
        while self.seen != now {
            sleep(SETTLED).await;
            let again = self.contents().await;
            if again == now {
                // An empty file is a valid configuration, but more often one that is about to be written.
                if now.as_ref().is_ok_and(String::is_empty) {
                    return None;
                }
                self.seen.clone_from(&now);
                return Some(now);
            }
            now = again;
        }
        None
    }

    async fn contents(&self) -> Contents {
        let Ok(permit) = Arc::clone(&self.reads).try_acquire_owned() else {
            return Err(config::not_answered(&self.path, READ));
        };
        let path = self.path.clone();
        let read = spawn_blocking(move || {
            let contents = config::text_again(&path);
            drop(permit);
            contents
        });
        match timeout(READ, read).await {
            Ok(Ok(contents)) => contents,
            Ok(Err(_)) | Err(_) => Err(config::not_answered(&self.path, READ)),
        }
    }
}
