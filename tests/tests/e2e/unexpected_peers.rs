//! Connections from an address that is no party's: counted, told in the log, never on the page.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    process::{Command, Stdio},
};

use crate::support::{Agent, Lab, agent::Bytes, lab::run, until, until_true};

/// The lines of the log that tell of strangers, once there are so many.
fn told(agent: &Agent, count: usize) -> Vec<String> {
    let lines = || {
        let log = agent.log();
        let lines = log
            .lines()
            .filter(|line| line.contains("unexpected connection:"));
        let lines: Vec<String> = lines.map(str::to_owned).collect();
        (lines.len() >= count).then_some(lines)
    };
    until(lines, || agent.log())
}

/// Only B is a party, so A is a stranger to B.
fn config(lab: &Lab) -> String {
    format!(
        "[[parties]]\nid = \"b\"\nendpoints = [\"{}\"]\n{}[log]\nformat = \"json\"\n",
        lab.v4(2),
        lab.protocol()
    )
}

const UNEXPECTED: &str = "mpc_unexpected_connections_total{protocol=\"test\",role=\"acceptor\"}";

#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn who_came_is_in_the_log_and_not_on_the_page() {
    let lab = Lab::new();
    let agent = Agent::start(&config(&lab));
    assert_eq!(agent.series(UNEXPECTED), Some(0.0));
    let (a, b) = lab.connection();
    (&a).write_all(&[1; 77]).unwrap();
    (&b).read_exact(&mut [0; 77]).unwrap();
    let lines = told(&agent, 1);
    let event: serde_json::Value = serde_json::from_str(&lines[0]).unwrap();
    let port = a.local_addr().unwrap().port();
    let comm = std::fs::read_to_string("/proc/self/comm").unwrap();
    let expected = [
        ("address", serde_json::json!(lab.v4(1).to_string())),
        ("port", serde_json::json!(port)),
        ("local_port", serde_json::json!(lab.port(0))),
        ("mpc.protocol", serde_json::json!("test")),
        ("role", serde_json::json!("acceptor")),
        ("pid", serde_json::json!(std::process::id())),
        ("command", serde_json::json!(comm.trim_end())),
    ];
    for (field, value) in expected {
        assert_eq!(event[field], value, "{event}");
    }
    assert_eq!(event["target"], "partymeter::security");
    // The page follows the log, at the end of the round.
    until_true(|| agent.series(UNEXPECTED) == Some(1.0), || agent.log());
    let received = Bytes {
        transmit: 0,
        receive: 77,
    };
    agent.expect(&[("unknown", "test", received)]);
    assert!(!agent.get("/metrics").contains(&lab.v4(1).to_string()));
    assert_eq!(told(&agent, 1).len(), 1, "told once");
}

#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn many_of_them_do_not_fill_the_log() {
    let lab = Lab::new();
    let agent = Agent::start(&config(&lab));
    let listener = lab.listen(0);
    let address = listener.local_addr().unwrap();
    let connections: Vec<(TcpStream, TcpStream)> = (0..60)
        .map(|_| (lab.connect_to(address), listener.accept().unwrap().0))
        .collect();
    told(&agent, 10);
    until_true(|| agent.series(UNEXPECTED) == Some(60.0), || agent.log());
    assert_eq!(told(&agent, 10).len(), 10);
    drop(connections);
    // What was not told is summed up.
    agent.wait_for("50 more in 1");
}

/// A program that holds an MPC connection and connects elsewhere: to a stranger, to an address that is allowed, and to
/// itself.
#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn where_an_mpc_program_goes_besides() {
    const SCRIPT: &str = r#"
import socket, sys
party, stranger, allowed, port = sys.argv[1:4] + [int(sys.argv[4])]
own = socket.create_server(("127.0.0.1", port))
def connect(*to):
    return socket.create_connection(to)
