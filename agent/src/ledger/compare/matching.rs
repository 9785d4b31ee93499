//! Pairs the connections of the two parties: first by both endpoints, then by what network address translation (NAT)
//! leaves unchanged.

use std::{collections::HashMap, hash::Hash, time::SystemTime};

use agent_ebpf::Role;

use super::{
    MAX_CLOCK_SKEW,
    read::{Endpoint, Name, Record, Seen},
};

/// Two records of one connection, by their indices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) a: usize,
    pub(super) b: usize,
}

/// The result of a matching.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Matched {
    pub(super) pairs: Vec<Pair>,
    /// How many pairs are ambiguous and were matched in the order of time.
    pub(super) by_order: u64,
}

/// The time in which a record must overlap with its counterpart, plus or minus [`MAX_CLOCK_SKEW`].
type Window = fn(&Record) -> (SystemTime, SystemTime);

/// Matches records with the same key whose windows overlap, in the order of time. Records without a key are not matched.
/// `left` has the indices of unmatched records in the order of time; matched ones are removed.
fn by_key<K: Eq + Hash>(
    (a, b): (&[Record], &[Record]),
    left: &mut [Vec<usize>; 2],
    key_a: impl Fn(&Record) -> Option<K>,
    key_b: impl Fn(&Record) -> Option<K>,
    window: Window,
) -> Matched {
    let mut groups: HashMap<K, [Vec<usize>; 2]> = HashMap::new();
    for at in &left[1] {
        if let Some(key) = key_b(&b[*at]) {
            groups.entry(key).or_default()[1].push(*at);
        }
    }
    for at in &left[0] {
        let group = key_a(&a[*at]).and_then(|key| groups.get_mut(&key));
        if let Some(group) = group {
            group[0].push(*at);
        }
    }
    // Whether the first ends before the other begins.
    let is_before = |one: &Record, other: &Record| window(one).1 + MAX_CLOCK_SKEW < window(other).0;
    let fits = |one: Option<&usize>, other: Option<&usize>| {
        let both = one.zip(other).map(|(one, other)| (&a[*one], &b[*other]));
        both.is_some_and(|(a, b)| !is_before(a, b) && !is_before(b, a))
    };
    let mut found = Matched::default();
    let mut used = [vec![false; a.len()], vec![false; b.len()]];
    for [of_a, of_b] in groups.values() {
        let (mut i, mut j) = (0, 0);
        while let (Some(at_a), Some(at_b)) = (of_a.get(i), of_b.get(j)) {
            if is_before(&a[*at_a], &b[*at_b]) {
                i += 1;
            } else if is_before(&b[*at_b], &a[*at_a]) {
                j += 1;
            } else {
                let near = |at: usize, of: &[usize], fits: &dyn Fn(Option<&usize>) -> bool| {
                    fits(of.get(at + 1)) || fits(at.checked_sub(1).and_then(|at| of.get(at)))
                };
                let is_one_of_many = near(i, of_a, &|it| fits(it, Some(at_b)))
                    || near(j, of_b, &|it| fits(Some(at_a), it));
                found.by_order += u64::from(is_one_of_many);
                found.pairs.push(Pair { a: *at_a, b: *at_b });
                (used[0][*at_a], used[1][*at_b]) = (true, true);
                (i, j) = (i + 1, j + 1);
            }
        }
    }
    for (left, used) in left.iter_mut().zip(&used) {
        left.retain(|at| !used[*at]);
    }
    found.pairs.sort_by_key(|pair| pair.a);
    found
}

/// Matches connections with the same two endpoints that overlap in time: ports are reused.
///
/// `left` has the indices of unmatched records in the order of time; matched ones are removed.
pub(super) fn by_ends(a: &[Record], b: &[Record], left: &mut [Vec<usize>; 2]) -> Vec<Pair> {
    let window: Window = |it| (it.began, it.ended);
    // Where a port is reused, equal byte counts identify a connection better than clocks do.
    let same = by_key(
        (a, b),
        left,
        |it| Some((it.local, it.remote, it.transmit, it.receive)),
        |it| Some((it.remote, it.local, it.receive, it.transmit)),
        window,
    );
    let rest = by_key(
        (a, b),
        left,
        |it| Some((it.local, it.remote)),
        |it| Some((it.remote, it.local)),
        window,
    );
    [same.pairs, rest.pairs].concat()
}

/// What NAT leaves unchanged: one endpoint, the protocol, and the bytes that A sent and received.
type Known = (Endpoint, Name, u64, u64);

/// Matches connections across NAT: both parties saw them whole, with the same bytes both ways, begun at the same time as
/// far as clocks go, and they agree on one endpoint: the acceptor's (source NAT) or the initiator's (destination NAT).
///
/// `left` is as in [`by_ends`].
pub(super) fn translated(a: &[Record], b: &[Record], left: &mut [Vec<usize>; 2]) -> Matched {
    let known = |it: &Record, of: Role, common: Role| -> Option<(Endpoint, Name)> {
        let end = if of == common { it.local } else { it.remote };
        (it.seen == Seen::Whole && it.role == of).then_some((end, it.protocol))
    };
    let mut found = Matched::default();
    for common in [Role::Acceptor, Role::Initiator] {
        for (of_a, of_b) in [
            (Role::Initiator, Role::Acceptor),
            (Role::Acceptor, Role::Initiator),
        ] {
            let more = by_key(
                (a, b),
                left,
                |it| -> Option<Known> {
                    let (end, protocol) = known(it, of_a, common)?;
                    Some((end, protocol, it.transmit, it.receive))
                },
                |it| -> Option<Known> {
                    let (end, protocol) = known(it, of_b, common)?;
                    Some((end, protocol, it.receive, it.transmit))
                },
                |it| (it.began, it.began),
            );
            found.pairs.extend(more.pairs);
            found.by_order += more.by_order;
        }
    }
    found
}
