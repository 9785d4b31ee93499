//! Pages of a fixed snapshot, compared with golden files. `UPDATE_GOLDEN=1 cargo test` updates those.

mod gpus;

use std::{
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::{Format, encode};
use crate::{
    model::{catalog, gpu},
    sample::{
        Accounting, Durations, FailureKind, Gap, Host, Idle, IdleWait, LedgerState, MapFill,
        Network, Process, ProgramRuns, ReloadState, Sessions, SignalStats, Snapshot, SourceHealth,
        Times, Traffic,
    },
};

fn gap() -> Gap {
    Gap {
        program: "socket_events",
        count: 1,
        seconds: 0.75,
    }
}

/// Pairs that together have every series.
fn all_traffic() -> Vec<Traffic> {
    let traffic = |party: &str, protocol: &str, transmit, receive, retransmit| Traffic {
        party: party.into(),
        protocol: protocol.into(),
        transmit,
        receive,
        retransmit,
        segments: [transmit / 1448, receive / 1448],
        opened: [3, 1],
        closed: [1, 1, 0],
        failures: 2,
        open: 2,
        ..Traffic::default()
    };
    let mut first = traffic("1", "aby3", 1_234_567_890_123, 9_876_543_210, 1448);
    first.smoothed_rtt = Some(0.000_375);
    let mut latency = Times::default();
    (latency.buckets[2], latency.buckets[4], latency.buckets[17]) = (7, 1, 1);
    latency.sum = 12.5;
    first.latency = Some(latency.clone());
    (first.messages, first.rounds) = ([40, 30], 9);
    first.waiting = Some(latency);
    first.waited = Duration::from_millis(12_625);
    let mut stranger = traffic("unknown", "aby3", 0, 12, 0);
    stranger.unexpected = true;
    vec![
        first,
        traffic("2001:db8::7", "mp-spdz", 0, u64::MAX, 0),
        traffic("a \"quoted\\\" id\nof two lines", "other", 1, 2, 3),
        stranger,
    ]
}

const LEDGER: LedgerState = LedgerState {
    written: 1200,
    overflow: 3,
    failed: 1,
    pending: 2,
    is_writable: true,
    problems: Vec::new(),
};

/// A snapshot in which every metric of the catalog has a series.
pub(crate) fn complete() -> Snapshot {
    let mut durations = Durations::default();
    for seconds in [0.00005, 0.0004, 0.0004, 0.02, 3.0] {
        durations.observe(seconds);
    }
    let mut errors = [0; FailureKind::ALL.len()];
    errors[FailureKind::Permission as usize] = 2;
    Snapshot {
        taken: SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000),
        started: SystemTime::UNIX_EPOCH + Duration::from_secs(1_699_999_000),
        node: "gpu-node-7".into(),
        network: Some(Arc::new(Network {
            traffic: all_traffic(),
            sessions: Some(vec![Sessions {
                protocol: "aby3".into(),
                processes: 2,
            }]),
            limits: Vec::new(),
            gaps: vec![gap()],
            dropped: vec![("socket_storage", 0), ("slots", 7)],
            maps: vec![
                MapFill {
                    map: "slots",
                    entries: 3,
                    capacity: Some(8192),
                },
                MapFill {
                    map: "sockets",
                    entries: 41,
                    capacity: None,
                },
            ],
            programs: vec![ProgramRuns {
                program: "settle",
                runs: 60,
                nanoseconds: 3_000_000,
            }],
            accounting: Accounting {
                bytes: "tp_btf,iter",
                latency: "sock_ops",
                messages: "sock_send_length",
                udp: "off",
                pin: "on",
                kernel: "6.12.1".to_owned(),
            },
            since: Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1_699_999_100)),
            read: Duration::from_secs(50_000),
        })),
        gpus: Some(gpus::gpus()),
        ledger: Some(LEDGER),
        idle: Some(Arc::new(Idle {
            waits: vec![IdleWait {
                gpu: "0".into(),
                party: "1".into(),
                protocol: "aby3".into(),
                seconds: 8.25,
            }],
        })),
        host: Some(Arc::new(Host {
            memory_used: Some(3_221_225_472),
            process: Process {
                cpu_seconds: Some(0.25),
                resident_bytes: Some(8_388_608),
                virtual_bytes: Some(33_554_432),
                open_fds: Some(17),
                max_fds: Some(1024),
                threads: Some(3),
                start_time: Some(1_699_999_000.25),
            },
        })),
        sources: vec![
            SourceHealth {
                source: "network".into(),
                kind: None,
                down: None,
                errors: [0; FailureKind::ALL.len()],
                durations,
                age_seconds: Some(0.125),
            },
            SourceHealth {
                source: "host".into(),
                kind: Some(FailureKind::Permission),
                down: Some("cannot read /proc/self".to_owned()),
                errors,
                durations: Durations::default(),
                age_seconds: None,
            },
        ],
        configuration: ReloadState {
            success: true,
            taken: SystemTime::UNIX_EPOCH + Duration::from_millis(1_699_999_000_250),
        },
        otlp: vec![SignalStats {
            signal: "metrics",
            up: Some(true),
            sent: 2400,
            dropped: [0, 0, 120, 0, 0],
        }],
    }
}

