//! What each way of writing gives, and what each error says. `minimal` is for the tests of other modules.

use std::{fmt::Write as _, net::SocketAddr, time::Duration};

use super::*;

/// The least that is valid: no parties, one protocol.
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
            rhythm: true,
            cgroup: None,
            pin: Pin::Mounted,
            allow: Vec::new(),
            max_auto_parties: 64,
            unresolved: Unresolved::Refuse,
            resolve_interval: Duration::from_secs(30),
            ledger: None,
        },
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
            kernel: None,
        },
    }
}

fn around() -> Surroundings {
    Surroundings {
        node_name: None,
        host_name: Some("here".to_owned()),
    }
}

/// Resolves a file's text, and what came beside it.
pub(super) fn resolve_with(text: &str, mut options: Options) -> Result<Config, Vec<String>> {
    let unique = format!("{}-{:?}", std::process::id(), std::thread::current().id());
    let file = std::env::temp_dir().join(format!("partymeter-config-{unique}.toml"));
    std::fs::write(&file, text).unwrap();
    options.file = Some(file.clone());
    let result = resolve(&options, &around());
    std::fs::remove_file(&file).unwrap();
    let place = file.display().to_string();
    result.map_err(|problems| {
        let line = |problem: &Problem| problem.to_string().replace(&place, "f");
        problems.iter().map(line).collect()
    })
}

pub(super) fn resolved(text: &str) -> Config {
    resolve_with(text, Options::default()).unwrap()
}

pub(super) fn problems(text: &str) -> Vec<String> {
    resolve_with(text, Options::default()).unwrap_err()
}

fn given(place: &str, text: &str) -> Given {
    Given {
        place: place.to_owned(),
        text: text.to_owned(),
    }
}

