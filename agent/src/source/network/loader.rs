//! Loads the BPF object, fills its tables, attaches its programs and reads its maps. Only the loader and what it builds
//! on use aya.

mod attach;
mod degraded;
mod empty_loader;
mod fill;
mod handover;
mod hooks;
mod links;
mod load;
mod load_options;
mod object;
mod pinned;
mod programs;
mod reconfigure;
mod repair;
mod tcp_state_tracepoint;
mod udp;

pub(super) use self::{
    degraded::Degraded, hooks::MessageHooks, load::Loaded, load_options::LoadOptions,
    programs::Programs, udp::UdpDropHooks,
};

/// The functions whose exits programs attach to.
pub(super) const FUNCTIONS: [&str; 3] = [hooks::EXITS[0], hooks::EXITS[1], udp::EXIT];
