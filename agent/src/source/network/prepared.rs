//! Loads what the configuration asks of this kernel.

use agent_ebpf::Settings;

use super::{
    btf::{self, AttachTargets, Kernel},
    cgroup::{self, Cgroup},
    layout::Layout,
    limits,
    loader::{self, LoadOptions, Loaded, MessageHooks},
    pin::StartPoint,
};
use crate::{config::Config, sample::FailureKind, source::Failure};

/// Loaded programs, not yet attached, and what they attach to.
pub(super) struct Prepared {
    pub(super) loaded: Loaded,
    pub(super) kernel: Kernel,
    pub(super) cgroup: Result<Cgroup, String>,
    /// `None`: messages are not counted.
    pub(super) message_hooks: Option<MessageHooks>,
}

impl Prepared {
    pub(super) fn new(
        config: &Config,
        layout: &Layout,
        start_point: StartPoint,
    ) -> Result<Self, Failure> {
        let wants = &config.network;
        let raw = btf::raw().map_err(|error| {
            let help = "mount sysfs, or take a kernel that is built with CONFIG_DEBUG_INFO_BTF";
            let reason = format!("no kernel BTF ({}: {error}); help: {help}", btf::KERNEL);
            Failure::new(FailureKind::Unsupported, reason)
        })?;
        let unsupported =
            |error: btf::BtfError| Failure::new(FailureKind::Unsupported, error.to_string());
        let kernel = btf::read(&raw).map_err(unsupported)?;
        let hooks = AttachTargets::find(&raw, &loader::FUNCTIONS).map_err(unsupported)?;
        // Some 6 MB that a memory limit would have to allow for.
        drop(raw);
        let udp = config.wants_udp();
        let cgroup = cgroup::open(wants.cgroup.as_deref());
        let message_hooks = wants.messages.then_some(if kernel.message_tracepoints {
            MessageHooks::Tracepoints
        } else {
            MessageHooks::Exits
        });
        let options = LoadOptions {
            hooks,
            offsets: kernel.offsets,
            settings: Settings {
                latency: u32::from(wants.latency),
                watch_end: u32::from(kernel.preemptible_tracepoints),
                receive_parameters: kernel.receive_parameters.unwrap_or(0),
                records: u32::from(config.wants_records()),
                generation: start_point.generation,
            },
            storage_iterators: kernel.storage_iterators_are_safe,
            events: cgroup.is_ok(),
            message_hooks,
            udp: (udp && cgroup.is_ok()).then(limits::udp_drop_hooks),
            slots: layout.slots(),
            histograms: layout.histograms(),
            start_point,
            log: config.log.bpf_level,
        };
        let loaded = Loaded::new(options)?;
        Ok(Self {
            loaded,
            kernel,
            cgroup,
            message_hooks,
        })
    }
}
