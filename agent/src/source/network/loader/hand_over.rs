//! From one load of the programs to the next, while both are attached.

use std::mem::offset_of;

use agent_ebpf::{
    Control, events,
    handover::{self, Phase},
};

use super::{Mapped, Tables};
use crate::source::network::sys::wait_for_programs;

/// The state that the programs share, also those of the agent before this one while both are attached. What the ones
/// look up in their tables the others may not have in theirs; no connection may be taken for a stranger's meanwhile.
pub(super) struct Shared<'a>(pub(super) &'a Mapped<Control>);

impl Shared<'_> {
    fn now(&self) -> Control {
        self.0.read(0).unwrap_or_default()
    }

    /// Before anything is attached: what either of them wants. `events_will_see_all`: of `socket_events`, once it is
    /// attached. Returns whether it did before.
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

    /// Once everything is attached: from here on the new ones count.
    pub(super) fn hand_over(&self, generation: u32, events_see_all: bool) {
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

    /// Once the old ones are detached: what the new ones want.
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
