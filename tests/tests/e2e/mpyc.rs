//! A real program of secure computation: MPyC, with three parties in three namespaces. It prints the bytes that it
//! has sent.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use crate::support::{Agent, lab::run, needs_root};

/// Three hosts on a switch; gone when dropped.
struct Hosts {
    prefix: String,
}

impl Hosts {
    fn new() -> Self {
        let hosts = Self {
            prefix: format!("pm{}m", std::process::id()),
        };
        let switch = hosts.name(9);
        run(&format!("ip netns add {switch}"));
        run(&format!("ip -n {switch} link add switch type bridge"));
        run(&format!("ip -n {switch} link set switch up"));
        for party in 0..3 {
            let name = hosts.name(party);
            run(&format!("ip netns add {name}"));
            run(&format!("ip -n {name} link set lo up"));
            run(&format!(
                "ip link add eth netns {name} type veth peer name p{party} netns {switch}"
            ));
            run(&format!(
                "ip -n {switch} link set p{party} master switch up"
            ));
            run(&format!(
                "ip -n {name} addr add {}/24 dev eth",
                Self::address(party)
            ));
            run(&format!("ip -n {name} link set eth up"));
        }
        hosts
    }

    fn name(&self, party: u8) -> String {
        format!("{}{party}", self.prefix)
    }

    fn address(party: u8) -> String {
        format!("10.72.0.{}", party + 1)
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        for party in [0, 1, 2, 9] {
            let _ = Command::new("ip")
                .args(["netns", "del", &self.name(party)])
                .status();
        }
    }
}

/// A Python that has MPyC; `None`, with the reason, where there is none.
fn python() -> Option<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = here.join("../target/python/bin/python");
    let has = Command::new(&python)
        .args(["-c", "import mpyc"])
        .status()
        .is_ok_and(|status| status.success());
    assert!(
        has || std::env::var_os("CI").is_none(),
        "{} has no MPyC",
        python.display()
    );
    if !has {
        eprintln!(
            "skipped: {} has no MPyC; cargo xtask setup installs it",
            python.display()
        );
    }
    has.then_some(python)
}

#[test]
fn three_parties_count_what_they_print() {
    needs_root!();
    let Some(python) = python() else { return };
    let hosts = Hosts::new();
    let port = 11_000;
    let parties: Vec<String> = (0..3)
        .map(|party| {
            format!(
                "[[parties]]\nid = \"{party}\"\nendpoints = [\"{}\"]\n",
                Hosts::address(party)
            )
        })
        .collect();
    let agent = Agent::start(&format!(
        "{}[[protocols]]\nname = \"mpyc\"\nports = [\"{port}-{}\"]\n",
        parties.concat(),
        port + 2
    ));

    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/scalar_product.py");
    let addresses: Vec<String> = (0..3)
        .flat_map(|party| {
            [
                "-P".to_owned(),
                format!("{}:{}", Hosts::address(party), port + u16::from(party)),
            ]
        })
        .collect();
    let children: Vec<Child> = (0..3)
        .map(|party| {
            Command::new("ip")
                .args(["netns", "exec", &hosts.name(party)])
                .arg(&python)
                .arg(&program)
                .args(&addresses)
                .args(["-I", &party.to_string()])
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    let outputs: Vec<String> = children
        .into_iter()
        .map(|child| {
            let output = child.wait_with_output().unwrap();
            let text = String::from_utf8_lossy(&output.stdout).into_owned()
                + &String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{text}");
            text
        })
        .collect();
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
