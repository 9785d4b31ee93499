//! By which of the kernel's hooks connections are watched: `sock_ops` for as much as it is told of, the tracepoint for the
//! rest, and whatever happens every byte is counted.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::{Command, Stdio},
};

use partymeter::source::network::cgroup;

use crate::{
    pin::{FileSystem, expect, move_bytes},
    support::{Agent, Lab, agent::Bytes, until_true},
};

const OPENED: &str =
    "mpc_connections_opened_total{role=\"initiator\",party_id=\"b\",protocol=\"test\"}";
const CLOSED: &str =
    "mpc_connections_closed_total{reason=\"fin\",party_id=\"b\",protocol=\"test\"}";
const FAILED: &str = "mpc_connection_failures_total{party_id=\"b\",protocol=\"test\"}";

/// It runs at every change of state of every socket of the machine, so only as long as it must.
#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn the_tracepoint_is_attached_while_it_is_needed() {
    let lab = Lab::new();
    let files = FileSystem::new();
    let (a, b) = lab.connection();
    let agent = Agent::start(&(lab.config() + &files.network()));
    // The older connection's end is told nowhere else.
    move_bytes(&a, &b, 1000);
    agent.expect_moved(1000, 0);
    files.expect_tracepoint(true);
    move_bytes(&a, &b, 1);
    drop((a, b));
    agent.expect_moved(1001, 0);
    files.expect_tracepoint(false);
    expect(&agent, CLOSED, 1.0);

    // All of a connection without it, and one that fails.
    let (a, b) = lab.connection();
    move_bytes(&a, &b, 20_000);
    move_bytes(&b, &a, 300);
    drop((a, b));
    agent.expect_moved(21_001, 300);
    expect(&agent, OPENED, 1.0);
    expect(&agent, CLOSED, 2.0);
    let closed = (lab.v4(2), lab.port(7));
    lab.a
        .enter(|| TcpStream::connect(closed).expect_err("nobody listens"));
    expect(&agent, FAILED, 1.0);
    files.expect_tracepoint(false);

    // A connection that becomes MPC with another configuration is like an older one.
    let reload = |parties: &str| {
        let read = || agent.log().matches("configuration reloaded").count();
        let before = read();
        let config = parties.to_owned() + &files.network();
        fs::write(agent.config(), agent.whole(&config)).unwrap();
        until_true(|| read() > before, || agent.log());
        // Open connections are looked at in the next round, and once more in the one after that.
        agent.after_rounds(2);
    };
    let nobody = "[[parties]]\nid = \"nobody\"\nendpoints = [\"10.0.0.9\"]\n";
    reload(&(nobody.to_owned() + &lab.protocol()));
    let address = (lab.v4(2), 9_099);
    let listener = lab.b.enter(|| TcpListener::bind(address).unwrap());
    let a = lab.connect_to(listener.local_addr().unwrap());
    let (b, _) = listener.accept().unwrap();
    reload(&lab.config());
    move_bytes(&a, &b, 50);
    agent.expect(&[
        (
            "b",
            "other",
            Bytes {
                transmit: 50,
                receive: 0,
            },
        ),
        (
            "a",
            "other",
            Bytes {
                transmit: 0,
                receive: 50,
            },
        ),
    ]);
    files.expect_tracepoint(true);
    move_bytes(&a, &b, 7);
    drop((a, b));
    agent.expect(&[
        (
            "b",
            "other",
            Bytes {
                transmit: 57,
                receive: 0,
            },
        ),
        (
            "a",
            "other",
            Bytes {
                transmit: 0,
                receive: 57,
            },
        ),
    ]);
    files.expect_tracepoint(false);
}

/// From Linux 6.12 on what is older than the agent is armed like everything else, in the agent's own network namespace.
#[test]
#[ignore = "needs root, Linux 6.12: `cargo xtask test` runs it"]
fn what_is_older_is_armed_in_the_agents_own_namespace() {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(['.', '-']).map(|it| it.parse().unwrap_or(0));
    assert!(
        (numbers.next(), numbers.next()) >= (Some(6), Some(12)),
        "needs Linux 6.12: this is {}",
        release.trim_end()
    );
    let lab = Lab::new();
    let files = FileSystem::new();
    // On no protocol's port: only A's end is with a party.
    let address = (lab.v4(2), 9_098);
    let listener = lab.b.enter(|| TcpListener::bind(address).unwrap());
    let a = lab.connect_to(listener.local_addr().unwrap());
    let (b, _) = listener.accept().unwrap();
    for stream in [&a, &b] {
        stream.set_nodelay(true).unwrap();
    }
    let party = format!("[[parties]]\nid = \"b\"\nendpoints = [\"{}\"]\n", lab.v4(2));
    lab.a.enter(|| {
        let agent = Agent::start(&(party + &lab.protocol() + &files.network()));
        files.expect_tracepoint(false);
        for _ in 0..500 {
            move_bytes(&a, &b, 10);
            move_bytes(&b, &a, 3);
        }
        let moved = |transmit, receive| {
            agent.expect(&[("b", "other", Bytes { transmit, receive })]);
        };
        moved(5000, 1500);
        let times = "mpc_network_latency_seconds_count{party_id=\"b\",protocol=\"other\"}";
        let times = agent.series(times).unwrap();
        assert!(times > 250.0, "{times} round trips of 500 were measured");
        move_bytes(&a, &b, 1);
        drop((a, b));
        moved(5001, 1500);
        expect(&agent, &CLOSED.replace("test", "other"), 1.0);
    });
}

