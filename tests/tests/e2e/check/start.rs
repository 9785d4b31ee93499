//! With these the agent does not start.

use std::{
    os::unix::{
        fs::{chown, symlink},
        net::UnixListener,
    },
    process::Command,
};

use aya::maps::Array;

use super::{Outcome::Refuses, *};

#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn addresses_of_the_page() {
    let place = directory(0o755);
    let off = format!("{GPU_OFF}{NETWORK_OFF}");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let port = free_port();
    // In a network namespace of its own, with the usual lowest port.
    let nobody = [
        "unshare",
        "-n",
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
    ];
    for (name, listen, wrapper, said) in [
        (
            "in use",
            format!("\"{taken}\""),
            &[][..],
            format!("{taken} is in use"),
        ),
        (
            "not of this machine",
            "\"192.0.2.1:9464\"".to_owned(),
            &[],
            "192.0.2.1 is no address of this machine".to_owned(),
        ),
        (
            "a low port",
            "\"0.0.0.0:80\"".to_owned(),
            &nobody,
            "no permission to listen on 0.0.0.0:80".to_owned(),
        ),
        (
            "within another",
            format!("[\"0.0.0.0:{port}\", \"127.0.0.1:{port}\"]"),
            &[],
            format!("127.0.0.1:{port} is in use"),
        ),
    ] {
        let fault = Fault {
            name,
            config: format!("{off}[prometheus]\nlisten = {listen}\n"),
            wrapper,
            what: "metrics page",
            said,
            outcome: Refuses(1),
        };
        agree(&place.0, &fault);
    }
}

#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn the_socket_of_administration() {
    let place = directory(0o755);
    let at = |name: &str| place.0.join(name);
    let sub = |name: &str, mode| {
        fs::create_dir(at(name)).unwrap();
        set_mode(&at(name), mode);
    };
    let _other = UnixListener::bind(at("taken")).unwrap();
    fs::write(at("file"), "").unwrap();
    symlink(at("file"), at("link")).unwrap();
    sub("open", 0o777);
    sub("theirs", 0o755);
    chown(at("theirs"), Some(65534), Some(65534)).unwrap();
    symlink(at("theirs"), at("alias")).unwrap();
    fs::write(at("locked.lock"), "").unwrap();
    let lock = fs::File::open(at("locked.lock")).unwrap();
    lock.lock().unwrap();
    let readonly = Mount::new("tmpfs", ",ro");
    let nobody = [
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
    ];
    let inside = readonly.path().join("run/socket");
    for (socket, group, wrapper, said) in [
        (at("taken"), "", &[][..], "another agent listens on"),
        (at("locked"), "", &[], "another agent listens on"),
        (at("file"), "", &[], "exists and is not a socket"),
        (at("link"), "", &[], "exists and is not a socket"),
        (at("file/socket"), "", &[], "Not a directory"),
        (at("open/socket"), "", &[], "others can write to"),
        (at("theirs/socket"), "", &[], "belongs to the user 65534"),
        (at("alias/socket"), "", &[], "is a symbolic link"),
        (inside, "", &[], "Read-only file system"),
        (
            at("socket"),
            "no-such-group",
            &[],
            "there is no group \"no-such-group\"",
        ),
        (at("new/socket"), "", &nobody, "Permission denied"),
        (at("theirs/socket"), "0", &nobody, "cannot give "),
    ] {
        let group = match group {
            "" => String::new(),
            group => format!("group = \"{group}\"\n"),
        };
        let fault = Fault {
            name: &format!("{} {group} {wrapper:?}", socket.display()),
            config: format!(
                "{GPU_OFF}{NETWORK_OFF}[admin]\nsocket = \"{}\"\n{group}",
                socket.display()
            ),
            wrapper,
            what: "administration",
            said: said.to_owned(),
            outcome: Refuses(64),
        };
        // What the agent leaves behind when it does not start is another matter.
        agree(&place.0, &fault);
    }
}

#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn the_ledger() {
    let place = directory(0o755);
    let at = |name: &str| place.0.join(name);
    let sub = |name: &str, mode| {
        fs::create_dir(at(name)).unwrap();
        set_mode(&at(name), mode);
    };
    for (name, mode) in [
        ("open", 0o777),
        ("closed", 0o500),
        ("theirs", 0o700),
        ("taken", 0o700),
    ] {
        sub(name, mode);
    }
    chown(at("theirs"), Some(65534), Some(65534)).unwrap();
    symlink(at("taken"), at("link")).unwrap();
    fs::write(at("file"), "").unwrap();
    let lock = fs::File::open(at("taken")).unwrap();
    lock.lock().unwrap();
    let readonly = Mount::new("tmpfs", ",ro");
    for (ledger, said) in [
        (at("open"), "others can write to"),
        (at("theirs"), "belongs to the user 65534"),
        (at("link"), "is a symbolic link"),
        (at("file"), "Not a directory"),
        (at("taken"), "another agent writes its ledger there"),
        // By then root is nobody special any more.
        (at("closed"), "Permission denied"),
        (at("closed/inner"), "Permission denied"),
        (readonly.path().join("ledger"), "Read-only file system"),
    ] {
        let fault = Fault {
            name: &ledger.display().to_string(),
            config: format!("{GPU_OFF}[ledger]\npath = \"{}\"\n", ledger.display()),
            wrapper: &[],
            what: "ledger",
            said: said.to_owned(),
            outcome: Refuses(1),
        };
        agree(&place.0, &fault);
    }
}

