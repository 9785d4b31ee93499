//! Logs connections with unconfigured addresses: the address and the local process. Limited in rate, because anyone who
//! can connect can write to this log.

use std::time::{Duration, Instant};

use agent_ebpf::{Role, SocketOwner, UnexpectedPeer};
use tracing::warn;

use super::{address::written, slot_names::SlotNames};
use crate::{
    log::SECURITY,
    source::process::{command, container_id},
    token_bucket::TokenBucket,
};

/// How many are reported per window.
const REPORTS_PER_WINDOW: u32 = 10;
const WINDOW: Duration = Duration::from_secs(10);
/// How long to wait for the process before reporting without it. Shorter than the default interval: a report in the
/// next round is not lost if the agent stops.
const OWNER_TIMEOUT: Duration = Duration::from_millis(900);

/// Pending reports, and how many were suppressed.
#[derive(Debug)]
pub(super) struct UnexpectedPeers {
    pending: Vec<(UnexpectedPeer, Instant)>,
    limit: TokenBucket,
    suppressed: u64,
    suppressed_since: Instant,
}

impl UnexpectedPeers {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            pending: Vec::new(),
            limit: TokenBucket::new(REPORTS_PER_WINDOW, REPORTS_PER_WINDOW, WINDOW, now),
            suppressed: 0,
            suppressed_since: now,
        }
    }

    /// Whether a report waits for its process.
    pub(super) fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Takes in a peer, if the log's limit allows it.
    pub(super) fn add(&mut self, peer: UnexpectedPeer, now: Instant) {
        if self.limit.take(now) {
            self.pending.push((peer, now));
            return;
        }
        if self.suppressed == 0 {
            self.suppressed_since = now;
        }
        self.suppressed += 1;
    }

    /// Reports peers whose process is known or that have waited long enough.
    pub(super) fn report(&mut self, owners: &[SocketOwner], names: &SlotNames, now: Instant) {
        self.pending.retain(|(peer, came)| {
            let owner = owners
                .iter()
                .find(|owner| owner.connection == peer.connection)
                .map(|owner| owner.process)
                .or((peer.process != 0).then_some(peer.process));
            let wait = owner.is_none() && now.saturating_duration_since(*came) < OWNER_TIMEOUT;
            if !wait {
                report(peer, owner, names);
            }
            wait
        });
        if self.suppressed > 0 && self.limit.has_token(now) {
            warn!(
                target: SECURITY,
                connections = self.suppressed,
                security.level = "warning",
                "unexpected connections: {} more in {} s, not reported one by one",
                self.suppressed,
                now.saturating_duration_since(self.suppressed_since).as_secs()
            );
            self.suppressed = 0;
        }
    }
}

fn report(peer: &UnexpectedPeer, process: Option<u32>, names: &SlotNames) {
    let connection = &peer.connection;
    let address = written(connection.address);
    let (port, local_port) = (connection.remote_port, connection.local_port);
    let protocol = names.protocol_name(connection.slot);
    let role = Role::ALL.into_iter().find(|role| *role as u32 == peer.role);
    let role = role.map(Role::name);
    let command = process.and_then(command);
    let container = process.and_then(container_id);
    warn!(
        target: SECURITY,
        %address,
        security.level = "warning",
        port,
        local_port,
        mpc.protocol = protocol,
        role,
        pid = process,
        command,
        container,
        "unexpected connection: the address is not configured"
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::network::{kernel_record, layout::Layout, socket_owners};

    #[test]
    fn the_log_is_limited_and_waits_for_the_process() {
        let now = Instant::now();
        let config = crate::config::tests::minimal();
        let names = SlotNames::new(&config, &Layout::new(&config), true);
        let mut peers = UnexpectedPeers::new(now);
        let written = socket_owners::tests::written(u32::MAX, 1);
        let written = [&written[8..], &[0; 8]].concat();
        let peer = kernel_record::read::<UnexpectedPeer>(&written).unwrap();
        let from = |remote_port| agent_ebpf::Connection {
            remote_port,
            ..peer.connection
        };
        for port in 1..=100 {
            let it = UnexpectedPeer {
                connection: from(port),
                ..peer
            };
            peers.add(it, now);
        }
        assert_eq!((peers.pending.len(), peers.suppressed), (10, 90));
        let owner = SocketOwner {
            process: u32::MAX,
            padding: 0,
            connection: from(3),
        };
        peers.report(&[owner], &names, now);
        assert_eq!(peers.pending.len(), 9, "one process is known");
        peers.report(&[], &names, now + OWNER_TIMEOUT);
        assert!(!peers.has_pending());
        peers.report(&[], &names, now + WINDOW);
        assert_eq!(peers.suppressed, 0);
    }
}
