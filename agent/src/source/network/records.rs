//! Connections one by one, as the kernel side writes them, with their names, for whoever wants to know of them.

use std::{collections::BTreeSet, net::SocketAddr, sync::Arc, time::Duration};

use agent_ebpf::{End, Record, Role};

use super::{
    address::written,
    clock::Clock,
    holders::{connection, long, word},
    tables::Names,
};
use crate::sample::{ConnectionObserver, ConnectionRecord};

/// Those who want to know.
pub(super) type ConnectionObservers = Vec<Box<dyn ConnectionObserver>>;

/// Reads records with the names and the clocks as they are now.
pub(super) struct Reader<'a> {
    names: &'a Names,
    clock: Clock,
}

impl<'a> Reader<'a> {
    pub(super) fn new(names: &'a Names, clock: Clock) -> Self {
        Self { names, clock }
    }

    /// One, or `None` for what has no name any more.
    pub(super) fn read(&self, bytes: &[u8]) -> Option<ConnectionRecord> {
        self.name(&record(bytes)?)
    }

    /// Each once, of bytes with one after the other, some of them several times.
    pub(super) fn read_all(&self, bytes: &[u8]) -> Vec<ConnectionRecord> {
        let mut seen = BTreeSet::new();
        let all = bytes.chunks_exact(size_of::<Record>()).filter_map(record);
        let once = all.filter(|it| {
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

fn record(bytes: &[u8]) -> Option<Record> {
    Some(Record {
        connection: connection(bytes)?,
        local: [
            word(bytes, 24)?,
            word(bytes, 28)?,
            word(bytes, 32)?,
            word(bytes, 36)?,
        ],
        began: long(bytes, 40)?,
        ended: long(bytes, 48)?,
        transmit: long(bytes, 56)?,
        receive: long(bytes, 64)?,
        retransmit: long(bytes, 72)?,
        smoothed: word(bytes, 80)?,
        role: word(bytes, 84)?,
        end: word(bytes, 88)?,
        adopted: word(bytes, 92)?,
    })
}
