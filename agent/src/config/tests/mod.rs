//! What is accepted, and how it is understood. `minimal` is for the tests of other modules.

mod errors;

use std::{fmt::Write as _, net::SocketAddr, time::Duration};

use super::*;

/// The smallest valid configuration: no parties, one protocol.
pub(crate) fn minimal() -> Config {
    Config {
        node: "node".to_owned(),
        interval: Duration::from_secs(1),
        party_id: None,
        parties: Vec::new(),
        protocols: vec![Protocol {
            name: "test".to_owned(),
            transport: Transport::Tcp,
            ports: vec![7000..=7001],
        }],
        network: Network {
            enabled: true,
            latency: true,
            messages: true,
            cgroup: None,
            bpf_pin_path: Pin::Mounted,
            allow: Vec::new(),
            max_auto_parties: 64,
            on_unresolved: OnUnresolved::Refuse,
            resolve_interval: Duration::from_secs(30),
        },
        ledger: None,
        gpu: Gpu {
            enabled: true,
            library: "libnvidia-ml.so.1".to_owned(),
            processes: false,
            dcgm_names: false,
        },
        host_enabled: true,
        prometheus_listen: vec![SocketAddr::from(([127, 0, 0, 1], 9464))],
        prometheus_hosts: Vec::new(),
        admin: Admin {
            socket: AdminSocket::Standard,
            group: None,
        },
        otlp: Otlp {
            receivers: [const { None }; 3],
            interval: Duration::from_secs(15),
            temporality: Temporality::Cumulative,
            histograms: Histograms::Explicit,
            trace_rounds: 60,
            connection_spans: false,
            resource: Vec::new(),
        },
        log: Log {
            format: LogFormat::Text,
            level: Some(tracing::Level::INFO),
            bpf_level: None,
        },
    }
}

fn host() -> HostEnv {
    HostEnv {
        node_name: None,
        host_name: Some("here".to_owned()),
    }
}

/// Resolves the text of a file together with flags and variables.
pub(super) fn resolve_with(text: &str, mut options: Options) -> Result<Config, Vec<String>> {
    let unique = format!("{}-{:?}", std::process::id(), std::thread::current().id());
    let file = std::env::temp_dir().join(format!("partymeter-config-{unique}.toml"));
    std::fs::write(&file, text).unwrap();
    options.file = Some(file.clone());
    let result = resolve(&options, &host());
    std::fs::remove_file(&file).unwrap();
    let location = file.display().to_string();
    result.map_err(|errors| {
        let line = |error: &ConfigError| error.to_string().replace(&location, "f");
        errors.iter().map(line).collect()
    })
}

pub(super) fn resolved(text: &str) -> Config {
    resolve_with(text, Options::default()).unwrap()
}

pub(super) fn errors(text: &str) -> Vec<String> {
    resolve_with(text, Options::default()).unwrap_err()
}

fn raw(location: &str, text: &str) -> RawValue {
    RawValue {
        location: location.to_owned(),
        text: text.to_owned(),
    }
}

#[test]
fn the_default_configuration_is_the_defaults() {
    assert_eq!(resolved(DEFAULT), resolved(""));
    let without_file = resolve(&Options::default(), &host()).unwrap();
    assert_eq!(without_file, resolved(""));
    let defaults = resolved("");
    assert_eq!(defaults.node, "here");
    assert_eq!(defaults.network, minimal().network);
    assert_eq!(defaults.log, minimal().log);
    assert_eq!(defaults.admin, minimal().admin);
    assert_eq!(defaults.prometheus_listen, minimal().prometheus_listen);
    assert_eq!(defaults.protocols[0].name, "mp-spdz");
}

#[test]
fn every_key_is_in_the_default_configuration() {
    for option in options::OPTIONS {
        let key = option.key.rsplit('.').next().unwrap();
        let written = DEFAULT.lines().any(|line| {
            line.trim_start_matches("# ")
                .starts_with(&format!("{key} ="))
        });
        assert!(written, "{}", option.key);
    }
}

