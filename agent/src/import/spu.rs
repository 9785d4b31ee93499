//! SPU and SecretFlow, JSON in one of two forms.
//!
//! * SPU's own, as in `examples/python/conf/3pc.json`: of each device of the kind SPU, `config.node_ids` are the
//!   parties and `config.spu_internal_addrs` where they listen for each other (`HostContext`,
//!   `examples/python/utils/distributed_impl.py`). `nodes` are where a driver reaches them: not between parties.
//! * SecretFlow's `cluster_def`, alone or under that name: `nodes` with `party`, `address` and, where it listens
//!   elsewhere than it is reached, `listen_address`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use super::{
    Found, ImportError, Party, import_error,
    json::{self, HostPort},
};
#[derive(Deserialize)]
struct File {
    cluster_def: Option<Cluster>,
    nodes: Option<Nodes>,
    #[serde(default)]
    devices: BTreeMap<String, Device>,
}

#[derive(Deserialize)]
struct Cluster {
    nodes: Nodes,
}

#[derive(Deserialize)]
struct Device {
    kind: String,
    config: DeviceConfig,
}

#[derive(Deserialize)]
struct DeviceConfig {
    #[serde(default)]
    node_ids: Vec<String>,
    #[serde(default)]
    spu_internal_addrs: Vec<HostPort>,
}

#[derive(Deserialize)]
struct Node {
    party: String,
    address: HostPort,
    #[serde(default)]
    listen_address: Option<String>,
}

/// SecretFlow's list; SPU's own is a map, which is skipped.
struct Nodes(Option<Vec<Node>>);

impl<'de> Deserialize<'de> for Nodes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = Nodes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of nodes, or a map of their addresses")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Nodes, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Nodes(None))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Nodes, A::Error> {
                let mut nodes = Vec::new();
                while let Some(node) = list.next_element()? {
                    nodes.push(node);
                }
                Ok(Nodes(Some(nodes)))
            }
        }

        deserializer.deserialize_any(Either)
    }
}

const HELP: &str = "give a JSON file with devices of the kind SPU, or SecretFlow's cluster_def";

pub(super) fn read(text: &str) -> Result<Found, ImportError> {
    let File {
        cluster_def,
        nodes,
        devices,
    } = json::parse(text, HELP)?;
    let nodes = cluster_def.map(|cluster| cluster.nodes).or(nodes);
    if let Some(Nodes(Some(nodes))) = nodes {
        return secretflow(text, nodes);
    }
    let mut found = Found::default();
    for (name, Device { kind, config }) in devices {
        if kind != "SPU" {
            continue;
        }
        let (ids, places) = (config.node_ids, config.spu_internal_addrs);
        if ids.len() != places.len() {
            let what = format!(
                "device {name:?} has {} node_ids and {} spu_internal_addrs",
                ids.len(),
                places.len()
            );
            let line = json::line_of(text, &format!("{name:?}:"));
            return Err(import_error(line, what, "give one address for each node"));
        }
        for (id, HostPort(host, port)) in ids.into_iter().zip(places) {
            let line = json::line_of(text, &format!("{id:?}"));
            add(&mut found, id, HostPort(host, port), line);
        }
    }
    some(found)
}

fn secretflow(text: &str, nodes: Vec<Node>) -> Result<Found, ImportError> {
    let mut found = Found::default();
    for node in nodes {
        let line = json::line_of(text, &format!("{:?}", node.party));
        if let Some(listens) = node.listen_address.filter(|text| !text.is_empty()) {
            let wrong =
                |what| import_error(line, format!("listen_address: {what}"), "write host:port");
            let HostPort(_, port) = HostPort::try_from(listens).map_err(wrong)?;
            found.ports.insert(port);
        }
        add(&mut found, node.party, node.address, line);
    }
    some(found)
}

/// Adds a place to its party; a party may be in several devices.
fn add(found: &mut Found, id: String, HostPort(host, port): HostPort, line: Option<usize>) {
    let same = |party: &&mut Party| party.id == id && party.host.as_ref() == Some(&host);
    if let Some(party) = found.parties.iter_mut().find(same) {
        let ports: BTreeSet<u16> = party.ports.iter().copied().chain([port]).collect();
        party.ports = ports.into_iter().collect();
        return;
    }
    found.parties.push(Party {
        id,
        host: Some(host),
        ports: vec![port],
        given: true,
        line,
    });
}

fn some(found: Found) -> Result<Found, ImportError> {
    if found.parties.is_empty() {
        return Err(import_error(None, "has no party", HELP));
    }
    Ok(found)
}
