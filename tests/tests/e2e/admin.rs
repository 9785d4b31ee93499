//! Administration: who may change the running agent, how they do it, and what everybody else sees.

use std::{
    fs,
    io::{Read as _, Write as _},
    os::unix::{
        fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, symlink},
        net::UnixStream,
    },
    path::Path,
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use crate::support::{
    Agent,
    agent::{Scratch, free_port, program},
};

const OFF: &str = "[network]\nenabled = false\n[gpu]\nenabled = false\n";

/// A user that is nobody, in these groups.
fn nobody(groups: &str) -> Vec<String> {
    let groups = if groups.is_empty() {
        "--clear-groups".to_owned()
    } else {
        format!("--groups={groups}")
    };
    ["setpriv", "--reuid=65534", "--regid=65534", &groups]
        .map(str::to_owned)
        .to_vec()
}

fn partymeter(wrapper: &[String], arguments: &[&str]) -> Output {
    let program = program();
    let line: Vec<&std::ffi::OsStr> = wrapper
        .iter()
        .map(std::ffi::OsStr::new)
        .chain([program.as_os_str()])
        .collect();
    Command::new(line[0])
        .args(&line[1..])
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn told(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end().to_owned()
}

/// The line of a verb that does not succeed.
fn refused(output: &Output, code: i32) -> String {
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    let line = told(&output.stderr);
    assert_eq!(line.lines().count(), 1, "{line}");
    line.strip_prefix("partymeter: ").unwrap().to_owned()
}

/// The level of the log is read and changed over the socket, by root, and each change is told; no level hides that.
#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn the_level_is_roots_to_change() {
    let agent = Agent::launch(OFF, &[]);
    let level = |arguments: &[&str]| {
        let output = agent.administer(&[&["log-level"], arguments].concat());
        assert!(output.status.success(), "{output:?}");
        told(&output.stdout)
    };
    assert_eq!(level(&[]), "info");
    assert_eq!(level(&["off"]), "off");
    assert_eq!(level(&["debug"]), "debug");
    assert_eq!(level(&["error"]), "error");
    assert_eq!(level(&[]), "error");
    let log = agent.log();
    let changes: Vec<&str> = log
        .lines()
        .filter_map(|line| line.split_once("INFO log.level changes "))
        .map(|(_, change)| change)
        .collect();
    assert_eq!(changes.len(), 3, "{log}");
    for (change, start) in changes.iter().zip([
        "from info to off",
        "from off to debug",
        "from debug to error",
    ]) {
        assert!(
            change.starts_with(&format!("{start}: requested by user 0, process ")),
            "{change}"
        );
    }
    // So is the end of an agent whose level hides all else.
    let wrong = agent.administer(&["log-level", "loud"]);
    assert_eq!(wrong.status.code(), Some(64));
    assert!(
        told(&wrong.stderr).contains("possible values: off, error, warn"),
        "{wrong:?}"
    );
    let gpus = refused(&agent.administer(&["gpu", "release"]), 1);
    assert_eq!(gpus, "the agent reads no GPUs: gpu.enabled is false");
}

/// What the metrics page has changes nothing, whoever asks.
#[test]
fn the_page_is_read_only() {
    let agent = Agent::launch(OFF, &[]);
    for path in ["/-/log-level", "/-/gpu/release"] {
        assert!(agent.get(path).starts_with("HTTP/1.1 404 "), "{path}");
        assert!(agent.post(path, "").starts_with("HTTP/1.1 404 "), "{path}");
    }
    for path in ["/", "/metrics", "/-/healthy", "/-/ready"] {
        let answer = agent.post(path, "");
        assert!(
            answer.starts_with("HTTP/1.1 405 ") && answer.contains("only GET and HEAD"),
            "{answer}"
        );
    }
    assert!(!agent.log().contains("log.level"), "{}", agent.log());
}

