//! What a snapshot of eight GPUs and 256 pairs of party and protocol takes by OTLP: to be made into a message, and to be
//! sent to a receiver over loopback. And what is left in memory by a receiver that is gone.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context as _, anyhow, bail, ensure};
use partymeter::{
    config::{self, Config, HostEnv, Options, RawValue, Signal},
    export::otlp::{Encoder, Outcome, Transport},
    sample::{Network, ReloadState, Snapshot, Times, Traffic},
};

use super::{
    Context, agent,
    agent::fake_library,
    allocations,
    report::{Aim, Cell, Table, say},
    statistics::{Sample, figure, to_f64},
};

/// The first argument with which this program starts itself to send.
const ROLE: &str = "@otlp";
/// Intervals with a receiver that is gone.
const GONE: u64 = 10_000;
/// What those may add to memory after the first tenth, in megabytes: what an allocator may still take.
const GROWTH_AIM: f64 = 0.5;

const COLUMNS: [&str; 7] = [
    "compression",
    "points",
    "bytes of the message",
    "bytes sent",
    "encode ms",
    "allocations",
    "send ms",
];
const GONE_COLUMNS: [&str; 6] = [
    "intervals",
    "resident MB after a tenth",
    "at the end",
    "growth MB",
    "aim",
    "met",
];

pub(super) fn run(context: &Context) -> anyhow::Result<Vec<Table>> {
    let rounds = if context.quick { 20 } else { 500 };
    let gone = if context.quick { GONE / 10 } else { GONE };
    let output = Command::new(std::env::current_exe()?)
        .args([ROLE, &rounds.to_string(), &gone.to_string()])
        .env(partymeter_fake_nvml::SCENARIO, "h100x8")
        .output()?;
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "the sending failed: {told}");
    let lines: Vec<Vec<f64>> = told
        .lines()
        .map(|line| {
            line.split_whitespace()
                .filter_map(|word| word.parse().ok())
                .collect()
        })
        .collect();
    let [plain, gzip, gone] = &lines[..] else {
        bail!("the sending failed: {told}")
    };
    let note = "one snapshot of 8 GPUs and 256 pairs after the other, in a process of its own; HTTP over one kept \
                connection to a receiver on loopback that reads and answers; medians; sending is compressing, writing \
                and waiting for the answer";
    let mut table = Table::new("otlp", note, &COLUMNS);
    for (compression, figures) in [("none", plain), ("gzip", gzip)] {
        let [points, length, wire, encode, allocations, send] = figures[..] else {
            bail!("{told}")
        };
        table.row([
            Cell::text(compression),
            Cell::number(points, 0),
            Cell::number(length, 0),
            Cell::number(wire, 0),
            Cell::number(encode, 3),
            Cell::number(allocations, 0),
            Cell::number(send, 3),
        ]);
    }
    let note = "intervals in which nothing listens at the receiver's address, without a pause between them";
    let mut left = Table::new("otlp receiver gone", note, &GONE_COLUMNS);
    let [intervals, before, after] = gone[..] else {
        bail!("{told}")
    };
    let growth = (after - before) / 1e6;
    let mut cells = vec![
        Cell::number(intervals, 0),
        Cell::number(before / 1e6, 2),
        Cell::number(after / 1e6, 2),
        Cell::number(growth, 2),
    ];
    cells.extend(Aim::cells(Some(Aim::AtMost(GROWTH_AIM)), growth));
    left.row(cells);
    Ok(vec![table, left])
}

/// Whether this process is to send.
pub(super) fn is_role() -> bool {
    std::env::args().nth(1).as_deref() == Some(ROLE)
}

