//! The traffic: a process of its own in a network namespace of its own, so that nothing else is on its loopback
//! interface and its settings are nobody else's. It reads a command a line and answers with a line, both JSON.
//!
//! `slice` moves bytes for a while and says how much it moved; `hold` keeps sockets open. This file has both ends of
//! the conversation and the namespace.

mod client;
mod hold;
mod line;
mod poll;
mod server;
mod slice;

use std::{
    fs,
    io::{self, BufRead as _, BufReader, Lines, Write as _},
    net::Ipv4Addr,
    ops::RangeInclusive,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use anyhow::{Context as _, bail};
use nix::sched::{CloneFlags, unshare};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

pub(super) use self::slice::{Kind, Measured, Slice};
use self::{hold::Held, line::Line};

/// First arguments with which this program starts itself.
const TRAFFIC: &str = "@traffic";
const HOLD: &str = "@hold";

/// Networks of the configured party. In the namespace all their addresses are local. A connection to one of the
/// first has that same address at its other end: both its sockets are MPC. The last is the line's.
pub(super) const PARTY_NETWORKS: [&str; 3] = ["10.77.0.0/16", "10.79.0.0/16", line::NETWORK];
/// Ports of the configured protocol.
pub(super) const PROTOCOL_PORTS: RangeInclusive<u16> = 7000..=7499;

/// Whose the sockets are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Whose {
    /// Both ends are the party's.
    Party,
    /// Only the end that connects sees a party at the other.
    PartyAtOneEnd,
    /// Nobody's that the agent knows.
    Nobody,
}

impl Whose {
    /// An address to connect to, one of 65,024.
    fn address(self, number: u16) -> Ipv4Addr {
        let second = match self {
            Self::Party => 77,
            Self::PartyAtOneEnd => 79,
            Self::Nobody => 78,
        };
        let [third, fourth] = (number % 254 + 1 + (number / 254 % 256) * 256).to_be_bytes();
        Ipv4Addr::new(10, second, third, fourth)
    }

    /// The port that a server listens on: the party's is a protocol's.
    fn port(self) -> u16 {
        match self {
            Self::Party => *PROTOCOL_PORTS.start(),
            Self::PartyAtOneEnd | Self::Nobody => 9000,
        }
    }
}

/// What one of this program's own processes is to do.
pub(super) enum Role {
    Traffic,
    Hold,
}

/// Which of its processes this is; `None`: the benchmark itself.
pub(super) fn role() -> Option<Role> {
    match std::env::args().nth(1)?.as_str() {
        TRAFFIC => Some(Role::Traffic),
        HOLD => Some(Role::Hold),
        _ => None,
    }
}

impl Role {
    pub(super) fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Traffic => {
                enter_namespace()?;
                let mut held = Held::default();
                let mut next_address = 0;
                let mut line = None;
                answer(|command: Order| match command {
                    Order::Slice(slice) => {
                        // A new address each time: no port of an earlier connection is in the way.
                        next_address += 1;
                        if slice.line.is_some() && line.is_none() {
                            line = Some(Line::lay()?);
                        }
                        slice::run(slice, next_address, line.as_ref()).map(Answer::Measured)
                    }
                    Order::Hold(sockets) => held.open(sockets).map(|()| Answer::Done),
                    Order::HoldOthers { sockets, files } => {
                        held.open_others(sockets, files).map(|()| Answer::Done)
                    }
                    Order::Release => {
                        held = Held::default();
                        Ok(Answer::Done)
                    }
                })
            }
            Self::Hold => hold::keep(),
        }
    }
}

/// A command to the traffic process.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
enum Order {
    Slice(Slice),
    /// Keep so many more MPC sockets open.
    Hold(usize),
    /// Keep so many more sockets of nobody's, and files that are no sockets, open.
    HoldOthers {
        sockets: usize,
        files: usize,
    },
    /// Close them all.
    Release,
}

/// Its answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Answer {
    Measured(Measured),
    Done,
    Failed(String),
}

/// Answers each line of standard input with one on standard output, until the other end is gone.
fn answer<T: DeserializeOwned>(
    mut act: impl FnMut(T) -> anyhow::Result<Answer>,
) -> anyhow::Result<()> {
    for line in io::stdin().lines() {
        let answer = match act(serde_json::from_str(&line?)?) {
            Ok(answer) => answer,
            Err(error) => Answer::Failed(format!("{error:#}")),
        };
        let mut output = io::stdout().lock();
        serde_json::to_writer(&mut output, &answer)?;
        output.write_all(b"\n")?;
        output.flush()?;
    }
    Ok(())
}