#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn nobody_else_may_open_the_socket() {
    let agent = Agent::launch(OFF, &[]);
    let socket = agent.admin_socket();
    let data = fs::symlink_metadata(&socket).unwrap();
    assert!(data.file_type().is_socket());
    assert_eq!((data.mode() & 0o777, data.uid()), (0o600, 0));
    let shown = socket.to_str().unwrap();
    let verb = ["log-level", "off", "--admin-socket", shown];
    let line = refused(&partymeter(&nobody(""), &verb), 1);
    assert_eq!(
        line,
        format!("no permission to open {shown}: only root may; for others set admin.group")
    );
    // Even where its permissions are changed by mistake, and that is told.
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o666)).unwrap();
    let line = refused(&partymeter(&nobody(""), &verb), 1);
    assert_eq!(
        line,
        "only root and the group of admin.group may administer the agent"
    );
    agent.wait_for("WARN a user who may not administer the agent has opened its socket");
    agent.wait_for("uid=65534");
    assert!(!agent.log().contains("log.level"), "{}", agent.log());
}

#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn a_group_may_be_let_in() {
    let place = Scratch::new("group");
    let socket = place.0.join("inner/socket");
    let shown = socket.to_str().unwrap();
    let agent = Agent::launch(
        &format!("{OFF}[admin]\nsocket = \"{shown}\"\ngroup = 4711\n"),
        &[],
    );
    let data = fs::symlink_metadata(&socket).unwrap();
    assert_eq!(
        (data.mode() & 0o777, data.uid(), data.gid()),
        (0o660, 0, 4711)
    );
    assert_eq!(
        fs::metadata(socket.parent().unwrap()).unwrap().mode() & 0o777,
        0o755
    );
    let verb = ["log-level", "warn", "--admin-socket", shown];
    let line = refused(&partymeter(&nobody("4712"), &verb), 1);
    assert_eq!(
        line,
        format!("no permission to open {shown}: only root and members of the group 4711 may")
    );
    let changed = partymeter(&nobody("4712,4711"), &verb);
    assert_eq!(told(&changed.stdout), "warn", "{changed:?}");
    agent.wait_for("log.level changes from info to warn: requested by user 65534, process ");
    drop(agent);
    let run = |group: &str| {
        let listen = format!("127.0.0.1:{}", free_port());
        let arguments = [
            "run",
            "--prometheus-listen",
            &listen,
            "--admin-socket",
            shown,
            "--admin-group",
            group,
        ];
        refused(&partymeter(&[], &arguments), 64)
    };
    assert!(
        run("no-such-group")
            .starts_with("admin.group: there is no group \"no-such-group\"; help: ")
    );
}

/// It goes with the agent; what a killed one leaves is replaced; and what is somebody else's never is.
#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn one_agent_has_it_at_a_time_and_it_goes_with_it() {
    let place = Scratch::new("socket");
    let socket = place.0.join("socket");
    let shown = socket.to_str().unwrap();
    let config = format!("{OFF}[admin]\nsocket = \"{shown}\"\n");
    let mut first = Agent::launch(&config, &[]);
    let listen = format!("127.0.0.1:{}", free_port());
    let run = [
        "run",
        "--prometheus-listen",
        &listen,
        "--admin-socket",
        shown,
    ];
    let check = |word: &str| {
        let output = partymeter(
            &[],
            &[
                "check",
                "--admin-socket",
                shown,
                "--prometheus-listen",
                &listen,
            ],
        );
        let text = told(&output.stdout);
        let mut lines = text.lines();
        let line = lines
            .find(|line| line.starts_with("administration"))
            .unwrap();
        assert!(line.contains(&format!("  {word}  ")), "{line}");
        line.to_owned()
    };
    let taken = format!("another agent listens on {shown}; help: stop it, or name another socket");
    let line = refused(&partymeter(&[], &run), 64);
    assert_eq!(
        line,
        format!("admin.socket: {taken}, or set it to \"\" for none")
    );
    assert!(check("DOWN").contains(&taken));
    first.kill();
    assert!(socket.exists(), "what is killed cannot clean up");
    let gone = refused(&partymeter(&[], &["log-level", "--admin-socket", shown]), 1);
    assert_eq!(
        gone,
        format!(
            "no agent listens on {shown}; start one, or name its socket with --admin-socket or --config"
        )
    );
    assert!(check("ok  ").ends_with(&format!("at {shown}, for root")));
    let second = Agent::launch(&config, &[]);
    assert!(UnixStream::connect(&socket).is_ok());
    let (status, log) = second.stop();
    assert!(status.success(), "{log}");
    assert!(!socket.exists());

    symlink("/etc/passwd", &socket).unwrap();
    assert!(refused(&partymeter(&[], &run), 64).contains("exists and is not a socket"));
    assert!(check("DOWN").contains("exists and is not a socket"));
    assert!(fs::symlink_metadata(&socket).unwrap().is_symlink());
    fs::remove_file(&socket).unwrap();
    fs::set_permissions(&place.0, fs::Permissions::from_mode(0o777)).unwrap();
    assert!(refused(&partymeter(&[], &run), 64).contains("others can write to"));
    let alias = Scratch::new("link");
    fs::set_permissions(&place.0, fs::Permissions::from_mode(0o755)).unwrap();
    symlink(&place.0, &alias.0).unwrap();
    let through = alias.0.join("socket");
    let run = ["run", "--admin-socket", through.to_str().unwrap()];
    assert!(refused(&partymeter(&[], &run), 64).contains("is a symbolic link"));
}

