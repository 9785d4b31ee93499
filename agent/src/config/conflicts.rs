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
    let mut around: Vec<(IpNet, Claims<'_>)> = Vec::new();
    for (net, port, place, party) in nets {
        around.retain(|(outer, _)| outer.contains(&net));
        let clash = around
            .iter()
            .find_map(|(outer, claims)| Some((*outer, claims.clash(party, port)?)));
        if let Some((outer, (other, outer_port))) = clash {
            let fault = overlap(
                &written(net, port),
                &party.id,
                &written(outer, outer_port),
                &other.id,
            );
            problems.push(Problem::new(place.clone(), "parties.endpoints", fault));
        }
        match around.last_mut() {
            Some((last, claims)) if *last == net => claims.add(party, port),
            _ => {
                let mut claims = Claims::default();
                claims.add(party, port);
                around.push((net, claims));
            }
        }
    }

    let mut names = HashMap::<&str, Claims<'_>>::new();
    for (place, party, Endpoint { host, port }) in all {
        let Host::Name(name) = host else { continue };
        let claims = names.entry(name).or_default();
        if let Some((other, _)) = claims.clash(party, *port) {
            let fault = overlap(name, &party.id, name, &other.id);
            problems.push(Problem::new(place.clone(), "parties.endpoints", fault));
        }
        claims.add(party, *port);
    }
    problems
}

/// A party at a host: at one of its ports, or at all of them.
type Claim<'p> = (&'p Party, Option<u16>);

/// Who is at one host. Thousands of parties may be, each at its own port: nothing here looks through all of them.
#[derive(Default)]
struct Claims<'p> {
    by_port: HashMap<u16, Firsts<'p>>,
    every_port: Firsts<'p>,
    all: Firsts<'p>,
}

impl<'p> Claims<'p> {
    /// Another party that is there.
    fn clash(&self, party: &Party, port: Option<u16>) -> Option<Claim<'p>> {
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

/// The first claims of two parties: one of them is another than any given party's.
#[derive(Default)]
struct Firsts<'p>([Option<Claim<'p>>; 2]);

impl<'p> Firsts<'p> {
    fn other(&self, party: &Party) -> Option<Claim<'p>> {
        let claims = self.0.iter().flatten();
        claims.copied().find(|(other, _)| other.id != party.id)
    }

    fn add(&mut self, claim: Claim<'p>) {
        match &mut self.0 {
            [first @ None, _] => *first = Some(claim),
            [Some((one, _)), second @ None] if one.id != claim.0.id => *second = Some(claim),
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
