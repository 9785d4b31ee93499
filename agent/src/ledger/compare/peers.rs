//! Decides which connections of one party are with the other. Those with third parties are neither compared nor missing.
//!
//! A party is known by its id if this side's configuration names it so. Otherwise (other names, or addresses as parties) it
//! is known by the connections that both files have.

use std::{
    collections::{BTreeSet, HashSet},
    net::IpAddr,
};

use super::read::{Name, Names, Record, Statement};

/// The peer of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Peer {
    /// The other party.
    Other,
    /// A third party.
    Third,
    /// An address that neither file assigns to a party.
    Unassigned,
}

/// What identifies the other party in one party's file.
#[derive(Debug)]
pub(super) struct PeerIdentity {
    /// Its names.
    names: BTreeSet<Name>,
    /// Whether the list of names is complete.
    is_named: bool,
    addresses: HashSet<IpAddr>,
}

impl PeerIdentity {
    /// Creates it before any connection is matched.
    pub(super) fn new(own: &Statement, other: &Statement) -> Self {
        let named = other.party.filter(|party| {
            let mut peers = own.records.iter().map(|record| record.peer);
            peers.any(|peer| peer == *party)
        });
        let mut addresses: HashSet<IpAddr> =
            other.records.iter().map(|record| record.local.0).collect();
        let with_it = own.records.iter();
        let with_it = with_it.filter(|record| Some(record.peer) == named);
        addresses.extend(with_it.map(|record| record.remote.0));
        Self {
            names: named.into_iter().collect(),
            is_named: named.is_some(),
            addresses,
        }
    }

    /// Learns from a connection that is certainly with the other party.
    pub(super) fn learn(&mut self, record: &Record, names: &Names) {
        if !self.is_named && !is_reserved(names.text(record.peer)) {
            self.names.insert(record.peer);
        }
        self.addresses.insert(record.remote.0);
    }

    /// Whether a connection is certainly with a third party: the file names both parties.
    pub(super) fn is_third(&self, record: &Record, names: &Names) -> bool {
        self.is_named && !self.names.contains(&record.peer) && is_party(names.text(record.peer))
    }

    /// The peer of a connection, once all matches are learned.
    pub(super) fn peer_of(&self, record: &Record, names: &Names) -> Peer {
        if self.names.contains(&record.peer) {
            return Peer::Other;
        }
        if is_party(names.text(record.peer)) {
            return if self.names.is_empty() {
                Peer::Unassigned
            } else {
                Peer::Third
            };
        }
        if self.addresses.contains(&record.remote.0) {
            Peer::Other
        } else {
            Peer::Unassigned
        }
    }
}

/// Whether the name is shared by peers that are not parties.
fn is_reserved(peer: &str) -> bool {
    peer == "unknown" || peer == "other"
}

/// Whether the name is that of a configured party.
fn is_party(peer: &str) -> bool {
    !is_reserved(peer) && peer.parse::<IpAddr>().is_err()
}
