//! Adds field values to a reading.

use super::units::{bytes, celsius, real};
use crate::{
    sample::gpu::{Link, Reading},
    source::gpu::{
        field::{Field, FieldValue},
        raw::Number,
    },
};

/// Adds every field that has a value.
pub(super) fn add_fields(reading: &mut Reading, fields: &[FieldValue]) {
    for field in fields {
        if let Ok(number) = field.value {
            add_field(reading, field, number);
        }
    }
}

/// Adds the temperature of a sensor. Memory without a sensor reads 0 on some boards.
pub(super) fn add_temperature(reading: &mut Reading, sensor: &'static str, number: Number) {
    let degrees = celsius(number);
    if sensor != "memory" || degrees != 0.0 {
        reading.temperatures.push((sensor, degrees));
    }
}

fn add_field(reading: &mut Reading, field: &FieldValue, number: Number) {
    let count = number.whole();
    match field.field {
        Field::Ecc(kind, scope) => reading.ecc.extend(count.map(|count| (kind, scope, count))),
        Field::RetiredPages(cause) => reading.retired.extend(count.map(|count| (cause, count))),
        Field::RemappedRows(cause) => reading.remapped.extend(count.map(|count| (cause, count))),
        Field::RemapPending => reading.remap_pending = count,
        Field::RemapFailure => reading.remap_failure = count,
        Field::Temperature(sensor) => add_temperature(reading, sensor, number),
        Field::TemperatureMargin(limit) => {
            reading.temperature_margins.push((limit, celsius(number)));
        }
        Field::Energy => reading.energy = Some(real(number) / 1e3),
        Field::Throttled(reason) => reading.throttle_seconds.push((reason, real(number) / 1e9)),
        Field::PcieReplays => reading.pcie.replays = count,
        Field::PcieTransmit => reading.pcie.transmit = count,
        Field::PcieReceive => reading.pcie.receive = count,
        Field::RecoveryAction => reading.recovery_action = count,
        Field::LinkCount => {}
        Field::LinkTransmit => link_of(reading, field).transmit = count.map(bytes),
        Field::LinkReceive => link_of(reading, field).receive = count.map(bytes),
        Field::LinkErrors(kind) => {
            let errors = &mut link_of(reading, field).errors;
            // Some devices answer both the ids before Hopper and those since.
            if !errors.iter().any(|(known, _)| *known == kind) {
                errors.extend(count.map(|count| (kind, count)));
            }
        }
    }
}

/// The reading's entry for the link of a field.
fn link_of<'a>(reading: &'a mut Reading, field: &FieldValue) -> &'a mut Link {
    let number = field.link.unwrap_or(field.scope);
    let links = &mut reading.links;
    let known = links.iter().position(|link| link.link == number);
    let index = known.unwrap_or_else(|| {
        links.push(Link {
            link: number,
            ..Link::default()
        });
        links.len() - 1
    });
    &mut links[index]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn temperatures_are_signed_and_only_memory_lacks_a_sensor_at_0() {
        let mut reading = Reading::default();
        for sensor in ["gpu", "memory"] {
            add_temperature(&mut reading, sensor, Number::U32(0));
            add_temperature(&mut reading, sensor, Number::U32((-5_i32).cast_unsigned()));
        }
        let expected = [("gpu", 0.0), ("gpu", -5.0), ("memory", -5.0)];
        assert_eq!(reading.temperatures, expected);
    }
}
