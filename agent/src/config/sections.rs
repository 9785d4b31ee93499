//! The sections of the file but `[otlp]`; `None` stands for one with an error, which has been reported.

use std::time::Duration;

use bytesize::ByteSize;

use super::{
    Admin, AdminSocket, Gpu, Ledger, Log, LogFormat, Network, OnUnresolved, Pin, address,
    error::invalid, level::level, limits::ALLOWED, value, values::Values,
};

impl Values<'_, '_, '_> {
    pub(super) fn network(&mut self) -> Option<Network> {
        let enabled = self.get("network.enabled", value::boolean);
        let latency = self.get("network.latency", value::boolean);
        let messages = self.get("network.messages", value::boolean);
        let cgroup = self.get("network.cgroup", value::directory);
        let bpf_pin_path = match self.find("network.bpf_pin_path") {
            None => Some(Pin::Mounted),
            Some(_) => self.get("network.bpf_pin_path", value::pin),
        };
        let allow = self.list("network.allow", ALLOWED, address::net);
        let max_auto_parties = self.get("network.max_auto_parties", |value| {
            value.integer(1..=agent_ebpf::AUTO_PARTY_CAPACITY)
        });
        let on_unresolved = self.get("network.on_unresolved", |value| {
            value.choice(&[
                ("refuse", OnUnresolved::Refuse),
                ("retry", OnUnresolved::Retry),
            ])
        });
        let resolve_interval = self.get("network.resolve_interval", |value| {
            value.duration(Duration::from_secs(1)..=Duration::from_hours(1))
        });
        Some(Network {
            enabled: enabled?,
            latency: latency?,
            messages: messages?,
            cgroup,
            bpf_pin_path: bpf_pin_path?,
            allow,
            max_auto_parties: max_auto_parties?,
            on_unresolved: on_unresolved?,
            resolve_interval: resolve_interval?,
        })
    }

    /// The inner `None` is a ledger without a path.
    #[expect(
        clippy::option_option,
        reason = "what is wrong and what is off are two things"
    )]
    pub(super) fn ledger(&mut self) -> Option<Option<Ledger>> {
        let path = self.get("ledger.path", value::directory);
        let max_size = self.get("ledger.max_size", |value| {
            value.size(ByteSize::mib(1)..=ByteSize::gib(64))
        });
        let retention = self.get("ledger.retention", |value| {
            value.duration(Duration::from_hours(1)..=Duration::from_hours(24 * 366))
        });
        let (max_size, retention) = (max_size?, retention?);
        Some(path.map(|path| Ledger {
            path,
            max_size,
            retention,
        }))
    }

    pub(super) fn gpu(&mut self) -> Option<Gpu> {
        let enabled = self.get("gpu.enabled", value::boolean);
        let library = self.get("gpu.library", |value| match value.text()? {
            "" => Err(invalid(
                "is empty",
                "name a file, or set gpu.enabled = false",
            )),
            library => Ok(library.to_owned()),
        });
        let processes = self.get("gpu.processes", value::boolean);
        let dcgm_names = self.get("gpu.dcgm_names", value::boolean);
        Some(Gpu {
            enabled: enabled?,
            library: library?,
            processes: processes?,
            dcgm_names: dcgm_names?,
        })
    }

    pub(super) fn admin(&mut self) -> Option<Admin> {
        let socket = match self.find("admin.socket") {
            None => Some(AdminSocket::Standard),
            Some(_) => self.get("admin.socket", value::admin_socket),
        };
        let group = self.get("admin.group", value::group);
        Some(Admin {
            socket: socket?,
            group,
        })
    }

    pub(super) fn log(&mut self) -> Option<Log> {
        let format = self.get("log.format", |value| {
            value.choice(&[("text", LogFormat::Text), ("json", LogFormat::Json)])
        });
        let (log_level, bpf_level) = (
            self.get("log.level", level),
            self.get("log.bpf_level", level),
        );
        Some(Log {
            format: format?,
            level: log_level?,
            bpf_level: bpf_level?,
        })
    }
}