/// Before the first sample.
fn empty() -> Snapshot {
    Snapshot {
        network: None,
        gpus: None,
        idle: None,
        ledger: None,
        host: None,
        sources: Vec::new(),
        otlp: Vec::new(),
        ..complete()
    }
}

fn compare(file: &str, page: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(file);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, page).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap();
    // By line, for a readable difference.
    for (number, (is, was)) in page.lines().zip(golden.lines()).enumerate() {
        assert_eq!(
            is,
            was,
            "{file}, line {}; UPDATE_GOLDEN=1 if it is meant",
            number + 1
        );
    }
    assert_eq!(page.len(), golden.len(), "{file}: the length");
}

#[test]
fn writes_openmetrics() {
    let page = encode(complete(), Format::OpenMetrics).unwrap();
    compare("page.openmetrics.txt", &page);
    assert!(page.ends_with("# EOF\n"));
}

#[test]
fn writes_the_classic_format() {
    compare(
        "page.classic.txt",
        &encode(complete(), Format::Classic).unwrap(),
    );
}

#[test]
fn names_every_metric_as_the_catalog_does() {
    let page = encode(complete(), Format::Classic).unwrap();
    for metric in catalog() {
        let described = format!("# HELP {} {}\n", metric.name, metric.help);
        assert!(page.contains(&described), "{}", metric.name);
    }
    for format in [Format::Classic, Format::OpenMetrics] {
        let page = encode(complete(), format).unwrap();
        let mut samples = page.lines().filter(|line| !line.starts_with('#'));
        assert!(
            samples.all(|line| {
                let name = line.split(['{', ' ']).next().unwrap();
                let suffixes = ["", "_bucket", "_sum", "_count"];
                let known = catalog().map(|metric| metric.name);
                let mut known = known.chain(gpu::families().iter().map(|family| family.name));
                known.any(|known| {
                    suffixes
                        .iter()
                        .any(|suffix| name.strip_suffix(suffix) == Some(known))
                })
            }),
            "{page}"
        );
    }
}

#[test]
fn leaves_out_what_is_missing() {
    let page = encode(empty(), Format::OpenMetrics).unwrap();
    let described: Vec<&str> = page
        .lines()
        .filter(|line| line.starts_with("# TYPE"))
        .collect();
    assert_eq!(
        described,
        [
            "# TYPE partymeter_build info",
            "# TYPE partymeter_config_reload_success gauge",
            "# TYPE partymeter_config_reload_timestamp_seconds gauge",
        ]
    );
    let mut snapshot = complete();
    let mut host = Host::default();
    host.process.threads = Some(3);
    snapshot.host = Some(Arc::new(host));
    snapshot.gpus = None;
    let page = encode(snapshot, Format::Classic).unwrap();
    assert!(page.contains("\nprocess_threads 3\n"));
    assert!(!page.contains("memory_usage_bytes") && !page.contains("process_open_fds"));
    // Only memory limits this map.
    assert!(!page.contains("partymeter_bpf_map_capacity{map=\"sockets\"}"));
}

#[test]
#[ignore = "needs Prometheus: `cargo xtask test` runs it"]
fn promtool_accepts_the_page() {
    let started = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut promtool = started.unwrap_or_else(|error| {
        panic!("needs Prometheus: promtool does not start ({error}); run `cargo xtask setup test`")
    });
    // The names of dcgm-exporter break rules of Prometheus.
    let mut snapshot = complete();
    snapshot.gpus.as_mut().unwrap().dcgm_names = false;
    let page = encode(snapshot, Format::Classic).unwrap();
    promtool
        .stdin
        .take()
        .unwrap()
        .write_all(page.as_bytes())
        .unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&said)
    );
    assert_eq!(String::from_utf8_lossy(&said), "");
}
