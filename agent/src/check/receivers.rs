//! Whether the host names of OTLP's receivers resolve. The agent notices only when it sends, and retries.

use std::{
    collections::BTreeSet,
    net::{IpAddr, ToSocketAddrs as _},
    sync::mpsc::{RecvTimeoutError, channel},
    thread,
    time::{Duration, Instant},
};

use crate::{config::Config, finding::Finding};

/// The time for all lookups together.
const PATIENCE: Duration = Duration::from_secs(5);

/// Looks all names up at the same time.
pub(super) fn probe(config: &Config) -> Vec<Finding> {
    let receivers = config.otlp.receivers.iter().flatten();
    let names = receivers.filter_map(|it| it.endpoint.host());
    let names: BTreeSet<String> = names
        .filter(|name| name.trim_matches(['[', ']']).parse::<IpAddr>().is_err())
        .map(str::to_owned)
        .collect();
    ask(names, PATIENCE, |name| {
        let found = (name, 0).to_socket_addrs();
        let found = found.map_err(|error| error.to_string())?;
        let none = || "it has no address".to_owned();
        (found.count() > 0).then_some(()).ok_or_else(none)
    })
}

fn ask(
    mut names: BTreeSet<String>,
    patience: Duration,
    lookup: fn(&str) -> Result<(), String>,
) -> Vec<Finding> {
    let (answer, answers) = channel();
    let mut findings = vec![];
    for name in names.clone() {
        let (answer, asked) = (answer.clone(), name.clone());
        // Threads that take too long end with the process.
        let started = thread::Builder::new().spawn(move || {
            let outcome = lookup(&asked);
            // Nobody waits for a late answer.
            drop(answer.send((asked, outcome)));
        });
        if let Err(error) = started {
            names.remove(&name);
            findings.push(unresolved(&name, &error.to_string()));
        }
    }
    let end = Instant::now() + patience;
    while !names.is_empty() {
        let left = end.saturating_duration_since(Instant::now());
        match answers.recv_timeout(left) {
            Ok((name, outcome)) => {
                names.remove(&name);
                findings.extend(outcome.err().map(|why| unresolved(&name, &why)));
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
        }
    }
    let shown = humantime::format_duration(patience);
    let late = names.iter();
    findings.extend(late.map(|name| unresolved(name, &format!("no answer in {shown}"))));
    findings
}

fn unresolved(name: &str, why: &str) -> Finding {
    let line = format!(
        "otlp.endpoint: the host name {name:?} does not resolve: {why}; nothing is sent until it does; help: \
         correct it, or the DNS"
    );
    Finding::optional("OTLP", Err(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_looked_up_together_within_a_limit() {
        let names = ["good", "hangs", "bad"].map(str::to_owned);
        let findings = ask(names.into(), Duration::from_secs(1), |name| match name {
            "good" => Ok(()),
            "bad" => Err("no such name".to_owned()),
            _ => loop {
                thread::park();
            },
        });
        let lines: Vec<String> = findings
            .into_iter()
            .map(|it| it.result.unwrap_err())
            .collect();
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[0].contains(
            "\"bad\" does not resolve: no such name; nothing is sent until it does; help: "
        ));
        assert!(lines[1].contains(
            "\"hangs\" does not resolve: no answer in 1s; nothing is sent until it does; help: "
        ));
    }
}
