//! Open sockets that do nothing, in as many processes as the limit of open files asks for.

use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
};

use anyhow::{Context as _, ensure};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::{Answer, HOLD, Helper, Whose, answer};

/// Descriptors that a process needs for other things.
const SPARE: u64 = 64;
/// More processes than this are no longer reasonable.
const PROCESSES: usize = 512;

/// The processes that hold sockets; they close them and end when this is dropped.
#[derive(Default)]
pub(super) struct Held {
    processes: Vec<Helper>,
    next_address: u16,
}

/// What one process is to open: connections to this address.
type Share = (Whose, u16, usize);

impl Held {
    /// Opens so many MPC sockets more. Two to a connection, and one of whose ends only one is MPC where it is odd.
    pub(super) fn open(&mut self, sockets: usize) -> anyhow::Result<()> {
        let (_, limit) = getrlimit(Resource::RLIMIT_NOFILE)?;
        let room = usize::try_from(limit.saturating_sub(SPARE) / 2)?;
        // Ports that a connection to one address can come from.
        let room = room.min(40_000);
        ensure!(room > 0, "the limit of open files, {limit}, is too low");
        let mut shares = Vec::new();
        if sockets % 2 == 1 {
            shares.push((Whose::PartyAtOneEnd, 1));
        }
        let mut left = sockets / 2;
        while left > 0 {
            let share = left.min(room);
            shares.push((Whose::Party, share));
            left -= share;
        }
        ensure!(
            self.processes.len() + shares.len() <= PROCESSES,
            "{sockets} sockets need more than {PROCESSES} processes of {limit} open files each: raise the hard \
             limit (`ulimit -Hn`)"
        );
        let first = self.processes.len();
        for (whose, connections) in shares {
            self.next_address += 1;
            let mut helper = Helper::start(HOLD)?;
            let share: Share = (whose, self.next_address, connections);
            helper.order(&share)?;
            self.processes.push(helper);
        }
        for helper in &mut self.processes[first..] {
            helper.answer()?;
        }
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // All at once, not one after the other.
        for helper in &mut self.processes {
            helper.input = None;
        }
    }
}

/// One process that holds: opens what it is told, until its input ends.
pub(super) fn keep() -> anyhow::Result<()> {
    let (_, limit) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, limit, limit).context("cannot raise the open files")?;
    let mut open = Vec::new();
    answer(|(whose, number, connections): Share| {
        let address = SocketAddr::from((whose.address(number), whose.port()));
        let listener =
            TcpListener::bind(address).with_context(|| format!("cannot listen on {address}"))?;
        for _ in 0..connections {
            let connection = TcpStream::connect(address)
                .and_then(|near| Ok([near, listener.accept()?.0]))
                .with_context(|| format!("cannot open connection {} to {address}", open.len()))?;
            open.push(connection);
        }
        // Let the last acknowledgements through, so that nothing moves any more.
        thread::sleep(std::time::Duration::from_millis(50));
        Ok(Answer::Done)
    })
}
