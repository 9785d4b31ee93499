//! The GPU source on real GPUs: its values beside nvidia-smi's, idle and under load. Without a GPU the tests are
//! ignored; `cargo xtask gpu-check` runs them, and fails without a GPU.

mod machine;

use std::{
    collections::BTreeMap,
    io::Read as _,
    path::Path,
    process::{Command, Stdio},
    thread::sleep,
    time::Duration,
};

use machine::{Agent, need_gpu, query};

/// A query of nvidia-smi, the series that must agree, the factor to the unit of the series, and the allowed difference: as
/// a ratio of the value and in the unit of the series. Only values that change between two reads may differ.
type Parity = (&'static str, &'static str, f64, f64, f64);

macro_rules! parity {
    ($($query:literal, $series:literal, $factor:literal, $ratio:literal, $difference:literal;)*) => {
        &[$(($query, $series, $factor, $ratio, $difference)),*]
    };
}

// ID stands for the label `gpu_id`.
static PARITY: &[Parity] = parity! {
    "memory.total", "gpu_memory_total_bytes{ID}", 1_048_576.0, 0.0, 1_048_576.0;
    "memory.used", "gpu_memory_used_bytes{ID}", 1_048_576.0, 0.01, 8_388_608.0;
    "memory.reserved", "gpu_memory_reserved_bytes{ID}", 1_048_576.0, 0.0, 1_048_576.0;
    "enforced.power.limit", "gpu_power_limit_watts{ID}", 1.0, 0.0, 0.01;
    "power.draw", "gpu_power_watts{ID}", 1.0, 0.15, 15.0;
    "temperature.gpu", "gpu_temperature_celsius{ID,sensor=\"gpu\"}", 1.0, 0.0, 3.0;
    "temperature.memory", "gpu_temperature_celsius{ID,sensor=\"memory\"}", 1.0, 0.0, 3.0;
    "clocks.max.sm", "gpu_clock_max_hertz{ID,domain=\"sm\"}", 1e6, 0.0, 0.0;
    "clocks.max.memory", "gpu_clock_max_hertz{ID,domain=\"memory\"}", 1e6, 0.0, 0.0;
    "pcie.link.width.current", "gpu_pcie_link_width{ID}", 1.0, 0.0, 0.0;
    "ecc.errors.corrected.volatile.total", "gpu_ecc_errors_total{ID,type=\"corrected\",scope=\"volatile\"}", 1.0, 0.0, 0.0;
    "ecc.errors.uncorrected.aggregate.total", "gpu_ecc_errors_total{ID,type=\"uncorrected\",scope=\"aggregate\"}", 1.0, 0.0, 0.0;
};

#[test]
#[ignore = "needs GPU: `cargo xtask gpu-check` runs it"]
fn agrees_with_nvidia_smi() {
    need_gpu();
    let agent = Agent::start();
    let queries: Vec<&str> = PARITY.iter().map(|row| row.0).collect();
    let (theirs, names) = (
        query(&queries),
        query(&[
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
            // "[N/A]" and the like: the GPU does not support it.
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
        "too few values to compare: {compared:?}"
    );
    println!(
        "{}",
        page.lines()
            .filter(|line| line.contains("nvml_errors") || line.contains("duration_seconds_sum"))
            .collect::<Vec<_>>()
            .join("\n")
    );
}

/// Puts load on GPU 0 through the CUDA driver: memory, utilization and energy show it.
#[test]
#[ignore = "needs GPU: `cargo xtask gpu-check` runs it"]
fn shows_a_load() {
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
    // The driver averages over about a second, and does not tell when the average is complete.
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
    let mut output = String::new();
    load.stdout
        .take()
        .unwrap()
        .read_to_string(&mut output)
        .unwrap();
    let status = load.wait().unwrap();
    assert!(status.success(), "the load failed: {output}");
    // The CUDA context takes memory too.
    let allocated = busy - before;
    assert!(
        (2.0 * 1_073_741_824.0..4.0 * 1_073_741_824.0).contains(&allocated),
        "{allocated} more bytes are in use"
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
