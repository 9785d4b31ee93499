//! The GPU source with GPUs that are made up: what a round, a scrape and a second cost, beside nvitop-exporter on the
//! same library. What the library itself takes is in the figures of both.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};

use super::{
    Context,
    agent::{self, Setup, fake_library},
    http::{Client, Format},
    report::{Aim, Cell, Table, say},
    statistics::{Sample, figure},
};

/// A scrape, in milliseconds.
const SCRAPE_AIM: f64 = 1.0;
/// Resident memory, in megabytes.
const MEMORY_AIM: f64 = 15.0;
/// Of one processor, in percent.
const PROCESSOR_AIM: f64 = 0.2;

const COLUMNS: [&str; 11] = [
    "who",
    "gpus",
    "series",
    "calls a gpu and round",
    "round ms",
    "scrape ms",
    "met",
    "resident MB",
    "met",
    "percent of a core",
    "met",
];

pub(super) fn run(context: &Context) -> anyhow::Result<Vec<Table>> {
    let time = Duration::from_secs(if context.quick { 5 } else { 60 });
    let note = "everything switched on, an interval of 1 s; scrapes are medians; the aims are at most 1 ms, 15 MB and \
                0.2 percent; a round is of one GPU, on its own thread";
    let mut table = Table::new("gpus", note, &COLUMNS);
    for gpus in [8, 16] {
        ours(context, gpus, time, &mut table)?;
        match std::env::var_os("NVITOP_EXPORTER") {
            Some(exporter) if Path::new(&exporter).exists() => {
                theirs(Path::new(&exporter), gpus, time, &mut table)?;
            }
            _ => say("nvitop-exporter is not here: NVITOP_EXPORTER names it"),
        }
    }
    Ok(vec![table, many_rounds(context)?])
}

/// The first argument with which this program starts itself to read GPUs without a pause.
const ROUNDS: &str = "@gpu-rounds";

/// Growth from the first tenth of the rounds to the last, in megabytes: what an allocator may still take.
const GROWTH_AIM: f64 = 0.5;

/// Whether this process is to read GPUs without a pause.
pub(super) fn is_role() -> bool {
    std::env::args().nth(1).as_deref() == Some(ROUNDS)
}

/// Reads so many rounds, and says resident memory after a tenth of them and at the end, in bytes.
pub(super) fn role() -> anyhow::Result<()> {
    let wanted: u64 = std::env::args()
        .nth(2)
        .context("how many rounds?")?
        .parse()?;
    let config = partymeter::config::Gpu {
        enabled: true,
        library: fake_library().display().to_string(),
        processes: true,
        dcgm_names: true,
    };
    let gpus = partymeter::source::gpu::spawn(
        &config,
        Duration::from_micros(20),
        partymeter::model::gpu::range,
    )?;
    let resident = || anyhow::Ok(agent::memory(std::process::id())?.resident);
    let mut after_a_tenth = None;
    loop {
        thread::sleep(Duration::from_millis(20));
        let mut sources = Vec::new();
        let seen = gpus.look(&partymeter::source::clock::now(), &mut sources);
        ensure!(!seen.gpus.is_empty(), "there are no GPUs");
        let of_gpus = sources.iter().filter(|health| &*health.source != "gpu");
        let rounds: u64 = of_gpus.flat_map(|health| health.durations.buckets).sum();
        if rounds >= wanted / 10 && after_a_tenth.is_none() {
            after_a_tenth = Some(resident()?);
        }
        if let Some(before) = after_a_tenth
            && rounds >= wanted
        {
            say(format_args!("{rounds} {before} {}", resident()?));
            return Ok(());
        }
    }
}

const GROWTH_COLUMNS: [&str; 6] = [
    "rounds",
    "resident MB after a tenth",
    "at the end",
    "growth MB",
    "aim",
    "met",
];

/// Memory over many rounds of sixteen GPUs, read without a pause by the source itself.
fn many_rounds(context: &Context) -> anyhow::Result<Table> {
    let wanted = if context.quick { 50_000 } else { 1_000_000 };
    let output = Command::new(std::env::current_exe()?)
        .args([ROUNDS, &wanted.to_string()])
        .env(partymeter_fake_nvml::SCENARIO, "h100x16")
        .output()?;
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    let figures: Vec<u64> = told
        .split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect();
    let [rounds, before, after] = figures[..] else {
        anyhow::bail!("the rounds failed: {told}");
    };
    let note = "rounds of sixteen GPUs without a pause, by the source itself in a process of its own; growth is what \
                the last nine tenths added";
    let mut table = Table::new("gpu rounds", note, &GROWTH_COLUMNS);
    let growth = (figure(after) - figure(before)) / 1e6;
    let mut cells = vec![
        Cell::count(rounds),
        Cell::number(figure(before) / 1e6, 2),
        Cell::number(figure(after) / 1e6, 2),
        Cell::number(growth, 2),
    ];
    cells.extend(Aim::cells(Some(Aim::AtMost(GROWTH_AIM)), growth));
    table.row(cells);
    Ok(table)
}

/// Uses of a processor in percent, while nobody scrapes.
fn processor(process: u32, time: Duration) -> anyhow::Result<f64> {
    let before = agent::processor_time(process)?;
    let began = Instant::now();
    thread::sleep(time);
    let used = figure(agent::processor_time(process)? - before) / 1e9;
    Ok(100.0 * used / began.elapsed().as_secs_f64())
}

