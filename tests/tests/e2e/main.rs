//! The agent against real sockets, real programs and the kernel's own counters. Everything here wants root, for
//! network namespaces and BPF, but for `gpu`; each file is one theme.
//!
//! Two namespaces, A and B, joined by a cable: the party `a` is at A's addresses, `b` at B's. One agent sees the
//! sockets of both: A's count under `b`, B's under `a`. What must agree, with error 0: the page, what the programs
//! say they wrote and read, and INET_DIAG.

mod admin;
mod adoption;
mod attribution;
mod check;
mod churn;
mod ends;
mod families;
mod gpu;
mod hooks;
mod import;
mod input;
mod ledger;
mod line;
mod loss;
mod memory;
mod messages;
mod mptcp;
mod mpyc;
mod onehost;
mod otlp;
mod page;
mod pin;
mod privileges;
mod reload;
mod support;
mod udp;
mod unexpected_peers;
mod user;
mod waiting;
mod ways;
