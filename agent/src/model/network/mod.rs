//! The metrics of the network source, in the order of the page.

mod accounting;
mod bpf;
mod connections;
mod messages;
mod series;
mod traffic;
mod unexpected;

use super::metric::Metric;

pub(super) fn metrics() -> impl Iterator<Item = &'static Metric> {
    [
        traffic::METRICS,
        connections::METRICS,
        messages::METRICS,
        unexpected::METRICS,
        accounting::METRICS,
        bpf::METRICS,
    ]
    .into_iter()
    .flatten()
}
