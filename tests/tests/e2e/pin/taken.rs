//! What somebody takes away from a running agent: it is put back, and what was missed meanwhile is told.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{FileSystem, Truth, expect, expect_truth, move_bytes};
use crate::{
    hooks::bpf,
    support::{Agent, Lab, lab::run, until, until_true},
};

const GAPS: &str = "partymeter_network_gaps_total{program=\"socket_events\"}";
const SECONDS: &str = "partymeter_network_gap_seconds_total{program=\"socket_events\"}";

/// A link of the agent's, by where it is pinned.
fn link(files: &FileSystem, program: &str) -> PathBuf {
    let suffix = format!("-{program}");
    let is_it = |name: &String| name.starts_with("link-") && name.ends_with(&suffix);
    let name = until(
        || files.names().into_iter().find(is_it),
        || format!("{:?}", files.names()),
    );
    files.directory().join(name)
}

/// `bpftool link detach`.
fn detach(link: &Path) {
    const DETACH: libc::c_long = 34;
    const GET: libc::c_long = 7;
    let path = std::ffi::CString::new(link.to_str().unwrap()).unwrap();
    let open = [path.as_ptr().addr() as u64, 0];
    let fd = bpf(GET, &open);
    bpf(DETACH, &[u64::from(fd.cast_unsigned())]);
    // SAFETY: a descriptor that is this function's own.
    unsafe { libc::close(fd) };
}

#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn a_program_that_is_detached_is_attached_again_and_the_gap_is_told() {
    let lab = Lab::new();
    let files = FileSystem::new();
    let agent = Agent::start(&(lab.config() + &files.network()));
    files.expect_tracepoint(false);
    let truth = Truth::default();
    let listener = lab.listen(0);
    let address = listener.local_addr().unwrap();
    let connect = || (lab.connect_to(address), listener.accept().unwrap().0);
    let count = |(a, b): &(_, _)| truth.exchange(a, b, [1000, 10]);
    let before = connect();
    truth.connections.fetch_add(1, super::Relaxed);
    count(&before);
    expect_truth(&agent, &truth, 1);
    assert_eq!(agent.series(GAPS), Some(0.0));
    assert_eq!(agent.series(SECONDS), Some(0.0));

    // In the gap, and still open after it.
    detach(&link(&files, "socket_events"));
    let during = connect();
    expect(&agent, GAPS, 1.0);
    let seconds = agent.series(SECONDS).unwrap();
    assert!(seconds > 0.0 && seconds < 60.0, "{seconds}");
    agent.wait_for("the program socket_events was detached and is attached again");
    agent.after_rounds(2);
    // All that is open counts, and all that comes.
    count(&before);
    count(&during);
    for _ in 0..10 {
        let after = connect();
        truth.connections.fetch_add(1, super::Relaxed);
        count(&after);
    }
    drop(before);
    let sums = [&truth.a_to_b, &truth.b_to_a].map(|it| it.load(super::Relaxed));
    agent.expect_moved(sums[0], sums[1]);
    expect(
        &agent,
        "mpc_connections{party_id=\"b\",protocol=\"test\"}",
        1.0,
    );
    drop(during);
    expect(
        &agent,
        "mpc_connections{party_id=\"b\",protocol=\"test\"}",
        0.0,
    );
    let told = agent.log().matches("was detached").count();
    assert_eq!(
        (told, agent.series(GAPS)),
        (1, Some(1.0)),
        "{}",
        agent.log()
    );
    // It is the new link that is pinned, and a stop leaves it attached.
    let (a, b) = connect();
    truth.exchange(&a, &b, [7, 7]);
    drop((a, b));
    let sums = [&truth.a_to_b, &truth.b_to_a].map(|it| it.load(super::Relaxed));
    agent.expect_moved(sums[0], sums[1]);
    agent.stop();
    let (a, b) = connect();
    truth.exchange(&a, &b, [500, 5]);
    drop((a, b));
    let sums = [&truth.a_to_b, &truth.b_to_a].map(|it| it.load(super::Relaxed));
    Agent::start(&(lab.config() + &files.network())).expect_moved(sums[0], sums[1]);
}

