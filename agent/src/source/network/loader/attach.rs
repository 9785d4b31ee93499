//! Attaches loaded programs.

use std::io;

use agent_ebpf::{map, program};

use super::{
    fill::{fill, write_control},
    handover::Handover,
    links::Links,
    load::Loaded,
    object::{self, iterator, map_fd, ring},
    pinned::Pinned,
    programs::Programs,
    tcp_state_tracepoint::TcpStateTracepoint,
    udp,
};
use crate::source::network::{
    cgroup::Cgroup,
    error::{BpfError, kernel_error},
    layout::Layout,
    sys::Mapped,
    tables::Tables,
};

impl Loaded {
    /// Attaches everything without a gap: the tables are full before a program sees a socket, and the caller adopts
    /// older connections last. An earlier agent's programs are detached after this, and until then both claim the same
    /// connections.
    ///
    /// If `socket_events`, the message programs or the UDP programs cannot be attached, the rest still is;
    /// [`Programs::degraded`] says why.
    pub(crate) fn attach(
        self,
        tables: &Tables,
        layout: &Layout,
        cgroup: Option<&Cgroup>,
    ) -> Result<Programs, BpfError> {
        let Self {
            mut ebpf,
            slots,
            log,
            events,
            account_iterators,
            arms,
            message_hooks,
            udp,
            mut degraded,
            start_point,
            to_pin,
        } = self;
        object::close_unused(&mut ebpf, log);
        if !start_point.taken_over {
            write_control(&mut ebpf, tables, layout.histograms())?;
        }
        let directory = start_point.directory.as_ref();
        let names = directory.map(|directory| directory.write(layout, start_point.since));
        let names = names.transpose()?;
        if let Some(directory) = directory {
            let removed = directory.remove_links(start_point.generation.wrapping_sub(1));
            removed.map_err(|error| kernel_error("remove pinned links", &error))?;
        }
        fill(&mut ebpf, tables)?;
        let [settle, reclassify] = account_iterators.attach(&ebpf)?;
        let adopt = iterator(&ebpf, program::ADOPT, None)?;
        let arm = arms.then(|| iterator(&ebpf, program::ARM, None));
        let arm = arm.transpose()?;
        let local_initiators = iterator(&ebpf, program::LOCAL_INITIATORS, None)?;
        let socket_owners = iterator(&ebpf, program::SOCKET_OWNERS, None)?;
        let mapped = |error: io::Error| kernel_error("map the counters into memory", &error);
        let counters = Mapped::writable(map_fd(&ebpf, map::COUNTERS)?, slots).map_err(mapped)?;
        let control = Mapped::writable(map_fd(&ebpf, map::CONTROL)?, 1).map_err(mapped)?;
        let histograms = Mapped::new(map_fd(&ebpf, map::HISTOGRAMS)?, 1).map_err(mapped)?;
        let connections = iterator(&ebpf, program::CONNECTIONS, None)?;
        let unexpected_peers = ring(&mut ebpf, map::UNEXPECTED_PEERS)?;
        let records = ring(&mut ebpf, map::RECORDS)?;
        let logger = if log {
            let logger = aya_log::EbpfLogger::init(&mut ebpf);
            Some(logger.map_err(|error| kernel_error("read the BPF side's messages", &error))?)
        } else {
            None
        };
        let handover = Handover(&control);
        let cgroup_for_events = cgroup.filter(|_| events && degraded.events.is_none());
        let events_before = handover.widen(tables, cgroup_for_events.is_some_and(|it| it.is_root));
        let pinned = directory
            .map(|directory| Pinned::new(directory, to_pin))
            .transpose();
        let pinned = pinned.map_err(|error| kernel_error("read what is pinned", &error))?;
        let mut links = Links::new(start_point.directory, start_point.generation, cgroup);
        let mut tcp_state = TcpStateTracepoint::attached(&ebpf, &mut links)?;
        let mut events_see_all = false;
        if let Some(cgroup) = cgroup_for_events {
            match links.attach(&ebpf, program::SOCKET_EVENTS) {
                Ok(()) => events_see_all = cgroup.is_root,
                Err(error) => {
                    degraded.events = Some(kernel_error("attach to the cgroup", &error));
                }
            }
        }
        if let (Some(hooks), None) = (message_hooks, &degraded.messages) {
            let attached = hooks.attach(&ebpf, &mut links).err();
            degraded.messages = attached
                .map(|error| kernel_error("attach the programs that count messages", &error));
        }
        if let (Some(drop_hooks), Some(_)) = (udp, cgroup) {
            udp::attach(&ebpf, &mut links, drop_hooks, &mut degraded);
        }
        handover.run(start_point.generation, events_see_all);
        links.remove_others()?;
        handover.narrow(tables, events_see_all);
        // Connections that were claimed in another way are not armed, and adoption need not find all of them.
        if events_see_all && (!start_point.taken_over || events_before) {
            tcp_state.make_temporary();
        }
        Ok(Programs {
            ebpf,
            links,
            tcp_state,
            events_see_all,
            events_at_root: cgroup.is_some_and(|it| it.is_root),
            pinned,
            names,
            account_iterators,
            adopt,
            arm,
            settle,
            reclassify,
            local_initiators,
            socket_owners,
            connections,
            counters,
            control,
            histograms,
            unexpected_peers,
            records,
            logger,
            degraded,
        })
    }
}
