//! What is read, what is refused, and what is only told.

use std::{fs, process::Command, time::Duration};

use http::Uri;
use tempfile::TempDir;

use super::*;
use crate::config::otlp::{Headers, Protocol};

/// Keys and certificates for two days, made by openssl. `None` where there is none.
struct Files(TempDir);

impl Files {
    fn new() -> Option<Self> {
        let files = Self(tempfile::tempdir().unwrap());
        for name in ["one", "other"] {
            let line = format!(
                "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout {name}.key -out {name}.pem -days 2 \
                 -subj /CN={name}"
            );
            let made = Command::new("openssl")
                .args(line.split_whitespace())
                .current_dir(files.0.path())
                .output();
            let Ok(made) = made else {
                println!("skipped: no openssl");
                return None;
            };
            assert!(made.status.success(), "{made:?}");
        }
        Some(files)
    }

    fn receiver(&self, certificate: Option<&str>, client: Option<(&str, &str)>) -> Receiver {
        let path = |name: &str| self.0.path().join(name);
        Receiver {
            endpoint: Uri::from_static("https://collector:4317"),
            protocol: Protocol::Grpc,
            headers: Headers::default(),
            timeout: Duration::from_secs(1),
            gzip: false,
            certificate: certificate.map(path),
            client: client.map(|(certificate, key)| (path(certificate), path(key))),
        }
    }
}

fn limits(receiver: &Receiver, now: SystemTime) -> Vec<String> {
    prepare(receiver, now)
        .unwrap_or_else(|why| panic!("{why}"))
        .limits
}

#[test]
fn what_is_not_valid_now_is_told() {
    const DAY: Duration = Duration::from_hours(24);
    let Some(files) = Files::new() else { return };
    let now = SystemTime::now();
    let both = files.receiver(Some("one.pem"), Some(("other.pem", "other.key")));
    assert_eq!(limits(&both, now), <[&str; 0]>::default());
    for (when, said) in [
        (now - DAY, " is not valid before "),
        (now + 3 * DAY, " expired at "),
    ] {
        let lines = limits(&both, when);
        assert_eq!(lines.len(), 2, "{lines:?}");
        for (line, (key, file)) in lines.iter().zip([
            (CERTIFICATE, "/one.pem"),
            (CLIENT_CERTIFICATE, "/other.pem"),
        ]) {
            assert!(
                line.starts_with(key) && line.contains(&format!("{file}{said}")),
                "{line}"
            );
        }
    }
}

#[test]
fn what_cannot_be_used_is_one_line_with_its_key() {
    let Some(files) = Files::new() else { return };
    let path = |name: &str| files.0.path().join(name);
    fs::write(path("empty"), "").unwrap();
    fs::write(
        path("text"),
        "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n",
    )
    .unwrap();
    fs::write(path("large"), vec![b' '; (1 << 20) + 1]).unwrap();
    nix::unistd::mkfifo(&path("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let refused = |certificate, client| {
        let receiver = files.receiver(certificate, client);
        let why = prepare(&receiver, SystemTime::now()).err().unwrap();
        assert_eq!(
            (why.lines().count(), why.matches("; help: ").count()),
            (1, 1),
            "{why}"
        );
        why
    };
    for (file, said) in [
        ("missing", "cannot be read: No such file"),
        ("empty", "has no certificate in it"),
        ("one.key", "has no certificate in it"),
        ("text", "/text: "),
        ("large", "is larger than 1 MiB"),
        ("pipe", "is a FIFO, not a regular file"),
    ] {
        let why = refused(Some(file), None);
        assert!(
            why.starts_with("otlp.certificate: ") && why.contains(said),
            "{why}"
        );
        let why = refused(None, Some((file, "one.key")));
        assert!(
            why.starts_with("otlp.client_certificate: ") && why.contains(said),
            "{why}"
        );
    }
    for (key, said) in [
        ("missing", "cannot be read: No such file"),
        ("one.pem", "has no private key in it"),
        ("other.key", "other.key is not of the certificate "),
        ("pipe", "not a regular file"),
    ] {
        let why = refused(None, Some(("one.pem", key)));
        assert!(
            why.starts_with("otlp.client_key: ") && why.contains(said),
            "{why}"
        );
    }
}
