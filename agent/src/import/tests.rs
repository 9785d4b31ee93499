//! Each framework's own format, the result, and that the configuration accepts it.

use super::*;
use crate::config::{self, Config, HostEnv, Options};

fn framework(name: &str) -> Framework {
    let all = FRAMEWORKS.into_iter();
    all.clone().find(|it| it.name == name).unwrap()
}

/// The printed text without its comments, and the configuration that it makes.
fn imported(name: &str, text: &str) -> (String, Config) {
    let printed = convert(framework(name), "FILE", text).unwrap();
    let host = HostEnv {
        node_name: None,
        host_name: None,
    };
    let config = config::read("f", &printed, &Options::default(), &host).unwrap();
    let lines = printed.lines();
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    (lines.collect::<Vec<_>>().join("\n"), config)
}

fn refused(name: &str, text: &str) -> String {
    convert(framework(name), "FILE", text).unwrap_err().0
}

/// `[[parties]]` as they are printed.
fn parties(list: &[(&str, &str)]) -> String {
    let party = |(id, endpoints): &(&str, &str)| {
        format!("[[parties]]\nid = \"{id}\"\nendpoints = [{endpoints}]\n")
    };
    list.iter().map(party).collect()
}

fn protocol(name: &str, ports: &str) -> String {
    format!("[[protocols]]\nname = \"{name}\"\nports = [{ports}]")
}

#[test]
fn mp_spdz_hosts() {
    let text = "# three hospitals\n10.0.0.1\n\nhospital-b.example.org:6000\n10.0.0.3\n";
    let (printed, config) = imported("mp-spdz", text);
    let expected = parties(&[
        ("0", "\"10.0.0.1\""),
        ("1", "\"hospital-b.example.org:6000\""),
        ("2", "\"10.0.0.3\""),
    ]) + &protocol("mp-spdz", "5000, 5002, 6000");
    assert_eq!(printed, expected);
    assert_eq!((config.parties.len(), config.protocols.len()), (3, 1));
}

#[test]
fn mp_spdz_on_one_host() {
    let (printed, _) = imported("mp-spdz", "localhost\nlocalhost\nlocalhost\n");
    let expected = parties(&[
        ("0", "\"localhost:5000\""),
        ("1", "\"localhost:5001\""),
        ("2", "\"localhost:5002\""),
    ]) + &protocol("mp-spdz", "\"5000-5002\"");
    assert_eq!(printed, expected);
}

/// The shape of SPU's `examples/python/conf/3pc.json`.
const SPU: &str = r#"{
    "id": "outsourcing.3pc",
    "nodes": {"node:0": "10.0.0.1:61920", "node:1": "10.0.0.2:61920", "node:3": "10.0.0.4:61920"},
    "devices": {
        "SPU": {
            "kind": "SPU",
            "config": {
                "node_ids": ["node:0", "node:1"],
                "spu_internal_addrs": [
                    "10.0.0.1:61930",
                    "10.0.0.2:61931"
                ],
                "runtime_config": {"protocol": "SEMI2K", "field": "FM64"}
            }
        },
        "P1": {"kind": "PYU", "config": {"node_id": "node:3"}}
    }
}"#;

#[test]
fn spu_devices() {
    let (printed, _) = imported("spu", SPU);
    let expected = parties(&[
        ("node:0", "\"10.0.0.1:61930\""),
        ("node:1", "\"10.0.0.2:61931\""),
    ]) + &protocol("spu", "\"61930-61931\"");
    assert_eq!(printed, expected);
}

#[test]
fn secretflow_cluster_def() {
    let nodes = r#"{"nodes": [
        {"party": "alice", "id": "alice:0", "address": "http://alice.example.org:9001", "listen_address": "0.0.0.0:9101"},
        {"party": "bob", "id": "bob:0", "address": "10.0.0.2:9002", "listen_address": ""}
    ], "runtime_config": {"protocol": 2, "field": 3}}"#;
    let expected = parties(&[
        ("alice", "\"alice.example.org:9001\""),
        ("bob", "\"10.0.0.2:9002\""),
    ]) + &protocol("spu", "\"9001-9002\", 9101");
    assert_eq!(imported("spu", nodes).0, expected);
    let wrapped = format!("{{\"cluster_def\": {nodes}}}");
    assert_eq!(imported("spu", &wrapped).0, expected);
}

