//! Two configurations compared: what takes effect while the agent runs, what does not, and what a person is told. Pure.

use std::{collections::BTreeMap, fmt::Debug};

use crate::config::{Admin, Config, Network, Party, Protocol, Transport};

/// The configuration to go on with, and a line for each key that cannot change while the agent runs. `udp`: whether
/// there was a protocol on UDP at the start. What counts datagrams takes a privilege that the agent has given up since.
pub(super) fn merge(old: &Config, new: Config, udp: bool) -> (Config, Vec<String>) {
    // Every field by name, so that one that is added is thought of here.
    let Config {
        node,
        interval,
        party_id,
        parties,
        mut protocols,
        network:
            Network {
                enabled,
                latency,
                rhythm,
                cgroup,
                pin,
                allow,
                max_auto_parties,
                unresolved,
                resolve_interval,
                ledger,
            },
        gpu,
        host_enabled,
        prometheus_listen,
        prometheus_hosts,
        admin: Admin { socket, group },
        otlp,
        log,
    } = new;
    let mut lines = Vec::new();
    fixed("node", &old.node, &node, &mut lines);
    fixed("interval", &old.interval, &interval, &mut lines);
    fixed("party_id", &old.party_id, &party_id, &mut lines);
    fixed(
        "network.enabled",
        &old.network.enabled,
        &enabled,
        &mut lines,
    );
    let before = &old.network;
    fixed("network.latency", &before.latency, &latency, &mut lines);
    fixed("network.rhythm", &before.rhythm, &rhythm, &mut lines);
    fixed("network.cgroup", &before.cgroup, &cgroup, &mut lines);
    fixed("network.pin", &before.pin, &pin, &mut lines);
    let before = &old.network.resolve_interval;
    fixed(
        "network.resolve_interval",
        before,
        &resolve_interval,
        &mut lines,
    );
    fixed("network.ledger", &old.network.ledger, &ledger, &mut lines);
    fixed("gpu.enabled", &old.gpu.enabled, &gpu.enabled, &mut lines);
    fixed("gpu.library", &old.gpu.library, &gpu.library, &mut lines);
    let before = &old.gpu.processes;
    fixed("gpu.processes", before, &gpu.processes, &mut lines);
    let before = &old.gpu.dcgm_names;
    fixed("gpu.dcgm_names", before, &gpu.dcgm_names, &mut lines);
    fixed("host.enabled", &old.host_enabled, &host_enabled, &mut lines);
    let before = &old.prometheus_listen;
    fixed("prometheus.listen", before, &prometheus_listen, &mut lines);
    let before = &old.prometheus_hosts;
    fixed(
        "prometheus.allowed_hosts",
        before,
        &prometheus_hosts,
        &mut lines,
    );
    fixed("admin.socket", &old.admin.socket, &socket, &mut lines);
    fixed("admin.group", &old.admin.group, &group, &mut lines);
    if old.otlp != otlp {
        let mend = "restart it to have what it says now";
        lines.push(format!(
            "otlp: stays as it was while the agent runs; {mend}"
        ));
    }
    fixed("log.format", &old.log.format, &log.format, &mut lines);
    fixed("log.kernel", &old.log.kernel, &log.kernel, &mut lines);
    protocols.retain(|it| {
        let counted = udp || it.transport == Transport::Tcp;
        if !counted {
            lines.push(format!(
                "protocols: {} on {} is not counted while the agent runs, which had no protocol on UDP at its start; \
                 restart it",
                it.name,
                it.ports_written()
            ));
        }
        counted
    });
    let mut next = old.clone();
    next.log.level = log.level;
    next.parties = parties;
    next.protocols = protocols;
    next.network.allow = allow;
    next.network.max_auto_parties = max_auto_parties;
    next.network.unresolved = unresolved;
    (next, lines)
}

fn fixed<T: PartialEq + Debug>(key: &str, old: &T, new: &T, lines: &mut Vec<String>) {
    if old != new {
        lines.push(format!(
            "{key}: stays {old:?} while the agent runs; restart it to have {new:?}"
        ));
    }
}

