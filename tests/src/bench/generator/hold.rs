//! Open sockets and files that do nothing, in as many processes as the limit of open files asks for.

use std::{
    fs::File,
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
};

use anyhow::{Context as _, ensure};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde::{Deserialize, Serialize};

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

/// What one process is to open.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
enum Share {
    /// So many connections to this address.
    Connections(Whose, u16, usize),
    /// So many files.
    Files(usize),
}

impl Held {
    /// Opens so many MPC sockets more. Two to a connection, and one of whose ends only one is MPC where it is odd.
    pub(super) fn open(&mut self, sockets: usize) -> anyhow::Result<()> {
        let mut shares = Vec::new();
        if sockets % 2 == 1 {
            shares.push(self.connections(Whose::PartyAtOneEnd, 1));
        }
        for connections in parts(sockets / 2, room()? / 2) {
            shares.push(self.connections(Whose::Party, connections));
        }
        self.start(shares)
    }

    /// Opens so many sockets of nobody's more, two to a connection, and files that are no sockets.
    pub(super) fn open_others(&mut self, sockets: usize, files: usize) -> anyhow::Result<()> {
        let room = room()?;
        let mut shares: Vec<Share> = parts(files, room).map(Share::Files).collect();
        for connections in parts(sockets / 2, room / 2) {
            shares.push(self.connections(Whose::Nobody, connections));
        }
        self.start(shares)
    }

    fn connections(&mut self, whose: Whose, number: usize) -> Share {
        self.next_address += 1;
        Share::Connections(whose, self.next_address, number)
    }

    fn start(&mut self, shares: Vec<Share>) -> anyhow::Result<()> {
        ensure!(
            self.processes.len() + shares.len() <= PROCESSES,
            "that many open files need more than {PROCESSES} processes: raise the hard limit (`ulimit -Hn`)"
        );
        let first = self.processes.len();
        for share in shares {
            let mut helper = Helper::start(HOLD)?;
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

/// How many files one process may keep open.
fn room() -> anyhow::Result<usize> {
    let (_, limit) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let room = usize::try_from(limit.saturating_sub(SPARE))?;
    ensure!(room > 1, "the limit of open files, {limit}, is too low");
    // Ports that connections to one address can come from, two sockets to each.
    Ok(room.min(80_000))
}

/// A number in parts that are not above another.
fn parts(number: usize, most: usize) -> impl Iterator<Item = usize> {
    (0..number)
        .step_by(most)
        .map(move |begin| most.min(number - begin))
}

/// One process that holds: opens what it is told, until its input ends.
pub(super) fn keep() -> anyhow::Result<()> {
    let (_, limit) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, limit, limit).context("cannot raise the open files")?;
    let mut open = Vec::new();
    let mut files = Vec::new();
    answer(|share: Share| {
        let (whose, number, connections) = match share {
            Share::Connections(whose, number, connections) => (whose, number, connections),
            Share::Files(number) => {
                for _ in 0..number {
                    files.push(File::open("/proc/self/exe")?);
                }
                return Ok(Answer::Done);
            }
        };
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
