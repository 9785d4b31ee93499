//! Parties and protocols that cannot be told apart: same name, same address, same port. Pure.

use std::collections::HashMap;

use agent_ebpf::{ENDPOINT_CAPACITY, PREFIX_CAPACITY, SLOT_CAPACITY};
use ipnet::IpNet;

use super::{
    Endpoint, Host, Party, Problem, Protocol, Transport,
    value::{Fault, fault},
};

/// All that is wrong between entries; each comes with the place where it stands.
pub(super) fn find(parties: &[(String, Party)], protocols: &[(String, Protocol)]) -> Vec<Problem> {
    let mut problems = duplicates(
        parties.iter().map(|(place, it)| (place, &*it.id)),
        "parties.id",
    );
    problems.extend(duplicates(
        protocols.iter().map(|(place, it)| (place, &*it.name)),
        "protocols.name",
    ));
    problems.extend(endpoints(parties));
    problems.extend(ports(protocols));
    problems.extend(capacity(parties, protocols));
    problems
}

fn duplicates<'a>(
    names: impl Iterator<Item = (&'a String, &'a str)>,
    key: &'static str,
) -> Vec<Problem> {
    let mut first = HashMap::new();
    let mut problems = Vec::new();
    for (place, name) in names {
        if let Some(at) = first.insert(name, place) {
            let what = format!("{name:?} is there twice, also at {at}");
            problems.push(Problem::new(
                place.clone(),
                key,
                fault(what, "join them, or rename one"),
            ));
        }
    }
    problems
}

/// Endpoints of two parties that a connection could match both of.
fn endpoints(parties: &[(String, Party)]) -> Vec<Problem> {
    let all = parties.iter().flat_map(|(place, party)| {
        party
            .endpoints
            .iter()
            .map(move |endpoint| (place, party, endpoint))
    });
    // In this order a prefix comes right before all that lies within it, so each is compared with those that
    // contain it and no others: thousands of endpoints take no time.
    let mut nets: Vec<_> = all
        .clone()
        .filter_map(|(place, party, endpoint)| match &endpoint.host {
            Host::Prefix(net) => Some((*net, endpoint.port, place, party)),
            Host::Name(_) => None,
        })
        .collect();
    nets.sort_by_key(|(net, port, ..)| (net.network(), net.prefix_len(), *port));
    let mut problems = Vec::new();
    let mut around: Vec<(IpNet, Option<u16>, &Party)> = Vec::new();
    for (net, port, place, party) in nets {
        around.retain(|(outer, ..)| outer.contains(&net));
        let clash = around.iter().find(|(_, outer_port, outer)| {
            (outer_port.is_none() || port.is_none() || *outer_port == port) && outer.id != party.id
        });
        if let Some((outer, outer_port, other)) = clash {
            let fault = overlap(
                &written(net, port),
                &party.id,
                &written(*outer, *outer_port),
                &other.id,
            );
            problems.push(Problem::new(place.clone(), "parties.endpoints", fault));
        }
        around.push((net, port, party));
    }

    let mut names = HashMap::<&str, Vec<(&Party, Option<u16>)>>::new();
    for (place, party, Endpoint { host, port }) in all {
        let Host::Name(name) = host else { continue };
        let before = names.entry(name).or_default();
        let clash = before.iter().find(|(other, other_port)| {
            (other_port.is_none() || port.is_none() || other_port == port) && other.id != party.id
        });
        if let Some((other, _)) = clash {
            let fault = overlap(name, &party.id, name, &other.id);
            problems.push(Problem::new(place.clone(), "parties.endpoints", fault));
        }
        before.push((party, *port));
    }
    problems
}

fn written(net: IpNet, port: Option<u16>) -> String {
    port.map_or_else(
        || net.to_string(),
        |port| format!("{} port {port}", net.addr()),
    )
}

fn overlap(endpoint: &str, party: &str, other_endpoint: &str, other: &str) -> Fault {
    fault(
        format!("{endpoint} of party {party:?} overlaps {other_endpoint} of party {other:?}"),
        "give each address to one party, or each party its port",
    )
}

/// Ports that two protocols of one transport listen on.
fn ports(protocols: &[(String, Protocol)]) -> Vec<Problem> {
    let mut owner = HashMap::<(Transport, u16), &str>::new();
    let mut problems = Vec::new();
    for (place, protocol) in protocols {
        let taken = protocol.ports.iter().cloned().flatten().find_map(|port| {
            let before = owner.insert((protocol.transport, port), &protocol.name)?;
            (before != protocol.name).then_some((port, before))
        });
        if let Some((port, before)) = taken {
            let what = format!("port {port} of {:?} is {before:?}'s too", protocol.name);
            let fault = fault(what, "give each port to one protocol");
            problems.push(Problem::new(place.clone(), "protocols.ports", fault));
        }
    }
    problems
}

/// What would not fit into the kernel's tables.
fn capacity(parties: &[(String, Party)], protocols: &[(String, Protocol)]) -> Vec<Problem> {
    let endpoints = || parties.iter().flat_map(|(_, party)| &party.endpoints);
    let with_port = endpoints()
        .filter(|endpoint| endpoint.port.is_some())
        .count();
    let slots = (parties.len() + 2) * (protocols.len() + 1);
    [
        // Each takes a second place for its address alone.
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
        let place = parties
            .first()
            .map_or_else(String::new, |(place, _)| place.clone());
        let fault = fault(format!("{have} {what} are more than {most}"), help);
        Problem::new(place, key, fault)
    })
    .collect()
}
