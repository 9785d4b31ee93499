//! Counters that outlive the agent: the directory, its lock, and whether an agent can resume from it.

mod detach;
mod directory;
mod examine;
mod format;
mod ownership;
mod path;
mod pins;
mod probe;

pub use self::{detach::detach, pins::Pins, probe::probe};
pub(super) use self::{
    directory::{PinDirectory, PinnedNames},
    format::maps,
    pins::StartPoint,
};
