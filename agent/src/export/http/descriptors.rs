//! The limit of open files, and the share of it for clients: what the sources do not need.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// File descriptors of the agent without clients: 60 with all sources, and as many again for short use (directories, files
/// of `/proc`, OTLP receivers).
const OWN: u64 = 120;

/// The usual and the least number of clients' connections.
const USUAL: u64 = 256;
const LEAST: u64 = 2;

/// The limit of clients' connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientLimit {
    /// Connections at a time, over all listeners.
    pub connections: usize,
    /// Why it is less than usual, if it is.
    pub limit: Option<String>,
}

/// Raises the soft limit of open files to the hard limit, and derives the limit of connections.
pub fn client_limit() -> ClientLimit {
    client_limit_under(match getrlimit(Resource::RLIMIT_NOFILE) {
        Ok((soft, hard)) if soft < hard => match setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
            Ok(()) => hard,
            Err(_refused) => soft,
        },
        Ok((soft, _)) => soft,
        Err(_unknown) => OWN,
    })
}

fn client_limit_under(limit: u64) -> ClientLimit {
    let clients = share(limit);
    let less = format!("so that the metrics page has {clients} connections at a time");
    let less = if limit < OWN / 2 {
        format!("{less}, and sources may not work")
    } else {
        less
    };
    ClientLimit {
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
    fn clients_get_what_the_sources_leave() {
        let shares = [0, 64, 128, 256, 1024, u64::MAX].map(share);
        assert_eq!(shares, [2, 2, 8, 136, 256, 256]);
    }

    #[test]
    fn a_low_limit_is_explained() {
        assert_eq!(client_limit_under(OWN + USUAL).limit, None);
        let few = client_limit_under(128).limit.unwrap();
        let start = "only 128 files may be open, so that the metrics page has 8 connections at a time; help: ";
        assert!(few.starts_with(start), "{few}");
        let fewer = client_limit_under(32).limit.unwrap();
        assert!(fewer.contains("sources may not work; help: "), "{fewer}");
    }
}
