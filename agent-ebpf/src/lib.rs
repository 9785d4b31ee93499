//! What the kernel side and the agent share: the layout of every map's keys and values, the names of maps and programs,
//! and the rules that need no kernel, so that they are tested on the host.
//!
//! Layouts are `repr(C)` with explicit padding: hashing a key hashes no stray byte, and both compilers agree.
#![cfg_attr(not(any(feature = "user", test)), no_std)]

mod account;
mod capacity;
pub mod classify;
mod connection;
mod control;
mod counters;
pub mod handover;
pub mod latency;
pub mod map;
pub mod pinned;
#[cfg(feature = "user")]
mod pod;
pub mod program;
mod rodata;
mod tables;
pub mod tcp;

pub use account::{Account, CLOSED, PendingConnect, close_callback};
pub use capacity::*;
pub use connection::{Connection, End, OPEN, Record, Role, SocketOwner, UnexpectedPeer};
pub use control::{Control, DropReason, endpoints, events};
pub use counters::{Counters, Shown, Totals};
pub use latency::Histogram;
pub use rodata::{OFFSETS, Offsets, SETTINGS, Settings};
pub use tables::{Address, Endpoint, Listener, LocalInitiator, UnexpectedSender, block, protocol};