/// Moves this process into a new network namespace with a loopback interface that has all the addresses.
fn enter_namespace() -> anyhow::Result<()> {
    unshare(CloneFlags::CLONE_NEWNET).context("cannot make a network namespace")?;
    ip("link set lo up")?;
    for network in ["10.77.0.0/16", "10.78.0.0/16"] {
        // Without a source of its own such a route lets a connection come from the address that it goes to.
        ip(&format!("route add local {network} dev lo"))?;
    }
    ip("route add local 10.79.0.0/16 dev lo src 10.78.0.1")?;
    no_time_wait();
    fs::write("/proc/sys/net/ipv4/ip_local_port_range", "10000 65535")
        .context("cannot set net.ipv4.ip_local_port_range of the network namespace")
}

/// Of this namespace only. Without `TIME_WAIT` the thousandth connection costs what the first does; a kernel that
/// does not let a namespace choose has 60 s of it, with and without the agent.
fn no_time_wait() {
    drop(fs::write("/proc/sys/net/ipv4/tcp_max_tw_buckets", "0"));
}

fn ip(arguments: &str) -> anyhow::Result<()> {
    let output = Command::new("ip")
        .args(arguments.split(' '))
        .output()
        .context("cannot run `ip`: install iproute2")?;
    if !output.status.success() {
        let error = String::from_utf8_lossy(&output.stderr);
        bail!("`ip {arguments}` failed: {}", error.trim());
    }
    Ok(())
}

/// One of this program's own processes, as its parent sees it. It ends when this is dropped.
struct Helper {
    process: Child,
    input: Option<ChildStdin>,
    output: Lines<BufReader<ChildStdout>>,
}

impl Helper {
    fn start(role: &str) -> anyhow::Result<Self> {
        let mut process = Command::new("/proc/self/exe")
            .arg(role)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start a traffic process")?;
        let input = process.stdin.take();
        let output = process.stdout.take().context("no output")?;
        Ok(Self {
            process,
            input,
            output: BufReader::new(output).lines(),
        })
    }

    fn order(&mut self, order: &impl Serialize) -> anyhow::Result<()> {
        let input = self.input.as_mut().context("no input")?;
        let line = serde_json::to_string(order)?;
        writeln!(input, "{line}").context("the traffic process has ended")
    }

    fn answer(&mut self) -> anyhow::Result<Answer> {
        let line = self.output.next();
        let line = line.context("the traffic process has ended")??;
        match serde_json::from_str(&line)? {
            Answer::Failed(error) => bail!("traffic: {error}"),
            answer => Ok(answer),
        }
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        self.input = None;
        // It ends at the end of its input.
        drop(self.process.wait());
    }
}

/// The traffic process.
pub(super) struct Generator(Helper);

impl Generator {
    pub(super) fn start() -> anyhow::Result<Self> {
        Helper::start(TRAFFIC).map(Self)
    }

    /// Makes traffic for a while.
    pub(super) fn slice(&mut self, slice: Slice) -> anyhow::Result<Measured> {
        self.begin(slice)?;
        self.end()
    }

    /// Begins to make traffic, beside another one.
    pub(super) fn begin(&mut self, slice: Slice) -> anyhow::Result<()> {
        self.0.order(&Order::Slice(slice))
    }

    /// Waits for the end of what was begun.
    pub(super) fn end(&mut self) -> anyhow::Result<Measured> {
        match self.0.answer()? {
            Answer::Measured(measured) => Ok(measured),
            other => bail!("unexpected answer {other:?}"),
        }
    }

    /// Opens so many MPC sockets more, and keeps them.
    pub(super) fn hold(&mut self, sockets: usize) -> anyhow::Result<()> {
        self.0.order(&Order::Hold(sockets))?;
        self.0.answer().map(drop)
    }

    /// Opens so many sockets of nobody's more, and files that are no sockets, and keeps them.
    pub(super) fn hold_others(&mut self, sockets: usize, files: usize) -> anyhow::Result<()> {
        self.0.order(&Order::HoldOthers { sockets, files })?;
        self.0.answer().map(drop)
    }

    /// Closes what was opened to be kept.
    pub(super) fn release(&mut self) -> anyhow::Result<()> {
        self.0.order(&Order::Release)?;
        self.0.answer().map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_hosts_of_their_network() {
        assert_eq!(Whose::Party.address(0), Ipv4Addr::new(10, 77, 0, 1));
        assert_eq!(Whose::Party.address(253), Ipv4Addr::new(10, 77, 0, 254));
        assert_eq!(Whose::Nobody.address(254), Ipv4Addr::new(10, 78, 1, 1));
    }
}
