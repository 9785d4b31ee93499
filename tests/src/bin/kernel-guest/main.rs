//! What `cargo xtask kernels` runs in a virtual machine: starts the agent beside known traffic over loopback and
//! says, a line per check, whether the kernel lets the agent do its work and the page is right to the byte.
//!
//! `kernel-guest AGENT` wants all of it to work, `kernel-guest AGENT refused` a kernel below the floor: the network
//! source down with the reason, the rest of the agent at work. Wants a machine of its own: ports and addresses are
//! fixed. `kernels/machine.rs` in xtask reads the lines.

mod agent;
mod line;
mod storm;
mod udp;

use std::{
    env, fs,
    io::{Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, TcpListener, TcpStream},
    process::{Child, Command, ExitCode},
    thread,
    time::{Duration, Instant},
};

use self::agent::{Agent, after_rounds, expect, get, reload};
use anyhow::{Context as _, bail, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

const PAGE: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 9464);
const CONFIG: &str = "/tmp/kernel-guest.toml";
/// How long anything may take: an emulated machine is slow.
const PATIENCE: Duration = Duration::from_mins(1);
/// The interval of the agent.
const INTERVAL: Duration = Duration::from_millis(200);
/// Clients at the same time, and how many connections each makes one after the other: so many that where programs can
/// be interrupted or preempted, they are. Each moves 3 bytes up and 5 down.
const CLIENTS: usize = 4;
const CONNECTIONS: usize = 1_500;
/// What an agent below the floor says.
const REFUSAL: &str = "is too old, 5.12 is needed";

/// Both ends of every connection are here, and each is the party of the other: what one way moves is once
/// transmitted and once received.
const PROTOCOLS: [(&str, u16); 10] = [
    ("v4", 7001),
    ("v6", 7002),
    ("mapped", 7003),
    ("adopted", 7004),
    ("half-close", 7005),
    ("reset", 7006),
    ("short", 7007),
    ("before", 7008),
    ("messages", 7009),
    ("storm", 7010),
];
/// A party of its own, so that not both ends are one.
const OTHER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);
const MAPPED: IpAddr = IpAddr::V6(Ipv4Addr::LOCALHOST.to_ipv6_mapped());