early = connect(stranger, port + 5)
mpc = connect(party, port)
print("holds", flush=True)
sys.stdin.readline()
others = [connect(to, port + 5) for to in (stranger, allowed)] + [connect("127.0.0.1", port)]
others[0].sendall(b"x" * 1234)
print(others[0].getsockname()[1], flush=True)
sys.stdin.readline()
"#;
    let lab = Lab::new();
    let (b, stranger, allowed) = (&lab.b.name, "192.0.2.3", lab.v4(4));
    run(&format!("ip -n {b} addr add {allowed}/24 dev eth"));
    run(&format!("ip -n {b} addr add {stranger}/32 dev eth"));
    run(&format!(
        "ip -n {} route add {stranger} dev eth",
        lab.a.name
    ));
    let config = format!(
        "[[parties]]\nid = \"a\"\nendpoints = [\"{}\"]\n{}",
        lab.v4(1),
        config(&lab)
    );
    let agent = Agent::start(&config);
    let listen = |index| {
        lab.b
            .enter(|| TcpListener::bind(("0.0.0.0", lab.port(index))).unwrap())
    };
    // The port is none of the protocol's.
    let (mpc, elsewhere) = (listen(0), listen(5));
    let mut program = Command::new("ip")
        .args(["netns", "exec", &lab.a.name, "python3", "-c", SCRIPT])
        .args([&lab.v4(2).to_string(), stranger, &allowed.to_string()])
        .arg(lab.port(0).to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut says = BufReader::new(program.stdout.take().unwrap()).lines();
    let accepted: Vec<_> = [mpc.accept(), elsewhere.accept()]
        .map(Result::unwrap)
        .into();
    assert_eq!(says.next().unwrap().unwrap(), "holds");
    // Within a round or two the agent knows the program.
    until_true(
        || agent.series("mpc_active_sessions{protocol=\"test\"}") == Some(2.0),
        || agent.log(),
    );
    let mut asks = program.stdin.take().unwrap();
    asks.write_all(b"go\n").unwrap();
    let port: u16 = says.next().unwrap().unwrap().parse().unwrap();
    let event: serde_json::Value = serde_json::from_str(&told(&agent, 1)[0]).unwrap();
    for (field, value) in [
        ("address", serde_json::json!(stranger)),
        ("port", serde_json::json!(lab.port(5))),
        ("local_port", serde_json::json!(port)),
        ("role", serde_json::json!("initiator")),
        ("pid", serde_json::json!(program.id())),
    ] {
        assert_eq!(event[field], value, "{event}");
    }
    let sent = Bytes {
        transmit: 1234,
        receive: 0,
    };
    agent.expect(&[
        ("unknown", "test", sent),
        ("unknown", "other", Bytes::default()),
    ]);
    assert_eq!(
        told(&agent, 1).len(),
        1,
        "the others are no strangers: {}",
        agent.log()
    );
    let series = "mpc_unexpected_connections_total{protocol=\"test\",role=\"initiator\"}";
    assert_eq!(agent.series(series), Some(1.0));
    drop((asks, accepted));
    program.wait().unwrap();
}

/// A process names itself, in whatever bytes: the alarm names it all the same, and shows nothing else in its place.
#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn a_process_cannot_hide_its_name() {
    let lab = Lab::new();
    let agent = Agent::start(&config(&lab));
    let address = format!("{}", lab.v4(2));
    let port = lab.port(0).to_string();
    let script = "import ctypes, socket, sys\n\
        ctypes.CDLL(None).prctl(15, bytes.fromhex('ff1b5b326be280ae'), 0, 0, 0)\n\
        s = socket.create_server((sys.argv[1], int(sys.argv[2])))\n\
        print(flush=True)\n\
        c, _ = s.accept(); sys.stdin.read(1)";
    let mut program = Command::new("ip")
        .args(["netns", "exec", &lab.b.name, "python3", "-c", script])
        .args([&address, &port])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(program.stdout.take().unwrap());
    said.read_line(&mut String::new()).unwrap();
    let a = lab.connect_to((lab.v4(2), lab.port(0)).into());
    let lines = told(&agent, 1);
    let event: serde_json::Value = serde_json::from_str(&lines[0]).unwrap();
    assert_eq!(event["command"], r"\xff\u{1b}[2k\u{202e}", "{event}");
    drop((a, program.stdin.take()));
    program.wait().unwrap();
}