#[test]
fn the_default_configuration_is_the_defaults() {
    assert_eq!(resolved(DEFAULT), resolved(""));
    let without_file = resolve(&Options::default(), &around()).unwrap();
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
fn every_key_stands_in_the_default_configuration() {
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
        problems(&(of("p", "udp") + &of("q", "udp"))),
        ["f:5: protocols.ports: port 5000 of \"q\" is \"p\"'s too; give each port to one protocol"]
    );
    let options = Options {
        protocols: vec![
            given("--protocol", "a=1"),
            given("--protocol", "b/udp=1,3"),
            given("--protocol", "c/d=2"),
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
fn what_is_given_beside_the_file_goes_over_it() {
    let mut options = Options::default();
    options.values.insert("interval", given("--interval", "2s"));
    options.values.insert(
        "prometheus.listen",
        given("--prometheus-listen", "127.0.0.1:1,[::1]:2"),
    );
    options.parties = vec![given("--party", "x=10.0.0.2,10.0.0.3:5000")];
    options.protocols = vec![given("--protocol", "aby3=1212-1220,5000")];
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
fn each_error_is_one_line_with_its_place_and_mend() {
    let party = |endpoints: &str| format!("[[parties]]\nid = \"1\"\nendpoints = [{endpoints}]\n");
    let two = |first: &str, second: &str| {
        format!(
            "{}[[parties]]\nid = \"2\"\nendpoints = [{second}]\n",
            party(first)
        )
    };
    let protocol = |ports: &str| format!("[[protocols]]\nname = \"p\"\nports = [{ports}]\n");
    let overlap = "give each address to one party, or each party its port";
    let cases = [
        ("interval = \"2h\"".to_owned(), "f:1: interval: 2h is out of range; give 200ms to 1h".to_owned()),
        ("interval = 5".to_owned(), "f:1: interval: an integer is not a duration; write \"1s\" or \"200ms\"".to_owned()),
        ("\nnode = 7".to_owned(), "f:2: node: an integer is not a string; write it in quotes".to_owned()),
        ("node = \"\"".to_owned(), "f:1: node: is empty; leave it out or give a name".to_owned()),
        ("colour = 1".to_owned(), "f:1: colour: is an unknown key; remove it".to_owned()),
        ("[network]\nenabeld = true".to_owned(), "f:2: network.enabeld: is an unknown key; did you mean network.enabled?".to_owned()),
        ("[network]\nenabled = \"yes\"".to_owned(), "f:2: network.enabled: a string is not a boolean; write true or false, without quotes".to_owned()),
        ("[network]\nmax_auto_parties = 5000".to_owned(), "f:2: network.max_auto_parties: 5000 is out of range; give 1 to 4096".to_owned()),
        ("[network]\nunresolved = \"hope\"".to_owned(), "f:2: network.unresolved: \"hope\" is none of its values; give refuse, retry".to_owned()),
        ("[prometheus]\nlisten = \"9464\"".to_owned(), "f:2: prometheus.listen: \"9464\" is no address with a port; write it like \"127.0.0.1:9464\" or \"[::1]:9464\"".to_owned()),
        ("[log]\nlevel = \"loud\"".to_owned(), "f:2: log.level: \"loud\" is none of its values; give off, error, warn, info, debug, trace".to_owned()),
        (party("\"10.0.1.5/24\""), "f:3: parties.endpoints: 10.0.1.5/24 has host bits set; write 10.0.1.0/24".to_owned()),
        (party("\"10.0.1\""), "f:3: parties.endpoints: \"10.0.1\" is no address or prefix; write one like 10.0.0.2, 10.0.1.0/24 or [2001:db8::7]:5001".to_owned()),
        (party("\"10.0.1.0/24:5000\""), "f:3: parties.endpoints: \"10.0.1.0/24:5000\" is a prefix with a port; give single addresses their ports, or the prefix none".to_owned()),
        (party("\"10.0.0.1:0\""), "f:3: parties.endpoints: \"10.0.0.1:0\" has no valid port; give 1 to 65535 after the colon".to_owned()),
        (party("\"a b\""), "f:3: parties.endpoints: \"a b\" is no address, prefix or host name; write one like 10.0.0.2, 10.0.1.0/24, [2001:db8::7]:5001 or party1.example.org:5001".to_owned()),
        (party(""), "f:1: parties.endpoints: a party without endpoints; give endpoints = [\"10.0.0.2\"]".to_owned()),
        ("[[parties]]\nendpoints = [\"10.0.0.2\"]".to_owned(), "f:1: parties.id: is missing; give id = \"…\"".to_owned()),
        ("[[parties]]\nid = \"unknown\"\nendpoints = [\"10.0.0.2\"]".to_owned(), "f:2: parties.id: \"unknown\" is reserved for what has no name; give another".to_owned()),
        (two("\"10.0.0.2\"", "\"10.0.0.2\""), format!("f:4: parties.endpoints: 10.0.0.2/32 of party \"2\" overlaps 10.0.0.2/32 of party \"1\"; {overlap}")),
        (two("\"10.0.0.0/8\"", "\"10.1.0.0/16\""), format!("f:4: parties.endpoints: 10.1.0.0/16 of party \"2\" overlaps 10.0.0.0/8 of party \"1\"; {overlap}")),
        (two("\"10.0.0.2:5000\"", "\"10.0.0.2:5000\""), format!("f:4: parties.endpoints: 10.0.0.2 port 5000 of party \"2\" overlaps 10.0.0.2 port 5000 of party \"1\"; {overlap}")),
        (two("\"h:5000\"", "\"h\""), format!("f:4: parties.endpoints: h of party \"2\" overlaps h of party \"1\"; {overlap}")),
        (protocol("\"20-10\""), "f:3: protocols.ports: the range 20-10 is reversed; write \"10-20\"".to_owned()),
        (protocol("70000"), "f:3: protocols.ports: \"70000\" is no port; give 1 to 65535, or a range like \"5000-5009\"".to_owned()),
        (protocol("5000") + "[[protocols]]\nname = \"q\"\nports = [\"4000-6000\"]", "f:4: protocols.ports: port 5000 of \"q\" is \"p\"'s too; give each port to one protocol".to_owned()),
        ("[[protocols]]\nname = \"p\"\ntransport = \"sctp\"\nports = [1]".to_owned(), "f:3: protocols.transport: \"sctp\" is no transport; write \"tcp\" or \"udp\"".to_owned()),
        ("[[protocols]]\nname = \"other\"\nports = [1]".to_owned(), "f:2: protocols.name: \"other\" is reserved for what has no name; give another".to_owned()),
    ];
    for (text, expected) in cases {
        assert_eq!(problems(&text), [expected], "{text}");
    }
}

#[test]
fn parties_on_one_address_may_have_their_own_ports() {
    let text = "[[parties]]\nid = \"1\"\nendpoints = [\"10.0.0.2:5000\", \"h:1\"]\n\
                [[parties]]\nid = \"2\"\nendpoints = [\"10.0.0.2:5001\", \"h:2\"]\n";
    assert_eq!(resolved(text).parties.len(), 2);
}

#[test]
fn what_a_file_says_is_shown_as_plain_text_and_not_without_end() {
    let long = "x".repeat(100_000);
    for text in [
        "\"a\\n\\u001b[2J\" = 1".to_owned(),
        "[network]\n\"\u{202e}on\" = 1".to_owned(),
        format!("{long} = 1"),
        format!("interval = \"{long}\""),
    ] {
        let found = problems(&text);
        assert_eq!(found.len(), 1, "{found:?}");
        let deceives = |c: char| c.is_control() || c == '\u{202e}';
        assert!(!found[0].contains(deceives), "{found:?}");
        assert!(found[0].len() < 4096, "{} bytes", found[0].len());
    }
    assert_eq!(
        problems("\"a\\nb\" = 1"),
        [r"f:1: a\nb: is an unknown key; did you mean gpu?"]
    );
}

#[test]
fn ten_errors_are_ten_lines() {
    let text = "interval = \"1ms\"\nnode = 1\nx = 1\n[[parties]]\nid = \"\"\nendpoints = [\"10.0.0.1/8\", \"a b\"]\n\
                [[protocols]]\nname = \"p\"\nports = [0, \"9-1\"]\n[network]\nenabled = 1\nmax_auto_parties = 0\n\
                [log]\nformat = \"xml\"\n";
    let lines = problems(text);
    let places: Vec<&str> = lines
        .iter()
        .map(|line| line.split(' ').next().unwrap())
        .collect();
    assert_eq!(lines.len(), 11, "{lines:#?}");
    for place in [
        "f:1:", "f:2:", "f:3:", "f:5:", "f:6:", "f:9:", "f:11:", "f:12:", "f:14:",
    ] {
        assert!(places.contains(&place), "{place} in {lines:#?}");
    }
}

#[test]
fn what_is_no_toml_is_told_with_its_line() {
    let lines = problems("interval = \"1s\"\n[[parties\n");
    assert!(
        !lines.is_empty() && lines[0].starts_with("f:2: is not TOML: "),
        "{lines:?}"
    );
}

#[test]
fn thousands_of_endpoints_are_no_work() {
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
fn thousands_of_ports_of_one_host_are_no_work() {
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
        // Well, or more than the kernel's tables hold: either is known at once.
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
            Err(problems) => problems,
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
    for (text, problem) in [
        ("socket = \"a.sock\"", "\"a.sock\" is no absolute path; "),
        ("socket = \"/run/\"", "\"/run/\" names no file; "),
        ("socket = \"/run/..\"", "\"/run/..\" names no file; "),
        ("group = \"\"", "is empty; leave it out or name a group"),
        ("group = true", "a boolean is not a group"),
    ] {
        let problems = problems(&format!("[admin]\n{text}"));
        assert!(problems[0].contains(problem), "{problems:?}");
    }
    let long = format!("[admin]\nsocket = \"/{}\"", "x".repeat(107));
    assert!(problems(&long)[0].contains("is longer than the 107 bytes"));
}

#[test]
fn a_file_of_nothing_but_errors_is_refused_at_once() {
    let mut text = String::new();
    for number in 0..50_000 {
        writeln!(text, "k{number} = 1").unwrap();
    }
    let found = problems(&text);
    assert_eq!(found.len(), 101);
    assert!(found[100].ends_with("has 49900 more errors; mend these first"));
}
