//! What outlives the agent, as the next one must find it: which maps are pinned, and the version of their layout.

use crate::map;

/// The maps that hold what was counted and what is going on. The tables of the configuration are not among them: each
/// load of the programs has its own.
pub const MAPS: [&str; 11] = [
    map::COUNTERS,
    map::CONTROL,
    map::SOCKETS,
    map::HISTOGRAMS,
    map::AUTO_PARTIES,
    map::PROCESSES,
    map::PENDING_CONNECTS,
    map::UNEXPECTED_PEERS,
    map::COUNTED,
    map::LISTENERS,
    map::LOCAL_INITIATORS,
];

/// Pinned as well where a protocol is on UDP.
pub const UDP_MAPS: [&str; 1] = [map::UNEXPECTED_SENDERS];

/// Pinned as well where connections are recorded.
pub const RECORD_MAPS: [&str; 1] = [map::RECORDS];

/// The version of everything that is pinned. Count it up whenever a name, a layout or the meaning of a value changes:
/// an agent does not go on with the maps of another version.
pub const VERSION: u64 = 3;

#[cfg(test)]
mod tests {
    use crate::*;

    /// Fails if a type's size or a field's offset is another, and does not compile if a field is missing here.
    macro_rules! layout {
        ($type:ident: $size:literal { $($field:ident: $offset:literal),+ $(,)? }) => {{
            let _every_field = |$type { $($field: _),+ }: $type| ();
            let found = (size_of::<$type>(), vec![$((stringify!($field), core::mem::offset_of!($type, $field))),+]);
            assert_eq!(
                found,
                ($size, vec![$((stringify!($field), $offset)),+]),
                "the layout of {} has changed: count `pinned::VERSION` up, and write the new layout down here",
                stringify!($type)
            );
        }};
    }

    #[test]
    fn the_layout_of_pinned_maps_is_that_of_the_version() {
        assert_eq!(pinned::VERSION, 3, "the layouts below are of version 3");
        layout!(Totals: 120 {
            transmit: 0, receive: 8, retransmit: 16, segments: 24, opened: 40, closed: 56, failures: 80, messages: 88,
            rounds: 104, waited: 112,
        });
        layout!(Shown: 32 { transmit: 0, receive: 8, received_messages: 16, waited: 24 });
        layout!(Counters: 192 {
            totals: 0, walk: 120, smoothed: 128, open: 136, measured: 140, latency: 144, waiting: 148, sent: 152, shown: 160,
        });
        layout!(Control: 112 {
            stride: 0, auto_limit: 4, auto_parties: 8, endpoints: 12, events: 16, histograms: 20, histogram_limit: 24,
            handover: 28, walk: 32, clock: 40, settled: 48, unarmed: 56, dropped: 64,
        });
        layout!(Account: 112 {
            slot: 0, sequence_base: 4, transmit: 8, receive: 16, retransmit: 24, received: 32, segments: 40, opened: 48,
            sampled: 52, initiator: 56, walk: 60, sent: 64, began: 72, base: 80, adopted: 104, close_callback: 108,
        });
        layout!(PendingConnect: 8 { process: 0, unexpected: 4 });
        layout!(Listener: 16 { ports: 0 });
        layout!(LocalInitiator: 20 { address: 0, port: 16, listening: 18 });
        layout!(UnexpectedSender: 20 { address: 0, local_port: 16, padding: 18 });
        layout!(Histogram: 5128 { sum: 0, buckets: 8 });
        layout!(UnexpectedPeer: 32 { connection: 0, role: 24, process: 28 });
        layout!(Connection: 24 { address: 0, remote_port: 16, local_port: 18, slot: 20 });
        layout!(Record: 96 {
            connection: 0, local: 24, began: 40, ended: 48, transmit: 56, receive: 64, retransmit: 72, smoothed: 80,
            role: 84, end: 88, adopted: 92,
        });
    }

    /// Not pinned, but read by the other side as bytes.
    #[test]
    fn the_layout_of_what_is_exchanged_has_no_padding() {
        layout!(SocketOwner: 32 { process: 0, padding: 4, connection: 8 });
        layout!(Endpoint: 20 { address: 0, port: 16, padding: 18 });
    }
}
