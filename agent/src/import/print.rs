//! Writes parties and protocols as TOML for the configuration.

use std::collections::BTreeMap;

use super::{Found, ImportError, Party, import_error};
use crate::config::{self, Endpoint, HostEnv, Options};

/// The text, if the configuration's own parser accepts it.
pub(super) fn print(found: &Found, protocol: &str, origin: &str) -> Result<String, ImportError> {
    different(&found.parties)?;
    let text = written(found, protocol, origin);
    let host = HostEnv {
        node_name: None,
        host_name: None,
    };
    match config::read("the result", &text, &Options::default(), &host) {
        Ok(_) => Ok(text),
        Err(errors) => {
            let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
            let what = format!("makes no valid configuration: {}", lines.join(", "));
            Err(import_error(None, what, "correct the file"))
        }
    }
}

/// Fails if two parties have the same address and port.
fn different(parties: &[Party]) -> Result<(), ImportError> {
    let mut owner = BTreeMap::<(String, u16), &str>::new();
    for party in parties {
        let Some(host) = &party.host else { continue };
        for port in &party.ports {
            if let Some(other) = owner.insert((host.to_string(), *port), &party.id) {
                let what = format!(
                    "party {:?} is at {host} port {port}, and so is party {other:?}",
                    party.id
                );
                let help = "give each its own address or port";
                return Err(import_error(party.line, what, help));
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
        None => "# party_id = \"…\"   # this node's own party, which is not in the file".to_owned(),
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

/// With ports if they are from the file or tell parties at one address apart. Otherwise the address is enough, and also
/// right for a program that is started with other ports. `sharing`: how many parties are at each host.
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

/// Ports in the form of the configuration: in order, each once, neighbours as a range.
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
