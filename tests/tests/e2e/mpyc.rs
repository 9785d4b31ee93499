//! A real program of secure computation: MPyC, with three parties in three namespaces. It prints the bytes that it
//! has sent, and its rounds can be counted from the program.

use std::{
    fmt::Debug,
    net::{Ipv4Addr, SocketAddr},
    ops::Range,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use crate::{
    messages::{expect, of},
    support::{Agent, Hosts, lab::Namespace, receiver::python, until_true},
};

/// A protocol on the ports of some parties.
fn protocol(name: &str, hosts: &Hosts, parties: Range<u16>) -> String {
    let ports: Vec<u16> = parties.map(|party| hosts.port(party)).collect();
    format!("[[protocols]]\nname = \"{name}\"\nports = {ports:?}\n")
}

fn program(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

/// Runs a program with its arguments to its end as three parties, each on its host; gives what each has printed.
/// `address` is that of a party (the last) as another knows it.
fn play<'h>(
    python: &Path,
    program: &[&str],
    host: impl Fn(u8) -> &'h Namespace,
    address: impl Fn(u8, u8) -> SocketAddr,
) -> Vec<String> {
    let one = |own: u8| -> Child {
        let parties = (0..3).flat_map(|party| ["-P".to_owned(), address(own, party).to_string()]);
        Command::new("ip")
            .args(["netns", "exec", &host(own).name])
            .arg(python)
            .args(program)
            .args(parties)
            .args(["-I", &own.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let children: Vec<Child> = (0..3).map(one).collect();
    let printed = children.into_iter().map(|child| {
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{text}");
        text
    });
    printed.collect()
}

/// Bytes that each party of `scalar_product.py` has sent, greetings and all.
fn sent(outputs: &[String]) -> Vec<u64> {
    let one = |text: &String| {
        let (printed, end) = (
            number(text, "bytes sent:"),
            number(text, "bytes in the end:"),
        );
        // Goodbye is one short message to each of the two others.
        assert!(
            printed > 100_000 && (printed..printed + 100).contains(&end),
            "{text}"
        );
        end + number(text, "bytes of greetings:")
    };
    outputs.iter().map(one).collect()
}

/// Waits until the page says so.
fn agree<T: PartialEq + Debug>(wanted: &T, outputs: &[String], settled: impl Fn() -> T) {
    until_true(
        || settled() == *wanted,
        || format!("{:?} is not {wanted:?}; MPyC says: {outputs:#?}", settled()),
    );
}

#[test]
#[ignore = "needs root, Python: `cargo xtask test` runs it"]
fn three_parties_count_what_they_print() {
    let python = python("mpyc");
    let hosts = Hosts::new(3);
    let at = |party: u8| SocketAddr::from((hosts.address(party), hosts.port(party.into())));
    let parties: String = (0..3)
        .map(|party| Hosts::party(party, hosts.address(party)))
        .collect();
    let agent = Agent::start(&(parties + &protocol("mpyc", &hosts, 0..3)));
    let program = program("scalar_product.py");
    let program = [program.to_str().unwrap()];
    let outputs = play(
        &python,
        &program,
        |own| hosts.host(own),
        |_, party| at(party),
    );
    let sent = sent(&outputs);
    // Each end of each connection is counted here, so what a party has sent is what the two others received
    // from it; and what all have sent is what was transmitted to all.
    agree(&(sent.clone(), sent.iter().sum()), &outputs, || {
        let pages = ["0", "1", "2"].map(|party| agent.bytes(party, "mpyc"));
        let received: Vec<u64> = pages.iter().map(|page| page.receive).collect();
        let transmitted: u64 = pages.iter().map(|page| page.transmit).sum();
        (received, transmitted)
    });
}

/// As its developers run it. Party 0 only opens connections and listens nowhere, 2 only accepts them.
#[test]
#[ignore = "needs root, Python: `cargo xtask test` runs it"]
fn three_parties_on_one_host_count_what_they_print() {
    let python = python("mpyc");
    let hosts = Hosts::new(1);
    let at = |party: u8| SocketAddr::from((Ipv4Addr::LOCALHOST, hosts.port(party.into())));
    let parties: String = (0..3).map(|party| Hosts::party(party, at(party))).collect();
    let agent = Agent::start(&(parties + &protocol("mpyc", &hosts, 0..3)));
    let program = program("scalar_product.py");
    let program = [program.to_str().unwrap()];
    let outputs = play(&python, &program, |_| hosts.host(0), |_, party| at(party));
    let sent = sent(&outputs);
    // Both ends of 1's connection to 2 are known, for both listen. Of what 0 has opened, the ends that accepted it are
    // of one of the parties here.
    let [by_0, by_1, by_2] = sent[..] else {
        panic!("{sent:?}")
    };
    let all = by_0 + by_1 + by_2;
    agree(&(0, by_1, by_2, by_0, all), &outputs, || {
        let pages = ["0", "1", "2", "other"].map(|party| agent.bytes(party, "mpyc"));
        let transmitted = pages.iter().map(|page| page.transmit).sum();
        let [zero, one, two, other] = pages;
        let zero = zero.transmit + zero.receive;
        (zero, one.receive, two.receive, other.receive, transmitted)
    });
}

/// Party 0 takes its time before each of its messages. What the hosts 1 and 2 see, each by itself: to 2, party 1 is
/// where it comes from, and 1 calls 2 by another address than 0 does; 1 listens on another port than 2.
#[test]
#[ignore = "needs root, Python: `cargo xtask test` runs it"]
fn the_slow_party_is_found() {
    const PRODUCTS: u32 = 10;
    const PAUSE: Duration = Duration::from_millis(100);
    let python = python("mpyc");
    let hosts = Hosts::new(3);
    let agent = Agent::start(&format!(
        "{}{}{}{}{}",
        Hosts::party(0, hosts.address(0)),
        Hosts::party(1, hosts.aside(1)),
        Hosts::party(2, hosts.aside(2)),
        protocol("at-1", &hosts, 1..2),
        protocol("at-2", &hosts, 2..3)
    ));
    let line = [
        program("straggler.py").display().to_string(),
        PRODUCTS.to_string(),
        PAUSE.as_secs_f64().to_string(),
    ];
    let program = line.each_ref().map(String::as_str);
    play(
        &python,
        &program,
        |own| hosts.host(own),
        |own, party| {
            let address = match own {
                0 => hosts.address(party),
                _ => hosts.aside(party),
            };
            (address, hosts.port(party.into())).into()
        },
    );
    // One round for the input, one for each product, and one for the end: the output goes round in a circle, so that
    // no two parties both send and receive.
    let rounds = PRODUCTS + 2;
    let least = PAUSE.as_secs_f64() * f64::from(rounds);
    let waited = |party, line| of(&agent, "mpc_waiting_seconds_total", party, line).unwrap();
    for protocol in ["at-1", "at-2"] {
        expect(&agent, f64::from(rounds), |it| {
            of(it, "mpc_rounds_total", "0", protocol)
        });
        let slow = waited("0", protocol);
        assert!(slow >= least, "{slow} s");
    }
    // Of both hosts together: the messages of the quick two may cross, and then one of them waits for the other's next,
    // as long as for the slow one; but in a round only one of them can.
    let slow = waited("0", "at-1") + waited("0", "at-2");
    for quick in [waited("2", "at-2"), waited("1", "at-2")] {
        assert!(quick < slow, "{quick} s, not less than {slow} s");
    }
}

/// Of the line that MPyC ends with, `Stop MPyC -- elapsed time: 0:00:01.234|bytes sent: 5678`, or the program's own.
fn number(text: &str, name: &str) -> u64 {
    let (_, after) = text
        .rsplit_once(name)
        .unwrap_or_else(|| panic!("no {name:?} in: {text}"));
    let digits: String = after
        .trim_start()
        .chars()
        .take_while(char::is_ascii_digit)
        .collect();
    digits.parse().unwrap()
}
