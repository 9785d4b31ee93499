//! The programs, one file each, and what they share: the maps, the socket as they read it (`socket`), and
//! whose it is (`classify`).

mod account;
mod adopt;
mod arm;
mod begun;
mod claim;
mod classify;
mod datagrams;
mod histogram;
mod holders;
mod iterator;
mod latency;
mod maps;
mod openers;
mod reclassify;
mod records;
mod rhythm;
mod set_state;
mod settle;
mod socket;
mod socket_events;
