//! What the network metrics read from a snapshot.

use crate::{
    model::metric::{Histogram, MetricValue, Reset},
    sample::{Network, Snapshot, Times, Traffic},
};

pub(super) const LOADED: Reset = Reset::Programs;

pub(super) fn network(snapshot: &Snapshot) -> Option<&Network> {
    snapshot.network.as_deref()
}

pub(super) fn times(times: &Times) -> MetricValue<'_> {
    MetricValue::Histogram(Histogram {
        bounds: &Times::BOUNDS,
        buckets: &times.buckets,
        sum: times.sum,
        fine: times.fine.as_deref(),
    })
}

pub(super) fn traffic(snapshot: &Snapshot) -> &[Traffic] {
    network(snapshot).map_or(&[], |it| &it.traffic)
}

/// Pairs that have connections.
pub(super) fn connections(snapshot: &Snapshot) -> impl Iterator<Item = &Traffic> {
    traffic(snapshot).iter().filter(|it| !it.datagrams)
}

/// Pairs of which rounds are counted; elsewhere 0 would be wrong.
pub(super) fn rounds(snapshot: &Snapshot) -> impl Iterator<Item = &Traffic> {
    messages(snapshot).filter(|it| !it.datagrams)
}

/// Pairs of which messages are counted; datagrams always are.
pub(super) fn messages(snapshot: &Snapshot) -> impl Iterator<Item = &Traffic> {
    let calls = network(snapshot).is_some_and(Network::counts_messages);
    let all = traffic(snapshot).iter();
    all.filter(move |it| calls || it.datagrams)
}
