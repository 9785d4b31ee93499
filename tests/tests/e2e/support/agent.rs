//! A real `partymeter run` and its page.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::atomic::{AtomicU16, Ordering},
    time::Duration,
};

use tempfile::TempDir;

use super::{Lab, diag, until_true};

/// The interval of every agent here.
const INTERVAL: Duration = Duration::from_millis(200);

/// The agent's program: `PARTYMETER_BIN`, or the one that cargo has built beside the tests.
pub fn program() -> PathBuf {
    std::env::var_os("PARTYMETER_BIN").map_or_else(
        || {
            let tests = std::env::current_exe().unwrap();
            let built = tests.parent().unwrap().parent().unwrap().join("partymeter");
            assert!(built.exists(), "build the agent first: cargo xtask build");
            built
        },
        PathBuf::from,
    )
}

/// A TCP port of loopback that is free now. No other test of this process gets it, and the kernel gives it to nobody as
/// an ephemeral one.
pub fn free_port() -> u16 {
    /// Below the kernel's own (`net.ipv4.ip_local_port_range`), beside those of the labs and hosts.
    const FIRST: u16 = 20_500;
    const COUNT: u16 = 11_000;
    static GIVEN: AtomicU16 = AtomicU16::new(0);
    // Another run of the tests, at the same time, begins elsewhere.
    let begin = std::process::id().wrapping_mul(7919) % u32::from(COUNT);
    let begin = u16::try_from(begin).unwrap();
    loop {
        let next = GIVEN.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + (begin + next % COUNT) % COUNT;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

/// A path in a directory of its own, which everybody may read; gone when dropped.
pub struct Scratch(
    pub PathBuf,
    #[expect(dead_code, reason = "it is removed when it is dropped")] Option<TempDir>,
);

impl Scratch {
    pub fn new(name: &str) -> Self {
        let directory = tempfile::Builder::new()
            .prefix("partymeter-")
            .permissions(fs::Permissions::from_mode(0o755))
            .tempdir()
            .unwrap();
        Self(directory.path().join(name), Some(directory))
    }

    /// A path in a directory that somebody else removes.
    pub fn at(path: PathBuf) -> Self {
        Self(path, None)
    }

    pub fn with(name: &str, text: &str) -> Self {
        let file = Self::new(name);
        fs::write(&file.0, text).unwrap();
        file
    }
}

/// A running agent; stopped when dropped.
pub struct Agent {
    child: Child,
    pub port: u16,
    config: Scratch,
    log: Scratch,
    /// The directory of its socket of administration.
    admin: Scratch,
}

/// A configuration with what every agent here has.
fn whole(config: &str, port: u16) -> String {
    let interval = INTERVAL.as_millis();
    format!("interval = \"{interval}ms\"\n{config}\n[prometheus]\nlisten = \"127.0.0.1:{port}\"\n")
}

/// What a party's connections should have counted. Unit: bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bytes {
    pub transmit: u64,
    pub receive: u64,
}

impl Agent {
    /// Starts an agent and waits until it counts.
    pub fn start(config: &str) -> Self {
        let agent = Self::launch(config, &[]);
        let ready = || agent.get("/-/ready");
        until_true(
            || ready().contains("200 OK"),
            || format!("{}\n{}", ready(), agent.log()),
        );
        agent
    }

    /// Starts an agent, behind a wrapper like `setpriv …`, and waits until it answers and knows how each
    /// source is: on a busy machine its page is there before.
    pub fn launch(config: &str, wrapper: &[&str]) -> Self {
        Self::launch_from(Scratch::new("config.toml"), config, wrapper)
    }

    /// As [`Agent::launch`], with the configuration in that file, which may be a link to it.
    pub fn launch_from(file: Scratch, config: &str, wrapper: &[&str]) -> Self {
        let agent = Self::spawn(file, config, wrapper);
        until_true(
            || agent.answers() && !agent.get("/-/ready").contains("has not been read yet"),
            || {
                format!(
                    "the agent does not answer, or has not begun\n{}",
                    agent.log()
                )
            },
        );
        agent
    }

    /// As [`Agent::launch_from`], without waiting for anything.
    pub fn spawn(file: Scratch, config: &str, wrapper: &[&str]) -> Self {
        let port = free_port();
        fs::write(&file.0, whole(config, port)).unwrap();
        // Tests must not find each other's counters.
        let unpinned = if config.contains("bpf_pin_path =") {
            vec![]
        } else {
            vec!["--network-bpf-pin-path", ""]
        };
        // All tests are one process: what it does for another test is not strange.
        let allowed = if config.contains("allow =") {
            vec![]
        } else {
            vec!["--network-allow", "10.0.0.0/8,fd00::/8"]
        };
        // Nor each other's socket.
        let admin = Scratch::new("admin");
        let socket = if config.contains("[admin]") {
            vec![]
        } else if wrapper.first() == Some(&"setpriv") {
            // It may not be somebody who can make one there.
            vec!["--admin-socket".into(), PathBuf::new()]
        } else {
            vec!["--admin-socket".into(), admin.0.join("socket")]
        };
        let config = file;
        let log = Scratch::new("log");
        let program = program();
        let line: Vec<&std::ffi::OsStr> = wrapper
            .iter()
            .map(std::ffi::OsStr::new)
            .chain([program.as_os_str()])
            .collect();
        let child = Command::new(line[0])
            .args(&line[1..])
            .args(["run", "--config"])
            .arg(&config.0)
            .args(allowed)
            .args(unpinned)
            .args(socket)
            .stdin(Stdio::null())
            .stderr(fs::File::create(&log.0).unwrap())
            .spawn()
            .unwrap();
        Self {
            child,
            port,
            config,
            log,
            admin,
        }
    }

    /// Its socket of administration, unless the configuration names one.
    pub fn admin_socket(&self) -> PathBuf {
        self.admin.0.join("socket")
    }

    /// Runs a verb that administers it.
    pub fn administer(&self, verb: &[&str]) -> Output {
        Command::new(program())
            .args(verb)
            .arg("--admin-socket")
            .arg(self.admin_socket())
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// Whether its page is there.
    pub fn answers(&self) -> bool {
        TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_ok()
            && self.get("/-/healthy").contains("healthy")
    }

    /// Whether this kernel lets the agent find every account. If not, a connection that no process holds is counted
    /// when it ends.
    pub fn finds_all_accounts(&self) -> bool {
        self.get("/metrics").contains("+sk_storage\"")
    }

    /// Its configuration file.
    pub fn config(&self) -> &std::path::Path {
        &self.config.0
    }

    /// A configuration file for this agent, as [`Agent::launch`] writes it.
    pub fn whole(&self, config: &str) -> String {
        whole(config, self.port)
    }

    /// Waits until the log has that text.
    pub fn wait_for(&self, text: &str) {
        until_true(
            || self.log().contains(text),
            || format!("no {text:?} in\n{}", self.log()),
        );
    }

    /// Waits until the network source has made that many whole rounds, all of which began after this call: what has
    /// happened by now is counted, and what it should not count would be.
    pub fn after_rounds(&self, rounds: u32) {
        self.after_rounds_of("network", rounds);
    }

    /// The same of another source.
    pub fn after_rounds_of(&self, source: &str, rounds: u32) {
        let series = format!("partymeter_source_duration_seconds_count{{source=\"{source}\"}}");
        let made = || self.series(&series).unwrap_or(0.0);
        // The one that is under way may have begun before.
        let enough = made() + f64::from(rounds) + 1.0;
        until_true(
            || made() >= enough,
            || format!("{} rounds of {source}\n{}", made(), self.log()),
        );
    }

    /// What the agent has logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log.0).unwrap()
    }

    /// An answer, head and all.
    pub fn get(&self, path: &str) -> String {
        self.ask("GET", path, "")
    }

    /// An answer to a POST without a body.
    pub fn post(&self, path: &str, headers: &str) -> String {
        self.ask("POST", path, headers)
    }

    fn ask(&self, method: &str, path: &str, headers: &str) -> String {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).unwrap();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// The value of a series, by its name and labels as they stand on the page.
    pub fn series(&self, series: &str) -> Option<f64> {
        let page = self.get("/metrics");
        page.lines()
            .find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
    }

    /// What is counted now for a pair; what is not on the page counts nothing.
    pub fn bytes(&self, party: &str, protocol: &str) -> Bytes {
        let page = self.get("/metrics");
        let value = |direction: &str| {
            let labels = format!(
                "{{direction=\"{direction}\",party_id=\"{party}\",protocol=\"{protocol}\"}} "
            );
            let prefix = format!("network_bytes_total{labels}");
            let line = page.lines().find_map(|line| line.strip_prefix(&prefix));
            line.map_or(0, |value| value.parse().unwrap())
        };
        Bytes {
            transmit: value("transmit"),
            receive: value("receive"),
        }
    }

    /// Waits until the pairs have counted exactly that, and looks again after two more rounds: nothing may be
    /// missing, and nothing may come after.
    pub fn expect(&self, pairs: &[(&str, &str, Bytes)]) {
        let now = || {
            pairs
                .iter()
                .map(|(party, protocol, _)| self.bytes(party, protocol))
                .collect::<Vec<_>>()
        };
        let wanted: Vec<Bytes> = pairs.iter().map(|(_, _, bytes)| *bytes).collect();
        until_true(
            || now() == wanted,
            || format!("{:?} of {pairs:?}\n{}", now(), self.log()),
        );
        self.after_rounds(2);
        assert_eq!(now(), wanted, "two rounds later");
    }

    /// As [`Agent::expect`] for a lab's own pairs: A has sent `a_to_b` and B `b_to_a`, and all has arrived.
    pub fn expect_moved(&self, a_to_b: u64, b_to_a: u64) {
        self.expect(&[
            (
                "b",
                "test",
                Bytes {
                    transmit: a_to_b,
                    receive: b_to_a,
                },
            ),
            (
                "a",
                "test",
                Bytes {
                    transmit: b_to_a,
                    receive: a_to_b,
                },
            ),
        ]);
    }

    /// As [`Agent::expect_moved`] while the connections are open, and INET_DIAG must say the same.
    pub fn expect_moved_live(&self, lab: &Lab, a_to_b: u64, b_to_a: u64) {
        self.expect_moved(a_to_b, b_to_a);
        for (namespace, sent, received) in [(&lab.a, a_to_b, b_to_a), (&lab.b, b_to_a, a_to_b)] {
            let kernel = diag::sums(namespace);
            assert_eq!(
                (kernel.sent - kernel.retransmitted, kernel.received),
                (sent, received),
                "INET_DIAG"
            );
        }
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Stops the agent as systemd does.
    pub fn stop(mut self) -> (ExitStatus, String) {
        let status = self.terminate();
        (status, self.log())
    }

    /// As [`Agent::stop`], of one that is replaced.
    pub fn terminate(&mut self) -> ExitStatus {
        self.signal(libc::SIGTERM);
        self.child.wait().unwrap()
    }

    /// Kills the agent, and waits until it is gone.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn signal(&self, signal: libc::c_int) {
        let process = self.child.id().cast_signed();
        // SAFETY: a child that has not been waited for.
        let result = unsafe { libc::kill(process, signal) };
        assert_eq!(result, 0);
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
