//! Lets the agent read and write the shared types as they lie in the kernel.

use crate::{
    account::Account,
    connection::{Connection, Record, SocketOwner, UnexpectedPeer},
    control::Control,
    counters::Counters,
    latency::Histogram,
    rodata::{Offsets, Settings},
    tables::Endpoint,
};

macro_rules! pod {
    ($($type:ty),+) => {
        // SAFETY: each is `repr(C)`, `Copy`, holds integers only and has no implicit padding but the zeroed tail of
        // `Counters`, so any bytes that the kernel returns are a valid value.
        $(unsafe impl aya::Pod for $type {})+
    };
}

pod!(
    Account,
    Connection,
    Control,
    Counters,
    Endpoint,
    Histogram,
    Offsets,
    Record,
    Settings,
    SocketOwner,
    UnexpectedPeer
);
