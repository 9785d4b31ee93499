//! Extends NVML's 32-bit counters to 64 bits.

use std::collections::BTreeMap;

use super::{field::FieldValue, raw::Number};

/// The last value of each 32-bit counter, and how often it has wrapped; by field id and scope.
#[derive(Default)]
pub(super) struct CounterUnwrapper(BTreeMap<(u32, u32), (u32, u64)>);

impl CounterUnwrapper {
    /// Extends a 32-bit counter to 64 bits. A value that falls from the upper half of the range to the lower has wrapped;
    /// any other fall is a reset of the driver.
    pub(super) fn extend(&mut self, field: &mut FieldValue) {
        let Ok(Number::U32(now)) = field.value else {
            return;
        };
        if !field.field.is_counter() {
            return;
        }
        let (last, wraps) = self.0.entry((field.id, field.scope)).or_insert((now, 0));
        if now < *last {
            let has_wrapped = *last > u32::MAX / 2 && now < u32::MAX / 2;
            *wraps = if has_wrapped { *wraps + 1 } else { 0 };
        }
        *last = now;
        field.value = Ok(Number::U64((*wraps << 32) + u64::from(now)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::gpu::{field::Field, fields::requests};

    fn request(field: Field) -> FieldValue {
        let mut all = requests(0).into_iter();
        all.find(|request| request.field == field).unwrap()
    }

    #[test]
    fn counters_continue_past_32_bits_and_restart_after_a_reset() {
        let mut unwrapper = CounterUnwrapper::default();
        let mut field = request(Field::PcieTransmit);
        let mut read = |value| {
            field.value = Ok(Number::U32(value));
            unwrapper.extend(&mut field);
            field.value
        };
        assert_eq!(read(u32::MAX - 9), Ok(Number::U64(u64::from(u32::MAX) - 9)));
        assert_eq!(read(90), Ok(Number::U64((1 << 32) + 90)));
        assert_eq!(read(100), Ok(Number::U64((1 << 32) + 100)));
        assert_eq!(read(7), Ok(Number::U64(7)), "a reset");
    }

    #[test]
    fn other_values_are_unchanged() {
        let mut field = request(Field::Temperature("memory"));
        field.value = Ok(Number::U32(40));
        CounterUnwrapper::default().extend(&mut field);
        assert_eq!(field.value, Ok(Number::U32(40)));
    }
}
