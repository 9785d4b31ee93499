//! `partymeter check`: what `partymeter run` would find on this machine and with these privileges, as a table. It starts
//! nothing and leaves nothing behind.
//!
//! Every check is a function in the module that it is about. The agent calls the same function when it starts, in the same
//! order and with the same capabilities, some of which only its first thread has.

mod receivers;

use std::{
    io::{self, Write},
    thread,
};

use crate::{
    admin,
    config::{Config, Signal},
    export::{
        http,
        otlp::{self, ExportQueues},
    },
    finding::Finding,
    ledger, limits, privilege,
    source::{
        gpu,
        network::{self, host_names, pin, resolve::Resolver},
    },
};

/// Checks everything that the configuration enables and writes a line for each. Returns whether nothing is down; what is
/// only limited is no failure.
///
/// # Errors
/// If `out` cannot be written.
pub fn check(config: &Config, out: &mut dyn Write) -> io::Result<bool> {
    let read = format!(
        "{} parties, {} protocols",
        config.parties.len(),
        config.protocols.len()
    );
    let mut findings = vec![Finding::required("configuration", Ok(read))];
    let room = http::client_limit().limit;
    findings.extend(room.map(|it| Finding::optional("limits", Err(it))));
    findings.extend(limits::look(config));
    findings.extend(sending(config));
    findings.extend(http::probe(&config.prometheus_listen));
    findings.push(admin::probe(&config.admin));
    if config.network.enabled {
        findings.extend(pin::probe(config));
        let probe = || network::probe(config);
        findings.extend(with(privilege::keep_for_attaching, probe));
    }
    findings.extend(with(
        || drop(privilege::drop_all()),
        || without_privileges(config),
    ));
    print(&findings, out)?;
    Ok(findings.iter().all(Finding::is_fine))
}

/// The checks that the agent runs after it has dropped its privileges.
fn without_privileges(config: &Config) -> Vec<Finding> {
    let mut findings = vec![];
    if config.network.enabled {
        findings.extend(host_names::look_up(config, &Resolver::default()).findings);
    }
    findings.extend(ledger::probe(config));
    if config.gpu.enabled {
        findings.extend(gpu::probe(&config.gpu));
    }
    findings.extend(receivers::probe(config));
    findings
}

/// Runs checks on a thread that keeps only some privileges.
fn with(keep: impl FnOnce() + Send, look: impl FnOnce() -> Vec<Finding> + Send) -> Vec<Finding> {
    let failed = |why: &str| {
        let line = format!("cannot start a thread: {why}; help: allow more (TasksMax=, ulimit -u)");
        vec![Finding::required("limits", Err(line))]
    };
    thread::scope(|scope| {
        let started = thread::Builder::new().spawn_scoped(scope, || {
            keep();
            look()
        });
        match started {
            Ok(thread) => thread.join().unwrap_or_else(|_panic| failed("it panicked")),
            Err(error) => failed(&error.to_string()),
        }
    })
}

fn sending(config: &Config) -> Vec<Finding> {
    const WHAT: &str = "OTLP";
    let prepared = match otlp::prepare(config, &ExportQueues::new(config)) {
        Ok(prepared) => prepared,
        Err(problems) => {
            let problem = |line: &str| Finding::required(WHAT, Err(line.to_owned()));
            return problems.lines().map(problem).collect();
        }
    };
    let place = |(signal, place): (Signal, String)| {
        Finding::required(WHAT, Ok(format!("{} to {place}", signal.name())))
    };
    let limits = prepared.limits().into_iter();
    let limits = limits.map(|it| Finding::optional(WHAT, Err(it)));
    prepared.receivers().map(place).chain(limits).collect()
}

fn print(findings: &[Finding], out: &mut dyn Write) -> io::Result<()> {
    let widths = findings.iter().map(|finding| finding.what.len());
    let width = widths.max().unwrap_or(0);
    for Finding {
        what,
        result,
        optional,
    } in findings
    {
        let (word, text) = match result {
            Ok(text) => ("ok", text),
            Err(text) if *optional => ("PART", text),
            Err(text) => ("DOWN", text),
        };
        // A message of the system or of a driver may have several lines.
        let text = text.replace('\n', " | ");
        writeln!(out, "{what:width$}  {word:4}  {text}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use caps::{CapSet, Capability};

    use super::*;

    #[test]
    fn checks_have_only_the_privileges_that_are_kept() {
        let own = || caps::read(None, CapSet::Effective).unwrap();
        let before = own();
        let seen = |keep: fn()| {
            let look = || {
                let all: Vec<String> = own().iter().map(ToString::to_string).collect();
                vec![Finding::required("test", Ok(all.join(" ")))]
            };
            with(keep, look).remove(0).result.unwrap()
        };
        assert_eq!(seen(|| drop(privilege::drop_all())), "");
        assert!(!seen(privilege::keep_for_attaching).contains("CAP_DAC_OVERRIDE"));
        assert_eq!(own(), before);
        if before.contains(&Capability::CAP_BPF) {
            assert!(seen(privilege::keep_for_attaching).contains("CAP_BPF"));
        }
    }

    #[test]
    fn a_finding_is_one_line() {
        let findings = [
            Finding::required("a", Ok("well".to_owned())),
            Finding::optional("long name", Err("one\ntwo".to_owned())),
            Finding::required("b", Err("bad".to_owned())),
        ];
        let mut out = vec![];
        print(&findings, &mut out).unwrap();
        let right = "a          ok    well\nlong name  PART  one | two\nb          DOWN  bad\n";
        assert_eq!(String::from_utf8(out).unwrap(), right);
    }
}
