//! The GPUs of this machine as nvidia-smi reports them, and an agent that reads them.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

/// Fails if this machine has no GPU.
pub(crate) fn need_gpu() {
    let listed = Command::new("nvidia-smi").arg("--list-gpus").output();
    let has_gpu =
        listed.is_ok_and(|output| output.status.success() && output.stdout.starts_with(b"GPU "));
    assert!(has_gpu, "needs GPU: nvidia-smi lists none on this machine");
}

/// The rows of nvidia-smi, by GPU.
pub(crate) fn query(queries: &[&str]) -> Vec<Vec<String>> {
    let output = Command::new("nvidia-smi")
        .arg(format!("--query-gpu={}", queries.join(",")))
        .arg("--format=csv,noheader,nounits")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    text.lines()
        .map(|line| {
            line.split(", ")
                .map(|cell| cell.trim().to_owned())
                .collect()
        })
        .collect()
}

/// An agent that reads GPUs only.
pub(crate) struct Agent {
    child: Child,
    port: u16,
    log: PathBuf,
}

impl Agent {
    pub(crate) fn start() -> Self {
        let program = std::env::var_os("PARTYMETER_BIN").map_or_else(
            || {
                let tests = std::env::current_exe().unwrap();
                tests.parent().unwrap().parent().unwrap().join("partymeter")
            },
            PathBuf::from,
        );
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let log = std::env::temp_dir().join(format!("partymeter-gpu-{port}.log"));
        let child = Command::new(program)
            .args([
                "run",
                "--network-enabled",
                "false",
                "--interval",
                "500ms",
                "--gpu-processes",
                "true",
            ])
            .args(["--prometheus-listen", &format!("127.0.0.1:{port}")])
            .stdin(Stdio::null())
            .stderr(fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let agent = Self { child, port, log };
        let end = Instant::now() + Duration::from_mins(1);
        // Without persistence mode a GPU takes seconds to open.
        while agent.value("gpu_up{gpu_id=\"0\"}") != Some(1.0) {
            assert!(Instant::now() < end, "{}", agent.log());
            sleep(Duration::from_millis(100));
        }
        // Ratios over time need two rounds.
        agent.after_rounds(3, end);
        agent
    }

    /// Waits for rounds of the first GPU.
    fn after_rounds(&self, rounds: u32, end: Instant) {
        let count = || self.value("partymeter_source_duration_seconds_count{source=\"gpu0\"}");
        let enough = count().unwrap_or(0.0) + f64::from(rounds);
        while count() < Some(enough) {
            assert!(Instant::now() < end, "{}", self.log());
            sleep(Duration::from_millis(100));
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub(crate) fn page(&self) -> String {
        let Ok(mut stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)) else {
            return String::new();
        };
        stream
            .write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// The value of a series.
    pub(crate) fn value(&self, series: &str) -> Option<f64> {
        let page = self.page();
        page.lines()
            .find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        drop(fs::remove_file(&self.log));
    }
}
