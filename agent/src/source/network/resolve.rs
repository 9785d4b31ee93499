//! Host names of parties: looked up before anything starts, and again while one is missing.

use std::{
    collections::BTreeSet,
    net::{IpAddr, ToSocketAddrs as _},
};

pub use super::tables::Resolved;
use crate::config::{Config, Host};

/// A host name that has no address now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("party {party:?}: the host name {name:?} does not resolve: {why}")]
pub struct Unresolved {
    /// The party's id.
    pub party: String,
    /// The host name.
    pub name: String,
    /// What the resolver said.
    pub why: String,
}

/// Looks every host name of the configuration up that `known` does not have. Blocks as long as the system's
/// resolver does.
pub fn resolve(config: &Config, known: &mut Resolved) -> Vec<Unresolved> {
    let mut missing = Vec::new();
    let mut asked = BTreeSet::new();
    for party in &config.parties {
        for endpoint in &party.endpoints {
            let Host::Name(name) = &endpoint.host else {
                continue;
            };
            if known.contains_key(name) || !asked.insert(name) {
                continue;
            }
            let failed = |why: String| Unresolved {
                party: party.id.clone(),
                name: name.clone(),
                why,
            };
            match (name.as_str(), 0).to_socket_addrs() {
                Ok(found) => {
                    let addresses: BTreeSet<IpAddr> =
                        found.map(|address| address.ip().to_canonical()).collect();
                    if addresses.is_empty() {
                        missing.push(failed("it has no address".to_owned()));
                    } else {
                        known.insert(name.clone(), addresses.into_iter().collect());
                    }
                }
                Err(error) => missing.push(failed(error.to_string())),
            }
        }
    }
    missing
}
