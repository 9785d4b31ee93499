//! How many files the agent may have open, and how many of them clients may take: what the sources need is not theirs.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// What the agent needs without clients: 60 with all sources, and as many again for what is open for a moment only
/// (walks, files of `/proc`, receivers of OTLP).
const OWN: u64 = 120;

/// Connections of clients where there is room, and where there is none.
const USUAL: u64 = 256;
const LEAST: u64 = 2;

/// How many connections clients may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Room {
    /// At a time, over all listeners.
    pub connections: usize,
    /// Why there are fewer than usual, if there are.
    pub limit: Option<String>,
}

/// Raises the limit of open files to what is allowed and says how many connections clients may have under it.
pub fn room() -> Room {
    room_under(match getrlimit(Resource::RLIMIT_NOFILE) {
        Ok((soft, hard)) if soft < hard => match setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
            Ok(()) => hard,
            Err(_refused) => soft,
        },
        Ok((soft, _)) => soft,
        Err(_unknown) => OWN,
    })
}

fn room_under(limit: u64) -> Room {
    let clients = share(limit);
    let less = format!("so that the metrics page has {clients} connections at a time");
    let less = if limit < OWN / 2 {
        format!("{less}, and sources may not work")
    } else {
        less
    };
    Room {
        connections: usize::try_from(clients).unwrap_or(usize::MAX),
        limit: (clients < USUAL).then(|| {
            let wanted = OWN + USUAL;
            format!(
                "only {limit} files may be open, {less}; help: allow {wanted} (LimitNOFILE, ulimit -n)"
            )
        }),
    }
}

fn share(limit: u64) -> u64 {
    limit.saturating_sub(OWN).clamp(LEAST, USUAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_get_what_the_sources_do_not_need() {
        let shares = [0, 64, 128, 256, 1024, u64::MAX].map(share);
        assert_eq!(shares, [2, 2, 8, 136, 256, 256]);
    }

    #[test]
    fn too_few_are_told() {
        assert_eq!(room_under(OWN + USUAL).limit, None);
        let few = room_under(128).limit.unwrap();
        let start = "only 128 files may be open, so that the metrics page has 8 connections at a time; help: ";
        assert!(few.starts_with(start), "{few}");
        let fewer = room_under(32).limit.unwrap();
        assert!(fewer.contains("sources may not work; help: "), "{fewer}");
    }
}
