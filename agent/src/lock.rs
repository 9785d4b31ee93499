//! Locks on files and directories (flock(2)), for one agent at a time. The kernel releases them when the process ends.

use std::{
    fs::{File, TryLockError},
    io, thread,
    time::Duration,
};

/// Attempts to take a lock, and the pause between them: [`is_taken`] of another process holds it for an instant.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(20);

/// Takes the lock for as long as the file is open.
///
/// # Errors
/// If another process has it, or the file system has no locks.
pub fn take(file: &File) -> Result<(), TryLockError> {
    for _ in 1..TRIES {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => thread::sleep(PAUSE),
            outcome => return outcome,
        }
    }
    file.try_lock()
}

/// Whether another agent has the lock.
///
/// # Errors
/// If the file system has no locks.
pub fn is_taken(file: &File) -> io::Result<bool> {
    // A shared lock, so that two callers do not see each other.
    match file.try_lock_shared() {
        Ok(()) => file.unlock().map(|()| false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looking_takes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let open = || File::open(directory.path()).unwrap();
        let (looking, looking_too, agent, another) = (open(), open(), open(), open());
        assert!(!is_taken(&looking).unwrap());
        take(&agent).unwrap();
        assert!(is_taken(&looking).unwrap() && is_taken(&looking_too).unwrap());
        assert!(matches!(take(&another), Err(TryLockError::WouldBlock)));
        drop(agent);
        assert!(!is_taken(&looking).unwrap());
        take(&another).unwrap();
    }
}
