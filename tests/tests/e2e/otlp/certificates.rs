//! TLS: which certificates the two sides accept, and what the agent says of files that it cannot use.

use std::{fmt::Write as _, process::Command};

use super::Sending;
use crate::support::{agent::Scratch, receiver::Receiver};

/// An authority, a server and a client, made by openssl.
struct Certificates(Scratch);

impl Certificates {
    fn new() -> Self {
        let place = Scratch::new("tls");
        std::fs::create_dir(&place.0).unwrap();
        let openssl = |arguments: &str| {
            let done = Command::new("openssl")
                .args(arguments.split(' '))
                .current_dir(&place.0)
                .output()
                .unwrap();
            assert!(
                done.status.success(),
                "{}",
                String::from_utf8_lossy(&done.stderr)
            );
        };
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc";
        for authority in ["ca", "other"] {
            openssl(&format!(
                "req -x509 {key} -keyout {authority}.key -out {authority}.pem -days 2 -subj /CN={authority}"
            ));
        }
        for name in ["server", "client"] {
            openssl(&format!(
                "req -x509 {key} -CA ca.pem -CAkey ca.key -keyout {name}.key -out {name}.pem -days 2 -subj /CN={name} -addext subjectAltName=DNS:localhost -addext basicConstraints=critical,CA:FALSE"
            ));
        }
        Self(place)
    }

    fn file(&self, name: &str) -> String {
        self.0.0.join(name).display().to_string()
    }
}

#[test]
#[ignore = "needs Python: `cargo xtask test` runs it"]
fn certificates_of_both_sides_are_looked_at() {
    let files = Certificates::new();
    let (certificate, key, ca) = (
        files.file("server.pem"),
        files.file("server.key"),
        files.file("ca.pem"),
    );
    let arguments = [
        "--certificate",
        &certificate,
        "--key",
        &key,
        "--client-ca",
        &ca,
    ];
    let receiver = Receiver::start(&arguments);
    for transport in ["grpc", "http"] {
        let start = |authority: &str, client: bool| {
            let place = receiver.keys_of("https", "localhost", transport);
            let mut keys = format!(
                "{place}interval = \"1s\"\nsignals = \"metrics\"\ncertificate = {:?}\n",
                files.file(authority)
            );
            if client {
                let (certificate, key) = (files.file("client.pem"), files.file("client.key"));
                for (name, file) in [("client_certificate", certificate), ("client_key", key)] {
                    writeln!(keys, "{name} = {file:?}").unwrap();
                }
            }
            Sending::start(&keys)
        };
        let right = start("ca.pem", true);
        right.wait_up("metrics", true);
        let wrong = start("other.pem", true);
        wrong.wait_up("metrics", false);
        wrong.until(
            "points_dropped_total",
            "signal=\"metrics\",reason=\"replaced\"",
            100.0,
        );
        let log = wrong.agent.log();
        assert!(log.contains("UnknownIssuer"), "{log}");
        wrong.works();
        // The server wants to know who comes.
        let nobody = start("ca.pem", false);
        nobody.wait_up("metrics", false);
        nobody.until(
            "points_dropped_total",
            "signal=\"metrics\",reason=\"replaced\"",
            100.0,
        );
        assert!(right.is_up("metrics"));
    }
}

#[test]
fn what_is_wrong_with_files_stops_the_start() {
    let files = Certificates::new();
    let program = crate::support::agent::program();
    let run = |keys: &[&str]| {
        let done = Command::new(&program)
            .args([
                "run",
                "--otlp-endpoint",
                "https://localhost:1",
                "--otlp-signals",
                "metrics,logs",
            ])
            .args(keys)
            .output()
            .unwrap();
        (done.status.code(), String::from_utf8(done.stderr).unwrap())
    };
    let missing = files.file("missing.pem");
    let (code, said) = run(&["--otlp-certificate", &missing]);
    assert_eq!(code, Some(64), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(
        said.contains("otlp.certificate") && said.contains("give certificates in PEM"),
        "{said}"
    );
    let (certificate, key) = (files.file("client.pem"), files.file("server.key"));
    let ca = files.file("ca.pem");
    let (code, said) = run(&[
        "--otlp-certificate",
        &ca,
        "--otlp-client-certificate",
        &certificate,
        "--otlp-client-key",
        &key,
    ]);
    assert_eq!(code, Some(64), "{said}");
    assert!(
        said.contains("otlp.client_key") && said.contains("is not of the certificate"),
        "{said}"
    );
}
