//! Parties and protocols that share a name, an address or a port, or are too many for the kernel's tables. Pure.

use std::collections::HashMap;

use agent_ebpf::{ENDPOINT_CAPACITY, PREFIX_CAPACITY, SLOT_CAPACITY};
use ipnet::IpNet;

use super::{
    ConfigError, Endpoint, Host, Party, Protocol, Transport,
    error::{InvalidValue, invalid},
};

/// Every conflict between entries, each of which comes with its location.
pub(super) fn find(
    parties: &[(String, Party)],
    protocols: &[(String, Protocol)],
) -> Vec<ConfigError> {
    let mut errors = duplicates(
        parties.iter().map(|(location, it)| (location, &*it.id)),
        "parties.id",
    );
    errors.extend(duplicates(
        protocols.iter().map(|(location, it)| (location, &*it.name)),
        "protocols.name",
    ));
    errors.extend(endpoints(parties));
    errors.extend(ports(protocols));
    errors.extend(capacity(parties, protocols));
    errors
}

fn duplicates<'a>(
    names: impl Iterator<Item = (&'a String, &'a str)>,
    key: &'static str,
) -> Vec<ConfigError> {
    let mut first = HashMap::new();
    let mut errors = Vec::new();
    for (location, name) in names {
        if let Some(at) = first.insert(name, location) {
            let what = format!("{name:?} appears twice, also at {at}");
            errors.push(ConfigError::new(
                location.clone(),
                key,
                invalid(what, "join them, or rename one"),
            ));
        }
    }
    errors
}

/// Endpoints of two parties that one connection could match.
fn endpoints(parties: &[(String, Party)]) -> Vec<ConfigError> {
    let all = parties.iter().flat_map(|(location, party)| {
        party
            .endpoints
            .iter()
            .map(move |endpoint| (location, party, endpoint))
    });
    // In this order a prefix comes right before all that it contains: each is compared only with those that contain
    // it, and thousands of endpoints take no time.
    let mut nets: Vec<_> = all
        .clone()
        .filter_map(|(location, party, endpoint)| match &endpoint.host {
            Host::Prefix(net) => Some((*net, endpoint.port, location, party)),
            Host::Name(_) => None,
        })
        .collect();
    nets.sort_by_key(|(net, port, ..)| (net.network(), net.prefix_len(), *port));
    let mut errors = Vec::new();
    let mut around: Vec<(IpNet, HostParties<'_>)> = Vec::new();
    for (net, port, location, party) in nets {
        around.retain(|(outer, _)| outer.contains(&net));
        let clash = around
            .iter()
            .find_map(|(outer, taken)| Some((*outer, taken.clash(party, port)?)));
        if let Some((outer, (other, outer_port))) = clash {
            let error = overlap(
                &written(net, port),
                &party.id,
                &written(outer, outer_port),
                &other.id,
            );
            errors.push(ConfigError::new(
                location.clone(),
                "parties.endpoints",
                error,
            ));
        }
        match around.last_mut() {
            Some((last, taken)) if *last == net => taken.add(party, port),
            _ => {
                let mut taken = HostParties::default();
                taken.add(party, port);
                around.push((net, taken));
            }
        }
    }

    let mut names = HashMap::<&str, HostParties<'_>>::new();
    for (location, party, Endpoint { host, port }) in all {
        let Host::Name(name) = host else { continue };
        let taken = names.entry(name).or_default();
        if let Some((other, _)) = taken.clash(party, *port) {
            let error = overlap(name, &party.id, name, &other.id);
            errors.push(ConfigError::new(
                location.clone(),
                "parties.endpoints",
                error,
            ));
        }
        taken.add(party, *port);
    }
    errors
}

/// A party and the port it has at a host; `None`: every port.
type PartyPort<'p> = (&'p Party, Option<u16>);

/// The parties at one host. There may be thousands, each at its own port: no lookup iterates over them.
#[derive(Default)]
struct HostParties<'p> {
    by_port: HashMap<u16, FirstTwo<'p>>,
    every_port: FirstTwo<'p>,
    all: FirstTwo<'p>,
}

