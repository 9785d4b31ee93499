//! Which of a party's connections are the other party's business. Those with a third are not: they are neither compared
//! nor missing.
//!
//! A party is known by its id where this side's configuration has it. Where the two name it differently, or parties are
//! addresses, it is known by the connections that both have.

use std::{
    collections::{BTreeSet, HashSet},
    net::IpAddr,
};

use super::read::{Name, Names, Record, Statement};

/// With whom a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum With {
    /// The other party.
    Other,
    /// A third.
    Third,
    /// An address that neither file gives to anybody.
    Nobody,
}

/// What one side knows the other by.
#[derive(Debug)]
pub(super) struct Whose {
    /// Names that are the other's.
    names: BTreeSet<Name>,
    /// Whether these are all that it has.
    is_named: bool,
    addresses: HashSet<IpAddr>,
}

impl Whose {
    /// Before anything is matched.
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

    /// A connection is with the other for sure: what it is called is the other's name.
    pub(super) fn learn(&mut self, record: &Record, names: &Names) {
        if !self.is_named && !is_nobody(names.text(record.peer)) {
            self.names.insert(record.peer);
        }
        self.addresses.insert(record.remote.0);
    }

    /// Whether a connection cannot be with the other: this side names both, and differently.
    pub(super) fn is_third(&self, record: &Record, names: &Names) -> bool {
        self.is_named && !self.names.contains(&record.peer) && is_party(names.text(record.peer))
    }

    /// With whom it is, once all is learned.
    pub(super) fn with(&self, record: &Record, names: &Names) -> With {
        if self.names.contains(&record.peer) {
            return With::Other;
        }
        if is_party(names.text(record.peer)) {
            return if self.names.is_empty() {
                With::Nobody
            } else {
                With::Third
            };
        }
        if self.addresses.contains(&record.remote.0) {
            With::Other
        } else {
            With::Nobody
        }
    }
}

/// Whether the peer is called what no party is: those share the name.
fn is_nobody(peer: &str) -> bool {
    peer == "unknown" || peer == "other"
}

/// Whether the peer is a party that is configured.
fn is_party(peer: &str) -> bool {
    !is_nobody(peer) && peer.parse::<IpAddr>().is_err()
}