#[test]
fn endpoints_of_every_form() {
    let config = resolved(
        "[[parties]]\nid = \"1\"\nendpoints = [\"10.0.0.2\", \"10.0.1.0/24\", \"[2001:db8::7]:5001\", \"2001:db8::8\",\n\
         \"2001:db8:1::/48\", \"party1.example.org:5001\", \"10.0.0.3:5000\", \"::ffff:10.0.9.0/120\", \"host\"]\n",
    );
    let endpoint = |host: &str, port| Endpoint {
        host: host
            .parse()
            .map_or_else(|_| Host::Name(host.to_owned()), Host::Prefix),
        port,
    };
    assert_eq!(
        config.parties[0].endpoints,
        [
            endpoint("10.0.0.2/32", None),
            endpoint("10.0.1.0/24", None),
            endpoint("2001:db8::7/128", Some(5001)),
            endpoint("2001:db8::8/128", None),
            endpoint("2001:db8:1::/48", None),
            endpoint("party1.example.org", Some(5001)),
            endpoint("10.0.0.3/32", Some(5000)),
            endpoint("10.0.9.0/24", None),
            endpoint("host", None),
        ]
    );
}

#[test]
fn ports_are_numbers_and_ranges() {
    let config = resolved(
        "[[protocols]]\nname = \"p\"\ntransport = \"tcp\"\nports = [5000, \"6000\", \"7000-7009\"]\n",
    );
    assert_eq!(
        config.protocols[0].ports,
        [5000..=5000, 6000..=6000, 7000..=7009]
    );
}

#[test]
fn sizes_have_a_unit() {
    let ledger = |size: &str| {
        let text = format!("[ledger]\npath = \"/l\"\nmax_size = \"{size}\"\n");
        resolved(&text).ledger.unwrap()
    };
    for (written, bytes) in [
        ("256MiB", 256 << 20),
        ("1.5 GiB", 3 << 29),
        ("2MB", 2_000_000),
        ("64GiB", 64 << 30),
        ("1048576", 1 << 20),
    ] {
        assert_eq!(ledger(written).max_size, bytes, "{written}");
    }
    let defaults = resolved("[ledger]\npath = \"/l\"\n").ledger.unwrap();
    assert_eq!(defaults.max_size, 256 << 20);
    assert_eq!(defaults.retention, Duration::from_hours(7 * 24));
    assert_eq!(resolved("").ledger, None);
}

#[test]
fn each_transport_has_ports_of_its_own() {
    let of = |name: &str, transport: &str| {
        format!(
            "[[protocols]]\nname = \"{name}\"\ntransport = \"{transport}\"\nports = [\"5000-5009\"]\n"
        )
    };
    let config = resolved(&(of("p", "tcp") + &of("q", "udp")));
    let written: Vec<String> = config
        .protocols
        .iter()
        .map(Protocol::ports_written)
        .collect();
    assert_eq!(written, ["TCP 5000-5009", "UDP 5000-5009"]);
    assert_eq!(
        errors(&(of("p", "udp") + &of("q", "udp"))),
        [
            "f:5: protocols.ports: port 5000 of \"q\" is \"p\"'s too; help: give each port to one protocol"
        ]
    );
    let options = Options {
        protocols: vec![
            raw("--protocol", "a=1"),
            raw("--protocol", "b/udp=1,3"),
            raw("--protocol", "c/d=2"),
        ],
        ..Options::default()
    };
    let flags = resolve_with("", options).unwrap().protocols;
    let flags: Vec<String> = flags
        .iter()
        .map(|it| format!("{} {}", it.name, it.ports_written()))
        .collect();
    assert_eq!(flags, ["a TCP 1", "b UDP 1, 3", "c/d TCP 2"]);
}

#[test]
fn flags_override_the_file() {
    let mut options = Options::default();
    options.values.insert("interval", raw("--interval", "2s"));
    options.values.insert(
        "prometheus.listen",
        raw("--prometheus-listen", "127.0.0.1:1,[::1]:2"),
    );
    options.parties = vec![raw("--party", "x=10.0.0.2,10.0.0.3:5000")];
    options.protocols = vec![raw("--protocol", "aby3=1212-1220,5000")];
    let text =
        "interval = \"1s\"\nnode = \"n\"\n[[parties]]\nid = \"1\"\nendpoints = [\"10.0.0.9\"]\n";
    let config = resolve_with(text, options).unwrap();
    assert_eq!(
        (config.interval, config.node.as_str()),
        (Duration::from_secs(2), "n")
    );
    assert_eq!(config.prometheus_listen.len(), 2);
    assert_eq!(
        (config.parties.len(), config.parties[0].id.as_str()),
        (1, "x")
    );
    assert_eq!(config.parties[0].endpoints.len(), 2);
    assert_eq!(config.protocols[0].ports, [1212..=1220, 5000..=5000]);
}

#[test]
fn parties_on_one_address_may_have_their_own_ports() {
    let text = "[[parties]]\nid = \"1\"\nendpoints = [\"10.0.0.2:5000\", \"h:1\"]\n\
                [[parties]]\nid = \"2\"\nendpoints = [\"10.0.0.2:5001\", \"h:2\"]\n";
    assert_eq!(resolved(text).parties.len(), 2);
}