/// Where the default cannot be had, all else goes on.
#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn without_a_place_for_the_default_the_agent_goes_on() {
    // `[admin]` keeps the support from naming a socket; nobody may make one in /run.
    let wrapper = nobody("");
    let wrapper: Vec<&str> = wrapper.iter().map(String::as_str).collect();
    let agent = Agent::launch(&format!("{OFF}[admin]\n"), &wrapper);
    agent.wait_for("WARN administration is off: ");
    assert!(agent.get("/-/ready").contains("200 OK"));
    let off = Agent::launch(&format!("{OFF}[admin]\nsocket = \"\"\n"), &[]);
    assert!(!off.log().contains("administration"), "{}", off.log());
}

/// What clients hold is bounded, and those that say nothing do not keep others out for long.
#[test]
fn rude_clients_do_not_keep_others_out() {
    let agent = Agent::launch(OFF, &[]);
    let socket = agent.admin_socket();
    let ask = |request: &str| ask(&socket, request);
    let end = "Host: localhost\r\n\r\n";
    let huge = format!(
        "GET /log-level HTTP/1.1\r\nX: {}\r\n{end}",
        "x".repeat(40_000)
    );
    assert!(ask(&huge).starts_with("HTTP/1.1 431 "));
    let many = format!(
        "PUT /log-level HTTP/1.1\r\nContent-Length: 1000\r\n{end}{}",
        "x".repeat(1000)
    );
    assert!(ask(&many).starts_with("HTTP/1.1 413 "));
    assert!(ask("nonsense\r\n\r\n").starts_with("HTTP/1.1 400 "));
    let wrong = format!("PUT /log-level HTTP/1.1\r\nContent-Length: 4\r\n{end}loud");
    let answer = ask(&wrong);
    assert!(
        answer.starts_with("HTTP/1.1 400 ") && answer.contains("give off, error, warn"),
        "{answer}"
    );
    assert!(ask(&format!("DELETE /log-level HTTP/1.1\r\n{end}")).starts_with("HTTP/1.1 405 "));
    assert!(ask(&format!("GET /gpu/release HTTP/1.1\r\n{end}")).starts_with("HTTP/1.1 405 "));
    assert!(ask(&format!("GET /nowhere HTTP/1.1\r\n{end}")).starts_with("HTTP/1.1 404 "));
    let silent: Vec<UnixStream> = (0..20)
        .map(|_| UnixStream::connect(&socket).unwrap())
        .collect();
    let asked = Instant::now();
    let mut answer = String::new();
    while !answer.ends_with("\r\n\r\ninfo\n") {
        assert!(asked.elapsed() < Duration::from_mins(2), "{answer}");
        answer = ask(&format!("GET /log-level HTTP/1.1\r\n{end}"));
    }
    drop(silent);
}

/// One request, and its answer, head and all.
fn ask(socket: &Path, request: &str) -> String {
    let mut stream = UnixStream::connect(socket).unwrap();
    // It may be refused before it is read whole.
    let _ = stream.write_all(request.as_bytes());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8(answer).unwrap()
}
