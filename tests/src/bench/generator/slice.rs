//! One slice of traffic: both ends, each on a thread of its own, for a fixed time after a warm-up.
//!
//! Both threads share one processor. Nothing that one end pays for is hidden by waiting for the other, and no wake-up
//! crosses to another processor, which on a virtual machine is most of the noise.

use std::{
    net::{SocketAddr, TcpListener},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, anyhow};
use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    time::{ClockId, clock_gettime},
    unistd::Pid,
};
use serde::{Deserialize, Serialize};

use super::{
    Whose, client,
    line::Line,
    poll::Poll,
    server::{Reply, serve},
};

/// What the connections do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in super::super) enum Kind {
    /// One direction, as much as goes; counts bytes.
    Stream,
    /// 64 bytes and back; counts answers.
    PingPong,
    /// Connect, 64 bytes and back, close; counts answers.
    Connect,
}

/// One slice.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(in super::super) struct Slice {
    pub(in super::super) kind: Kind,
    /// At one time.
    pub(in super::super) connections: usize,
    pub(in super::super) whose: Whose,
    /// How many begin in a second, at most; `None`: as many as can. Of [`Kind::Connect`].
    pub(in super::super) rate: Option<u32>,
    /// Over a line that takes so long each way; `None`: over loopback.
    pub(in super::super) line: Option<Duration>,
    /// For both ends; `None`: wherever the scheduler likes.
    pub(in super::super) processor: Option<usize>,
    pub(in super::super) warm_up: Duration,
    pub(in super::super) measured: Duration,
}

/// What came of it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(in super::super) struct Measured {
    /// Bytes or answers.
    pub(in super::super) count: u64,
    /// Connections that were opened, before and after too.
    pub(in super::super) opened: u64,
    /// In which time.
    pub(in super::super) seconds: f64,
    /// And in how much processor time of both ends, with that of the network stack under them.
    pub(in super::super) processor_seconds: f64,
}

impl Measured {
    /// Bytes or answers a second.
    pub(in super::super) fn rate(&self) -> f64 {
        super::super::statistics::figure(self.count) / self.seconds
    }

    /// Processor time of one byte or answer, in seconds.
    pub(in super::super) fn cost(&self) -> f64 {
        self.processor_seconds / super::super::statistics::figure(self.count)
    }
}

/// Runs one; each number has a server address of its own, but over the line.
pub(super) fn run(slice: Slice, number: u16, line: Option<&Line>) -> anyhow::Result<Measured> {
    let line = slice.line.zip(line);
    let (listener, address) = match line {
        Some((_, line)) => line.listen(slice.whose.port())?,
        None => listen(SocketAddr::from((
            slice.whose.address(number),
            slice.whose.port(),
        )))?,
    };
    let opened = AtomicU64::new(0);
    let target = client::Target {
        address,
        connections: slice.connections,
        rate: slice.rate,
        opened: &opened,
    };
    let reply = match slice.kind {
        Kind::Stream => Reply::Silence,
        Kind::PingPong | Kind::Connect => Reply::Echo,
    };
    let [stop_client, stop_server, stop_line] = [const { AtomicBool::new(false) }; 3];
    let (received, answers) = (AtomicU64::new(0), AtomicU64::new(0));
    let counter = match slice.kind {
        Kind::Stream => &received,
        Kind::PingPong | Kind::Connect => &answers,
    };
    thread::scope(|scope| {
        let server = scope.spawn(|| {
            pin(slice.processor)?;
            serve(&listener, reply, Poll::new(&stop_server)?, &received)?;
            anyhow::Ok(())
        });
        let carrier = line.map(|(delay, line)| {
            let stop = &stop_line;
            scope.spawn(move || {
                pin_elsewhere(slice.processor)?;
                line.carry(delay, stop)?;
                anyhow::Ok(())
            })
        });
        let client = scope.spawn(|| {
            pin(slice.processor)?;
            let poll = Poll::new(&stop_client)?;
            match slice.kind {
                Kind::Stream => client::stream(target, poll),
                Kind::PingPong => client::ping_pong(target, poll, &answers),
                Kind::Connect => client::connect(target, poll, &answers),
            }?;
            anyhow::Ok(())
        });
        thread::sleep(slice.warm_up);
        let before = Reading::take(counter);
        thread::sleep(slice.measured);
        let after = Reading::take(counter);
        // The client first: it must not see the server go.
        stop_client.store(true, Ordering::Relaxed);
        let client = client.join();
        stop_server.store(true, Ordering::Relaxed);
        let server = server.join();
        stop_line.store(true, Ordering::Relaxed);
        let carrier = carrier.map_or(Ok(Ok(())), thread::ScopedJoinHandle::join);
        for (end, result) in [
            ("the end that connects", client),
            ("the end that listens", server),
            ("the line", carrier),
        ] {
            result
                .unwrap_or_else(|_| Err(anyhow!("the thread panicked")))
                .context(end)?;
        }
        let mut measured = before?.until(&after?)?;
        measured.opened = opened.load(Ordering::Relaxed);
        Ok(measured)
    })
}

fn listen(address: SocketAddr) -> anyhow::Result<(TcpListener, SocketAddr)> {
    let listener =
        TcpListener::bind(address).with_context(|| format!("cannot listen on {address}"))?;
    Ok((listener, address))
}

/// Where everything stood at one moment.
struct Reading {
    count: u64,
    at: Instant,
    processor: Duration,
}

impl Reading {
    fn take(counter: &AtomicU64) -> anyhow::Result<Self> {
        Ok(Self {
            count: counter.load(Ordering::Relaxed),
            at: Instant::now(),
            processor: Duration::from(clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID)?),
        })
    }

    fn until(&self, after: &Self) -> anyhow::Result<Measured> {
        let count = after.count - self.count;
        anyhow::ensure!(count > 0, "no traffic came through in a slice");
        Ok(Measured {
            count,
            opened: 0,
            seconds: (after.at - self.at).as_secs_f64(),
            processor_seconds: after.processor.saturating_sub(self.processor).as_secs_f64(),
        })
    }
}

/// Keeps this thread on one processor.
fn pin(processor: Option<usize>) -> anyhow::Result<()> {
    let Some(processor) = processor else {
        return Ok(());
    };
    let mut set = CpuSet::new();
    set.set(processor)?;
    sched_setaffinity(Pid::from_raw(0), &set)
        .with_context(|| format!("cannot run on processor {processor}"))
}

/// Keeps this thread off one processor.
fn pin_elsewhere(processor: Option<usize>) -> anyhow::Result<()> {
    let Some(processor) = processor else {
        return Ok(());
    };
    let mut set = sched_getaffinity(Pid::from_raw(0))?;
    set.unset(processor)?;
    sched_setaffinity(Pid::from_raw(0), &set).context("there is no processor but one")
}
