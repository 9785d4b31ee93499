//! What can be told of a ledger's directory before anything is made in it.

use std::{fmt::Display, fs::File, path::Path};

use nix::sys::statvfs::statvfs;

use super::files;
use crate::{
    config::{Config, Ledger as Wanted},
    finding::{Finding, at_least},
    lock, safe_dir,
};

const WHAT: &str = "ledger";

/// What the writer would find, with the privileges of this thread; changes nothing.
pub fn probe(config: &Config) -> Vec<Finding> {
    let Some(wanted) = &config.ledger else {
        return vec![];
    };
    match look(wanted) {
        Err(why) => vec![Finding::required(WHAT, Err(why))],
        Ok(limit) => {
            let line = format!("in {}", wanted.path.display());
            let limit = limit.map(|it| Finding::optional(WHAT, Err(it)));
            let found = Finding::required(WHAT, Ok(line));
            std::iter::once(found).chain(limit).collect()
        }
    }
}

/// Looks at a directory that there may not be yet: what limits the ledger there, if anything does.
///
/// # Errors
/// Why nothing can be written there.
pub(super) fn look(wanted: &Wanted) -> Result<Option<String>, String> {
    let directory = &wanted.path;
    let failed = |error: &dyn Display| unusable(directory, error);
    safe_dir::probe(directory).map_err(|error| failed(&error))?;
    let mut held = 0;
    match safe_dir::open(directory) {
        Ok(open) => {
            is_free(&open).map_err(|error| failed(&error))?;
            let listing = files::list(directory).map_err(|error| failed(&error))?;
            let own = listing.ended.iter().filter(|file| file.is_own);
            held = own.map(|file| file.length).sum();
        }
        Err(error) if error.is_missing() => {}
        Err(error) => return Err(failed(&error)),
    }
    Ok(free(directory).and_then(|free| short(wanted, held, free)))
}

/// Fails where another agent writes there. A file system without locks is none of that.
fn is_free(directory: &File) -> Result<(), &'static str> {
    match lock::is_taken(directory) {
        Ok(true) => Err(files::TAKEN),
        Ok(false) | Err(_) => Ok(()),
    }
}

/// What is free where the directory is, or would be. Unit: bytes.
fn free(directory: &Path) -> Option<u64> {
    let nearest = directory.ancestors().find(|it| it.exists())?;
    let found = statvfs(nearest).ok()?;
    Some(
        found
            .blocks_available()
            .saturating_mul(found.fragment_size()),
    )
}

/// Where the ledger may become larger than what is free.
fn short(wanted: &Wanted, held: u64, free: u64) -> Option<String> {
    let most = wanted.max_size;
    let more = most.saturating_sub(held);
    (free < more).then(|| {
        format!(
            "ledger.path: only {} MiB are free in {}, and the ledger may take {} MiB more; help: make room there, or \
             lower ledger.max_size",
            free >> 20,
            wanted.path.display(),
            more.div_ceil(1 << 20)
        )
    })
}

/// One line for a directory that cannot be used.
pub(super) fn unusable(directory: &Path, error: &dyn Display) -> String {
    let place = directory.display();
    at_least(
        format!("ledger.path: cannot write to {place}: {error}"),
        "name a directory that can be made, and that root or this user owns",
    )
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _, time::Duration};

    use super::*;

    fn wanted(directory: &Path) -> Wanted {
        Wanted {
            path: directory.to_owned(),
            max_size: 1 << 20,
            retention: Duration::from_hours(1),
        }
    }

    #[test]
    fn what_there_is_counts_for_what_may_be() {
        let wanted = wanted(Path::new("/l"));
        assert_eq!(short(&wanted, 0, 1 << 20), None);
        assert_eq!(short(&wanted, 1 << 19, 1 << 19), None);
        let line = short(&wanted, 1 << 19, 1 << 10).unwrap();
        let right =
            "ledger.path: only 0 MiB are free in /l, and the ledger may take 1 MiB more; help: ";
        assert!(line.starts_with(right), "{line}");
    }

    #[test]
    fn looking_makes_nothing() {
        let place = tempfile::tempdir().unwrap();
        fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let inner = place.path().join("a/b");
        look(&wanted(&inner)).unwrap();
        assert!(!place.path().join("a").exists());
        let file = place.path().join("file");
        fs::write(&file, "").unwrap();
        let why = look(&wanted(&file)).unwrap_err();
        assert!(
            why.contains("Not a directory") && why.contains("; help: "),
            "{why}"
        );
        fs::create_dir_all(&inner).unwrap();
        let agent = files::lock(&inner).unwrap();
        if agent.is_some() {
            let why = look(&wanted(&inner)).unwrap_err();
            assert!(
                why.contains("another agent writes its ledger there"),
                "{why}"
            );
        }
        drop(agent);
        look(&wanted(&inner)).unwrap();
        assert_eq!(fs::read_dir(&inner).unwrap().count(), 0);
    }
}
