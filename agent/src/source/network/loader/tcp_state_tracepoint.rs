//! The programs of `inet_sock_set_state`. They run at every change of state of every socket on the machine, so they are
//! attached only while something needs them.

use agent_ebpf::{Control, endpoints, program};
use aya::{
    Btf, Ebpf,
    programs::{BtfTracePoint, ProgramError},
};

use super::{links::Links, object::typed};
use crate::source::network::error::{BpfError, kernel_error};

const PROGRAMS: [&str; 2] = [program::SET_STATE, program::SET_STATE_AGAIN];

/// Detach after this many settles that found no need. The first may have begun before the programs were needed.
const QUIET_SETTLES: u32 = 2;

pub(super) struct TcpStateTracepoint {
    /// Needed for good: `socket_events` does not see every socket, or did not see those of an earlier agent.
    permanent: bool,
    attached: bool,
    /// Settles since they were attached.
    settles: u32,
}

impl TcpStateTracepoint {
    pub(super) fn load(ebpf: &mut Ebpf, btf: &Btf) -> Result<(), ProgramError> {
        PROGRAMS.iter().try_for_each(|name| {
            typed::<BtfTracePoint>(ebpf, name)?.load("inet_sock_set_state", btf)
        })
    }

    /// Attaches them until [`Self::make_temporary`].
    pub(super) fn attached(ebpf: &Ebpf, links: &mut Links) -> Result<Self, BpfError> {
        let mut tcp_state = Self {
            permanent: true,
            attached: false,
            settles: 0,
        };
        tcp_state.attach(ebpf, links)?;
        Ok(tcp_state)
    }

    /// Detach them once nothing needs them.
    pub(super) fn make_temporary(&mut self) {
        self.permanent = false;
    }

    /// Never detach them.
    pub(super) fn make_permanent(&mut self) {
        self.permanent = true;
    }

    /// Attaches them before something can need them. This needs no privilege: the programs are loaded.
    pub(super) fn attach(&mut self, ebpf: &Ebpf, links: &mut Links) -> Result<(), BpfError> {
        self.settles = 0;
        if self.attached {
            return Ok(());
        }
        for name in PROGRAMS {
            // An attempt that failed at the other program leaves this one.
            links.remove(name);
            let attached = links.attach(ebpf, name);
            attached.map_err(|error| kernel_error("attach to the tracepoint", &error))?;
        }
        self.attached = true;
        Ok(())
    }

    /// After a settle: attaches or detaches them as needed.
    pub(super) fn after_settle(
        &mut self,
        control: &Control,
        ebpf: &Ebpf,
        links: &mut Links,
    ) -> Result<(), BpfError> {
        if self.permanent {
            return Ok(());
        }
        // Only this tracepoint reports listeners, which matter only if parties share an address.
        if control.unarmed != 0 || control.endpoints == endpoints::SHARED {
            return self.attach(ebpf, links);
        }
        self.settles += u32::from(self.attached);
        if self.settles >= QUIET_SETTLES && self.attached {
            for name in PROGRAMS {
                links.remove(name);
            }
            self.attached = false;
        }
        Ok(())
    }
}
