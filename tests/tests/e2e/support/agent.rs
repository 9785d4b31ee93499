//! A real `partymeter run` and its page.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Output, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use super::{Lab, diag};

/// How long anything may take that should take no time.
const PATIENCE: Duration = Duration::from_secs(20);
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

/// A TCP port of loopback that is free now.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap().port()
}

/// A file under the system's directory for such; gone when dropped.
pub struct Scratch(pub PathBuf);

impl Scratch {
    pub fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!(
            "partymeter-{}-{}-{name}",
            std::process::id(),
            free_port()
        )))
    }

    pub fn with(name: &str, text: &str) -> Self {
        let file = Self::new(name);
        fs::write(&file.0, text).unwrap();
        file
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
        let _ = fs::remove_dir_all(&self.0);
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
        let ready = agent.get("/-/ready");
        assert!(ready.contains("200 OK"), "{ready}\n{}", agent.log());
        agent
    }

    /// Starts an agent, behind a wrapper like `setpriv …`, and waits until it answers.
    pub fn launch(config: &str, wrapper: &[&str]) -> Self {
        Self::launch_from(Scratch::new("config.toml"), config, wrapper)
    }

    /// As [`Agent::launch`], with the configuration in that file, which may be a link to it.
    pub fn launch_from(file: Scratch, config: &str, wrapper: &[&str]) -> Self {
        let agent = Self::spawn(file, config, wrapper);
        let end = Instant::now() + PATIENCE;
        while !agent.answers() {
            assert!(
                Instant::now() < end,
                "the agent does not answer\n{}",
                agent.log()
            );
            sleep(Duration::from_millis(20));
        }
        agent
    }

    /// As [`Agent::launch_from`], without waiting for anything.
    pub fn spawn(file: Scratch, config: &str, wrapper: &[&str]) -> Self {
        let port = free_port();
        fs::write(&file.0, whole(config, port)).unwrap();
        // Tests must not find each other's counters.
        let unpinned = if config.contains("pin =") {
            vec![]
        } else {
            vec!["--network-pin", ""]
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
        let end = Instant::now() + PATIENCE;
        while !self.log().contains(text) {
            assert!(Instant::now() < end, "no {text:?} in\n{}", self.log());
            sleep(INTERVAL / 10);
        }
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
        let end = Instant::now() + PATIENCE;
        while now() != wanted && Instant::now() < end {
            sleep(INTERVAL / 4);
        }
        assert_eq!(now(), wanted, "of {:?}\n{}", pairs, self.log());
        sleep(INTERVAL * 5 / 2);
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
        self.signal(libc::SIGTERM);
        let status = self.child.wait().unwrap();
        (status, self.log())
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
