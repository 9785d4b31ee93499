//! Counters that NVML keeps in 32 bits go on past their end.

use std::collections::BTreeMap;

use super::{
    fields::{Field, FieldValue},
    raw::Number,
};

/// What was read of each such counter last, and how often it went round before.
#[derive(Default)]
pub(super) struct Wraps(BTreeMap<(u32, u32), (u32, u64)>);

impl Wraps {
    /// Makes a 32-bit counter one of 64 bits. One that goes back from its upper half to its lower went round; any
    /// other that goes back began anew, as after a reset.
    pub(super) fn extend(&mut self, field: &mut FieldValue) {
        let counts = matches!(
            field.field,
            Field::Ecc(..)
                | Field::Energy
                | Field::Throttled(_)
                | Field::PcieReplays
                | Field::PcieTransmit
                | Field::PcieReceive
                | Field::LinkTransmit
                | Field::LinkReceive
                | Field::LinkErrors(_)
        );
        let Ok(Number::U32(now)) = field.value else {
            return;
        };
        if !counts {
            return;
        }
        let (last, rounds) = self.0.entry((field.id, field.scope)).or_insert((now, 0));
        if now < *last {
            let went_round = *last > u32::MAX / 2 && now < u32::MAX / 2;
            *rounds = if went_round { *rounds + 1 } else { 0 };
        }
        *last = now;
        field.value = Ok(Number::U64((*rounds << 32) + u64::from(now)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::gpu::fields::requests;

    #[test]
    fn goes_on_past_the_end_and_begins_anew_after_a_reset() {
        let mut wraps = Wraps::default();
        let mut field = requests(0)
            .into_iter()
            .find(|field| field.field == Field::PcieTransmit)
            .unwrap();
        let mut read = |value| {
            field.value = Ok(Number::U32(value));
            wraps.extend(&mut field);
            field.value
        };
        assert_eq!(read(u32::MAX - 9), Ok(Number::U64(u64::from(u32::MAX) - 9)));
        assert_eq!(read(90), Ok(Number::U64((1 << 32) + 90)));
        assert_eq!(read(100), Ok(Number::U64((1 << 32) + 100)));
        assert_eq!(read(7), Ok(Number::U64(7)), "a reset");
    }

    #[test]
    fn leaves_what_is_no_counter() {
        let mut field = requests(0)
            .into_iter()
            .find(|field| field.field == Field::MemoryTemperature)
            .unwrap();
        field.value = Ok(Number::U32(40));
        Wraps::default().extend(&mut field);
        assert_eq!(field.value, Ok(Number::U32(40)));
    }
}
