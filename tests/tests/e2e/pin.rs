//! Counters outlive the agent: whatever becomes of it, the next one goes on, with nothing lost and nothing twice.
//!
//! Each test has a BPF file system of its own.

use std::{
    collections::BTreeSet,
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    thread::{self, sleep},
    time::{Duration, Instant},
};

use aya::{
    maps::{Array, Map, MapData, loaded_maps},
    programs::{
        links::{FdLink, PinnedLink},
        loaded_links, loaded_programs,
    },
};

use crate::support::{
    Agent, Lab,
    agent::{Scratch, free_port, program},
    lab::run,
    needs_root,
};

/// A BPF file system; gone when dropped, with all that is pinned in it.
struct FileSystem(Scratch);

impl FileSystem {
    fn new() -> Self {
        let place = Scratch::new("bpf");
        fs::create_dir(&place.0).unwrap();
        run(&format!("mount -t bpf bpf {}", place.0.display()));
        Self(place)
    }

    /// Where the agents here pin.
    fn directory(&self) -> PathBuf {
        self.0.0.join("counters")
    }

    /// The section of a configuration.
    fn network(&self) -> String {
        format!("[network]\npin = \"{}\"\n", self.directory().display())
    }

    /// Loads of the programs that are attached: more than one while an agent takes over.
    fn generations(&self) -> usize {
        let names = self.names();
        let links = names.iter().filter_map(|name| name.strip_prefix("link-"));
        let all: BTreeSet<&str> = links.filter_map(|name| name.split('-').next()).collect();
        all.len()
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.directory()).unwrap();
        let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name();
        let mut names: Vec<String> = entries
            .map(|entry| name(entry).into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

impl Drop for FileSystem {
    fn drop(&mut self) {
        run(&format!("umount {}", self.0.0.display()));
    }
}

fn of(agent: &Agent, series: &str) -> f64 {
    agent.series(series).unwrap_or(0.0)
}

/// Waits until a figure is as it must be.
fn expect(agent: &Agent, series: &str, wanted: f64) {
    let end = Instant::now() + Duration::from_secs(10);
    while agent.series(series) != Some(wanted) {
        let now = agent.series(series);
        assert!(Instant::now() < end, "{series}: {now:?} is not {wanted}");
        sleep(Duration::from_millis(50));
    }
}

/// One end writes, the other reads all of it.
fn move_bytes(mut from: &TcpStream, mut to: &TcpStream, bytes: usize) {
    from.write_all(&vec![1; bytes]).unwrap();
    to.read_exact(&mut vec![0; bytes]).unwrap();
}

/// What programs have counted themselves.
#[derive(Default)]
struct Truth {
    a_to_b: AtomicU64,
    b_to_a: AtomicU64,
    connections: AtomicU64,
}

impl Truth {
    /// Bytes go both ways over a connection.
    fn exchange(&self, a: &TcpStream, b: &TcpStream, [up, down]: [usize; 2]) {
        move_bytes(a, b, up);
        self.a_to_b.fetch_add(up as u64, Relaxed);
        move_bytes(b, a, down);
        self.b_to_a.fetch_add(down as u64, Relaxed);
    }
}

/// A generator of numbers that looks random, and is the same for the same seed (SplitMix64).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }
}

/// Opens and closes connections without end, about a thousand a second; either side closes first.
fn churn(lab: &Lab, listener: &TcpListener, truth: &Truth, done: &AtomicBool) {
    let address = listener.local_addr().unwrap();
    lab.a.enter(|| {
        let begin = Instant::now();
        for number in 0_u32.. {
            if done.load(Relaxed) {
                return;
            }
            let a = TcpStream::connect(address).unwrap();
            let (b, _) = listener.accept().unwrap();
            truth.connections.fetch_add(1, Relaxed);
            let size = number as usize * 7919 % 3000;
            truth.exchange(&a, &b, [size, size / 3]);
            let (first, second) = if number.is_multiple_of(4) {
                (b, a)
            } else {
                (a, b)
            };
            drop(first);
            drop(second);
            let due = begin + Duration::from_millis(1) * number;
            sleep(due.saturating_duration_since(Instant::now()));
        }
    });
}

/// The lab's pairs, as the programs have counted them.
fn expect_truth(agent: &Agent, truth: &Truth, open: u64) {
    agent.expect_moved(truth.a_to_b.load(Relaxed), truth.b_to_a.load(Relaxed));
    #[expect(clippy::cast_precision_loss, reason = "there are not that many")]
    let (all, open) = (truth.connections.load(Relaxed) as f64, open as f64);
    for (party, role) in [("b", "initiator"), ("a", "acceptor")] {
        let pair = format!("party_id=\"{party}\",protocol=\"test\"");
        let opened = format!("mpc_connections_opened_total{{role=\"{role}\",{pair}}}");
        assert_eq!(agent.series(&opened), Some(all), "{opened}");
        let closed = |reason| {
            let series = format!("mpc_connections_closed_total{{reason=\"{reason}\",{pair}}}");
            of(agent, &series)
        };
        let sum: f64 = ["fin", "reset", "timeout"].map(closed).iter().sum();
        assert!(
            (sum - (all - open)).abs() < 0.5,
            "{party}: {sum} closed of {all}"
        );
        expect(agent, &format!("mpc_connections{{{pair}}}"), open);
    }
}

#[test]
fn a_hundred_kills_under_load_lose_no_byte() {
    needs_root!();
    const OPEN: u64 = 200;
    const KILLS: usize = 100;
    let seed = std::env::var("PARTYMETER_TEST_SEED").map_or_else(
        |_| u64::from(std::process::id()) << 16 | u64::from(free_port()),
        |seed| seed.parse().unwrap(),
    );
    println!("PARTYMETER_TEST_SEED={seed}");
    let mut random = Random(seed);
    let lab = Lab::new();
    // A thousand connections a second would otherwise run out of ports.
    lab.a.run("sysctl -qw net.ipv4.tcp_tw_reuse=1");
    let files = FileSystem::new();
    let config = lab.config() + &files.network();
    let truth = Truth::default();
    let mut agent = Agent::start(&config);
    let listeners: Vec<TcpListener> = (0..3).map(|index| lab.listen(index)).collect();
    let address = listeners[0].local_addr().unwrap();
    let connections: Vec<(TcpStream, TcpStream)> = (0..OPEN)
        .map(|_| (lab.connect_to(address), listeners[0].accept().unwrap().0))
        .collect();
    truth.connections.fetch_add(OPEN, Relaxed);
    let done = AtomicBool::new(false);
    let began = Instant::now();
    let (looked, between) = thread::scope(|scope| {
        for listener in &listeners[1..] {
            scope.spawn(|| churn(&lab, listener, &truth, &done));
        }
        scope.spawn(|| {
            while !done.load(Relaxed) {
                for (a, b) in &connections {
                    truth.exchange(a, b, [1000, 300]);
                }
                // The agent wants a part of the machine, too.
                sleep(Duration::from_millis(5));
            }
        });
        let mut shown = [0.0; 2];
        let (mut looked, mut between) = (0, 0);
        for _ in 0..KILLS {
            // A half of them in every phase of the start, of which the page tells nothing.
            let early = random.below(2) == 0;
            let longest = if early { 200 } else { 700 };
            sleep(Duration::from_millis(random.below(longest)));
            if !early && agent.answers() && agent.get("/-/ready").contains("network: up") {
                let now = ["b", "a"].map(|party| agent.bytes(party, "test"));
                #[expect(clippy::cast_precision_loss, reason = "there are not that many")]
                let now = now.map(|bytes| (bytes.transmit + bytes.receive) as f64);
                assert!(
                    now[0] >= shown[0] && now[1] >= shown[1],
                    "went back: {now:?}"
                );
                (shown, looked) = (now, looked + 1);
            }
            agent.kill();
            between += usize::from(files.generations() > 1);
            agent = Agent::spawn(Scratch::new("config.toml"), &config, &[]);
        }
        done.store(true, Relaxed);
        (looked, between)
    });
    let rate = truth.connections.load(Relaxed) as f64 / began.elapsed().as_secs_f64();
    println!(
        "{KILLS} kills in {:?}, {looked} of agents whose page was read, {between} in the middle of taking over; {} connections, {rate:.0}/s, {} and {} bytes",
        began.elapsed(),
        truth.connections.load(Relaxed),
        truth.a_to_b.load(Relaxed),
        truth.b_to_a.load(Relaxed),
    );
    assert!(looked > KILLS / 10, "only {looked} agents came to count");
    agent.kill();
    let agent = Agent::start(&config);
    expect_truth(&agent, &truth, OPEN);
    drop(connections);
    expect(
        &agent,
        "mpc_connections{party_id=\"b\",protocol=\"test\"}",
        0.0,
    );
    expect_truth(&agent, &truth, 0);
}

#[test]
fn what_begins_and_ends_without_an_agent_counts() {
    needs_root!();
    let lab = Lab::new();
    let files = FileSystem::new();
    let config = lab.config() + &files.network();
    let agent = Agent::start(&config);
    assert_eq!(
        fs::metadata(files.directory())
            .unwrap()
            .permissions()
            .mode()
            & 0o777,
        0o700
    );
    assert!(agent.get("/metrics").contains(",pin=\"on\","));
    let truth = Truth::default();
    let listener = lab.listen(0);
    let address = listener.local_addr().unwrap();
    let connect = || {
        truth.connections.fetch_add(1, Relaxed);
        let a = lab.connect_to(address);
        (a, listener.accept().unwrap().0)
    };
    let before = connect();
    truth.exchange(&before.0, &before.1, [1000, 10]);
    expect_truth(&agent, &truth, 1);
    // As a system does it.
    let (status, _) = agent.stop();
    assert!(status.success());

    for _ in 0..10 {
        let (a, b) = connect();
        truth.exchange(&a, &b, [20_000, 300]);
    }
    let (stays, ends) = (connect(), connect());
    truth.exchange(&stays.0, &stays.1, [5, 7]);
    truth.exchange(&before.0, &before.1, [100_000, 1]);
    drop(ends);

    let agent = Agent::start(&config);
    assert!(agent.log().contains("going on with the counters under "));
    expect_truth(&agent, &truth, 2);
    truth.exchange(&before.0, &before.1, [1, 1]);
    drop((before, stays));
    expect(
        &agent,
        "mpc_connections{party_id=\"b\",protocol=\"test\"}",
        0.0,
    );
    expect_truth(&agent, &truth, 0);
}

#[test]
fn messages_and_failures_count_once_over_restarts() {
    needs_root!();
    let lab = Lab::new();
    let files = FileSystem::new();
    let config = lab.config() + &files.network();
    let mut agent = Agent::start(&config);
    let (a, b) = lab.connection();
    let done = AtomicBool::new(false);
    let closed = SocketAddr::from((lab.v4(2), lab.port(9)));
    let (rounds, refused) = thread::scope(|scope| {
        let talk = scope.spawn(|| {
            let mut rounds = 0_u64;
            while !done.load(Relaxed) {
                move_bytes(&a, &b, 10);
                move_bytes(&b, &a, 10);
                rounds += 1;
                sleep(Duration::from_micros(500));
            }
            rounds
        });
        let knock = scope.spawn(|| {
            lab.a.enter(|| {
                let mut refused = 0_u64;
                while !done.load(Relaxed) {
                    TcpStream::connect(closed).unwrap_err();
                    refused += 1;
                    sleep(Duration::from_millis(1));
                }
                refused
            })
        });
        for _ in 0..10 {
            sleep(Duration::from_millis(200));
            agent.kill();
            agent = Agent::start(&config);
        }
        done.store(true, Relaxed);
        (talk.join().unwrap(), knock.join().unwrap())
    });
    #[expect(clippy::cast_precision_loss, reason = "there are not that many")]
    let (rounds, refused) = (rounds as f64, refused as f64);
    for party in ["a", "b"] {
        let pair = format!("party_id=\"{party}\",protocol=\"test\"");
        for direction in ["transmit", "receive"] {
            let series = format!("mpc_messages_total{{direction=\"{direction}\",{pair}}}");
            expect(&agent, &series, rounds);
        }
    }
    let pair = "party_id=\"b\",protocol=\"test\"";
    expect(&agent, &format!("mpc_rounds_total{{{pair}}}"), rounds);
    expect(
        &agent,
        &format!("mpc_connection_failures_total{{{pair}}}"),
        refused,
    );
}

#[test]
fn datagrams_count_without_an_agent_and_a_stranger_is_one() {
    needs_root!();
    let lab = Lab::new();
    let files = FileSystem::new();
    let party = format!("[[parties]]\nid = \"b\"\nendpoints = [\"{}\"]\n", lab.v4(2));
    let protocol = format!(
        "[[protocols]]\nname = \"test\"\ntransport = \"udp\"\nports = [{}]\n",
        lab.port(0)
    );
    // A is no party.
    let config = party + &protocol + &files.network();
    let bind = |host, port| UdpSocket::bind(SocketAddr::from((lab.v4(host), port))).unwrap();
    let to = lab.b.enter(|| bind(2, lab.port(0)));
    let from = lab.a.enter(|| bind(1, lab.port(1)));
    let send = |number: u64| {
        for _ in 0..number {
            from.send_to(&[0; 100], to.local_addr().unwrap()).unwrap();
            to.recv(&mut [0; 200]).unwrap();
        }
    };
    let check = |agent: &Agent, number: u64| {
        let bytes = |transmit, receive| crate::support::agent::Bytes { transmit, receive };
        agent.expect(&[
            ("b", "test", bytes(100 * number, 0)),
            ("unknown", "test", bytes(0, 100 * number)),
        ]);
        let strangers = "mpc_unexpected_connections_total{protocol=\"test\",role=\"acceptor\"}";
        assert_eq!(agent.series(strangers), Some(1.0));
    };
    let agent = Agent::start(&config);
    send(10);
    check(&agent, 10);
    drop(agent);
    send(20);
    let agent = Agent::start(&config);
    send(3);
    check(&agent, 33);
    drop(agent);
    // Not counted, and again: what was counted stays.
    let without = Agent::start(&(lab.config() + &files.network()));
    send(5);
    drop(without);
    let agent = Agent::start(&config);
    check(&agent, 33);
}

#[test]
fn another_configuration_keeps_the_numbers() {
    needs_root!();
    let lab = Lab::new();
    let files = FileSystem::new();
    let party = |id: &str, host: u8| {
        format!(
            "[[parties]]\nid = \"{id}\"\nendpoints = [\"{}\"]\n",
            lab.v4(host)
        )
    };
    let protocol = |name: &str, ports: [u16; 2]| {
        let [first, last] = ports.map(|index| lab.port(index));
        format!("[[protocols]]\nname = \"{name}\"\nports = [\"{first}-{last}\"]\n")
    };
    let start = |parties: &str, protocols: &str| {
        Agent::start(&(parties.to_owned() + protocols + &files.network()))
    };
    let bytes = |transmit, receive| crate::support::agent::Bytes { transmit, receive };
    let first = start(&(party("a", 1) + &party("b", 2)), &protocol("test", [0, 9]));
    let open = lab.connection();
    move_bytes(&open.0, &open.1, 100);
    first.expect(&[("a", "test", bytes(0, 100)), ("b", "test", bytes(100, 0))]);
    drop(first);

    // A is gone, somebody else is before it, B is named otherwise, and so is a half of the ports.
    let second = start(
        &(party("0", 9) + &party("other b", 2)),
        &(protocol("another", [10, 19]) + &protocol("test", [0, 9])),
    );
    move_bytes(&open.0, &open.1, 10);
    second.expect(&[
        ("other b", "test", bytes(10, 0)),
        ("0", "test", bytes(0, 0)),
    ]);
    let listener = lab.listen(10);
    let a = lab.connect_to(listener.local_addr().unwrap());
    let (b, _) = listener.accept().unwrap();
    move_bytes(&a, &b, 7);
    second.expect(&[("other b", "another", bytes(7, 0))]);
    assert_eq!(
        second
            .series("network_bytes_total{direction=\"receive\",party_id=\"a\",protocol=\"test\"}"),
        None
    );
    drop(second);

    let third = start(
        &(party("a", 1) + &party("b", 2)),
        &protocol("test", [0, 19]),
    );
    move_bytes(&open.0, &open.1, 1);
    move_bytes(&a, &b, 2);
    third.expect(&[("b", "test", bytes(103, 0)), ("a", "test", bytes(0, 103))]);
    // While it runs, too.
    let more = party("a", 1) + &party("b", 2) + &party("late", 8) + &protocol("test", [0, 19]);
    fs::write(third.config(), third.whole(&(more + &files.network()))).unwrap();
    third.wait_for("party late is new");
    drop(third);
    let fourth = start(&party("late", 2), &protocol("test", [0, 19]));
    move_bytes(&open.0, &open.1, 20);
    fourth.expect(&[("late", "test", bytes(20, 0))]);
    drop(fourth);

    // More than there is room for begins anew, and says so.
    let crowd: String = (10..100)
        .map(|host| party(&format!("crowd {host}"), host))
        .collect();
    let fifth = start(&(party("b", 2) + &crowd), &protocol("test", [0, 19]));
    fifth.wait_for("counters begin at 0: what is pinned under ");
    assert!(
        fifth
            .log()
            .contains(" parties are or were configured, and there is room for 66"),
        "{}",
        fifth.log()
    );
    move_bytes(&open.0, &open.1, 3);
    fifth.expect(&[("b", "test", bytes(3, 0))]);
}

#[test]
fn automatic_parties_go_on() {
    needs_root!();
    let lab = Lab::new();
    let files = FileSystem::new();
    let config = lab.protocol() + &files.network();
    let first = Agent::start(&config);
    let (a, b) = lab.connection();
    move_bytes(&a, &b, 100);
    let (here, there) = (lab.v4(1).to_string(), lab.v4(2).to_string());
    let bytes = |transmit, receive| crate::support::agent::Bytes { transmit, receive };
    first.expect(&[
        (&here, "test", bytes(0, 100)),
        (&there, "test", bytes(100, 0)),
    ]);
    drop(first);
    move_bytes(&a, &b, 10);
    let second = Agent::start(&config);
    second.expect(&[
        (&here, "test", bytes(0, 110)),
        (&there, "test", bytes(110, 0)),
    ]);
    drop(second);
    // Now they have names.
    let third = Agent::start(&(lab.config() + &files.network()));
    move_bytes(&a, &b, 1);
    third.expect(&[
        (&there, "test", bytes(110, 0)),
        ("a", "test", bytes(0, 1)),
        ("b", "test", bytes(1, 0)),
    ]);
}

#[test]
fn what_another_version_has_pinned_is_not_gone_on_with() {
    needs_root!();
    let lab = Lab::new();
    let files = FileSystem::new();
    let config = lab.config() + &files.network();
    let agent = Agent::start(&config);
    let (a, b) = lab.connection();
    move_bytes(&a, &b, 100);
    agent.expect_moved(100, 0);
    drop(agent);
    let state = MapData::from_pin(files.directory().join("state")).unwrap();
    let mut state: Array<_, [u64; 6]> = Map::from_map_data(state).unwrap().try_into().unwrap();
    let mut value = state.get(&0, 0).unwrap();
    value[0] += 1;
    state.set(0, value, 0).unwrap();
    drop(state);
    let links = links(&files.directory());
    let agent = Agent::start(&config);
    agent.wait_for("is of no use, it is of another version of partymeter");
    move_bytes(&a, &b, 10);
    agent.expect_moved(10, 0);
    wait_until_gone(&links);
    drop(agent);
    // Half of it is as bad.
    fs::remove_file(files.directory().join("map-SOCKETS")).unwrap();
    let agent = Agent::start(&config);
    agent.wait_for("is of no use, a part of it is gone");
    move_bytes(&a, &b, 1);
    agent.expect_moved(1, 0);
}

/// Ids of the links that are pinned, and of the programs that they attach.
fn links(directory: &Path) -> Vec<(u32, u32)> {
    let entries = fs::read_dir(directory).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names
        .filter(|name| name.starts_with("link-"))
        .map(|name| {
            let link = FdLink::from(PinnedLink::from_pin(directory.join(name)).unwrap());
            let info = link.info().unwrap();
            (info.id(), info.program_id())
        })
        .collect()
}

/// The kernel frees what is not used any more in its own time.
fn wait_until_gone(links: &[(u32, u32)]) {
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        let there: Vec<u32> = loaded_links()
            .filter_map(|link| Some(link.ok()?.id()))
            .filter(|id| links.iter().any(|(link, _)| link == id))
            .collect();
        let loaded: Vec<u32> = loaded_programs()
            .filter_map(|program| Some(program.ok()?.id()))
            .filter(|id| links.iter().any(|(_, program)| program == id))
            .collect();
        if there.is_empty() && loaded.is_empty() {
            return;
        }
        assert!(
            Instant::now() < end,
            "links {there:?}, programs {loaded:?} are there"
        );
        sleep(Duration::from_millis(50));
    }
}

