//! `partymeter check`: what this machine and these privileges allow, as a table. Starts nothing.

use std::io::{self, Write};

use crate::{
    admin,
    config::{AdminSocket, Config, Signal, Unresolved},
    export::otlp::{self, Outbox},
    source::{
        gpu,
        network::{
            Finding, probe,
            resolve::{self, Resolver},
        },
    },
};

/// Looks at everything that the configuration switches on and writes a line of each. Returns whether all is
/// well; what is only limited is no failure.
///
/// # Errors
/// If `out` cannot be written.
pub fn check(config: &Config, out: &mut dyn Write) -> io::Result<bool> {
    let mut findings = vec![Finding {
        what: "configuration",
        result: Ok(format!(
            "{} parties, {} protocols",
            config.parties.len(),
            config.protocols.len()
        )),
        optional: false,
    }];
    if config.network.enabled {
        let answers = resolve::at_start(config, &Resolver::default());
        let missing = resolve::unresolved(&answers);
        findings.extend(missing.into_iter().map(|line| Finding {
            what: "host names",
            result: Err(line),
            optional: config.network.unresolved == Unresolved::Retry,
        }));
        findings.extend(probe(config));
    }
    if config.gpu.enabled {
        findings.extend(gpu::probe(&config.gpu));
    }
    let sending = match otlp::prepare(config, &Outbox::new(config)) {
        Ok(prepared) => {
            let place =
                |(signal, place): (Signal, String)| Ok(format!("{} to {place}", signal.name()));
            prepared.places().map(place).collect()
        }
        Err(problems) => problems
            .lines()
            .map(|line| Err(line.to_owned()))
            .collect::<Vec<_>>(),
    };
    findings.extend(sending.into_iter().map(|result| Finding {
        what: "OTLP",
        result,
        optional: false,
    }));
    for address in &config.prometheus_listen {
        let free = std::net::TcpListener::bind(address);
        findings.push(Finding {
            what: "metrics page",
            result: match free {
                Ok(_) => Ok(format!("{address} is free")),
                Err(error) => Err(format!("{address}: {error}; set prometheus.listen")),
            },
            optional: false,
        });
    }
    // Where nothing is configured, the agent goes on without.
    let by_itself = config.admin.socket == AdminSocket::Standard && config.admin.group.is_none();
    findings.push(Finding {
        what: "administration",
        result: admin::probe(&config.admin),
        optional: by_itself,
    });
    let width = findings
        .iter()
        .map(|finding| finding.what.len())
        .max()
        .unwrap_or(0);
    for Finding {
        what,
        result,
        optional,
    } in &findings
    {
        let (word, text) = match result {
            Ok(text) => ("ok", text),
            Err(text) if *optional => ("PART", text),
            Err(text) => ("DOWN", text),
        };
        writeln!(out, "{what:width$}  {word:4}  {text}")?;
    }
    let fine = |finding: &Finding| finding.optional || finding.result.is_ok();
    Ok(findings.iter().all(fine))
}