/// What is different about parties and protocols, a line each.
pub(super) fn told(old: &Config, new: &Config) -> Vec<String> {
    let endpoints = |party: &Party| {
        let places: Vec<String> = party.endpoints.iter().map(ToString::to_string).collect();
        places.join(", ")
    };
    let parties = |config: &Config| -> BTreeMap<String, String> {
        let party = |party: &Party| (party.id.clone(), format!("at {}", endpoints(party)));
        config.parties.iter().map(party).collect()
    };
    let protocols = |config: &Config| -> BTreeMap<String, String> {
        let protocol = |it: &Protocol| (it.name.clone(), format!("on {}", it.ports_written()));
        config.protocols.iter().map(protocol).collect()
    };
    let mut lines = differences("party", &parties(old), &parties(new));
    lines.extend(differences("protocol", &protocols(old), &protocols(new)));
    lines
}

fn differences(
    what: &str,
    old: &BTreeMap<String, String>,
    new: &BTreeMap<String, String>,
) -> Vec<String> {
    let gone = old.keys().filter(|name| !new.contains_key(*name));
    let gone = gone.map(|name| format!("{what} {name} is gone; its series stay as they are"));
    let changed = new
        .iter()
        .filter(|(name, place)| old.get(*name) != Some(*place));
    let changed = changed.map(|(name, place)| {
        let word = if old.contains_key(name) {
            "now"
        } else {
            "new,"
        };
        format!("{what} {name} is {word} {place}")
    });
    gone.chain(changed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Options, Surroundings, tests::minimal};

    fn config(text: &str) -> Config {
        let around = Surroundings {
            node_name: None,
            host_name: None,
        };
        crate::config::read("f", text, &Options::default(), &around).unwrap()
    }

    #[test]
    fn what_cannot_change_stays_and_says_so() {
        let old = minimal();
        let mut new = minimal();
        new.node = "other".to_owned();
        new.interval *= 2;
        new.prometheus_listen.clear();
        new.network.max_auto_parties = 7;
        let (next, lines) = merge(&old, new, true);
        assert_eq!(
            lines,
            [
                "node: stays \"node\" while the agent runs; restart it to have \"other\"",
                "interval: stays 1s while the agent runs; restart it to have 2s",
                "prometheus.listen: stays [127.0.0.1:9464] while the agent runs; restart it to have []",
            ]
        );
        let mut expected = old;
        expected.network.max_auto_parties = 7;
        assert_eq!(next, expected);
    }

    #[test]
    fn udp_comes_at_the_start_or_not_at_all() {
        let tcp = "[[protocols]]\nname = \"p\"\nports = [1]\n";
        let udp = "[[protocols]]\nname = \"q\"\ntransport = \"udp\"\nports = [1, 2]\n";
        let (without, with) = (config(tcp), config(&(tcp.to_owned() + udp)));
        let (next, lines) = merge(&without, with.clone(), false);
        assert_eq!(next, without);
        assert_eq!(
            lines,
            [
                "protocols: q on UDP 1, 2 is not counted while the agent runs, which had no protocol on UDP at its start; \
                 restart it"
            ]
        );
        assert_eq!(merge(&without, with.clone(), true), (with.clone(), vec![]));
        assert_eq!(told(&without, &with), ["protocol q is new, on UDP 1, 2"]);
    }

    #[test]
    fn every_change_is_a_line() {
        let party = |id: &str, endpoints: &str| {
            format!("[[parties]]\nid = \"{id}\"\nendpoints = [{endpoints}]\n")
        };
        let protocol = |name: &str, ports: &str| {
            format!("[[protocols]]\nname = \"{name}\"\nports = [{ports}]\n")
        };
        let old = party("a", "\"10.0.0.1\"") + &party("b", "\"10.0.0.2\"") + &protocol("p", "1");
        let new = party("b", "\"10.0.0.3:7\", \"h\"")
            + &party("c", "\"10.0.0.4\"")
            + &protocol("p", "\"1-3\", 5");
        let (old, new) = (config(&old), config(&new));
        assert_eq!(
            told(&old, &new),
            [
                "party a is gone; its series stay as they are",
                "party b is now at 10.0.0.3:7, h",
                "party c is new, at 10.0.0.4",
                "protocol p is now on TCP 1-3, 5",
            ]
        );
        assert!(told(&new, &new).is_empty());
    }
}
