//! Applies another configuration to running programs: the tables, then the open connections.

use std::{io, mem::offset_of};

use agent_ebpf::{Control, endpoints};

use super::{
    fill::{fill, remove_stale},
    programs::Programs,
};
use crate::source::network::{error::BpfError, layout::Layout, tables::Tables};

impl Programs {
    /// Changes the tables from `old` to `new`. May be repeated after a failure. Meanwhile programs see both: a party in
    /// either is never unexpected.
    pub(crate) fn reconfigure(
        &mut self,
        old: &Tables,
        new: &Tables,
        layout: &Layout,
    ) -> Result<(), BpfError> {
        if let Some(names) = &mut self.names {
            names.write(layout)?;
        }
        // Programs look for endpoints from before the first is written until after the last is removed.
        let both = old.exactness.max(new.exactness);
        self.control.store(offset_of!(Control, endpoints), both);
        let added = fill(&mut self.ebpf, new);
        if added.is_ok() {
            self.control
                .store(offset_of!(Control, auto_limit), new.auto_limit);
        }
        remove_stale(&mut self.ebpf, old, new)?;
        if added.is_err() {
            // There may not have been room for both.
            fill(&mut self.ebpf, new)?;
            self.control
                .store(offset_of!(Control, auto_limit), new.auto_limit);
        }
        self.control
            .store(offset_of!(Control, endpoints), new.exactness);
        Ok(())
    }

    /// Finds the local initiators of parties that share an address: one pass for listeners, one for what they have
    /// opened. The listener identifies accepted connections.
    fn find_local_initiators(&self) -> io::Result<()> {
        if self
            .control()
            .is_some_and(|control| control.endpoints == endpoints::SHARED)
        {
            self.local_initiators.run()?;
            self.local_initiators.run()?;
        }
        Ok(())
    }

    /// Attaches `set_state` as long as it is needed, before adoption can need it.
    pub(crate) fn attach_tcp_state(&mut self) -> Result<(), BpfError> {
        self.tcp_state.attach(&self.ebpf, &mut self.links)
    }

    /// After a settle: attaches or detaches `set_state` as needed.
    pub(crate) fn update_tcp_state(&mut self, control: &Control) -> Result<(), BpfError> {
        self.tcp_state
            .after_settle(control, &self.ebpf, &mut self.links)
    }

    /// Moves accounts to the slots that the current tables give them, and removes accounts without a slot.
    pub(crate) fn reclassify(&self) -> io::Result<()> {
        self.find_local_initiators()?;
        self.reclassify.run().map(drop)
    }

    /// Adopts connections that should have an account and have none.
    pub(crate) fn adopt(&self) -> io::Result<()> {
        self.find_local_initiators()?;
        self.adopt.run()?;
        if let (Some(arm), true) = (&self.arm, self.events_see_all) {
            arm.run()?;
        }
        Ok(())
    }
}
