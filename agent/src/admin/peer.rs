//! The process on the other side of a connection, as the kernel identifies it. Being able to open the socket is not enough,
//! since its permissions can be changed by mistake.

use std::{fmt, io, os::fd::AsRawFd as _};

use nix::unistd::{Gid, Uid, geteuid};
use tokio::net::UnixStream;

/// The credentials of the process when it connected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Peer {
    uid: Uid,
    /// Its primary and supplementary groups.
    groups: Vec<Gid>,
    /// `None`: it is in a PID namespace that the agent cannot see.
    pid: Option<i32>,
}

impl Peer {
    pub(super) fn of(stream: &UnixStream) -> io::Result<Self> {
        let credentials = stream.peer_cred()?;
        let mut groups = supplementary(stream)?;
        groups.push(Gid::from_raw(credentials.gid()));
        Ok(Self {
            uid: Uid::from_raw(credentials.uid()),
            groups,
            pid: credentials.pid().filter(|pid| *pid > 0),
        })
    }

    /// Whether it is root, the agent's own user, or a member of that group.
    pub(super) fn may_administer(&self, group: Option<Gid>) -> bool {
        self.uid.is_root()
            || self.uid == geteuid()
            || group.is_some_and(|group| self.groups.contains(&group))
    }

    /// The user ID.
    pub(super) fn uid(&self) -> u32 {
        self.uid.as_raw()
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "user {}", self.uid)?;
        match self.pid {
            Some(pid) => write!(f, ", process {pid}"),
            None => Ok(()),
        }
    }
}

/// The supplementary groups: `SO_PEERGROUPS`, Linux 4.13.
fn supplementary(stream: &UnixStream) -> io::Result<Vec<Gid>> {
    let mut groups = vec![0_u32; 64];
    loop {
        let mut bytes = libc::socklen_t::try_from(size_of_val(&groups[..])).unwrap_or(0);
        // SAFETY: the kernel writes at most `bytes` bytes, which is how long `groups` is.
        let result = unsafe {
            libc::getsockopt(
                stream.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_PEERGROUPS,
                groups.as_mut_ptr().cast(),
                &raw mut bytes,
            )
        };
        let count = bytes as usize / size_of::<u32>();
        if result == 0 {
            groups.truncate(count);
            return Ok(groups.into_iter().map(Gid::from_raw).collect());
        }
        let error = io::Error::last_os_error();
        // ERANGE: there are more groups. The kernel has returned their number, which is final.
        if error.raw_os_error() != Some(libc::ERANGE) || count <= groups.len() {
            return Err(error);
        }
        groups.resize(count, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_peer_is_this_process() {
        let (stream, _other) = UnixStream::pair().unwrap();
        let peer = Peer::of(&stream).unwrap();
        assert_eq!(peer.uid, geteuid());
        assert_eq!(peer.pid, i32::try_from(std::process::id()).ok());
        assert!(peer.groups.contains(&nix::unistd::getegid()));
        for group in nix::unistd::getgroups().unwrap() {
            assert!(peer.groups.contains(&group));
        }
        assert!(peer.may_administer(None));
    }

    #[test]
    fn only_root_the_own_user_and_the_group_may_administer() {
        let peer = |uid: u32, groups: &[u32]| Peer {
            uid: Uid::from_raw(uid),
            groups: groups.iter().copied().map(Gid::from_raw).collect(),
            pid: None,
        };
        let stranger = geteuid().as_raw() + 4711;
        let group = Some(Gid::from_raw(7));
        assert!(peer(0, &[]).may_administer(None));
        assert!(!peer(stranger, &[0, 7]).may_administer(None));
        assert!(peer(stranger, &[5, 7]).may_administer(group));
        assert!(!peer(stranger, &[0, 5]).may_administer(group));
    }
}
