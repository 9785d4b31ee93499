//! The ledger: what one party's says, and what two say when they are laid side by side. Both ends of every connection are
//! on this machine; each party's ledger is the lines with its address.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::Path,
    process::{Command, Output},
    time::{Duration, SystemTime},
};

use serde_json::Value;

use crate::support::{
    Agent, Lab,
    agent::{Scratch, program},
    lab::run,
    until, until_true,
};

fn config(lab: &Lab, directory: &Path) -> String {
    let directory = directory.display();
    format!("[ledger]\npath = \"{directory}\"\n{}", lab.config())
}

fn partymeter(arguments: &[&str]) -> Output {
    Command::new(program()).args(arguments).output().unwrap()
}

/// Of those that ended after `since` or are open.
fn export(directory: &Path, since: &str) -> Vec<Value> {
    let directory = directory.to_str().unwrap();
    let arguments = [
        "ledger",
        "export",
        "--ledger-path",
        directory,
        "--since",
        since,
        "--all",
    ];
    let Output {
        status,
        stdout,
        stderr,
    } = partymeter(&arguments);
    let stderr = String::from_utf8(stderr).unwrap();
    assert!(status.success() && stderr.is_empty(), "{stderr}");
    let text = String::from_utf8(stdout).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Waits until so many have ended.
fn until_ended(directory: &Path, ended: usize) -> Vec<Value> {
    let found = |all: &[Value]| all.iter().filter(|it| it["end"] != "open").count();
    let all = until(
        || Some(export(directory, "1h")).filter(|all| found(all) >= ended),
        || format!("of {ended}: {:#?}", export(directory, "1h")),
    );
    assert_eq!(found(&all), ended, "{all:#?}");
    all
}

fn exchange((a, b): (&mut TcpStream, &mut TcpStream), there: usize, back: usize) {
    a.write_all(&vec![1; there]).unwrap();
    b.read_exact(&mut vec![0; there]).unwrap();
    b.write_all(&vec![2; back]).unwrap();
    a.read_exact(&mut vec![0; back]).unwrap();
}

/// One party's lines.
fn of(all: &[Value], address: &str) -> Vec<Value> {
    let here = |it: &&Value| it["local"].as_str().unwrap().starts_with(address);
    all.iter().filter(here).cloned().collect()
}

fn written(name: &str, entries: &[Value]) -> Scratch {
    let lines = entries.iter().map(|entry| format!("{entry}\n"));
    Scratch::with(name, &lines.collect::<String>())
}

/// What is printed, and the exit code.
fn compare(a: &Scratch, b: &Scratch) -> (String, Option<i32>) {
    let files = [&a.0, &b.0].map(|path| path.to_str().unwrap());
    let output = partymeter(&["ledger", "compare", files[0], files[1]]);
    let text = [output.stdout, output.stderr].concat();
    (String::from_utf8(text).unwrap(), output.status.code())
}

#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn both_parties_say_the_same_and_what_is_missing_is_found() {
    let lab = Lab::new();
    let directory = Scratch::new("ledger");
    let (mut older_a, mut older_b) = lab.connection();
    exchange((&mut older_a, &mut older_b), 500, 600);
    let agent = Agent::start(&config(&lab, &directory.0));
    for (there, back) in [(10_000, 1), (20_000, 2)] {
        let (mut a, mut b) = lab.connection();
        exchange((&mut a, &mut b), there, back);
    }
    let (mut open_a, mut open_b) = lab.connection();
    exchange((&mut open_a, &mut open_b), 70, 80);
    exchange((&mut older_a, &mut older_b), 5, 6);
    drop((older_a, older_b));

    // Each has two ends here.
    until_ended(&directory.0, 6);
    // What is open shows what was settled last.
    let settled = |it: &Value| it["end"] == "open" && it["receive"] == 80;
    let all = until(
        || Some(export(&directory.0, "1h")).filter(|all| all.iter().any(settled)),
        || format!("{:#?}", export(&directory.0, "1h")),
    );
    assert_eq!(all.len(), 8, "{all:#?}");
    let (address_a, address_b) = (lab.v4(1).to_string() + ":", lab.v4(2).to_string() + ":");
    let (at_a, at_b) = (of(&all, &address_a), of(&all, &address_b));
    let of_a: Vec<_> = at_a
        .iter()
        .map(|it| {
            let text = |name: &str| it[name].as_str().unwrap();
            assert_eq!(
                (text("peer"), text("protocol"), text("role")),
                ("b", "test", "initiator")
            );
            assert!(text("began") < text("ended"), "{it}");
            let number = |name: &str| it[name].as_u64().unwrap();
            let end = it["end"].as_str().unwrap();
            let adopted = it["adopted"] == true;
            (number("transmit"), number("receive"), end, adopted)
        })
        .collect();
    let expected = [
        (10_000, 1, "fin", false),
        (20_000, 2, "fin", false),
        (5, 6, "fin", true),
        (70, 80, "open", false),
    ];
    assert_eq!(of_a, expected);
    assert_eq!(
        of(&export(&directory.0, "0s"), &address_a).len(),
        1,
        "one is open"
    );

    let (a, b) = (written("a.jsonl", &at_a), written("b.jsonl", &at_b));
    let (text, code) = compare(&a, &b);
    assert_eq!(code, Some(0), "{text}");
    for line in [
        "2 connections, sent 30000 bytes, received 30000\n",
        "2 connections, sent 3 bytes, received 3\n",
        "not compared: 1 connections still open",
        "not compared: 1 connections older than an agent",
    ] {
        assert!(text.contains(line), "{line:?} not in {text}");
    }

    let mut less = at_b.clone();
    less[1]["receive"] = Value::from(19_995);
    let (text, code) = compare(&a, &written("less.jsonl", &less));
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("received 29995, NOT RECEIVED 5\n"), "{text}");
    less.remove(0);
    let (text, code) = compare(&a, &written("fewer.jsonl", &less));
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("ONLY IN THE LEDGER OF"), "{text}");

    let ledger = fs::read_dir(&directory.0).unwrap();
    for file in ledger.map(|it| it.unwrap()) {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = file.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file:?}");
    }
    drop((open_a, open_b));
    let (status, log) = agent.stop();
    assert!(status.success(), "{log}");
    let gone = partymeter(&[
        "ledger",
        "export",
        "--ledger-path",
        directory.0.to_str().unwrap(),
    ]);
    let said = String::from_utf8(gone.stderr).unwrap();
    assert!(
        gone.status.success() && said.contains("no agent writes to"),
        "{said}"
    );
    fs::remove_dir_all(&directory.0).unwrap();
}