#[test]
fn thousands_of_endpoints_take_no_time() {
    let mut text = String::new();
    for party in 0..2000 {
        let (high, low) = (party / 200, party % 200);
        text += &[
            "[[parties]]\nid = \"",
            &party.to_string(),
            "\"\nendpoints = [",
        ]
        .concat();
        for host in 0..5 {
            text += &[
                "\"10.",
                &high.to_string(),
                ".",
                &low.to_string(),
                ".",
                &host.to_string(),
                "\",",
            ]
            .concat();
        }
        text += "]\n";
    }
    let began = std::time::Instant::now();
    assert_eq!(resolved(&text).parties.len(), 2000);
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "quadratic: {:?}",
        began.elapsed()
    );
}

#[test]
fn thousands_of_ports_of_one_host_take_no_time() {
    for host in ["h", "10.0.0.1"] {
        let mut text = String::new();
        for party in 0..50 {
            let _ = write!(text, "[[parties]]\nid = \"{party}\"\nendpoints = [");
            for port in 1..=1000 {
                let _ = write!(text, "\"{host}:{}\",", party * 1000 + port);
            }
            text += "]\n";
        }
        let began = std::time::Instant::now();
        let said = resolve_with(&text, Options::default()).map_or_else(|said| said, |_| Vec::new());
        // At most one error: there may be more than the kernel's tables hold.
        assert!(said.len() <= 1, "{said:?}");
        let took = began.elapsed();
        assert!(took < Duration::from_mins(1), "quadratic: {took:?}");
    }
}

#[test]
fn parties_on_one_host_are_told_apart_by_every_port() {
    let clashes = |endpoints: &[(&str, &str)]| {
        let party = |(id, endpoints): &(&str, &str)| {
            format!("[[parties]]\nid = \"{id}\"\nendpoints = [{endpoints}]\n")
        };
        match resolve_with(
            &endpoints.iter().map(party).collect::<String>(),
            Options::default(),
        ) {
            Ok(_) => Vec::new(),
            Err(errors) => errors,
        }
    };
    for host in ["h", "10.0.0.1"] {
        let at = |ports: &[u16]| {
            let all = ports.iter().map(|port| format!("\"{host}:{port}\""));
            all.collect::<Vec<_>>().join(", ")
        };
        let whole = format!("\"{host}\"");
        let well = [("1", &*at(&[1, 2])), ("2", &at(&[3])), ("3", &at(&[4, 5]))];
        assert_eq!(clashes(&well), Vec::<String>::new());
        let own = [("1", &*at(&[1, 1]))];
        assert_eq!(clashes(&own), Vec::<String>::new());
        for last in [at(&[2]), at(&[3]), whole.clone()] {
            let all = [("1", &*at(&[1, 2])), ("2", &at(&[3])), ("3", &last)];
            assert!(!clashes(&all).is_empty(), "{last}");
        }
        let first = [("1", &*whole), ("2", &at(&[7]))];
        assert_eq!(clashes(&first).len(), 1);
    }
    let inside = clashes(&[("1", "\"10.0.0.0/8\""), ("2", "\"10.1.0.1:5\"")]);
    assert_eq!(inside.len(), 1, "{inside:?}");
}

#[test]
fn the_socket_of_administration() {
    let admin = |text: &str| resolved(&format!("[admin]\n{text}")).admin;
    assert_eq!(
        admin("socket = \"\"\ngroup = 10"),
        Admin {
            socket: AdminSocket::Off,
            group: Some("10".to_owned()),
        }
    );
    assert_eq!(
        admin("socket = \"/run/a.sock\"\ngroup = \"wheel\""),
        Admin {
            socket: AdminSocket::At("/run/a.sock".into()),
            group: Some("wheel".to_owned()),
        }
    );
    for (text, error) in [
        (
            "socket = \"a.sock\"",
            "\"a.sock\" is not an absolute path; ",
        ),
        ("socket = \"/run/\"", "\"/run/\" names no file; "),
        ("socket = \"/run/..\"", "\"/run/..\" names no file; "),
        (
            "group = \"\"",
            "is empty; help: leave it out or name a group",
        ),
        ("group = true", "a boolean is not a group"),
    ] {
        let errors = errors(&format!("[admin]\n{text}"));
        assert!(errors[0].contains(error), "{errors:?}");
    }
    let long = format!("[admin]\nsocket = \"/{}\"", "x".repeat(107));
    assert!(errors(&long)[0].contains("is longer than the 107 bytes"));
}
