//! Connections with an address that is no party's, told in the log: who came, to which process. Limited in rate, for
//! whoever can connect can write here.

use std::time::{Duration, Instant};

use agent_ebpf::{Role, SocketOwner, UnexpectedPeer};
use tracing::warn;

use super::{address::written, tables::Names};
use crate::{
    log::SECURITY,
    source::process::{command, container_id},
    token_bucket::TokenBucket,
};

/// How many are told in a window.
const TOLD: u32 = 10;
const WINDOW: Duration = Duration::from_secs(10);
/// How long a process may take to accept a connection before it is told without one. Less than the default interval, so
/// that it is told in the round after it came: an alarm that waits is lost if the agent is stopped.
const PATIENCE: Duration = Duration::from_millis(900);

/// Those that are still to be told, and how many were lately.
#[derive(Debug)]
pub(super) struct Strangers {
    waiting: Vec<(UnexpectedPeer, Instant)>,
    limit: TokenBucket,
    untold: u64,
    untold_since: Instant,
}

impl Strangers {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            waiting: Vec::new(),
            limit: TokenBucket::new(TOLD, TOLD, WINDOW, now),
            untold: 0,
            untold_since: now,
        }
    }

    /// Whether somebody wants to know which process holds what.
    pub(super) fn are_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Takes one in, if there is room for it in this window's log.
    pub(super) fn came(&mut self, stranger: UnexpectedPeer, now: Instant) {
        if self.limit.take(now) {
            self.waiting.push((stranger, now));
            return;
        }
        if self.untold == 0 {
            self.untold_since = now;
        }
        self.untold += 1;
    }

    /// Tells of those whose process is known now, and of those that have waited long enough.
    pub(super) fn tell(&mut self, holders: &[SocketOwner], names: &Names, now: Instant) {
        self.waiting.retain(|(stranger, came)| {
            let holder = holders
                .iter()
                .find(|holder| holder.connection == stranger.connection)
                .map(|holder| holder.process)
                .or((stranger.process != 0).then_some(stranger.process));
            let wait = holder.is_none() && now.saturating_duration_since(*came) < PATIENCE;
            if !wait {
                tell(stranger, holder, names);
            }
            wait
        });
        if self.untold > 0 && self.limit.has_token(now) {
            warn!(
                target: SECURITY,
                connections = self.untold,
                security.level = "warning",
                "unexpected connections: {} more in {} s, not told one by one",
                self.untold,
                now.saturating_duration_since(self.untold_since).as_secs()
            );
            self.untold = 0;
        }
    }
}

fn tell(stranger: &UnexpectedPeer, process: Option<u32>, names: &Names) {
    let connection = &stranger.connection;
    let address = written(connection.address);
    let (port, local_port) = (connection.remote_port, connection.local_port);
    let protocol = names.protocol_name(connection.slot);
    let role = Role::ALL
        .into_iter()
        .find(|role| *role as u32 == stranger.role);
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
        "unexpected connection: the address is no party's"
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::network::{holders, layout::Layout};

    #[test]
    fn the_log_is_limited_and_waits_for_the_process() {
        let now = Instant::now();
        let config = crate::config::tests::minimal();
        let names = Names::new(&config, &Layout::new(&config), true);
        let mut strangers = Strangers::new(now);
        let written = holders::tests::written(u32::MAX, 1);
        let written = [&written[8..], &[0; 8]].concat();
        let stranger = holders::stranger(&written).unwrap();
        let from = |remote_port| agent_ebpf::Connection {
            remote_port,
            ..stranger.connection
        };
        for port in 1..=100 {
            let it = UnexpectedPeer {
                connection: from(port),
                ..stranger
            };
            strangers.came(it, now);
        }
        assert_eq!((strangers.waiting.len(), strangers.untold), (10, 90));
        let holder = SocketOwner {
            process: u32::MAX,
            padding: 0,
            connection: from(3),
        };
        strangers.tell(&[holder], &names, now);
        assert_eq!(strangers.waiting.len(), 9, "one process is known");
        strangers.tell(&[], &names, now + PATIENCE);
        assert!(!strangers.are_waiting());
        strangers.tell(&[], &names, now + WINDOW);
        assert_eq!(strangers.untold, 0);
    }
}
