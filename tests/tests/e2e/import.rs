//! `partymeter parties import` as people use it: from a file or a pipe into a configuration.

use std::{
    io::Write as _,
    process::{Command, Output, Stdio},
};

use crate::support::agent::{Scratch, program};

/// The program's answer to a text on its standard input.
fn import(framework: &str, file: &str, text: &str) -> Output {
    let mut child = Command::new(program())
        .args(["parties", "import", "--from", framework, file])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    child.wait_with_output().unwrap()
}

/// What is printed is a configuration file: `check` has nothing to say against it.
#[test]
fn what_is_printed_is_a_configuration() {
    let files = [
        ("mp-spdz", "10.0.0.1\n10.0.0.2:6000\n"),
        (
            "spu",
            r#"{"devices": {"SPU": {"kind": "SPU", "config": {"node_ids": ["a", "b"],
                "spu_internal_addrs": ["10.0.0.1:61930", "10.0.0.2:61931"]}}}}"#,
        ),
        (
            "piranha",
            r#"{"num_parties": 2, "party_ips": ["10.0.0.1", "10.0.0.2"]}"#,
        ),
        ("falcon", "10.0.0.1\n10.0.0.2\n10.0.0.2\n"),
        (
            "motion",
            "aes128 --my-id 0 --parties 0,10.0.0.1,23000 1,10.0.0.2,23001\n",
        ),
        (
            "mpyc",
            "[Party 0]\nhost = 10.0.0.1\nport = 11365\n[Party 1]\nhost = 10.0.0.2\nport = 11366\n",
        ),
        (
            "torch-env",
            "RANK=2\0WORLD_SIZE=3\0MASTER_ADDR=10.0.0.1\0MASTER_PORT=29500\0",
        ),
    ];
    for (framework, text) in files {
        let output = import(framework, "-", text);
        assert!(output.status.success(), "{framework}: {output:?}");
        let config = Scratch::with("imported.toml", str::from_utf8(&output.stdout).unwrap());
        let check = Command::new(program())
            .args(["check", "--prometheus-listen", "127.0.0.1:0", "--config"])
            .arg(&config.0)
            .output()
            .unwrap();
        let said = String::from_utf8(check.stdout).unwrap();
        let parties = if framework == "torch-env" { 1 } else { 2 };
        let parties = if framework == "falcon" { 3 } else { parties };
        assert!(
            said.contains(&format!("ok    {parties} parties, 1 protocols")),
            "{framework}: {said}{}",
            String::from_utf8_lossy(&check.stderr)
        );
    }
}

#[test]
fn a_mistake_is_one_line_and_wrong_usage() {
    let file = Scratch::with("HOSTS", "10.0.0.1\n10.0.0.2:x\n");
    let name = file.0.display().to_string();
    let output = import("mp-spdz", &name, "");
    assert_eq!(output.status.code(), Some(64));
    assert!(output.stdout.is_empty());
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        format!(
            "partymeter: {name}:2: \"x\" is not a port; help: write a line as host or host:port\n"
        )
    );
}
