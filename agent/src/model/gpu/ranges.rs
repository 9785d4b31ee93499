//! The figures that can be. They are wide: one that hides a real value would be worse than none, and what a broken
//! driver says (0xFF000000 and the like) is far beyond. Counters are bounded by what a device can count in its life; a
//! leap between two readings is not judged, for after a pause or a reset of the driver it is right.

use crate::sample::gpu::Range;

const fn upto(most: f64) -> Range {
    Range { least: 0.0, most }
}

/// Percent of a time.
pub(super) const PERCENT: Range = upto(100.0);
/// Ratios between two samples that are not taken at one instant: a little above 1 is rounding.
pub(super) const SHARE: Range = upto(1.5);
/// Bytes: 16 TiB; the largest GPU of 2026 addresses less than 1 TiB.
pub(super) const MEMORY: Range = upto(17_592_186_044_416.0);
/// Watts; the largest module draws about 1,400.
pub(super) const POWER: Range = upto(10_000.0);
/// Joules: 10 kW for 30 years.
pub(super) const ENERGY: Range = upto(1e13);
/// Degrees Celsius: what silicon stands, and a machine that starts in the cold.
pub(super) const TEMPERATURE: Range = Range {
    least: -60.0,
    most: 150.0,
};
/// Degrees Celsius between two temperatures.
pub(super) const MARGIN: Range = Range {
    least: -200.0,
    most: 200.0,
};
/// Of the greatest speed, which a fan may exceed.
pub(super) const FAN: Range = upto(10.0);
/// Hertz: memory is told with its effective clock.
pub(super) const CLOCK: Range = upto(1e11);
/// P-states.
pub(super) const STATE: Range = upto(15.0);
/// Seconds: 30 years.
pub(super) const TIME: Range = upto(1e9);
/// Bytes over a line: nearly all that 64 bits hold, which 128 GB/s take for four years.
pub(super) const TRAFFIC: Range = upto(1.8e19);
/// Errors and packets: a million a second for 30 years.
pub(super) const EVENTS: Range = upto(1e15);
/// Pages and rows, of which some hundreds can be replaced.
pub(super) const REPAIRS: Range = upto(1e6);
/// Generations of PCIe; 0 while the link is down.
pub(super) const GENERATION: Range = upto(16.0);
/// Lanes of PCIe; 0 while the link is down.
pub(super) const LANES: Range = upto(64.0);
/// No or yes.
pub(super) const FLAG: Range = upto(1.0);
/// What a driver can ask for: later ones know more than the four of today.
pub(super) const ACTION: Range = upto(100.0);
