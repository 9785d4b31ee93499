//! How many files the agent may have open, and how many of them clients may take: what the sources need is not theirs.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// What the agent needs without clients: 60 with all sources, and as many again for what is open for a moment only
/// (walks, files of `/proc`, receivers of OTLP).
const OWN: u64 = 120;

/// Connections of clients where there is room, and where there is none.
const USUAL: u64 = 256;
const LEAST: u64 = 2;

/// Raises the limit to what is allowed and says how many connections clients may have under it.
pub fn for_clients() -> usize {
    let limit = match getrlimit(Resource::RLIMIT_NOFILE) {
        Ok((soft, hard)) if soft < hard => match setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
            Ok(()) => hard,
            Err(_refused) => soft,
        },
        Ok((soft, _)) => soft,
        Err(_unknown) => OWN,
    };
    let clients = share(limit);
    if clients < USUAL {
        let wanted = OWN + USUAL;
        tracing::warn!(
            "only {limit} files may be open, so that the metrics page has {clients} connections at a time; \
             allow {wanted} (LimitNOFILE, ulimit -n)"
        );
    }
    usize::try_from(clients).unwrap_or(usize::MAX)
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
}