#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn every_one_of_many_is_written_down() {
    const CONNECTIONS: u32 = 3000;
    let lab = Lab::new();
    let directory = Scratch::new("ledger");
    let agent = Agent::start(&config(&lab, &directory.0));
    let listener = lab.listen(0);
    let address = listener.local_addr().unwrap();
    for number in 0..CONNECTIONS {
        let mut a = lab.connect_to(address);
        let (mut b, _) = listener.accept().unwrap();
        exchange((&mut a, &mut b), number as usize % 50 + 1, 1);
    }
    let all = until_ended(&directory.0, 2 * CONNECTIONS as usize);
    let sum = |name: &str| -> u64 { all.iter().map(|it| it[name].as_u64().unwrap()).sum() };
    let moved = (0..u64::from(CONNECTIONS))
        .map(|number| number % 50 + 2)
        .sum();
    assert_eq!((sum("transmit"), sum("receive")), (moved, moved));
    let written = agent.series("partymeter_ledger_records_total");
    assert_eq!(written, Some(2.0 * f64::from(CONNECTIONS)));
    drop(agent);
    fs::remove_dir_all(&directory.0).unwrap();
}

#[test]
fn what_cannot_be_is_told_in_one_line() {
    let told = |arguments: &[&str], code: i32, text: &str| {
        let output = partymeter(arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(
            said.contains(text) && (code == 64 || said.lines().count() == 1),
            "{said}"
        );
    };
    told(&["ledger", "export"], 1, "set ledger.path to the directory");
    told(
        &[
            "run",
            "--ledger-path",
            "/proc/ledger",
            "--prometheus-listen",
            "127.0.0.1:0",
        ],
        1,
        "ledger.path: cannot write to /proc/ledger",
    );
    // Nor where others could put files, or another directory in its place.
    let place = Scratch::new("ledger");
    fs::create_dir(&place.0).unwrap();
    fs::set_permissions(&place.0, fs::Permissions::from_mode(0o777)).unwrap();
    let link = Scratch::new("link");
    symlink(&place.0, &link.0).unwrap();
    for (directory, why) in [
        (place.0.clone(), "others can write to"),
        (place.0.join("inner"), "others can write to"),
        (link.0.clone(), "is a symbolic link"),
    ] {
        let directory = directory.to_str().unwrap();
        let run = [
            "run",
            "--ledger-path",
            directory,
            "--prometheus-listen",
            "127.0.0.1:0",
        ];
        told(&run, 1, why);
    }
    assert_eq!(fs::read_dir(&place.0).unwrap().count(), 0);
    let wrong = Scratch::with("wrong.jsonl", "{}\n");
    let wrong = wrong.0.to_str().unwrap();
    told(
        &["ledger", "compare", wrong, wrong],
        2,
        "wrong.jsonl:1: not a connection",
    );
    told(
        &["ledger", "export", "--since", "then"],
        64,
        "give an age such as 2h",
    );
}

/// In a time namespace the agent's own clocks say something else than the kernel's, by any amount.
#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn a_time_namespace_changes_no_time() {
    let lab = Lab::new();
    let directory = Scratch::new("ledger");
    let day = [
        "unshare",
        "-T",
        "--monotonic",
        "86400",
        "--boottime",
        "86400",
    ];
    let wrapper = [&day[..], &["--fork", "--kill-child"]].concat();
    let before = SystemTime::now();
    let agent = Agent::launch(&config(&lab, &directory.0), &wrapper);
    let (mut a, mut b) = lab.connection();
    exchange((&mut a, &mut b), 100, 0);
    // This is what B keeps A waiting, which is looked at below.
    std::thread::sleep(Duration::from_secs(1));
    exchange((&mut a, &mut b), 0, 10);
    drop((a, b));
    for line in until_ended(&directory.0, 2) {
        for time in ["began", "ended"] {
            let time = humantime::parse_rfc3339(line[time].as_str().unwrap()).unwrap();
            let around =
                before - Duration::from_secs(1)..SystemTime::now() + Duration::from_secs(1);
            assert!(around.contains(&time), "{line}");
        }
    }
    let waited = agent.series("mpc_waiting_seconds_total{party_id=\"b\",protocol=\"test\"}");
    assert!(
        waited.is_some_and(|it| (0.9..60.0).contains(&it)),
        "{waited:?}"
    );
}