#[test]
fn piranha_config() {
    let text = r#"{
    "_desc_num_parties": "Number of parties involved in the MPC computation.",
    "num_parties": 3,
    "party_ips": ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"],
    "party_users": ["ubuntu", "ubuntu", "ubuntu"],
    "run_name": "hello_world_run"
}"#;
    let expected = parties(&[
        ("0", "\"10.0.0.1\""),
        ("1", "\"10.0.0.2\""),
        ("2", "\"10.0.0.3\""),
    ]) + &protocol("piranha", "\"32001-32003\", \"32005-32007\"");
    assert_eq!(imported("piranha", text).0, expected);

    let local = r#"{"num_parties": 2, "party_ips": ["127.0.0.1", "127.0.0.1"]}"#;
    let expected = parties(&[("0", "\"127.0.0.1:32002\""), ("1", "\"127.0.0.1:32001\"")])
        + &protocol("piranha", "\"32001-32002\"");
    assert_eq!(imported("piranha", local).0, expected);
}

#[test]
fn falcon_addresses() {
    let (printed, _) = imported("falcon", "10.0.0.1\n10.0.0.2\n10.0.0.3\n");
    let expected = parties(&[
        ("0", "\"10.0.0.1\""),
        ("1", "\"10.0.0.2\""),
        ("2", "\"10.0.0.3\""),
    ]) + &protocol("falcon", "\"32001-32003\", \"32005-32007\"");
    assert_eq!(printed, expected);
    // As `files/IP_localhost` is: carriage returns, and an empty line after each.
    let local = "127.0.0.1\r\n\n127.0.0.1\r\n\n127.0.0.1\r\n\n127.0.0.1";
    let expected = parties(&[
        ("0", "\"127.0.0.1:32003\", \"127.0.0.1:32006\""),
        ("1", "\"127.0.0.1:32001\", \"127.0.0.1:32007\""),
        ("2", "\"127.0.0.1:32002\", \"127.0.0.1:32005\""),
    ]) + &protocol("falcon", "\"32001-32003\", \"32005-32007\"");
    assert_eq!(imported("falcon", local).0, expected);
}

#[test]
fn motion_command_line_and_file() {
    let expected = "party_id = \"1\"\n".to_owned()
        + &parties(&[
            ("0", "\"10.0.0.1:23000\""),
            ("1", "\"10.0.0.2:23001\""),
            ("2", "\"10.0.0.3:23002\""),
        ])
        + &protocol("motion", "\"23000-23002\"");
    let script = "#!/bin/sh\n./bin/aes128 --my-id 1 --parties 0,10.0.0.1,23000 \\\n  2,10.0.0.3,23002 1,10.0.0.2,23001 --protocol BMR\n";
    assert_eq!(imported("motion", script).0, expected);
    let file = "my-id = 1\nparties = 0,10.0.0.1,23000\nparties = 1,10.0.0.2,23001\nparties=2,10.0.0.3,23002\nprotocol = GMW\n";
    assert_eq!(imported("motion", file).0, expected);
    let process = "aes128\0--parties\x000,10.0.0.1,23000\x001,10.0.0.2,23001\x002,10.0.0.3,23002\0--my-id=1\0";
    assert_eq!(imported("motion", process).0, expected);
}

#[test]
fn mpyc_file() {
    let text = "[Party 0]\nhost = node-a\nport = 11365\n\n[Party 1]\nhost = \nport = 11366\n\n[Party 2]\nhost = localhost\nport =\n";
    let (printed, config) = imported("mpyc", text);
    let expected = "party_id = \"1\"\n".to_owned()
        + &parties(&[("0", "\"node-a:11365\""), ("2", "\"localhost\"")])
        + &protocol("mpyc", "\"11365-11367\"");
    assert_eq!(printed, expected);
    assert_eq!(config.party_id.as_deref(), Some("1"));
}