/// With another program in its place the link is attached, and counts nothing.
#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn a_link_with_another_program_in_it_is_noticed() {
    const SOCK_OPS: u64 = 13;
    let lab = Lab::new();
    let files = FileSystem::new();
    let agent = Agent::start(&(lab.config() + &files.network()));
    // r0 = 1; exit
    let program: [u64; 2] = [1 << 32 | 0xb7, 0x95];
    let licence = c"GPL";
    let mut load = [0_u64; 16];
    load[0] = 2 << 32 | SOCK_OPS;
    load[1] = program.as_ptr().addr() as u64;
    load[2] = licence.as_ptr().addr() as u64;
    load[8] = 3 << 32;
    let program = bpf(5, &load);
    let path = link(&files, "socket_events");
    let path = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
    let pinned = bpf(7, &[path.as_ptr().addr() as u64, 0]);
    let update = u64::from(pinned.cast_unsigned()) | u64::from(program.cast_unsigned()) << 32;
    bpf(29, &[update, 0]);
    for fd in [program, pinned] {
        // SAFETY: a descriptor that is this function's own.
        unsafe { libc::close(fd) };
    }
    expect(&agent, GAPS, 1.0);
    let (a, b) = lab.connection();
    move_bytes(&a, &b, 1000);
    drop((a, b));
    agent.expect_moved(1000, 0);
}

#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn datagrams_count_again_where_their_program_was_detached() {
    let lab = Lab::new();
    let files = FileSystem::new();
    let config = lab
        .config()
        .replace("name = \"test\"", "name = \"test\"\ntransport = \"udp\"");
    let agent = Agent::start(&(config + &files.network()));
    let bind = |host, port| std::net::UdpSocket::bind((lab.v4(host), port)).unwrap();
    let to = lab.b.enter(|| bind(2, lab.port(0)));
    let from = lab.a.enter(|| bind(1, lab.port(1)));
    for program in ["datagrams_out", "datagrams_in"] {
        detach(&link(&files, program));
        let gaps = format!("partymeter_network_gaps_total{{program=\"{program}\"}}");
        expect(&agent, &gaps, 1.0);
    }
    assert_eq!(agent.series(GAPS), Some(0.0));
    for _ in 0..10 {
        from.send_to(&[0; 100], to.local_addr().unwrap()).unwrap();
        to.recv(&mut [0; 200]).unwrap();
    }
    agent.expect_moved(1000, 0);
}

#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn pins_that_are_removed_are_put_back_and_nothing_is_lost() {
    let lab = Lab::new();
    let files = FileSystem::new();
    let config = lab.config() + &files.network();
    let agent = Agent::start(&config);
    files.expect_tracepoint(false);
    let names = files.names();
    let (a, b) = lab.connection();
    move_bytes(&a, &b, 1000);
    let mut sum = 1000;
    let pinned = |on: &str| {
        let label = format!(",pin=\"{on}\",");
        until_true(
            || agent.get("/metrics").contains(&label),
            || format!("no {label} on the page\n{}", agent.log()),
        );
    };
    let back = || {
        until_true(
            || files.directory().exists() && files.names() == names,
            || format!("not {names:?}\n{}", agent.log()),
        );
    };
    // All files; and the directory with them.
    for directory in [false, true] {
        for name in files.names() {
            fs::remove_file(files.directory().join(name)).unwrap();
        }
        if directory {
            fs::remove_dir(files.directory()).unwrap();
        }
        let (c, d) = lab.connection();
        move_bytes(&c, &d, 500);
        drop((c, d));
        move_bytes(&a, &b, 1);
        sum += 501;
        back();
        agent.expect_moved(sum, 0);
    }
    agent.wait_for("pinned again, nothing is lost");
    assert_eq!(agent.series(GAPS), Some(0.0));

    // The file system goes, and comes back empty.
    run(&format!("umount -l {}", files.0.0.display()));
    pinned("off");
    agent.wait_for("is no longer in a BPF file system");
    let ready = agent.get("/-/ready");
    assert!(
        ready.contains("200 OK") && ready.contains("limited: counters end with the agent ("),
        "{ready}"
    );
    run(&format!("mount -t bpf bpf {}", files.0.0.display()));
    pinned("on");
    agent.wait_for("again");
    back();
    assert!(!agent.get("/-/ready").contains("limited: counters end"));
    move_bytes(&a, &b, 10);
    sum += 10;
    agent.expect_moved(sum, 0);
    // The next agent goes on with what was put back.
    agent.stop();
    move_bytes(&a, &b, 100);
    sum += 100;
    let agent = Agent::start(&config);
    agent.wait_for("resuming the counters under ");
    agent.expect_moved(sum, 0);
}