/// Sends so many snapshots without and with compression, then so many to nobody; a line of figures for each.
pub(super) fn role() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(2).map(|word| word.parse::<u64>());
    let (rounds, gone) = (arguments.next(), arguments.next());
    let rounds = rounds.context("how many rounds?")??;
    let gone = gone.context("how many without a receiver?")??;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut snapshot = snapshot()?;
    let (port, received) = receiver()?;
    for compression in ["none", "gzip"] {
        let config = config(port, compression)?;
        let mut encoder = Encoder::of(&config);
        let transport = transport(&config)?;
        let (mut encode, mut send, mut allocated) = (Vec::new(), Vec::new(), Vec::new());
        let (mut points, mut length) = (0, 0);
        let before = received.load(Ordering::Relaxed);
        for _ in 0..rounds {
            snapshot.taken += Duration::from_secs(15);
            let (count, began) = (allocations::count(), Instant::now());
            let parts = encoder.encode(&snapshot);
            encode.push(began.elapsed().as_secs_f64() * 1e3);
            allocated.push(figure(allocations::count() - count));
            points = parts.iter().map(|part| part.points).sum();
            length = parts.iter().map(|part| part.body().len()).sum();
            let began = Instant::now();
            for part in &parts {
                let outcome = runtime.block_on(transport.send(part.body()));
                ensure!(
                    matches!(outcome, Outcome::Accepted { rejected: 0, .. }),
                    "{outcome:?}"
                );
            }
            send.push(began.elapsed().as_secs_f64() * 1e3);
        }
        let wire = (received.load(Ordering::Relaxed) - before) / rounds;
        let [encode, allocated, send] =
            [encode, allocated, send].map(|them| Sample::new(them).median());
        say(format_args!(
            "{points} {} {wire} {encode} {allocated} {send}",
            to_f64(length)
        ));
    }

    // A port that was given to nobody else since.
    let free = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let config = config(free, "gzip")?;
    let (mut encoder, transport) = (Encoder::of(&config), transport(&config)?);
    let resident = || anyhow::Ok(agent::memory(std::process::id())?.resident);
    let mut after_a_tenth = 0;
    for interval in 0..gone {
        if interval == gone / 10 {
            after_a_tenth = resident()?;
        }
        snapshot.taken += Duration::from_secs(15);
        for part in encoder.encode(&snapshot) {
            let outcome = runtime.block_on(transport.send(part.body()));
            ensure!(matches!(outcome, Outcome::Later { .. }), "{outcome:?}");
        }
    }
    say(format_args!("{gone} {after_a_tenth} {}", resident()?));
    Ok(())
}

fn config(port: u16, compression: &str) -> anyhow::Result<Config> {
    let mut options = Options::default();
    let endpoint = format!("http://127.0.0.1:{port}");
    for (key, text) in [
        ("otlp.endpoint", endpoint.as_str()),
        ("otlp.protocol", "http/protobuf"),
        ("otlp.compression", compression),
    ] {
        let given = RawValue {
            location: key.to_owned(),
            text: text.to_owned(),
        };
        options.values.insert(key, given);
    }
    let config = config::resolve(&options, &HostEnv::current());
    config.map_err(|problems| anyhow!("{problems:?}"))
}

fn transport(config: &Config) -> anyhow::Result<Transport> {
    let receiver = config.otlp.receivers[0].as_ref().context("no receiver")?;
    Transport::new(Signal::Metrics, receiver).map_err(anyhow::Error::msg)
}

/// Eight GPUs as their source reads them, and what sixteen parties did with sixteen protocols.
fn snapshot() -> anyhow::Result<Snapshot> {
    let gpus = config::Gpu {
        enabled: true,
        library: fake_library().display().to_string(),
        processes: true,
        dcgm_names: false,
    };
    let gpus = partymeter::source::gpu::spawn(
        &gpus,
        Duration::from_millis(200),
        partymeter::model::gpu::range,
    )?;
    // Rates have values from the second round on.
    thread::sleep(Duration::from_secs(1));
    let mut sources = Vec::new();
    let gpus = gpus.look(&partymeter::source::clock::now(), &mut sources);
    ensure!(gpus.gpus.len() == 8, "{} GPUs", gpus.gpus.len());
    let mut times = Times::default();
    times.buckets[3..12].fill(1000);
    times.sum = 12.5;
    let traffic = (0..256).map(|pair| Traffic {
        party: format!("10.0.0.{}", pair / 16).into(),
        protocol: format!("protocol-{}", pair % 16).into(),
        transmit: 1 << 40,
        receive: 1 << 41,
        smoothed_rtt: Some(0.000_1),
        latency: Some(times.clone()),
        waiting: Some(times.clone()),
        ..Traffic::default()
    });
    let now = SystemTime::now();
    Ok(Snapshot {
        taken: now,
        started: now,
        node: "node".into(),
        network: Some(Arc::new(Network {
            traffic: traffic.collect(),
            since: Some(now),
            ..Network::default()
        })),
        idle: None,
        ledger: None,
        gpus: Some(gpus),
        host: None,
        sources,
        configuration: ReloadState {
            success: true,
            taken: now,
        },
        otlp: Vec::new(),
    })
}

/// Takes everything, on a thread of its own: its port, and how many bytes of bodies it has read.
fn receiver() -> anyhow::Result<(u16, Arc<AtomicU64>)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let (port, received) = (listener.local_addr()?.port(), Arc::<AtomicU64>::default());
    let count = Arc::clone(&received);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let count = Arc::clone(&count);
            // Whoever sends has gone when it fails.
            thread::spawn(move || drop(answer(stream, &count)));
        }
    });
    Ok((port, received))
}

fn answer(mut stream: TcpStream, count: &AtomicU64) -> anyhow::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    loop {
        let (mut line, mut length) = (String::new(), 0);
        loop {
            line.clear();
            ensure!(reader.read_line(&mut line)? > 0, "gone");
            let header = line.trim_end().to_ascii_lowercase();
            if let Some(value) = header.strip_prefix("content-length:") {
                length = value.trim().parse()?;
            }
            if header.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        count.fetch_add(length as u64, Ordering::Relaxed);
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")?;
    }
}