fn main() -> ExitCode {
    let mut arguments = env::args().skip(1);
    let agent = arguments.next().unwrap_or_default();
    let outcome = match arguments.next().as_deref() {
        None => works(&agent),
        Some("refused") => say("refused", refused(&agent)),
        Some(other) => Err(anyhow::anyhow!("unknown argument {other}")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("kernel-guest: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Prints the outcome of a check and hands it on.
fn say(check: &str, outcome: anyhow::Result<()>) -> anyhow::Result<()> {
    match &outcome {
        Ok(()) => println!("check {check}: ok"),
        Err(error) => println!("check {check}: {error:#}"),
    }
    outcome
}

/// All checks; after one that fails, those that do not build on it are still made.
fn works(program: &str) -> anyhow::Result<()> {
    let old = Pair::open("adopted", V4)?.moved(70_001, 30_003)?;
    // A first agent also with the BPF side's messages: they are other code to the verifier.
    let loaded = Agent::start(program, &["--log-bpf-level", "debug"])
        .and_then(|agent| agent.ready().and_then(|()| agent.stop()));
    say("load", loaded)?;
    let agent = Agent::start(program, &[])?;
    agent.ready()?;
    tell_hooks()?;

    let adopted = || {
        let old = old.moved(5_000, 7_000)?;
        expect("adopted", 12_000)?;
        old.close()?;
        expect("adopted", 12_000)
    };
    let mut settled = Ok(());
    let mut claimed = |protocol, address| {
        let pair = Pair::open(protocol, address)?.moved(1_000_003, 65_537)?;
        // While it is open only the iterator can have counted it.
        if let Err(error) = expect(protocol, 1_065_540) {
            settled = Err(error);
        }
        pair.close()?;
        expect(protocol, 1_065_540)
    };
    let outcomes = [
        say("claim v4", claimed("v4", V4)),
        say(
            "claim v6",
            claimed("v6", V6).and_then(|()| claimed("mapped", MAPPED)),
        ),
        say("settle", settled),
        say("adopt", adopted()),
        say("reload", reloaded()),
        say("exact", ends()),
        say("events", events_alone()),
        say("line", line::line()),
        say("messages", line::messages()),
        say("udp", udp::datagrams()),
        say("stop", agent.stop()),
        say("pin", pinned(program)),
        say("storm", storm::storm()),
    ];
    outcomes.into_iter().collect()
}

/// Prints by which hooks the agent counts here, as its page says.
fn tell_hooks() -> anyhow::Result<()> {
    let page = get("/metrics")?;
    let series = "partymeter_network_accounting_info{";
    let labels = page.lines().find_map(|line| line.strip_prefix(series));
    let labels = labels.and_then(|line| line.split(",kernel=").next());
    println!("hooks {}", labels.context("the page names no hooks")?);
    Ok(())
}

/// Once nothing is open that is older than the agent, `sock_ops` tells of all there is: the tracepoint is left alone.
fn events_alone() -> anyhow::Result<()> {
    let end = Instant::now() + PATIENCE;
    loop {
        let mut names = Vec::new();
        for entry in fs::read_dir("/sys/fs/bpf/partymeter")? {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        let attached = |program: &str| names.iter().any(|name| name.ends_with(program));
        ensure!(attached("-socket_events"), "pinned: {}", names.join(", "));
        if !attached("-set_state") {
            return Ok(());
        }
        ensure!(Instant::now() < end, "set_state stays attached");
        thread::sleep(INTERVAL);
    }
}

/// A connection that begins and ends while no agent runs is counted, and nothing is left once it is not wanted.
fn pinned(program: &str) -> anyhow::Result<()> {
    Pair::open("v4", V4)?.moved(70_001, 9)?.close()?;
    let agent = Agent::start(program, &[])?;
    agent.ready()?;
    expect("v4", 1_065_540 + 70_010)?;
    agent.stop()?;
    let detach = Command::new(program)
        .args(["detach", "--config", CONFIG])
        .output()?;
    let said = String::from_utf8_lossy(&detach.stderr);
    ensure!(detach.status.success(), "cannot detach: {said}");
    ensure!(
        !fs::exists("/sys/fs/bpf/partymeter")?,
        "something is still pinned"
    );
    Ok(())
}

/// A protocol gets another name while a connection is open, then its party is gone for a while.
fn reloaded() -> anyhow::Result<()> {
    let pair = Pair::open("before", V4)?.moved(10_000, 500)?;
    expect("before", 10_500)?;
    let text = fs::read_to_string(CONFIG)?;
    let renamed = text.replace("\"before\"", "\"after\"");
    reload(&renamed)?;
    let pair = pair.moved(300, 20)?;
    expect("after", 320)?;
    reload(&renamed.replace(&format!("\"{V4}\", "), ""))?;
    let pair = pair.moved(4_000, 4_000)?;
    after_rounds(2)?;
    reload(&renamed)?;
    pair.moved(7, 1)?.close()?;
    expect("after", 328)?;
    expect("before", 10_500)
}

/// The ways a connection ends, and that nothing is added to any sum later.
fn ends() -> anyhow::Result<()> {
    let mut pair = Pair::open("half-close", V4)?;
    pair.client.write_all(&vec![1; 30_001])?;
    pair.client.shutdown(Shutdown::Write)?;
    pair.server.read_to_end(&mut Vec::new())?;
    pair.server.write_all(&vec![2; 40_009])?;
    pair.server.shutdown(Shutdown::Write)?;
    pair.client.read_to_end(&mut Vec::new())?;
    drop(pair);

    // A socket that is closed with unread data resets the connection.
    let mut pair = Pair::open("reset", V4)?;
    pair.client.write_all(&[3; 9_001])?;
    let mut unread = [0; 10_000];
    while pair.server.peek(&mut unread)? < 9_001 {
        thread::sleep(Duration::from_millis(5));
    }
    drop(pair.server);
    ensure!(
        pair.client.read(&mut unread).is_err(),
        "the connection was not reset"
    );

    let listener = TcpListener::bind((V4, port("short")?))?;
    let address = listener.local_addr()?;
    let server = thread::spawn(move || {
        (0..CLIENTS * CONNECTIONS).try_for_each(|_| {
            let mut stream = listener.accept()?.0;
            stream.read_exact(&mut [0; 3])?;
            stream.write_all(&[4; 5])
        })
    });
    let clients = [(); CLIENTS].map(|()| {
        thread::spawn(move || {
            (0..CONNECTIONS).try_for_each(|_| {
                let mut stream = TcpStream::connect(address)?;
                stream.write_all(&[5; 3])?;
                stream.read_to_end(&mut Vec::new()).map(drop)
            })
        })
    });
    for side in clients.into_iter().chain([server]) {
        let outcome: std::io::Result<()> = side
            .join()
            .map_err(|_| anyhow::anyhow!("a thread panicked"))?;
        outcome.context("short connections")?;
    }

    let all = || {
        expect("half-close", 70_010)?;
        expect("reset", 9_001)?;
        expect("short", (CLIENTS * CONNECTIONS * (3 + 5)) as u64)?;
        expect("v4", 1_065_540)?;
        expect("v6", 1_065_540)?;
        expect("mapped", 1_065_540)?;
        expect("adopted", 12_000)
    };
    all()?;
    after_rounds(3)?;
    all().context("three rounds later")?;
    let page = get("/metrics")?;
    let dropped = page
        .lines()
        .filter(|line| line.starts_with("partymeter_bpf_dropped_total"))
        // A bound of what may have been missed, not a loss: what was lost the bytes show.
        .filter(|line| !line.contains("recursion"))
        .filter(|line| !line.ends_with(" 0"))
        .collect::<Vec<_>>();
    ensure!(dropped.is_empty(), "dropped: {}", dropped.join(", "));
    Ok(())
}

/// Below the floor: the network source says why it is down, and all else goes on.
fn refused(program: &str) -> anyhow::Result<()> {
    let check = Command::new(program)
        .arg("check")
        .env_remove("PARTYMETER_CONFIG")
        .output()?;
    let table = String::from_utf8_lossy(&check.stdout);
    ensure!(
        check.status.code() == Some(1) && table.contains(REFUSAL),
        "`partymeter check` ended with {}: {table}",
        check.status
    );
    let agent = Agent::start(program, &[])?;
    let end = Instant::now() + PATIENCE;
    let (mut ready, mut page) = (String::new(), String::new());
    // The memory is read within a round of the start.
    while !(ready.contains(REFUSAL) && page.contains("\nmemory_usage_bytes{")) {
        ensure!(
            Instant::now() < end,
            "the agent says {ready}, its page\n{page}"
        );
        thread::sleep(INTERVAL);
        (ready, page) = (get("/-/ready")?, get("/metrics")?);
    }
    ensure!(
        ready.starts_with("HTTP/1.1 503"),
        "the agent is ready: {ready}"
    );
    for line in [
        "partymeter_source_up{source=\"network\"} 0",
        "partymeter_source_up{source=\"host\"} 1",
    ] {
        ensure!(
            page.lines().any(|it| it == line),
            "no {line} on the page\n{page}"
        );
    }
    ensure!(
        !page.contains("\nnetwork_bytes_total{"),
        "bytes without a source\n{page}"
    );
    agent.stop()
}

/// A connection, both ends.
struct Pair {
    client: TcpStream,
    server: TcpStream,
}

impl Pair {
    fn open(protocol: &str, address: IpAddr) -> anyhow::Result<Self> {
        let any = if address == MAPPED {
            Ipv6Addr::UNSPECIFIED.into()
        } else {
            address
        };
        let port = port(protocol)?;
        let listener = TcpListener::bind((any, port))
            .with_context(|| format!("cannot listen on {any} port {port}"))?;
        let client = TcpStream::connect((address, port))
            .with_context(|| format!("cannot connect to {address} port {port}"))?;
        let (server, _) = listener.accept()?;
        Ok(Self { client, server })
    }

    /// Moves so many bytes from the client and so many from the server.
    fn moved(self, up: usize, down: usize) -> anyhow::Result<Self> {
        for (from, to, length) in [
            (&self.client, &self.server, up),
            (&self.server, &self.client, down),
        ] {
            thread::scope(|scope| {
                let writer = scope.spawn(move || (&mut &*from).write_all(&vec![6; length]));
                (&mut &*to).read_exact(&mut vec![0; length])?;
                writer
                    .join()
                    .map_err(|_| anyhow::anyhow!("a thread panicked"))?
                    .context("cannot write")
            })?;
        }
        Ok(self)
    }

    /// Closes in order, the client first.
    fn close(self) -> anyhow::Result<()> {
        let Self { client, mut server } = self;
        drop(client);
        server.read_to_end(&mut Vec::new())?;
        Ok(())
    }
}

fn port(protocol: &str) -> anyhow::Result<u16> {
    PROTOCOLS
        .iter()
        .find_map(|(name, port)| (*name == protocol).then_some(*port))
        .with_context(|| format!("no protocol {protocol}"))
}