/// Both at once, while connections come and go: nothing but the gap is missing.
#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn detached_and_unpinned_under_load() {
    let lab = Lab::new();
    let files = FileSystem::new();
    let agent = Agent::start(&(lab.config() + &files.network()));
    files.expect_tracepoint(false);
    let path = link(&files, "socket_events");
    let listener = lab.listen(0);
    let address = listener.local_addr().unwrap();
    let burst = || {
        for _ in 0..50 {
            let a = lab.connect_to(address);
            let b = listener.accept().unwrap().0;
            move_bytes(&a, &b, 100);
        }
    };
    burst();
    agent.expect_moved(5000, 0);
    detach(&path);
    for name in files.names() {
        fs::remove_file(files.directory().join(name)).unwrap();
    }
    burst();
    expect(&agent, GAPS, 1.0);
    agent.after_rounds(2);
    let sent = agent.bytes("b", "test").transmit;
    assert!((5000..=10_000).contains(&sent), "{sent}");
    burst();
    let sum = sent + 5000;
    until_true(
        || agent.bytes("b", "test").transmit == sum,
        || format!("{:?}, not {sum}", agent.bytes("b", "test")),
    );
    link(&files, "socket_events");
}

/// Where the program cannot be attached again, the tracepoint counts from the next round on, until it can be.
#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn the_tracepoint_counts_where_the_program_cannot_be_attached_again() {
    let lab = Lab::new();
    let files = FileSystem::new();
    let config = lab.config() + &files.network();
    let agent = Agent::launch(&config, &["unshare", "-m"]);
    files.expect_tracepoint(false);
    let inside = |command: &str| run(&format!("nsenter -t {} -m {command}", agent.id()));
    let cgroup = partymeter::source::network::cgroup::open(None)
        .unwrap()
        .path;
    let path = cgroup.display();
    inside(&format!("umount -l {path}"));
    detach(&link(&files, "socket_events"));
    agent.wait_for("the tracepoint replaces it");
    files.expect_tracepoint(true);
    agent.after_rounds(1);
    let seconds = agent.series(SECONDS);
    let ready = agent.get("/-/ready");
    assert!(
        ready.contains("200 OK")
            && ready.contains("limited: round-trip times are sampled: the program"),
        "{ready}"
    );
    assert!(
        agent
            .get("/metrics")
            .contains("{bytes=\"inet_sock_set_state+")
    );
    for sum in 1..=20 {
        let (a, b) = lab.connection();
        move_bytes(&a, &b, 100);
        drop((a, b));
        if sum == 20 {
            agent.expect_moved(100 * sum, 0);
        }
    }
    inside(&format!("mount -t cgroup2 none {path}"));
    agent.wait_for("the program socket_events is attached again");
    agent.after_rounds(1);
    assert!(agent.get("/metrics").contains("{bytes=\"sock_ops+"));
    assert!(!agent.get("/-/ready").contains("was detached"));
    let (a, b) = lab.connection();
    move_bytes(&a, &b, 100);
    drop((a, b));
    agent.expect_moved(2100, 0);
    assert_eq!(
        (agent.series(GAPS), agent.series(SECONDS)),
        (Some(1.0), seconds)
    );
}
