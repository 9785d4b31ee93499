//! What the sources have read, before it becomes metrics. A value that is not known is `None` or not in the list; no field
//! has a value that means "missing".

mod connection;
pub mod export_stats;
pub mod gpu;
mod health;
mod histogram;
mod host;
mod idle;
mod ledger;
mod network;
pub mod reload_status;

pub use self::{
    connection::{ConnectionObserver, ConnectionRecord},
    export_stats::{ExportDropReason, SignalStats},
    health::{FailureKind, SourceHealth},
    histogram::{Durations, Exponential, Times},
    host::{Host, Process},
    idle::{Idle, IdleWait},
    ledger::LedgerState,
    network::{Accounting, Gap, MapFill, Network, ProgramRuns, Sessions, Traffic},
    reload_status::ReloadState,
};

use std::{sync::Arc, time::SystemTime};

/// The newest samples at one moment. Exporters encode it.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// When it was taken.
    pub taken: SystemTime,
    /// When the agent started.
    pub started: SystemTime,
    /// The node's name, for the label `node`.
    pub node: Arc<str>,
    /// `None` while the source is disabled, down or late.
    pub network: Option<Arc<Network>>,
    /// `None` if the sources are disabled.
    pub gpus: Option<gpu::Gpus>,
    /// As `network`.
    pub idle: Option<Arc<Idle>>,
    /// As `network`.
    pub host: Option<Arc<Host>>,
    /// The health of every enabled source.
    pub sources: Vec<SourceHealth>,
    /// The state of the configuration.
    pub configuration: ReloadState,
    /// The state of each signal's OTLP export.
    pub otlp: Vec<SignalStats>,
    /// The state of the ledger; `None` if it is disabled.
    pub ledger: Option<LedgerState>,
}