/// Milliseconds of each scrape, and the series of the last page.
fn scrapes(
    count: usize,
    mut scrape: impl FnMut() -> anyhow::Result<Vec<u8>>,
) -> anyhow::Result<(Sample, usize)> {
    let mut taken = Vec::new();
    let mut page = Vec::new();
    for at in 0..count + 5 {
        let began = Instant::now();
        page = scrape()?;
        if at >= 5 {
            taken.push(began.elapsed().as_secs_f64() * 1e3);
        }
    }
    let lines = page.split(|byte| *byte == b'\n');
    let labelled = |line: &&[u8]| !line.starts_with(b"#") && line.contains(&b' ');
    Ok((Sample::new(taken), lines.filter(labelled).count()))
}

/// One page of a server that closes after it.
fn whole_page(address: SocketAddr) -> anyhow::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let body = answer.windows(4).position(|part| part == b"\r\n\r\n");
    Ok(answer.split_off(body.context("nvitop-exporter answers without a page")? + 4))
}

fn ours(context: &Context, gpus: usize, time: Duration, table: &mut Table) -> anyhow::Result<()> {
    let mut agent = context.program.start(Setup {
        gpus,
        ..Setup::default()
    })?;
    // What starts and ends with the start is not what it costs.
    thread::sleep(Duration::from_secs(3));
    let read = |page: &super::page::Page| -> anyhow::Result<(f64, f64)> {
        let (mut rounds, mut seconds) = (0.0, 0.0);
        for gpu in 0..gpus {
            let labels = [("source", &*format!("gpu{gpu}"))];
            rounds += page.value("partymeter_source_duration_seconds_count", &labels)?;
            seconds += page.value("partymeter_source_duration_seconds_sum", &labels)?;
        }
        Ok((rounds, seconds))
    };
    let calls = || -> anyhow::Result<f64> {
        let text =
            fs::read_to_string(context.program.calls()).context("the library wrote no calls")?;
        let counts = text
            .lines()
            .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
        Ok(figure(counts.sum()))
    };
    let (before, called) = (read(&agent.page()?)?, calls()?);
    let percent = processor(agent.id(), time)?;
    let (after, called) = (read(&agent.page()?)?, calls()? - called);
    let (rounds, seconds) = (after.0 - before.0, after.1 - before.1);
    ensure!(rounds > 0.0, "the GPUs were not read");
    let mut client = Client::new(agent.address, Format::Text);
    let (taken, series) = scrapes(200, || Ok(client.scrape()?.to_vec()))?;
    let resident = figure(agent.memory()?.resident) / 1e6;
    let met = |limit: f64, value: f64| {
        let [_, met] = Aim::cells(Some(Aim::AtMost(limit)), value);
        met
    };
    table.row([
        Cell::text("partymeter"),
        Cell::count(gpus as u64),
        Cell::count(series as u64),
        Cell::number(called / rounds, 1),
        Cell::number(1e3 * seconds / rounds, 3),
        Cell::number(taken.median(), 3),
        met(SCRAPE_AIM, taken.median()),
        Cell::number(resident, 2),
        met(MEMORY_AIM, resident),
        Cell::number(percent, 3),
        met(PROCESSOR_AIM, percent),
    ]);
    agent.stop()?;
    Ok(())
}

/// A program that ends with its value.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn theirs(exporter: &Path, gpus: usize, time: Duration, table: &mut Table) -> anyhow::Result<()> {
    // Where its bindings look: under the name that the driver's library has.
    let directory =
        std::env::temp_dir().join(format!("partymeter-bench-nvml-{}", std::process::id()));
    fs::create_dir_all(&directory)?;
    let link = directory.join("libnvidia-ml.so.1");
    drop(fs::remove_file(&link));
    std::os::unix::fs::symlink(fake_library(), &link)?;
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let child = Command::new(exporter)
        .args(["--bind-address", "127.0.0.1", "--interval", "1", "--port"])
        .arg(address.port().to_string())
        .env("LD_LIBRARY_PATH", &directory)
        .env(partymeter_fake_nvml::SCENARIO, format!("h100x{gpus}"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| format!("cannot start {}", exporter.display()))?;
    let running = Running(child);
    let end = Instant::now() + Duration::from_secs(30);
    while TcpStream::connect(address).is_err() {
        ensure!(Instant::now() < end, "nvitop-exporter does not answer");
        thread::sleep(Duration::from_millis(50));
    }
    // As for the agent.
    thread::sleep(Duration::from_secs(3));
    let process = running.0.id();
    let percent = processor(process, time)?;
    let (taken, series) = scrapes(50, || whole_page(address))?;
    table.row([
        Cell::text("nvitop-exporter"),
        Cell::count(gpus as u64),
        Cell::count(series as u64),
        Cell::missing(),
        Cell::missing(),
        Cell::number(taken.median(), 3),
        Cell::missing(),
        Cell::number(figure(agent::memory(process)?.resident) / 1e6, 2),
        Cell::missing(),
        Cell::number(percent, 3),
        Cell::missing(),
    ]);
    drop(running);
    drop(fs::remove_dir_all(directory));
    Ok(())
}
