//! Individual connections, with the names of their party and protocol.

use std::{collections::BTreeSet, net::SocketAddr, sync::Arc, time::Duration};

use agent_ebpf::{End, Record, Role};

use super::{
    address::written,
    clock::Clock,
    kernel_record::{read, read_all},
    slot_names::SlotNames,
};
use crate::sample::{ConnectionObserver, ConnectionRecord};

pub(super) type Witnesses = Vec<Box<dyn ConnectionObserver>>;

/// Reads records with the current names and clock.
pub(super) struct RecordReader<'a> {
    names: &'a SlotNames,
    clock: Clock,
}

impl<'a> RecordReader<'a> {
    pub(super) fn new(names: &'a SlotNames, clock: Clock) -> Self {
        Self { names, clock }
    }

    /// One connection, or `None` if its slot has no name.
    pub(super) fn read(&self, bytes: &[u8]) -> Option<ConnectionRecord> {
        self.name(&read(bytes)?)
    }

    /// Each connection once; `bytes` holds consecutive records with duplicates.
    pub(super) fn read_all(&self, bytes: &[u8]) -> Vec<ConnectionRecord> {
        let mut seen = BTreeSet::new();
        let once = read_all(bytes).filter(|it: &Record| {
            let connection = &it.connection;
            let ports = (connection.local_port, connection.remote_port);
            seen.insert((it.began, connection.address, it.local, ports))
        });
        once.filter_map(|it| self.name(&it)).collect()
    }

    fn name(&self, record: &Record) -> Option<ConnectionRecord> {
        let connection = &record.connection;
        let slots = &self.names.slots;
        let place = slots.binary_search_by_key(&connection.slot, |(slot, _)| *slot);
        let (_, labels) = slots.get(place.ok()?)?;
        let at = |nanoseconds| self.clock.wall(Duration::from_nanos(nanoseconds));
        let eighths = f64::from(record.smoothed);
        Some(ConnectionRecord {
            party: Arc::clone(&labels.party),
            protocol: Arc::clone(&labels.protocol),
            role: Role::ALL
                .into_iter()
                .find(|role| *role as u32 == record.role)?,
            local: SocketAddr::new(written(record.local), connection.local_port),
            remote: SocketAddr::new(written(connection.address), connection.remote_port),
            began: at(record.began),
            ended: at(record.ended),
            end: End::ALL.into_iter().find(|end| *end as u32 == record.end),
            adopted: record.adopted != 0,
            transmit: record.transmit,
            receive: record.receive,
            retransmit: record.retransmit,
            smoothed_rtt: (record.smoothed != 0).then_some(eighths / 8e6),
        })
    }
}
