//! What lets the agent read and write the shared types as they lie in the kernel.

use super::{Account, Control, Counters, Endpoint, Histogram, Offsets, Settings};
// SAFETY: all of them are `repr(C)`, `Copy`, hold integers only and have no implicit padding but the
// zeroed tail of `Counters`, so any bytes the kernel returns are a valid value.
unsafe impl aya::Pod for Account {}
// SAFETY: as above.
unsafe impl aya::Pod for Control {}
// SAFETY: as above.
unsafe impl aya::Pod for Counters {}
// SAFETY: as above.
unsafe impl aya::Pod for Endpoint {}
// SAFETY: as above.
unsafe impl aya::Pod for Histogram {}
// SAFETY: as above.
unsafe impl aya::Pod for Offsets {}
// SAFETY: as above.
unsafe impl aya::Pod for Settings {}
