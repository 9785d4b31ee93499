//! Which party this machine is, by its addresses. A hint only: behind NAT, or in another network namespace, a party has
//! other addresses.

use std::{collections::BTreeSet, net::IpAddr};

use nix::ifaddrs::getifaddrs;

use super::tables::Resolved;
use crate::config::{Config, Endpoint, Host, Party};

/// This network namespace's addresses, except loopback, which every machine has.
pub(super) fn addresses() -> BTreeSet<IpAddr> {
    let Ok(interfaces) = getifaddrs() else {
        return BTreeSet::new();
    };
    let address = |storage: nix::sys::socket::SockaddrStorage| {
        let v4 = storage.as_sockaddr_in().map(|it| IpAddr::V4(it.ip()));
        v4.or_else(|| storage.as_sockaddr_in6().map(|it| IpAddr::V6(it.ip())))
    };
    interfaces
        .filter_map(|interface| address(interface.address?))
        .filter(|address| !address.is_loopback())
        .collect()
}

/// Contradictions between the configuration and the addresses, one line each.
pub(super) fn warnings(
    config: &Config,
    resolved: &Resolved,
    own: &BTreeSet<IpAddr>,
) -> Vec<String> {
    let mut lines = vec![];
    let named = config.party_id.as_deref();
    let mut here = config
        .parties
        .iter()
        .filter(|party| named == Some(&party.id));
    if let Some(party) = here.next()
        && !own.is_empty()
        && is_elsewhere(party, resolved, own)
    {
        let id = &party.id;
        lines.push(format!(
            "party_id is {id:?}, and no address of party {id:?} is this machine's; help: see whether this is another \
             node's configuration; behind a NAT all is well"
        ));
    }
    for party in config
        .parties
        .iter()
        .filter(|party| named != Some(&party.id))
    {
        let id = &party.id;
        let whole = party.endpoints.iter().filter(|it| it.port.is_none());
        let mut mine = whole.filter_map(|it| {
            let single =
                !matches!(&it.host, Host::Prefix(net) if net.prefix_len() < net.max_prefix_len());
            own.iter()
                .find(|address| single && holds(it, resolved, **address))
        });
        if let Some(address) = mine.next() {
            lines.push(format!(
                "party {id:?} is at {address}, which is this machine's own address; help: set party_id = {id:?} if this \
                 is its node, or correct the endpoint"
            ));
        }
    }
    lines
}

/// Whether its addresses are known and none of them is local.
fn is_elsewhere(party: &Party, resolved: &Resolved, own: &BTreeSet<IpAddr>) -> bool {
    let is_known = |it: &Endpoint| match &it.host {
        Host::Prefix(net) => !net.addr().is_loopback(),
        Host::Name(name) => {
            let found = resolved.get(name).map_or(&[][..], Vec::as_slice);
            !found.is_empty() && !found.iter().any(IpAddr::is_loopback)
        }
    };
    let mut all = party.endpoints.iter();
    all.clone().all(is_known)
        && !all.any(|it| own.iter().any(|address| holds(it, resolved, *address)))
}

fn holds(endpoint: &Endpoint, resolved: &Resolved, address: IpAddr) -> bool {
    match &endpoint.host {
        Host::Prefix(net) => net.contains(&address),
        Host::Name(name) => resolved.get(name).is_some_and(|it| it.contains(&address)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{HostEnv, Options, read};

    fn warnings_of(text: &str) -> Vec<String> {
        let around = HostEnv {
            node_name: None,
            host_name: None,
        };
        let config = read("f", text, &Options::default(), &around).unwrap();
        let resolved = Resolved::from([("h".to_owned(), vec!["10.0.0.1".parse().unwrap()])]);
        let own = BTreeSet::from(["10.0.0.1".parse().unwrap(), "fe80::1".parse().unwrap()]);
        warnings(&config, &resolved, &own)
    }

    fn party(id: &str, endpoint: &str) -> String {
        format!("[[parties]]\nid = \"{id}\"\nendpoints = [\"{endpoint}\"]\n")
    }

    #[test]
    fn another_nodes_configuration_is_reported() {
        let file = |own: &str, first: &str| {
            let own = format!("party_id = \"{own}\"\n");
            own + &party("a", first) + &party("b", "10.0.0.2")
        };
        for first in ["10.0.0.1", "h", "10.0.0.0/31", "10.0.0.1:7", "h:7"] {
            assert_eq!(
                warnings_of(&file("a", first)),
                <[&str; 0]>::default(),
                "{first}"
            );
        }
        let lines = warnings_of(&file("b", "10.0.0.1"));
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[0].starts_with("party_id is \"b\", and no address of party \"b\" is"));
        assert!(lines[1].starts_with("party \"a\" is at 10.0.0.1, which is this machine's own"));
        // An unresolved name says nothing, nor does an unlisted party.
        assert_eq!(warnings_of(&file("a", "i")), <[&str; 0]>::default());
        assert_eq!(warnings_of(&file("c", "10.0.0.3")), <[&str; 0]>::default());
    }

    #[test]
    fn parties_of_one_machine_have_ports() {
        assert_eq!(warnings_of(&party("a", "10.0.0.1")).len(), 1);
        assert_eq!(warnings_of(&party("a", "h")).len(), 1);
        for endpoint in ["10.0.0.1:7", "10.0.0.0/24", "127.0.0.1"] {
            assert_eq!(
                warnings_of(&party("a", endpoint)),
                <[&str; 0]>::default(),
                "{endpoint}"
            );
        }
    }
}