#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn where_counters_are_pinned() {
    let place = directory(0o755);
    let bpf = Mount::new("bpf", "");
    let at = |name: &str| bpf.path().join(name);
    for (name, mode) in [
        ("open", 0o777),
        ("theirs", 0o700),
        ("taken", 0o700),
        ("full", 0o700),
    ] {
        fs::create_dir(at(name)).unwrap();
        set_mode(&at(name), mode);
    }
    chown(at("theirs"), Some(65534), Some(65534)).unwrap();
    symlink(at("taken"), at("link")).unwrap();
    let lock = fs::File::open(at("taken")).unwrap();
    lock.lock().unwrap();
    Array::<_, u32>::create(1, 0)
        .unwrap()
        .pin(at("full/state"))
        .unwrap();
    let both = |pin: PathBuf, said: &str, code| {
        let fault = Fault {
            name: &pin.display().to_string(),
            config: format!("{GPU_OFF}[network]\nbpf_pin_path = \"{}\"\n", pin.display()),
            wrapper: &[],
            what: "counters",
            said: said.to_owned(),
            outcome: Refuses(code),
        };
        agree(bpf.path(), &fault);
    };
    both(place.0.join("counters"), "is not in a BPF file system", 64);
    both(at("open"), "others can write to", 64);
    both(at("theirs"), "belongs to the user 65534", 64);
    both(at("link"), "is a symbolic link", 64);
    both(at("taken"), "an agent is running with", 1);
    both(
        at("full"),
        "/state is not partymeter's; help: remove it",
        64,
    );
    bpf.remount("ro");
    both(at("counters"), "Read-only file system", 64);
}

#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn host_names_of_parties() {
    let place = directory(0o755);
    let party = |id: &str| format!("[[parties]]\nid = \"{id}\"\nendpoints = [\"{id}.invalid\"]\n");
    for id in ["a", "b"] {
        let fault = Fault {
            name: id,
            config: format!("{}{}{GPU_OFF}", party("a"), party("b")),
            wrapper: &[],
            what: "host names",
            said: format!("party \"{id}\": the host name \"{id}.invalid\" does not resolve: "),
            outcome: Refuses(64),
        };
        agree(&place.0, &fault);
    }
}

#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn files_of_tls() {
    let place = directory(0o755);
    let at = |name: &str| place.0.join(name).display().to_string();
    fs::write(at("text"), "no certificate").unwrap();
    fs::write(at("large"), vec![b' '; (1 << 20) + 1]).unwrap();
    run(&format!("mkfifo {}", at("pipe")));
    for name in ["one", "other"] {
        let made = Command::new("openssl")
            .args(
                "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=x"
                    .split(' '),
            )
            .args([
                "-keyout",
                &at(&format!("{name}.key")),
                "-out",
                &at(&format!("{name}.pem")),
            ])
            .output();
        assert!(made.expect("openssl is there").status.success());
    }
    let (one, key, other) = (at("one.pem"), at("one.key"), at("other.key"));
    let ca = |file: &str| format!("certificate = \"{}\"\n", at(file));
    let client = |certificate: &str, key: &str| {
        format!("client_certificate = \"{certificate}\"\nclient_key = \"{key}\"\n")
    };
    for (keys, said) in [
        (ca("missing"), "otlp.certificate: "),
        (ca("text"), "has no certificate in it"),
        (ca("large"), "is larger than 1 MiB"),
        (ca("pipe"), "is a FIFO, not a regular file"),
        (ca("one.key"), "has no certificate in it"),
        (client(&at("missing"), &key), "otlp.client_certificate: "),
        (client(&one, &at("missing")), "otlp.client_key: "),
        (client(&one, &one), "has no private key in it"),
        (client(&one, &other), "is not of the certificate"),
        ("headers = \"a=b%0Ac\"\n".to_owned(), "otlp.headers: "),
    ] {
        let fault = Fault {
            name: &keys,
            config: format!(
                "{GPU_OFF}{NETWORK_OFF}[otlp]\nendpoint = \"https://127.0.0.1:1\"\n{keys}"
            ),
            wrapper: &[],
            what: "OTLP",
            said: said.to_owned(),
            outcome: Refuses(64),
        };
        agree(&place.0, &fault);
    }
}
