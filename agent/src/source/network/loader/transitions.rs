//! The programs of `inet_sock_set_state`: attached as long as something needs them, for they run at every change of state
//! of every socket of the machine.

use agent_ebpf::{Control, endpoints, program};
use aya::{
    Btf, Ebpf,
    programs::{BtfTracePoint, ProgramError},
};

use super::{Error, Links, error::kernel_error, object::typed};

const PROGRAMS: [&str; 2] = [program::SET_STATE, program::SET_STATE_AGAIN];

/// How many settles must have looked for those that need them since they were attached: the first may have begun
/// before the last of them was there.
const LOOKS: u32 = 2;

/// Whether they are attached, and why.
pub(super) struct Transitions {
    /// They do what `socket_events` cannot: it does not see every socket, or has not seen those of an agent before.
    for_good: bool,
    attached: bool,
    /// Settles since they were attached.
    looks: u32,
}

impl Transitions {
    pub(super) fn load(ebpf: &mut Ebpf, btf: &Btf) -> Result<(), ProgramError> {
        PROGRAMS.iter().try_for_each(|name| {
            typed::<BtfTracePoint>(ebpf, name)?.load("inet_sock_set_state", btf)
        })
    }

    /// Attached, until something else is known.
    pub(super) fn attached(ebpf: &Ebpf, links: &mut Links) -> Result<Self, Error> {
        let mut transitions = Self {
            for_good: true,
            attached: false,
            looks: 0,
        };
        transitions.attach(ebpf, links)?;
        Ok(transitions)
    }

    /// From now on only while something needs them.
    pub(super) fn yield_to_events(&mut self) {
        self.for_good = false;
    }

    /// From now on always.
    pub(super) fn stay(&mut self) {
        self.for_good = true;
    }

    /// Attaches them, before something that may need them. The kernel asks no privilege for it beside the program.
    pub(super) fn attach(&mut self, ebpf: &Ebpf, links: &mut Links) -> Result<(), Error> {
        self.looks = 0;
        if self.attached {
            return Ok(());
        }
        for name in PROGRAMS {
            // One of them may be left from a try that failed at the other.
            links.remove(name);
            let attached = links.attach(ebpf, name);
            attached.map_err(|error| kernel_error("attach to the tracepoint", &error))?;
        }
        self.attached = true;
        Ok(())
    }

    /// After a settle: attaches them if something needs them, and detaches them if nothing does any more.
    pub(super) fn settled(
        &mut self,
        control: &Control,
        ebpf: &Ebpf,
        links: &mut Links,
    ) -> Result<(), Error> {
        if self.for_good {
            return Ok(());
        }
        // Who listens is told only here, and asked only where parties share an address.
        if control.unarmed != 0 || control.endpoints == endpoints::SHARED {
            return self.attach(ebpf, links);
        }
        self.looks += u32::from(self.attached);
        if self.looks >= LOOKS && self.attached {
            for name in PROGRAMS {
                links.remove(name);
            }
            self.attached = false;
        }
        Ok(())
    }
}