fn partymeter(verb: &str, directory: &Path) -> Output {
    // Should it not be refused, it would run.
    Command::new("timeout")
        .arg("20")
        .arg(program())
        .args([verb, "--network-pin"])
        .arg(directory)
        .args(["--prometheus-listen", &format!("127.0.0.1:{}", free_port())])
        .output()
        .unwrap()
}

fn told(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end().to_owned()
}

#[test]
fn one_agent_at_a_time_and_detach_leaves_nothing() {
    needs_root!();
    let lab = Lab::new();
    let files = FileSystem::new();
    let directory = files.directory();
    let shown = directory.display();

    let nothing = partymeter("detach", &directory);
    assert!(nothing.status.success());
    assert_eq!(
        told(&nothing.stdout),
        format!("nothing to remove: there is no {shown}")
    );

    let agent = Agent::start(&(lab.config() + &files.network()));
    let busy = format!(
        "partymeter: network.pin: an agent is running with {shown}; stop it first, or set another directory, or \"\" for \
         none"
    );
    for verb in ["run", "detach"] {
        let refused = partymeter(verb, &directory);
        assert_eq!(refused.status.code(), Some(1), "{verb}");
        assert_eq!(told(&refused.stderr), busy, "{verb}");
    }
    let check = told(&partymeter("check", &directory).stdout);
    assert!(check.contains(&format!("pinned under {shown}")), "{check}");
    let attached = links(&directory);
    assert!(attached.len() >= 4, "{:?}", files.names());
    let maps: Vec<u32> = ["COUNTERS", "SOCKETS", "CONTROL"]
        .map(|name| {
            let map = MapData::from_pin(directory.join(format!("map-{name}"))).unwrap();
            map.info().unwrap().id()
        })
        .to_vec();
    drop(agent);
    assert_eq!(links(&directory), attached, "they outlive it");

    let names = files.names();
    let of = |start: &str| names.iter().filter(|name| name.starts_with(start)).count();
    let (links, all) = (of("link-"), names.len());
    let removed = partymeter("detach", &directory);
    assert!(removed.status.success(), "{}", told(&removed.stderr));
    let line = format!(
        "removed {links} links and {} maps under {shown}",
        all - links
    );
    assert_eq!(told(&removed.stdout), line);
    assert!(!directory.exists());
    wait_until_gone(&attached);
    let end = Instant::now() + Duration::from_secs(10);
    while loaded_maps().any(|map| map.is_ok_and(|map| maps.contains(&map.id()))) {
        assert!(Instant::now() < end, "maps are there");
        sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_directory_in_no_bpf_file_system_is_one_line() {
    needs_root!();
    let place = Scratch::new("no-bpf");
    let mend = format!(
        "network.pin: {} is not in a BPF file system; mount one with `mount -t bpf bpf /sys/fs/bpf` and name a directory \
         there, or set it to \"\" to pin nothing",
        place.0.display()
    );
    for verb in ["run", "detach"] {
        let refused = partymeter(verb, &place.0);
        assert_eq!(refused.status.code(), Some(64), "{verb}");
        let line = told(&refused.stderr);
        assert_eq!(line, format!("partymeter: {mend}"), "{verb}");
    }
    let check = told(&partymeter("check", &place.0).stdout);
    assert!(check.contains(&mend), "{check}");
    // Nor one that others may remove the pins from.
    let files = FileSystem::new();
    let open = partymeter("run", &files.0.0);
    assert_eq!(open.status.code(), Some(64));
    assert!(
        told(&open.stderr).contains(" or others may write there"),
        "{}",
        told(&open.stderr)
    );
    let relative = partymeter("run", Path::new("counters"));
    assert_eq!(relative.status.code(), Some(64));
    assert!(told(&relative.stderr).contains("\"counters\" is no absolute path"));
}
