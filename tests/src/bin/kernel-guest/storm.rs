//! A storm: counters are settled without a pause while connections begin and end in every way, on fewer processors than
//! there are busy threads. Races of the kernel that a quiet machine never shows get their chance; what it says about them
//! is on the console, which `kernels/console.rs` in xtask reads.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    os::fd::AsFd as _,
    sync::{
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, anyhow, ensure};
use nix::sys::socket::{setsockopt, sockopt::Linger};
use partymeter::{
    config::{self, HostEnv, Options},
    source::{
        Source as _,
        network::{
            NetworkSource,
            desired_state::{DesiredState, DesiredStateCell},
            pin::Pins,
            tables::Resolved,
        },
    },
};

use super::{CONFIG, PATIENCE, V4, port};

/// How long it blows.
const LASTS: Duration = Duration::from_secs(15);
/// Threads that only take time from the others.
const BUSY: usize = 3;
/// Pairs of threads that open and close connections.
const LANES: usize = 2;
/// What goes up and down over a connection.
const UP: usize = 700;
const DOWN: usize = 300;

/// Bytes that the programs have moved.
#[derive(Default)]
struct Moved(AtomicU64);

pub(super) fn storm() -> anyhow::Result<()> {
    let done = AtomicBool::new(false);
    let moved = Moved::default();
    let listeners: Vec<TcpListener> = (0..LANES)
        .map(|lane| {
            let address = (V4, port("storm")? + u16::try_from(lane)?);
            TcpListener::bind(address).context("cannot listen")
        })
        .collect::<anyhow::Result<_>>()?;
    let (attached, wait) = mpsc::channel();
    let (rounds, mut source, connections) = thread::scope(|scope| {
        let (done, moved) = (&done, &moved);
        // It gives up its privileges once it is attached: a thread of its own.
        let settler = scope.spawn(move || {
            let mut source = source()?;
            source.collect().map_err(|failure| anyhow!("{failure}"))?;
            attached.send(())?;
            let mut rounds = 0_u64;
            while !done.load(Relaxed) {
                source.collect().map_err(|failure| anyhow!("{failure}"))?;
                rounds += 1;
            }
            anyhow::Ok((rounds, source))
        });
        let began = wait.recv();
        let lanes: Vec<_> = listeners
            .iter()
            .map(|listener| scope.spawn(move || lane(listener, done, moved)))
            .collect();
        for _ in 0..BUSY {
            scope.spawn(|| {
                while !done.load(Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        if began.is_ok() {
            // The storm itself: for so long, races have their chance.
            thread::sleep(LASTS);
        }
        done.store(true, Relaxed);
        let panicked = |_| anyhow!("a thread panicked");
        let mut connections = 0;
        for lane in lanes {
            connections += lane.join().map_err(panicked)??;
        }
        let (rounds, source) = settler.join().map_err(panicked)??;
        anyhow::Ok((rounds, source, connections))
    })?;
    println!("storm: {rounds} rounds, {connections} connections");
    let wanted = moved.0.load(Relaxed);
    let end = Instant::now() + PATIENCE;
    loop {
        let sample = source.collect().map_err(|failure| anyhow!("{failure}"))?;
        let mut pairs = sample.traffic.iter();
        let pair = pairs.find(|it| &*it.party == "peer" && &*it.protocol == "storm");
        let counted = pair.map_or((0, 0), |pair| (pair.transmit, pair.receive));
        // Both ends are here: what was moved is once transmitted and once received.
        if counted == (wanted, wanted) {
            return Ok(());
        }
        ensure!(
            Instant::now() < end,
            "{wanted} bytes moved, counted {counted:?}"
        );
        thread::sleep(Duration::from_millis(50));
    }
}

fn source() -> anyhow::Result<NetworkSource> {
    let options = Options {
        file: Some(CONFIG.into()),
        ..Options::default()
    };
    let config = config::resolve(&options, &HostEnv::current())
        .map_err(|_errors| anyhow!("the configuration is not accepted"))?;
    let wanted = DesiredStateCell::new(DesiredState::new(&config, Resolved::new()));
    Ok(NetworkSource::new(&wanted, Pins::none(), Vec::new()))
}

/// Opens connections one after the other, each of which ends in another way; says how many.
fn lane(listener: &TcpListener, done: &AtomicBool, moved: &Moved) -> anyhow::Result<u64> {
    let address: SocketAddr = listener.local_addr()?;
    let mut connections = 0;
    while !done.load(Relaxed) {
        let mut client = TcpStream::connect(address)?;
        let mut server = listener.accept()?.0;
        client.write_all(&[1; UP])?;
        server.read_exact(&mut [0; UP])?;
        server.write_all(&[2; DOWN])?;
        moved.0.fetch_add((UP + DOWN) as u64, Relaxed);
        match connections % 5 {
            // In order.
            0 => {
                client.read_exact(&mut [0; DOWN])?;
                drop(client);
                drop(server);
            }
            // With data that its program does not read: a reset.
            1 => {
                while client.peek(&mut [0; DOWN])? < DOWN {}
                drop(client);
                drop(server);
            }
            2 => {
                client.read_exact(&mut [0; DOWN])?;
                reset(&server)?;
                drop(server);
                drop(client);
            }
            // Both at once.
            3 => {
                client.read_exact(&mut [0; DOWN])?;
                client.shutdown(Shutdown::Write)?;
                server.shutdown(Shutdown::Write)?;
            }
            // Orphans that still have to send.
            _ => {
                drop(server);
                client.read_exact(&mut [0; DOWN])?;
                drop(client);
            }
        }
        connections += 1;
    }
    Ok(connections)
}

/// The next close is a reset.
fn reset(socket: &TcpStream) -> anyhow::Result<()> {
    let linger = libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    setsockopt(&socket.as_fd(), Linger, &linger)?;
    Ok(())
}