/// A file system that is full loses what does not fit, says so, and is written to again once it has room.
#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn a_full_disk_is_told_and_ends_without_a_restart() {
    let lab = Lab::new();
    let disk = Scratch::new("disk");
    fs::create_dir(&disk.0).unwrap();
    let shown = disk.0.display();
    run(&format!(
        "mount -t tmpfs -o size=64k,mode=755 tmpfs {shown}"
    ));
    let _unmount = Unmount(&disk.0);
    let agent = Agent::start(&config(&lab, &disk.0.join("ledger")));
    let listener = lab.listen(0);
    let address = listener.local_addr().unwrap();
    let burst = |connections: u32| {
        for _ in 0..connections {
            let mut a = lab.connect_to(address);
            let mut b = listener.accept().unwrap().0;
            exchange((&mut a, &mut b), 1, 1);
        }
    };
    // Some 300 bytes each, and both ends are here: more than fit, and more than are held until they do.
    burst(2000);
    let up = |agent: &Agent| agent.series("partymeter_ledger_up");
    until_true(|| up(&agent) == Some(0.0), || agent.get("/metrics"));
    assert!(
        agent.get("/-/ready").contains("ledger: limited: "),
        "{}",
        agent.get("/-/ready")
    );
    run(&format!("mount -o remount,size=16m {shown}"));
    until_true(|| up(&agent) == Some(1.0), || agent.get("/metrics"));
    burst(10);
    let counted = |agent: &Agent| {
        let of = |name: &str| agent.series(name).unwrap();
        let dropped = ["overflow", "write"].map(|reason| {
            of(&format!(
                "partymeter_ledger_dropped_total{{reason=\"{reason}\"}}"
            ))
        });
        (
            of("partymeter_ledger_records_total"),
            dropped.iter().sum::<f64>(),
        )
    };
    // Every one of both ends is written or lost, and none is both.
    until_true(
        || {
            let (written, lost) = counted(&agent);
            written + lost > 4019.5
        },
        || format!("{:?}", counted(&agent)),
    );
    let (written, lost) = counted(&agent);
    assert!((written + lost - 4020.0).abs() < 0.5 && lost > 0.0);
    #[expect(clippy::cast_precision_loss, reason = "there are not that many")]
    let exported = export(&disk.0.join("ledger"), "1h").len() as f64;
    assert!((exported - written).abs() < 0.5, "{exported} of {written}");
    let log = agent.log();
    let lines = |text: &str| log.lines().filter(|line| line.contains(text)).count();
    assert_eq!(lines("cannot write connections"), 1, "{log}");
    drop(agent);
}

struct Unmount<'p>(&'p Path);

impl Drop for Unmount<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}