/// A cgroup below the root; gone when dropped.
struct Child(PathBuf);

impl Child {
    fn new() -> Self {
        let root = cgroup::open(None).unwrap().path;
        let path = root.join(format!("partymeter-test-{}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    /// Attaches a program of `sock_ops` that disarms every callback at every one: `bpf_sock_ops_cb_flags_set(ctx, 0)`.
    fn disarm(&self) {
        const LOAD: libc::c_long = 5;
        const ATTACH: libc::c_long = 8;
        const SOCK_OPS: u32 = 13;
        const CGROUP_SOCK_OPS: u32 = 3;
        const ALLOW_MULTI: u32 = 2;
        // r2 = 0; call 59; r0 = 1; exit
        let program: [u64; 4] = [0x2b7, 59 << 32 | 0x85, 1 << 32 | 0xb7, 0x95];
        let licence = c"GPL";
        let mut load = [0_u64; 16];
        load[0] = 4 << 32 | u64::from(SOCK_OPS);
        load[1] = program.as_ptr() as u64;
        load[2] = licence.as_ptr() as u64;
        // `expected_attach_type`
        load[8] = u64::from(CGROUP_SOCK_OPS) << 32;
        let program = bpf(LOAD, &load);
        let directory = fs::File::open(&self.0).unwrap();
        let target = std::os::fd::AsRawFd::as_raw_fd(&directory);
        let attach = [
            u64::from(target.cast_unsigned()) | u64::from(program.cast_unsigned()) << 32,
            u64::from(CGROUP_SOCK_OPS) | u64::from(ALLOW_MULTI) << 32,
        ];
        bpf(ATTACH, &attach);
        // The cgroup holds it from here on.
        // SAFETY: a descriptor that is this function's own.
        unsafe { libc::close(program) };
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

/// Returns the command's descriptor.
pub(crate) fn bpf(command: libc::c_long, attributes: &[u64]) -> i32 {
    // SAFETY: a command that reads as many bytes as it is told, and pointers in them that are alive.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            attributes.as_ptr(),
            size_of_val(attributes),
        )
    };
    assert!(result >= 0, "bpf: {}", std::io::Error::last_os_error());
    i32::try_from(result).unwrap()
}

/// Any program of `sock_ops` may take away what another has armed. Nothing that lives for two rounds is lost by it.
#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn what_another_program_disarms_is_counted_all_the_same() {
    const DISARMED: &str = "partymeter_bpf_dropped_total{reason=\"disarmed\"}";
    let lab = Lab::new();
    let files = FileSystem::new();
    let agent = Agent::start(&(lab.config() + &files.network()));
    files.expect_tracepoint(false);
    let child = Child::new();
    child.disarm();
    let listener = lab.listen(0);
    let script = format!(
        "echo $$ > {}/cgroup.procs && exec ip netns exec {} python3 -c '{}' {} {}",
        child.0.display(),
        lab.a.name,
        "import socket, sys\n\
         s = socket.create_connection((sys.argv[1], int(sys.argv[2])))\n\
         s.sendall(bytes(100000)); sys.stdin.read(1); s.sendall(bytes(777))",
        lab.v4(2),
        lab.port(0),
    );
    let mut program = Command::new("sh")
        .args(["-c", &script])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut b, _) = listener.accept().unwrap();
    b.read_exact(&mut vec![0; 100_000]).unwrap();
    agent.expect_moved(100_000, 0);
    expect(&agent, DISARMED, 1.0);
    files.expect_tracepoint(true);
    program.stdin.take().unwrap().write_all(b"x").unwrap();
    b.read_to_end(&mut Vec::new()).unwrap();
    drop(b);
    program.wait().unwrap();
    agent.expect_moved(100_777, 0);
    expect(&agent, CLOSED, 1.0);
    files.expect_tracepoint(false);
}

/// Who listens is told only by the tracepoint, and matters only where parties share an address.
#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn endpoints_with_ports_need_no_tracepoint_unless_an_address_is_shared() {
    let lab = Lab::new();
    let files = FileSystem::new();
    let party = |id: &str, host: u8, index: u16| {
        let (address, port) = (lab.v4(host), lab.port(index));
        format!("[[parties]]\nid = \"{id}\"\nendpoints = [\"{address}:{port}\"]\n")
    };
    let rest = lab.protocol() + &files.network();
    let agent = Agent::start(&(party("a", 1, 1) + &party("b", 2, 0) + &rest));
    files.expect_tracepoint(false);
    // A's port is ephemeral: its address says whose it is.
    let (a, b) = lab.connection();
    move_bytes(&a, &b, 5000);
    move_bytes(&b, &a, 70);
    drop((a, b));
    agent.expect_moved(5000, 70);
    expect(&agent, OPENED, 1.0);
    expect(&agent, CLOSED, 1.0);
    files.expect_tracepoint(false);

    let reload = |parties: &str| {
        fs::write(agent.config(), agent.whole(&(parties.to_owned() + &rest))).unwrap();
        agent.signal(libc::SIGHUP);
    };
    let distinct = party("a", 1, 1) + &party("b", 2, 0);
    reload(&(distinct.clone() + &party("c", 2, 5)));
    files.expect_tracepoint(true);
    reload(&distinct);
    files.expect_tracepoint(false);
}
