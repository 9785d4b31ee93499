//! Hands over from one load of the programs to the next while both are attached.

use std::mem::offset_of;

use agent_ebpf::{
    Control, events,
    handover::{self, Phase},
};

use crate::source::network::{
    sys::{Mapped, wait_for_programs},
    tables::Tables,
};

/// The state that all attached programs share, also those of an earlier agent. Their tables differ; a connection must
/// not become unexpected because of that.
pub(super) struct Handover<'a>(pub(super) &'a Mapped<Control>);

impl Handover<'_> {
    fn now(&self) -> Control {
        self.0.read(0).unwrap_or_default()
    }

    /// Before attaching: allows what either load wants. `events_will_see_all` says it of `socket_events` once attached.
    /// Returns whether `socket_events` saw every socket before.
    pub(super) fn widen(&self, tables: &Tables, events_will_see_all: bool) -> bool {
        let Control {
            endpoints,
            auto_limit,
            events: before,
            ..
        } = self.now();
        if before != events::ALL && events_will_see_all {
            self.0.store(offset_of!(Control, events), events::SOON_ALL);
        }
        let endpoints = endpoints.max(tables.exactness);
        self.0.store(offset_of!(Control, endpoints), endpoints);
        let auto_limit = auto_limit.max(tables.auto_limit);
        self.0.store(offset_of!(Control, auto_limit), auto_limit);
        before == events::ALL
    }

    /// After attaching: from here on the new load counts.
    pub(super) fn run(&self, generation: u32, events_see_all: bool) {
        if !events_see_all {
            self.0.store(offset_of!(Control, events), events::NOT_ALL);
        }
        let before = generation.wrapping_sub(1);
        self.enter(before, Phase::Announce);
        wait_for_programs();
        self.enter(generation, Phase::Drain);
        wait_for_programs();
        self.enter(generation, Phase::Single);
    }

    fn enter(&self, generation: u32, phase: Phase) {
        let word = handover::word(generation, phase);
        self.0.store(offset_of!(Control, handover), word);
    }

    /// After detaching the old load: only what the new one wants.
    pub(super) fn narrow(&self, tables: &Tables, events_see_all: bool) {
        let words = [
            (offset_of!(Control, endpoints), tables.exactness),
            (offset_of!(Control, auto_limit), tables.auto_limit),
            (
                offset_of!(Control, events),
                if events_see_all {
                    events::ALL
                } else {
                    events::NOT_ALL
                },
            ),
        ];
        for (offset, word) in words {
            self.0.store(offset, word);
        }
    }
}
