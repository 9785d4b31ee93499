//! `partymeter check` says what `partymeter run` then does: a table of broken setups, each of which goes through both.
//!
//! `start` has those with which the agent does not start, `goes_without` those with which it starts and says what it
//! goes without, or has a source that is down.

mod goes_without;
mod start;

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use crate::support::{
    Agent,
    agent::{Scratch, free_port, program},
    lab::run,
    until_true,
};

const GPU_OFF: &str = "[gpu]\nenabled = false\n";
const NETWORK_OFF: &str = "[network]\nenabled = false\n";

/// What the agent makes of a setup.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Outcome {
    /// It does not start, with that exit code and the line that `check` has.
    Refuses(i32),
    /// It starts, and its log has the line.
    Warns,
    /// It starts, and `/-/ready` has the line.
    Ready,
}

/// A setup that is not as it should be.
struct Fault<'a> {
    name: &'a str,
    /// The configuration; the support adds a page, no pins and no administration where it has none.
    config: String,
    /// What the agent is started by.
    wrapper: &'a [&'a str],
    /// What the lines begin with in `check`.
    what: &'a str,
    /// A part of the line.
    said: String,
    outcome: Outcome,
}

/// Runs `check` and `run`, and compares.
#[track_caller]
fn agree(place: &Path, fault: &Fault<'_>) {
    let Fault {
        name,
        wrapper,
        what,
        said,
        outcome,
        ..
    } = fault;
    let before = contents(place);
    let file = Scratch::with("config.toml", &whole(&fault.config));
    let output = partymeter("check", wrapper, &file.0, &fault.config);
    let told = text(&output.stdout);
    assert_eq!(
        contents(place),
        before,
        "{name}: a check leaves nothing: {told}"
    );
    let mut lines = told.lines().filter(|line| line.starts_with(what));
    let line = lines.find(|line| line.contains(said.as_str()));
    let Some(line) = line else {
        panic!(
            "{name}: no {said:?} of {what}:\n{told}{}",
            text(&output.stderr)
        )
    };
    let (word, line) = line[what.len()..].trim_start().split_once(' ').unwrap();
    let line = line.trim_start();
    assert_eq!(line.matches("; help: ").count(), 1, "{name}: {line}");
    let down = told
        .lines()
        .filter(|line| line.contains("  DOWN  "))
        .count();
    if *outcome == Outcome::Warns {
        assert_eq!((word, down), ("PART", 0), "{name}: {told}");
    }
    let code = output.status.code();
    assert_eq!(code, Some(i32::from(down > 0)), "{name}: {told}");
    match outcome {
        Outcome::Refuses(code) => {
            assert_eq!(word, "DOWN", "{name}: {line}");
            let output = partymeter("run", wrapper, &file.0, &fault.config);
            assert_eq!(output.status.code(), Some(*code), "{name}: {output:?}");
            let told = text(&output.stderr);
            let mut lines = told.lines().filter(|line| line.starts_with("partymeter: "));
            let right = format!("partymeter: {line}");
            assert!(
                lines.any(|it| it == right),
                "{name}: no {right:?} in:\n{told}"
            );
        }
        Outcome::Warns => {
            let file = Scratch::new("config.toml");
            let agent = Agent::spawn(file, &fault.config, wrapper);
            agent.wait_for(line);
            agent.wait_for("metrics at http://");
        }
        Outcome::Ready => {
            let agent = Agent::launch(&fault.config, wrapper);
            until_true(
                || agent.get("/-/ready").contains(line),
                || format!("{name}: no {line:?} in {}", agent.get("/-/ready")),
            );
        }
    }
}

/// As `Agent` does, without its page.
fn whole(config: &str) -> String {
    if config.contains("[prometheus]") {
        config.to_owned()
    } else {
        let port = free_port();
        format!("{config}[prometheus]\nlisten = \"127.0.0.1:{port}\"\n")
    }
}

fn partymeter(verb: &str, wrapper: &[&str], file: &Path, config: &str) -> Output {
    let mut command = Command::new("timeout");
    // Should `run` not be refused, it would run.
    command.arg("60").args(wrapper).arg(program());
    command.args([verb, "--config"]).arg(file);
    if !config.contains("bpf_pin_path =") {
        command.args(["--network-bpf-pin-path", ""]);
    }
    if !config.contains("[admin]") {
        command.args(["--admin-socket", ""]);
    }
    command.stdin(Stdio::null()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Everything below a directory: its name, what it is, and whose.
fn contents(directory: &Path) -> Vec<(PathBuf, u32, u32, u64)> {
    let mut found = vec![];
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let data = fs::symlink_metadata(&path).unwrap();
        // A directory's size says how many there are, and a socket's or a pin's nothing.
        found.push((path.clone(), data.mode(), data.gid(), data.ino()));
        if data.is_dir() {
            found.extend(contents(&path));
        }
    }
    found.sort();
    found
}

/// A directory with a mode, in one that everybody may read.
fn directory(mode: u32) -> Scratch {
    let place = Scratch::new("place");
    fs::create_dir(&place.0).unwrap();
    set_mode(&place.0, mode);
    place
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// A file system; gone when dropped.
struct Mount(Scratch);

impl Mount {
    fn new(kind: &str, options: &str) -> Self {
        let place = directory(0o755);
        let shown = place.0.display().to_string();
        let options = format!("mode=0755{options}");
        run(&format!("mount -t {kind} -o {options} {kind} {shown}"));
        Self(place)
    }

    fn path(&self) -> &Path {
        &self.0.0
    }

    fn remount(&self, options: &str) {
        run(&format!(
            "mount -o remount,{options} {}",
            self.path().display()
        ));
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        run(&format!("umount {}", self.path().display()));
    }
}

/// Nothing is wrong: `check` says so, `run` runs, and neither minds the other's looking.
#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn where_all_is_well_both_say_so() {
    let place = directory(0o755);
    let bpf = Mount::new("bpf", "");
    let config = format!(
        "{GPU_OFF}[ledger]\npath = \"{}\"\n[network]\nbpf_pin_path = \"{}\"\n[admin]\nsocket = \"{}\"\n",
        place.0.join("ledger").display(),
        bpf.path().join("counters").display(),
        place.0.join("run/socket").display()
    );
    let file = Scratch::with("config.toml", &whole(&config));
    // The kernel's own.
    let empty = contents(bpf.path());
    let output = partymeter("check", &[], &file.0, &config);
    let told = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert!(!told.contains("DOWN"), "{told}");
    assert_eq!(contents(&place.0), []);
    assert_eq!(contents(bpf.path()), empty);
    let agent = Agent::start(&config);
    // Beside it, what it has is taken, and it does not notice. Links come and go with its own needs.
    let maps = || {
        let mut all = contents(bpf.path());
        all.retain(|(path, ..)| !path.to_string_lossy().contains("/link-"));
        all
    };
    let before = maps();
    let output = partymeter("check", &[], &file.0, &config);
    let told = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{told}");
    for what in ["administration", "counters", "ledger"] {
        let mut lines = told.lines().filter(|line| line.starts_with(what));
        assert!(
            lines.any(|line| line.contains("  DOWN  ") && line.contains("; help: ")),
            "{told}"
        );
    }
    assert_eq!(maps(), before);
    let (status, log) = agent.stop();
    assert!(status.success(), "{log}");
    assert!(!log.contains("WARN"), "{log}");
    let kept = contents(bpf.path());
    assert_eq!(
        partymeter("check", &[], &file.0, &config).status.code(),
        Some(0)
    );
    assert_eq!(contents(bpf.path()), kept);
}
