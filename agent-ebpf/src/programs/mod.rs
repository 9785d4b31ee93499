//! The programs, on floors. A file imports only from floors below its own, and never from its own;
//! `tests/floors.rs` reads this list, lowest first, and checks every file:
//!
//! 1. `atomic`: map values and operations on their words
//! 2. `maps`: the maps themselves
//! 3. `socket`: the kernel's sockets and processes, as integers
//! 4. `control`: settings, the handover, reasons for drops, clock, which callbacks are armed
//! 5. `storage`: accounts and pending connects in the sockets' storage
//! 6. `classify`: whose a socket or datagram is
//! 7. `counters`: what a slot counts beside its sums
//! 8. `account`: from an account to its slot
//! 9. `messages`, `local_initiators`, `records`: what is counted, kept or reported beside an account
//! 10. `datagrams`: what is counted of UDP
//! 11. `lifecycle`: a connection begins, is established or adopted, changes hands, ends, and what follows from it
//! 12. `walk`: what the iterators have in common
//! 13. `hooks`: the entry points, one file for each hook of the kernel

mod account;
mod atomic;
mod classify;
mod control;
mod counters;
mod datagrams;
mod hooks;
mod lifecycle;
mod local_initiators;
mod maps;
mod messages;
mod records;
mod socket;
mod storage;
mod walk;