#[test]
fn mpyc_arguments() {
    let line = "python3 secretsanta.py -P 10.0.0.1:7000 -P10.0.0.2:7001 -P :7002 --no-log\n";
    let expected = "party_id = \"2\"\n".to_owned()
        + &parties(&[("0", "\"10.0.0.1:7000\""), ("1", "\"10.0.0.2:7001\"")])
        + &protocol("mpyc", "\"7000-7002\"");
    assert_eq!(imported("mpyc", line).0, expected);
    let local = "python3 secretsanta.py -M3 -B 9000 --index=1\n";
    let expected = "party_id = \"1\"\n".to_owned()
        + &parties(&[
            ("0", "\"localhost:9000\""),
            ("1", "\"localhost:9001\""),
            ("2", "\"localhost:9002\""),
        ])
        + &protocol("mpyc", "\"9000-9002\"");
    assert_eq!(imported("mpyc", local).0, expected);
}

#[test]
fn torch_environment() {
    let environ =
        "PATH=/bin\0RANK=1\0WORLD_SIZE=3\0MASTER_ADDR=trainer-0.example.org\0MASTER_PORT=29501\0";
    let expected = "party_id = \"1\"\n".to_owned()
        + &parties(&[("0", "\"trainer-0.example.org\"")])
        + &protocol("torch", "29501");
    assert_eq!(imported("torch-env", environ).0, expected);
    let printed = convert(framework("torch-env"), "FILE", environ).unwrap();
    assert!(
        printed.contains("does not have the address of rank 2:"),
        "{printed}"
    );

    let file = "# CrypTen\nexport RENDEZVOUS=\"tcp://10.0.0.1:2345\"\nWORLD_SIZE=2\nRANK=1\n";
    let expected = "party_id = \"1\"\n".to_owned()
        + &parties(&[("0", "\"10.0.0.1\"")])
        + &protocol("torch", "2345");
    assert_eq!(imported("torch-env", file).0, expected);

    let master = "RANK=0\nWORLD_SIZE=2\nMASTER_ADDR=10.0.0.1\nMASTER_PORT=29500\n";
    let (printed, config) = imported("torch-env", master);
    assert_eq!(
        printed,
        "party_id = \"0\"\n".to_owned() + &protocol("torch", "29500")
    );
    assert!(config.parties.is_empty());
}

#[test]
fn an_ipv6_address_is_written_in_brackets() {
    let nodes = r#"{"nodes": [{"party": "a", "address": "[2001:db8::1]:9001"}]}"#;
    let expected = parties(&[("a", "\"[2001:db8::1]:9001\"")]) + &protocol("spu", "9001");
    assert_eq!(imported("spu", nodes).0, expected);
}

#[test]
fn errors_in_hosts_and_json_are_one_line_with_location_and_help() {
    let spu = |old: &str, new: &str| SPU.replace(old, new);
    let cases = [
        (
            "mp-spdz",
            "10.0.0.1\na b\n".to_owned(),
            "FILE:2: \"a b\" is neither an address nor a host name; help: write a line as host or host:port",
        ),
        (
            "mp-spdz",
            "h:0\n".to_owned(),
            "FILE:1: \"0\" is not a port; help: write a line as host or host:port",
        ),
        (
            "mp-spdz",
            "h:1\nh:1\n".to_owned(),
            "FILE:2: party \"1\" is at h port 1, and so is party \"0\"; help: give each its own address or port",
        ),
        (
            "mp-spdz",
            "# none\n".to_owned(),
            "FILE: has no party; help: give a file as for -ip, a line host[:port] for each party",
        ),
        (
            "spu",
            "{\n\"nodes\": 5}".to_owned(),
            "FILE:2: invalid type: integer `5`, expected a list of nodes, or a map of their addresses; help: give a JSON file with devices of the kind SPU, or SecretFlow's cluster_def",
        ),
        (
            "spu",
            spu("10.0.0.2:61931", "10.0.0.2"),
            "FILE:11: \"10.0.0.2\" is not an address with a port; help: give a JSON file with devices of the kind SPU, or SecretFlow's cluster_def",
        ),
        (
            "spu",
            spu("\"node:0\", \"node:1\"]", "\"node:0\"]"),
            "FILE:5: device \"SPU\" has 1 node_ids and 2 spu_internal_addrs; help: give one address for each node",
        ),
        (
            "spu",
            "{}".to_owned(),
            "FILE: has no party; help: give a JSON file with devices of the kind SPU, or SecretFlow's cluster_def",
        ),
        (
            "piranha",
            "{\"num_parties\": 3,\n\"party_ips\": []}".to_owned(),
            "FILE:2: num_parties is 3, party_ips has 0; help: give the address of each party in party_ips",
        ),
        (
            "piranha",
            "{\"num_parties\": 3,\n".to_owned(),
            "FILE:2: EOF while parsing a value; help: give Piranha's config.json",
        ),
    ];
    for (name, text, expected) in cases {
        assert_eq!(refused(name, &text), expected, "{name}: {text:?}");
    }
}