impl<'p> HostParties<'p> {
    /// Another party at the same host and port.
    fn clash(&self, party: &Party, port: Option<u16>) -> Option<PartyPort<'p>> {
        match port {
            None => self.all.other(party),
            Some(port) => self
                .every_port
                .other(party)
                .or_else(|| self.by_port.get(&port)?.other(party)),
        }
    }

    fn add(&mut self, party: &'p Party, port: Option<u16>) {
        let of_port = match port {
            None => &mut self.every_port,
            Some(port) => self.by_port.entry(port).or_default(),
        };
        for firsts in [of_port, &mut self.all] {
            firsts.add((party, port));
        }
    }
}

/// The first two different parties: at least one of them differs from any given party.
#[derive(Default)]
struct FirstTwo<'p>([Option<PartyPort<'p>>; 2]);

impl<'p> FirstTwo<'p> {
    fn other(&self, party: &Party) -> Option<PartyPort<'p>> {
        let taken = self.0.iter().flatten();
        taken.copied().find(|(other, _)| other.id != party.id)
    }

    fn add(&mut self, entry: PartyPort<'p>) {
        match &mut self.0 {
            [first @ None, _] => *first = Some(entry),
            [Some((one, _)), second @ None] if one.id != entry.0.id => *second = Some(entry),
            _ => {}
        }
    }
}

fn written(net: IpNet, port: Option<u16>) -> String {
    port.map_or_else(
        || net.to_string(),
        |port| format!("{} port {port}", net.addr()),
    )
}

fn overlap(endpoint: &str, party: &str, other_endpoint: &str, other: &str) -> InvalidValue {
    invalid(
        format!("{endpoint} of party {party:?} overlaps {other_endpoint} of party {other:?}"),
        "give each address to one party, or each party its port",
    )
}

/// Ports that two protocols of one transport listen on.
fn ports(protocols: &[(String, Protocol)]) -> Vec<ConfigError> {
    let mut owner = HashMap::<(Transport, u16), &str>::new();
    let mut errors = Vec::new();
    for (location, protocol) in protocols {
        let taken = protocol.ports.iter().cloned().flatten().find_map(|port| {
            let before = owner.insert((protocol.transport, port), &protocol.name)?;
            (before != protocol.name).then_some((port, before))
        });
        if let Some((port, before)) = taken {
            let what = format!("port {port} of {:?} is {before:?}'s too", protocol.name);
            let error = invalid(what, "give each port to one protocol");
            errors.push(ConfigError::new(location.clone(), "protocols.ports", error));
        }
    }
    errors
}

/// What does not fit into the kernel's tables.
fn capacity(parties: &[(String, Party)], protocols: &[(String, Protocol)]) -> Vec<ConfigError> {
    let endpoints = || parties.iter().flat_map(|(_, party)| &party.endpoints);
    let with_port = endpoints()
        .filter(|endpoint| endpoint.port.is_some())
        .count();
    let slots = (parties.len() + 2) * (protocols.len() + 1);
    [
        // Each takes a second entry for its address alone.
        (
            "parties.endpoints",
            "endpoints with a port",
            with_port,
            ENDPOINT_CAPACITY / 2,
            "leave the port out where a party has its address to itself",
        ),
        (
            "parties.endpoints",
            "prefixes",
            endpoints().count() - with_port,
            PREFIX_CAPACITY,
            "write neighbouring addresses as one prefix",
        ),
        (
            "parties",
            "pairs of party and protocol",
            slots,
            SLOT_CAPACITY,
            "give fewer protocols, or make one party of all addresses of one owner",
        ),
    ]
    .into_iter()
    .filter(|(.., have, most, _)| *have > *most as usize)
    .map(|(key, what, have, most, help)| {
        let location = parties
            .first()
            .map_or_else(String::new, |(location, _)| location.clone());
        let error = invalid(format!("{have} {what} are more than {most}"), help);
        ConfigError::new(location, key, error)
    })
    .collect()
}
