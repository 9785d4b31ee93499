//! From the kernel's counters to a sample. Pure, but for what it published last.

use std::{collections::BTreeMap, sync::Arc};

use agent_ebpf::Counters;

use super::tables::Names;
use crate::sample::Traffic;

/// What was published of each slot.
#[derive(Debug, Default)]
pub(super) struct Published(BTreeMap<u32, Counters>);

impl Published {
    /// What to publish now. A counter never goes back: should the kernel side ever have to correct itself
    /// downwards, the larger figure stands until it is reached again.
    pub(super) fn next(
        &mut self,
        names: &Names,
        read: impl Fn(u32) -> Option<Counters>,
    ) -> Vec<Traffic> {
        let mut traffic = Vec::with_capacity(names.slots.len());
        for (slot, labels) in &names.slots {
            let Some(now) = read(*slot) else { continue };
            let nothing = now.transmit | now.receive | now.retransmit == 0;
            if nothing && names.seldom(*slot) && !self.0.contains_key(slot) {
                continue;
            }
            let published = self.0.entry(*slot).or_default();
            published.transmit = forward(published.transmit, now.transmit);
            published.receive = forward(published.receive, now.receive);
            published.retransmit = forward(published.retransmit, now.retransmit);
            traffic.push(Traffic {
                party: Arc::clone(&labels.party),
                protocol: Arc::clone(&labels.protocol),
                transmit: published.transmit,
                receive: published.receive,
                retransmit: published.retransmit,
            });
        }
        traffic
    }
}

/// The larger of two readings of a counter that wraps: also right where a correction took it below 0.
fn forward(before: u64, now: u64) -> u64 {
    if now.wrapping_sub(before).cast_signed() > 0 {
        now
    } else {
        before
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::network::layout::Layout;

    fn names() -> Names {
        let config = crate::config::tests::minimal();
        Names::new(&config, &Layout::new(&config))
    }

    fn counters(transmit: u64) -> Counters {
        Counters {
            transmit,
            ..Counters::default()
        }
    }

    #[test]
    fn never_goes_back() {
        let names = names();
        let mut published = Published::default();
        let mut next = |value| published.next(&names, |_| Some(counters(value)))[0].transmit;
        assert_eq!(next(u64::MAX), 0, "a correction below 0 shows as nothing");
        assert_eq!(next(10), 10);
        assert_eq!(next(9), 10);
        assert_eq!(next(11), 11);
    }

    #[test]
    fn pairs_without_a_protocol_are_shown_once_they_have_counted() {
        let names = names();
        let mut published = Published::default();
        let mut shown = |value| {
            let traffic = published.next(&names, |_| Some(counters(value)));
            traffic
                .into_iter()
                .map(|it| it.protocol.to_string())
                .collect::<Vec<_>>()
        };
        assert_eq!(shown(0), ["test"]);
        assert_eq!(shown(1), ["other", "test"]);
        assert_eq!(shown(1), ["other", "test"]);
    }
}
