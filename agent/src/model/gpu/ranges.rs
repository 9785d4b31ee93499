//! Valid ranges. They are wide, because hiding a real value is worse than showing a wrong one; what a broken driver
//! returns (such as 0xFF000000) is far outside. A counter is limited by what a device can count in its life. Jumps between
//! readings are not judged: after a pause or a reset of the driver they are right.

use crate::sample::gpu::ValidRange;

const fn up_to(max: f64) -> ValidRange {
    ValidRange { min: 0.0, max }
}

/// Percent of a period.
pub(super) const PERCENT: ValidRange = up_to(100.0);
/// Ratios between two samples. The samples are not taken at one instant, so that values slightly above 1 occur.
pub(super) const SHARE: ValidRange = up_to(1.5);
/// Bytes of memory: 16 TiB. The largest GPU of 2026 has less than 1 TiB.
pub(super) const MEMORY: ValidRange = up_to(17_592_186_044_416.0);
/// Watts. The largest module of 2026 draws about 1,400.
pub(super) const POWER: ValidRange = up_to(10_000.0);
/// Joules: 10 kW for 30 years.
pub(super) const ENERGY: ValidRange = up_to(1e13);
/// Degrees Celsius, from a cold start to what silicon endures.
pub(super) const TEMPERATURE: ValidRange = ValidRange {
    min: -60.0,
    max: 150.0,
};
/// Degrees Celsius between two temperatures.
pub(super) const MARGIN: ValidRange = ValidRange {
    min: -200.0,
    max: 200.0,
};
/// A ratio of the maximum speed, which a fan may exceed.
pub(super) const FAN: ValidRange = up_to(10.0);
/// Hertz; NVML states the effective clock of memory.
pub(super) const CLOCK: ValidRange = up_to(1e11);
/// P-states.
pub(super) const STATE: ValidRange = up_to(15.0);
/// Seconds: 30 years.
pub(super) const TIME: ValidRange = up_to(1e9);
/// Bytes over a link: nearly 2^64, which take four years at 128 GB/s.
pub(super) const TRAFFIC: ValidRange = up_to(1.8e19);
/// Errors and packets: a million a second for 30 years.
pub(super) const EVENTS: ValidRange = up_to(1e15);
/// Pages and rows; a device can replace some hundreds.
pub(super) const REPAIRS: ValidRange = up_to(1e6);
/// PCIe generations; 0 while the link is down.
pub(super) const GENERATION: ValidRange = up_to(16.0);
/// PCIe lanes; 0 while the link is down.
pub(super) const LANES: ValidRange = up_to(64.0);
/// 0 or 1.
pub(super) const FLAG: ValidRange = up_to(1.0);
/// Recovery actions; newer drivers have more than today's five.
pub(super) const ACTION: ValidRange = up_to(100.0);
