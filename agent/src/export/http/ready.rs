//! The page `/-/ready`.

use hyper::StatusCode;

use super::{Page, plain};
use crate::{
    sample::{FailureKind, SourceHealth},
    sampler::Sampler,
};

/// 200 if every enabled source is up or absent, else 503. A line for each source, and for each limit of one.
pub(super) fn ready(sampler: &Sampler) -> Page {
    let snapshot = sampler.snapshot();
    let sources = &snapshot.sources;
    let line = |health: &SourceHealth| match &health.down {
        None => format!("{}: up\n", health.source),
        Some(reason) if health.kind == Some(FailureKind::Absent) => {
            format!("{}: absent: {reason}\n", health.source)
        }
        Some(reason) => format!("{}: down: {reason}\n", health.source),
    };
    let ready = sources
        .iter()
        .all(|health| matches!(health.kind, None | Some(FailureKind::Absent)));
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let limits = snapshot.network.iter().flat_map(|network| &network.limits);
    let limits = limits.map(|limit| format!("network: limited: {limit}\n"));
    let ledger = snapshot.ledger.iter().map(|ledger| {
        let lines = ledger.problems.iter();
        let lines = lines.map(|problem| format!("ledger: limited: {problem}\n"));
        let lines = lines.collect::<String>();
        if lines.is_empty() {
            "ledger: up\n".to_owned()
        } else {
            lines
        }
    });
    let lines = sources.iter().map(line).chain(limits).chain(ledger);
    plain(status, lines.collect::<String>())
}
