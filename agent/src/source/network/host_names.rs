//! Findings about the parties' host names and addresses before a start, for the agent and for `partymeter check`.

use std::time::{Duration, Instant};

use super::{
    own_party,
    resolve::{self, Answer, DnsCache, Resolver},
};
use crate::{
    config::{Config, OnUnresolved},
    finding::Finding,
};

/// The parties' addresses before a start.
#[derive(Debug)]
pub struct Lookup {
    /// The addresses of the host names.
    pub answers: Vec<Answer>,
    /// What is wrong, or that nothing is.
    pub findings: Vec<Finding>,
}

/// Looks up every host name of the configuration concurrently, and checks the resulting addresses.
pub fn look_up(config: &Config, resolver: &Resolver) -> Lookup {
    let answers = resolve::at_start(config, resolver);
    let mut findings = vec![];
    for name in resolve::unresolved(&answers) {
        findings.push(if config.network.on_unresolved == OnUnresolved::Retry {
            let interval = humantime::format_duration(config.network.resolve_interval);
            let line = format!(
                "{name}; looking it up again every {interval}; help: correct the name, or what resolves it"
            );
            Finding::optional(NAMES, Err(line))
        } else {
            let line = format!(
                "{name}; help: correct the name, or what resolves it; to start without it, set network.on_unresolved = \
                 \"retry\""
            );
            Finding::required(NAMES, Err(line))
        });
    }
    if findings.is_empty() && !answers.is_empty() {
        let line = format!("{} resolve", answers.len());
        findings.push(Finding::required(NAMES, Ok(line)));
    }
    let mut cache = DnsCache::default();
    cache.take(&answers, Instant::now(), Duration::ZERO);
    let known = cache.resolved();
    for line in resolve::shared_addresses(config, &known) {
        let line = format!("{line}; help: give each party its own address, or its port");
        findings.push(Finding::optional(SHARED, Err(line)));
    }
    for line in own_party::warnings(config, &known, &own_party::addresses()) {
        findings.push(Finding::optional(OWN, Err(line)));
    }
    Lookup { answers, findings }
}

const NAMES: &str = "host names";
/// Reload reports these too.
pub const SHARED: &str = "addresses";
const OWN: &str = "own party";