#[test]
fn errors_in_lines_and_arguments_are_one_line_with_location_and_help() {
    let cases = [
        (
            "falcon",
            "10.0.0.1\n".to_owned(),
            "FILE: has 1 lines; help: give three, an address each",
        ),
        (
            "falcon",
            "\n10.0.0.1\n".to_owned(),
            "FILE:1: is empty; help: give the three addresses first, a line each",
        ),
        (
            "motion",
            "x --parties\n 0,10.0.0.1\n".to_owned(),
            "FILE:2: \"0,10.0.0.1\" is not a party; help: write a party as ID,ADDRESS,PORT",
        ),
        (
            "motion",
            "nothing".to_owned(),
            "FILE: has no party; help: give a command line with --parties 0,10.0.0.1,23000 …, or its configuration file",
        ),
        (
            "mpyc",
            "[Party 0]\nhost = a\n".to_owned(),
            "FILE:1: this party has no port; help: write port = and its value, which may be empty",
        ),
        (
            "mpyc",
            "[Party 0]\nhost\n".to_owned(),
            "FILE:2: \"host\" has no =; help: write host = NAME",
        ),
        (
            "mpyc",
            "x -P".to_owned(),
            "FILE:1: -P has no value; help: write it behind",
        ),
        (
            "torch-env",
            "WORLD_SIZE=2\n".to_owned(),
            "FILE: RANK is not set; help: give the environment of a process of torch.distributed",
        ),
        (
            "torch-env",
            "RANK=2\nWORLD_SIZE=2\n".to_owned(),
            "FILE:1: RANK is 2, WORLD_SIZE is 2; help: give the environment of one process",
        ),
        (
            "torch-env",
            "RANK=0\nWORLD_SIZE=2\nMASTER_ADDR=h\nMASTER_PORT=x\n".to_owned(),
            "FILE:4: MASTER_PORT: \"x\" is not a port; help: give 1 to 65535",
        ),
    ];
    for (name, text, expected) in cases {
        assert_eq!(refused(name, &text), expected, "{name}: {text:?}");
    }
}

#[test]
fn an_error_shows_the_file_as_plain_text() {
    let text = format!(
        "{{\"num_parties\": 3, \"party_ips\": {{\"{}\": 1}}}}",
        "\u{202e}x".repeat(5000)
    );
    for text in [text, "{\"num_parties\": \"\u{1b}[2J\"}".to_owned()] {
        let said = refused("piranha", &text);
        assert!(
            said.chars().all(|c| !c.is_control() && c != '\u{202e}'),
            "{said}"
        );
        assert!(said.len() < 4096, "{} bytes", said.len());
    }
}

#[test]
fn a_missing_file_is_an_error() {
    let error = import(framework("falcon"), Path::new("/nowhere/IP")).unwrap_err();
    assert_eq!(
        error.0,
        "/nowhere/IP: cannot be read: No such file or directory (os error 2); help: name a readable text file, or - for standard input"
    );
}

#[test]
fn the_most_parties_on_one_host_are_told_apart_by_their_ports() {
    let (printed, config) = imported("mpyc", "python3 x.py -M4096 --index=1\n");
    assert_eq!(config.parties.len(), 4096);
    assert!(printed.contains("\"localhost:15460\""));
}

#[test]
fn a_few_bytes_cannot_ask_for_billions_of_parties() {
    let world = "RANK=0\nWORLD_SIZE=4000000000\nMASTER_ADDR=h\nMASTER_PORT=5\n";
    let mpyc = "python3 x.py -M39000 --index=1\n";
    for (framework, text, what) in [
        (
            "torch-env",
            world,
            "m:2: 4000000000 parties are more than 4096; help: ",
        ),
        ("mpyc", mpyc, "39000 parties are more than 4096; help: "),
    ] {
        let framework = FRAMEWORKS.iter().find(|it| it.name == framework).unwrap();
        let refused = convert(*framework, "m", text).unwrap_err();
        assert!(refused.to_string().contains(what), "{refused}");
    }
}
