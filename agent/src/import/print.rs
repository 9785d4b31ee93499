//! What was found, as TOML for the configuration.

use std::collections::BTreeMap;

use super::{Found, Mistake, Party, mistake};
use crate::config::{self, Endpoint, Options, Surroundings};

/// Writes the text, and has the configuration's own code read it.
pub(super) fn print(found: &Found, protocol: &str, origin: &str) -> Result<String, Mistake> {
    different(&found.parties)?;
    let text = written(found, protocol, origin);
    let around = Surroundings {
        node_name: None,
        host_name: None,
    };
    match config::read("the result", &text, &Options::default(), &around) {
        Ok(_) => Ok(text),
        Err(problems) => {
            let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
            let what = format!("makes no valid configuration: {}", lines.join(", "));
            Err(mistake(None, what, "mend the file"))
        }
    }
}

/// Two parties at one address and port are a slip.
fn different(parties: &[Party]) -> Result<(), Mistake> {
    let mut owner = BTreeMap::<(String, u16), &str>::new();
    for party in parties {
        let Some(host) = &party.host else { continue };
        for port in &party.ports {
            if let Some(other) = owner.insert((host.to_string(), *port), &party.id) {
                let what = format!(
                    "party {:?} is at {host} port {port}, and so is party {other:?}",
                    party.id
                );
                let mend = "give each its own address or port";
                return Err(mistake(party.line, what, mend));
            }
        }
    }
    Ok(())
}

fn written(found: &Found, protocol: &str, origin: &str) -> String {
    let mut lines = vec![format!("# From {origin}.")];
    lines.extend(found.notes.iter().map(|note| format!("# {note}")));
    lines.push(match &found.own {
        Some(id) => format!("party_id = {}", quoted(id)),
        None => {
            "# party_id = \"…\"   # this node's own party, which the file does not tell".to_owned()
        }
    });
    let mut sharing = BTreeMap::<String, usize>::new();
    for host in found.parties.iter().filter_map(|party| party.host.as_ref()) {
        *sharing.entry(host.to_string()).or_default() += 1;
    }
    for party in &found.parties {
        let endpoints = endpoints(party, &sharing);
        if !endpoints.is_empty() {
            lines.push(String::new());
            lines.push("[[parties]]".to_owned());
            lines.push(format!("id = {}", quoted(&party.id)));
            lines.push(format!("endpoints = [{}]", endpoints.join(", ")));
        }
    }
    let ports = found.parties.iter().flat_map(|party| &party.ports);
    let ranges = ranges(ports.chain(&found.ports).copied());
    if !ranges.is_empty() {
        lines.push(String::new());
        lines.push("[[protocols]]".to_owned());
        lines.push(format!("name = {}", quoted(protocol)));
        lines.push(format!("ports = [{}]", ranges.join(", ")));
    }
    lines.join("\n") + "\n"
}

/// With the ports that the file gives, or that tell parties at one address apart; otherwise the address is enough,
/// and right for a program that is started with other ports, too. `sharing`: how many parties are at each host.
fn endpoints(party: &Party, sharing: &BTreeMap<String, usize>) -> Vec<String> {
    let Some(host) = &party.host else {
        return Vec::new();
    };
    let is_shared = sharing
        .get(&host.to_string())
        .is_some_and(|count| *count > 1);
    let endpoint = |port| {
        let host = host.clone();
        quoted(&Endpoint { host, port }.to_string())
    };
    if party.ports.is_empty() || !party.given && !is_shared {
        return vec![endpoint(None)];
    }
    party
        .ports
        .iter()
        .map(|port| endpoint(Some(*port)))
        .collect()
}

/// Ports as the configuration has them: in order, each once, neighbours as a range.
fn ranges(ports: impl Iterator<Item = u16>) -> Vec<String> {
    let mut ports: Vec<u16> = ports.collect();
    ports.sort_unstable();
    ports.dedup();
    ports
        .chunk_by(|before, after| before + 1 == *after)
        .filter_map(|run| match run {
            [] => None,
            [port] => Some(port.to_string()),
            [first, .., last] => Some(format!("\"{first}-{last}\"")),
        })
        .collect()
}

fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}
