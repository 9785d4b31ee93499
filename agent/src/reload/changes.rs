//! Compares two configurations: what can change while the agent runs, what needs a restart, and what to log. Pure.

use std::{collections::BTreeMap, fmt::Debug};

use crate::config::{Admin, Config, Network, Party, Protocol, Transport};

/// The configuration to apply, and a line for each setting that needs a restart. `udp`: whether there was a protocol on UDP
/// at the start. To count datagrams takes a privilege that the agent has dropped since.
pub(super) fn merge(old: &Config, new: Config, udp: bool) -> (Config, Vec<String>) {
    // Every field by name, so that a new field does not compile until it is handled here.
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
                messages,
                cgroup,
                bpf_pin_path,
                allow,
                max_auto_parties,
                on_unresolved,
                resolve_interval,
            },
        ledger,
        gpu,
        host_enabled,
        prometheus_listen,
        prometheus_hosts,
        admin: Admin { socket, group },
        otlp,
        log,
    } = new;
    let mut kept = Kept::default();
    kept.setting("node", &old.node, &node);
    kept.setting("interval", &old.interval, &interval);
    kept.setting("party_id", &old.party_id, &party_id);
    kept.setting("network.enabled", &old.network.enabled, &enabled);
    kept.setting("network.latency", &old.network.latency, &latency);
    kept.setting("network.messages", &old.network.messages, &messages);
    kept.setting("network.cgroup", &old.network.cgroup, &cgroup);
    kept.setting(
        "network.bpf_pin_path",
        &old.network.bpf_pin_path,
        &bpf_pin_path,
    );
    kept.setting(
        "network.resolve_interval",
        &old.network.resolve_interval,
        &resolve_interval,
    );
    kept.setting("ledger", &old.ledger, &ledger);
    kept.setting("gpu.enabled", &old.gpu.enabled, &gpu.enabled);
    kept.setting("gpu.library", &old.gpu.library, &gpu.library);
    kept.setting("gpu.processes", &old.gpu.processes, &gpu.processes);
    kept.setting("gpu.dcgm_names", &old.gpu.dcgm_names, &gpu.dcgm_names);
    kept.setting("host.enabled", &old.host_enabled, &host_enabled);
    kept.setting(
        "prometheus.listen",
        &old.prometheus_listen,
        &prometheus_listen,
    );
    kept.setting(
        "prometheus.allowed_hosts",
        &old.prometheus_hosts,
        &prometheus_hosts,
    );
    kept.setting("admin.socket", &old.admin.socket, &socket);
    kept.setting("admin.group", &old.admin.group, &group);
    if old.otlp != otlp {
        // The headers may be secret.
        kept.0.push(
            "otlp: keeping the previous settings; help: restart the agent to apply the new ones"
                .to_owned(),
        );
    }
    kept.setting("log.format", &old.log.format, &log.format);
    kept.setting("log.bpf_level", &old.log.bpf_level, &log.bpf_level);
    protocols.retain(|it| {
        let counted = udp || it.transport == Transport::Tcp;
        if !counted {
            kept.0.push(format!(
                "protocols: {} on {} is not counted, for the agent started without a protocol on UDP; help: restart the \
                 agent",
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
    next.network.on_unresolved = on_unresolved;
    (next, kept.0)
}

/// A line for each setting that keeps its value until a restart.
#[derive(Default)]
struct Kept(Vec<String>);

impl Kept {
    fn setting<T: PartialEq + Debug>(&mut self, key: &str, old: &T, new: &T) {
        if old != new {
            self.0.push(format!(
                "{key}: keeping {old:?}; help: restart the agent to apply {new:?}"
            ));
        }
    }
}

/// The differences between parties and protocols, a line each.
pub(super) fn differences(old: &Config, new: &Config) -> Vec<String> {
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
    let mut lines = between("party", &parties(old), &parties(new));
    lines.extend(between("protocol", &protocols(old), &protocols(new)));
    lines
}

fn between(
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
    use crate::config::{HostEnv, Options, tests::minimal};

    fn config(text: &str) -> Config {
        let host = HostEnv {
            node_name: None,
            host_name: None,
        };
        crate::config::read("f", text, &Options::default(), &host).unwrap()
    }

    #[test]
    fn settings_that_need_a_restart_stay_and_are_logged() {
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
                "node: keeping \"node\"; help: restart the agent to apply \"other\"",
                "interval: keeping 1s; help: restart the agent to apply 2s",
                "prometheus.listen: keeping [127.0.0.1:9464]; help: restart the agent to apply []",
            ]
        );
        let mut expected = old;
        expected.network.max_auto_parties = 7;
        assert_eq!(next, expected);
    }

    #[test]
    fn udp_needs_a_protocol_at_the_start() {
        let tcp = "[[protocols]]\nname = \"p\"\nports = [1]\n";
        let udp = "[[protocols]]\nname = \"q\"\ntransport = \"udp\"\nports = [1, 2]\n";
        let (without, with) = (config(tcp), config(&(tcp.to_owned() + udp)));
        let (next, lines) = merge(&without, with.clone(), false);
        assert_eq!(next, without);
        assert_eq!(
            lines,
            [
                "protocols: q on UDP 1, 2 is not counted, for the agent started without a protocol on UDP; help: restart the \
                 agent"
            ]
        );
        assert_eq!(merge(&without, with.clone(), true), (with.clone(), vec![]));
        assert_eq!(
            differences(&without, &with),
            ["protocol q is new, on UDP 1, 2"]
        );
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
            differences(&old, &new),
            [
                "party a is gone; its series stay as they are",
                "party b is now at 10.0.0.3:7, h",
                "party c is new, at 10.0.0.4",
                "protocol p is now on TCP 1-3, 5",
            ]
        );
        assert!(differences(&new, &new).is_empty());
    }
}
