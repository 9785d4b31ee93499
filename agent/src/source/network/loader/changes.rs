//! Another configuration for programs that run: its tables, and the open connections that it is about.

use std::{io, mem::offset_of};

use agent_ebpf::{Control, endpoints};

use super::{
    Error, Programs,
    fill::{fill, remove_stale},
};
use crate::source::network::{layout::Layout, tables::Tables};

impl Programs {
    /// Changes the tables from `old` to `new`; may be done again where it failed. Connections that begin meanwhile are
    /// looked up in both together: whoever is a party in either is never taken for a stranger.
    pub(in super::super) fn change(
        &mut self,
        old: &Tables,
        new: &Tables,
        layout: &Layout,
    ) -> Result<(), Error> {
        if let Some(names) = &mut self.names {
            names.write(layout)?;
        }
        // Looking for endpoints begins before there are any, and ends once there are none.
        let both = old.exactness.max(new.exactness);
        self.control.store(offset_of!(Control, endpoints), both);
        let added = fill(&mut self.ebpf, new);
        if added.is_ok() {
            self.control
                .store(offset_of!(Control, auto_limit), new.auto_limit);
        }
        remove_stale(&mut self.ebpf, old, new)?;
        if added.is_err() {
            // There may have been no room for both.
            fill(&mut self.ebpf, new)?;
            self.control
                .store(offset_of!(Control, auto_limit), new.auto_limit);
        }
        self.control
            .store(offset_of!(Control, endpoints), new.exactness);
        Ok(())
    }

    /// Looks for the parties on this machine that share an address: once for who listens, once for what they have
    /// opened. What is accepted is told by that.
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

    /// Has `set_state` attached as long as it is needed, as it may be for what is adopted from here on.
    pub(in super::super) fn watch_transitions(&mut self) -> Result<(), Error> {
        self.transitions.attach(&self.ebpf, &mut self.links)
    }

    /// After a settle: as it has found, `set_state` is needed or not.
    pub(in super::super) fn follow_transitions(&mut self, control: &Control) -> Result<(), Error> {
        self.transitions
            .settled(control, &self.ebpf, &mut self.links)
    }

    /// Moves accounts to the slots that are theirs by the tables as they are, and takes those away that are nobody's.
    pub(in super::super) fn reclassify(&self) -> io::Result<()> {
        self.find_local_initiators()?;
        self.reclassify.run().map(drop)
    }

    /// Gives accounts to connections that have none and should.
    pub(in super::super) fn adopt(&self) -> io::Result<()> {
        self.find_local_initiators()?;
        self.adopt.run()?;
        if let (Some(arm), true) = (&self.arm, self.events_see_all) {
            arm.run()?;
        }
        Ok(())
    }
}
