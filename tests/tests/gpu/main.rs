//! The GPU source on a machine that has a GPU: its figures beside nvidia-smi's, at rest and under a load. Without a GPU
//! these tests are ignored; `cargo xtask gpu-check` runs them where there is one, and there it is an error to have none.

use std::{
    collections::BTreeMap,
    fs,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

/// What nvidia-smi is asked for, and the series that has to agree: with how much difference, as a share of the value
/// and in the unit of the series. What moves while it is read gets some; what does not gets none.
const PARITY: [(&str, &str, f64, f64, f64); 12] = [
    // Query, series (ID stands for the label), factor, share, difference.
    (
        "memory.total",
        "gpu_memory_total_bytes{ID}",
        1_048_576.0,
        0.0,
        1_048_576.0,
    ),
    (
        "memory.used",
        "gpu_memory_used_bytes{ID}",
        1_048_576.0,
        0.01,
        8_388_608.0,
    ),
    (
        "memory.reserved",
        "gpu_memory_reserved_bytes{ID}",
        1_048_576.0,
        0.0,
        1_048_576.0,
    ),
    (
        "enforced.power.limit",
        "gpu_power_limit_watts{ID}",
        1.0,
        0.0,
        0.01,
    ),
    ("power.draw", "gpu_power_watts{ID}", 1.0, 0.15, 15.0),
    (
        "temperature.gpu",
        "gpu_temperature_celsius{ID,sensor=\"gpu\"}",
        1.0,
        0.0,
        3.0,
    ),
    (
        "temperature.memory",
        "gpu_temperature_celsius{ID,sensor=\"memory\"}",
        1.0,
        0.0,
        3.0,
    ),
    (
        "clocks.max.sm",
        "gpu_clock_max_hertz{ID,domain=\"sm\"}",
        1e6,
        0.0,
        0.0,
    ),
    (
        "clocks.max.memory",
        "gpu_clock_max_hertz{ID,domain=\"memory\"}",
        1e6,
        0.0,
        0.0,
    ),
    (
        "pcie.link.width.current",
        "gpu_pcie_link_width{ID}",
        1.0,
        0.0,
        0.0,
    ),
    (
        "ecc.errors.corrected.volatile.total",
        "gpu_ecc_errors_total{ID,type=\"corrected\",scope=\"volatile\"}",
        1.0,
        0.0,
        0.0,
    ),
    (
        "ecc.errors.uncorrected.aggregate.total",
        "gpu_ecc_errors_total{ID,type=\"uncorrected\",scope=\"aggregate\"}",
        1.0,
        0.0,
        0.0,
    ),
];

/// Fails where there is no GPU to test with.
fn need_gpu() {
    let listed = Command::new("nvidia-smi").arg("--list-gpus").output();
    let there =
        listed.is_ok_and(|output| output.status.success() && output.stdout.starts_with(b"GPU "));
    assert!(there, "needs GPU: nvidia-smi lists none on this machine");
}

/// The rows that nvidia-smi gives, by GPU.
fn ask(queries: &[&str]) -> Vec<Vec<String>> {
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

struct Agent {
    child: Child,
    port: u16,
    log: PathBuf,
}

impl Agent {
    fn start() -> Self {
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
        // Without persistence mode a GPU takes seconds to open; shares of time need two rounds.
        while agent.value("gpu_up{gpu_id=\"0\"}") != Some(1.0) {
            assert!(Instant::now() < end, "{}", agent.log());
            sleep(Duration::from_millis(100));
        }
        agent.after_rounds(3, end);
        agent
    }

    /// Waits for rounds of the first GPU.
    fn after_rounds(&self, rounds: u32, end: Instant) {
        let made = || self.value("partymeter_source_duration_seconds_count{source=\"gpu0\"}");
        let enough = made().unwrap_or(0.0) + f64::from(rounds);
        while made() < Some(enough) {
            assert!(Instant::now() < end, "{}", self.log());
            sleep(Duration::from_millis(100));
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn page(&self) -> String {
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

    fn value(&self, series: &str) -> Option<f64> {
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

#[test]
#[ignore = "needs GPU: `cargo xtask gpu-check` runs it"]
fn agrees_with_nvidia_smi() {
    need_gpu();
    let agent = Agent::start();
    let queries: Vec<&str> = PARITY.iter().map(|row| row.0).collect();
    let (theirs, names) = (
        ask(&queries),
        ask(&[
            "uuid",
            "name",
            "pci.bus_id",
            "vbios_version",
            "driver_version",
        ]),
    );
    let page = agent.page();
    let mut compared = BTreeMap::new();
    for (gpu, (row, name)) in theirs.iter().zip(&names).enumerate() {
        let id = format!("gpu_id=\"{gpu}\"");
        let info = page
            .lines()
            .find(|line| line.starts_with(&format!("gpu_info{{{id}")))
            .unwrap();
        for part in name {
            assert!(
                info.contains(&format!("=\"{part}\"")),
                "GPU {gpu}: {part} is not in {info}"
            );
        }
        for ((query, series, factor, share, difference), theirs) in PARITY.iter().zip(row) {
            let series = series.replace("ID", &id);
            let ours = agent.value(&series);
            println!("GPU {gpu}  {query:42} {theirs:>14}  {ours:?}");
            // "[N/A]" and the like: it does not have it, and neither have we.
            let Ok(theirs) = theirs.parse::<f64>() else {
                continue;
            };
            let theirs = theirs * factor;
            let ours =
                ours.unwrap_or_else(|| panic!("{series} is missing: nvidia-smi has {theirs}"));
            let allowed = difference + theirs.abs() * share;
            assert!(
                (ours - theirs).abs() <= allowed,
                "{series}: {ours}, nvidia-smi: {theirs}"
            );
            *compared.entry(gpu).or_insert(0) += 1;
        }
    }
    assert!(
        compared.values().all(|count| *count >= 4),
        "too little to compare: {compared:?}"
    );
    println!(
        "{}",
        page.lines()
            .filter(|line| line.contains("nvml_errors") || line.contains("duration_seconds_sum"))
            .collect::<Vec<_>>()
            .join("\n")
    );
}

/// A load through the CUDA driver itself: memory that is taken is seen to the byte's page, and computing is seen.
#[test]
#[ignore = "needs GPU: `cargo xtask gpu-check` runs it"]
fn sees_a_load() {
    need_gpu();
    let agent = Agent::start();
    let used = "gpu_memory_used_bytes{gpu_id=\"0\"}";
    let (before, energy) = (
        agent.value(used).unwrap(),
        agent.value("gpu_energy_joules_total{gpu_id=\"0\"}"),
    );
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/cuda_load.py");
    let load = Command::new("python3")
        .arg(program)
        .args(["2", "12"])
        .stdout(Stdio::piped())
        .spawn();
    let mut load = load.unwrap_or_else(|error| panic!("python3 does not start: {error}"));
    // In the midst of it: the driver's own means are over a second or so, and nothing tells when they are full.
    sleep(Duration::from_secs(8));
    let page = agent.page();
    let shown = |start: &str| {
        page.lines()
            .filter(|line| line.starts_with(start))
            .collect::<Vec<_>>()
            .join("\n")
    };
    println!(
        "{}\n{}\n{}",
        shown("gpu_utilization"),
        shown("gpu_sm_"),
        shown("gpu_process_")
    );
    let busy = agent.value(used).unwrap();
    let mut told = String::new();
    load.stdout
        .take()
        .unwrap()
        .read_to_string(&mut told)
        .unwrap();
    let status = load.wait().unwrap();
    assert!(status.success(), "the load failed: {told}");
    // The context takes some more.
    let taken = busy - before;
    assert!(
        (2.0 * 1_073_741_824.0..4.0 * 1_073_741_824.0).contains(&taken),
        "{taken} bytes more are in use"
    );
    let utilization = page.lines().find_map(|line| {
        line.strip_prefix("gpu_utilization_percent{gpu_id=\"0\",")?
            .rsplit(' ')
            .next()?
            .parse::<f64>()
            .ok()
    });
    assert!(utilization >= Some(80.0), "{utilization:?}");
    let after = agent.value("gpu_energy_joules_total{gpu_id=\"0\"}");
    assert!(after >= energy);
}
