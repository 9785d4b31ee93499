//! The result of a comparison: sums per direction, and what could not be compared, with the reason.

use std::collections::BTreeMap;

use super::{
    matching::{self, Pair},
    peers::{Peer, PeerIdentity},
    read::{Name, Names, Record, Seen, Statement},
};

/// The outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Something was compared, and all of it agrees.
    Agreed,
    /// Something differs, or is missing from one file.
    Disagreed,
    /// Nothing could be compared.
    Nothing,
}

/// Sums over the connections in one direction. Unit: bytes. 128 bits cannot overflow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sum {
    pub(super) connections: u64,
    pub(super) sent: u128,
    pub(super) received: u128,
    /// Sent and not received, by connection.
    pub(super) missing: u128,
    /// Received and not sent, by connection.
    pub(super) more: u128,
}

impl Sum {
    fn add(&mut self, sent: u64, received: u64) {
        self.connections += 1;
        self.sent += u128::from(sent);
        self.received += u128::from(received);
        self.missing += u128::from(sent.saturating_sub(received));
        self.more += u128::from(received.saturating_sub(sent));
    }
}

/// The direction and protocol of a [`Sum`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Flow {
    /// The index of the sender.
    pub(super) from: usize,
    /// The protocol, as the first party names it.
    pub(super) protocol: Name,
    /// Whether the connections were matched across NAT.
    pub(super) translated: bool,
}

/// Everything that is printed. Arrays have one element per party.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    pub(super) sums: BTreeMap<Flow, Sum>,
    /// Pairs with different byte counts.
    pub(super) different: Vec<Pair>,
    /// Pairs that were open for both, or open for one and adopted by the other.
    pub(super) open: u64,
    /// Pairs that both adopted.
    pub(super) adopted: u64,
    /// Pairs that only the other party saw whole.
    pub(super) unconfirmed: [u64; 2],
    /// Pairs with different protocol names.
    pub(super) renamed: u64,
    /// Ambiguous pairs across NAT.
    pub(super) by_order: u64,
    /// Connections with the other party that only this party has.
    pub(super) alone: [Vec<usize>; 2],
    /// Connections with third parties.
    pub(super) third: [u64; 2],
    /// Connections with addresses that neither file assigns to a party.
    pub(super) unassigned: [u64; 2],
    pub(super) duplicates: [u64; 2],
}

impl Verdict {
    pub(super) fn outcome(&self) -> Outcome {
        let is_wrong = !self.different.is_empty()
            || self.unconfirmed != [0; 2]
            || self.duplicates != [0; 2]
            || self.alone.iter().any(|alone| !alone.is_empty());
        if is_wrong {
            Outcome::Disagreed
        } else if self.sums.is_empty() {
            Outcome::Nothing
        } else {
            Outcome::Agreed
        }
    }

    /// Connections that were compared.
    pub(super) fn compared(&self) -> u64 {
        let sums = self.sums.iter().filter(|(flow, _)| flow.from == 0);
        sums.map(|(_, sum)| sum.connections).sum()
    }

    fn pair(&mut self, pair: Pair, (a, b): (&Record, &Record), translated: bool) {
        match (a.seen, b.seen) {
            (Seen::Whole, Seen::Whole) => {}
            (Seen::Whole, _) => return self.unconfirmed[1] += 1,
            (_, Seen::Whole) => return self.unconfirmed[0] += 1,
            (Seen::Adopted, Seen::Adopted) => return self.adopted += 1,
            (Seen::Open, _) | (_, Seen::Open) => return self.open += 1,
        }
        for (from, sent, received) in [(0, a.transmit, b.receive), (1, b.transmit, a.receive)] {
            let flow = Flow {
                from,
                protocol: a.protocol,
                translated,
            };
            self.sums.entry(flow).or_default().add(sent, received);
        }
        self.renamed += u64::from(a.protocol != b.protocol);
        if (a.transmit, a.receive) != (b.receive, b.transmit) {
            self.different.push(pair);
        }
    }
}

/// Compares what two parties say.
pub(super) fn judge(a: &Statement, b: &Statement, names: &Names) -> Verdict {
    let (of_a, of_b) = (&a.records, &b.records);
    let mut verdict = Verdict {
        duplicates: [a.duplicates, b.duplicates],
        ..Verdict::default()
    };
    let mut identities = [PeerIdentity::new(a, b), PeerIdentity::new(b, a)];
    let both = [of_a, of_b];
    let mut left = [0, 1].map(|side| {
        let all = both[side].iter().enumerate();
        let all = all.filter(|(_, record)| !identities[side].is_third(record, names));
        let left: Vec<usize> = all.map(|(at, _)| at).collect();
        verdict.third[side] = (both[side].len() - left.len()) as u64;
        left
    });
    for pair in matching::by_ends(of_a, of_b, &mut left) {
        let (a, b) = (&of_a[pair.a], &of_b[pair.b]);
        identities[0].learn(a, names);
        identities[1].learn(b, names);
        verdict.pair(pair, (a, b), false);
    }
    for side in [0, 1] {
        left[side].retain(|at| {
            let is_third = identities[side].peer_of(&both[side][*at], names) == Peer::Third;
            verdict.third[side] += u64::from(is_third);
            !is_third
        });
    }
    let translated = matching::translated(of_a, of_b, &mut left);
    verdict.by_order = translated.by_order;
    for pair in translated.pairs {
        verdict.pair(pair, (&of_a[pair.a], &of_b[pair.b]), true);
    }
    for side in [0, 1] {
        for at in std::mem::take(&mut left[side]) {
            match identities[side].peer_of(&both[side][at], names) {
                Peer::Other => verdict.alone[side].push(at),
                Peer::Third => verdict.third[side] += 1,
                Peer::Unassigned => verdict.unassigned[side] += 1,
            }
        }
    }
    verdict
}
