//! A real program of secure computation: MPyC, with three parties in three namespaces. It prints the bytes that it
//! has sent, and its rounds can be counted from the program.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use crate::{
    rhythm::{expect, of},
    support::{Agent, Hosts, needs_root, receiver::python},
};

fn program(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

/// Runs a program with its arguments to its end on three hosts, as the parties that they know each other by; gives
/// what each has printed. `address` is that of a party (the last) as another knows it.
fn play(
    hosts: &Hosts,
    python: &Path,
    program: &[&str],
    address: impl Fn(u8, u8) -> std::net::IpAddr,
) -> Vec<String> {
    let one = |own: u8| -> Child {
        let parties = (0..3).flat_map(|party| {
            let port = hosts.port(party.into());
            ["-P".to_owned(), format!("{}:{port}", address(own, party))]
        });
        Command::new("ip")
            .args(["netns", "exec", &hosts.host(own).name])
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

#[test]
fn three_parties_count_what_they_print() {
    needs_root!();
    let Some(python) = python("mpyc") else { return };
    let hosts = Hosts::new(3);
    let parties: String = (0..3)
        .map(|party| Hosts::party(party, hosts.address(party)))
        .collect();
    let agent = Agent::start(&format!(
        "{parties}[[protocols]]\nname = \"mpyc\"\nports = [\"{}-{}\"]\n",
        hosts.port(0),
        hosts.port(2)
    ));
    let program = program("scalar_product.py");
    let outputs = play(&hosts, &python, &[program.to_str().unwrap()], |_, party| {
        hosts.address(party)
    });
    let sent: Vec<u64> = outputs
        .iter()
        .map(|text| {
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
        })
        .collect();

    // Each end of each connection is counted here, so what a party has sent is what the two others received
    // from it; and what all have sent is what was transmitted to all.
    let settled = || {
        let pages: Vec<_> = ["0", "1", "2"]
            .iter()
            .map(|party| agent.bytes(party, "mpyc"))
            .collect();
        let received: Vec<u64> = pages.iter().map(|page| page.receive).collect();
        (
            received,
            pages.iter().map(|page| page.transmit).sum::<u64>(),
        )
    };
    let wanted = (sent.clone(), sent.iter().sum());
    for _ in 0..50 {
        if settled() == wanted {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    assert_eq!(settled(), wanted, "MPyC says: {outputs:#?}");
}

/// Party 0 takes its time before each of its messages. What the hosts 1 and 2 see, each by itself: to 2, party 1 is
/// where it comes from, and 1 calls 2 by another address than 0 does; 1 listens on another port than 2.
#[test]
fn the_slow_party_is_found() {
    const PRODUCTS: u32 = 10;
    const PAUSE: Duration = Duration::from_millis(100);
    needs_root!();
    let Some(python) = python("mpyc") else { return };
    let hosts = Hosts::new(3);
    let protocol = |host: u8| {
        let port = hosts.port(host.into());
        format!("[[protocols]]\nname = \"at-{host}\"\nports = [{port}]\n")
    };
    let agent = Agent::start(&format!(
        "{}{}{}{}{}",
        Hosts::party(0, hosts.address(0)),
        Hosts::party(1, hosts.aside(1)),
        Hosts::party(2, hosts.aside(2)),
        protocol(1),
        protocol(2)
    ));
    let line = [
        program("straggler.py").display().to_string(),
        PRODUCTS.to_string(),
        PAUSE.as_secs_f64().to_string(),
    ];
    play(
        &hosts,
        &python,
        &line.each_ref().map(String::as_str),
        |own, party| {
            if own == 0 {
                hosts.address(party)
            } else {
                hosts.aside(party)
            }
        },
    );
    // One round for the input, one for each product, and one for the end: the output goes round in a circle, so that
    // no two parties both send and receive.
    let rounds = PRODUCTS + 2;
    let least = PAUSE.as_secs_f64() * f64::from(rounds);
    for (protocol, other) in [("at-1", "2"), ("at-2", "1")] {
        expect(&agent, f64::from(rounds), |it| {
            of(it, "mpc_rounds_total", "0", protocol)
        });
        let waited = |party, line| of(&agent, "mpc_waiting_seconds_total", party, line).unwrap();
        let slow = waited("0", protocol);
        assert!(slow >= least, "{slow} s");
        // Not by how much: the two quick ones' messages cross now and then, and then each waits for the other's next.
        let quick = waited(other, "at-2");
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
