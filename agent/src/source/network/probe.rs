//! What the network source would find on this machine, for `partymeter check`.

use super::{layout::Layout, limits::limits, pin::StartPoint, prepared::Prepared};
use crate::{
    config::Config,
    finding::{Finding, at_least},
    privilege,
};

/// Tries each part of a start with this thread's privileges. Attaches and keeps nothing.
pub fn probe(config: &Config) -> Vec<Finding> {
    let privileges = match privilege::missing() {
        missing if missing.is_empty() => Ok("enough to attach".to_owned()),
        missing => {
            let missing = missing.join(", ");
            Err(format!("missing {missing}; help: run as root or with them"))
        }
    };
    let mut findings = vec![Finding::required("privileges", privileges)];
    // With the agent's full map sizes, which a memory limit may refuse.
    match Prepared::new(config, &Layout::new(config), StartPoint::unpinned()) {
        Err(failure) => findings.push(Finding::required(PROGRAMS, Err(failure.reason))),
        Ok(Prepared {
            loaded,
            kernel,
            cgroup,
            ..
        }) => {
            let accepted = "the verifier accepts them".to_owned();
            findings.push(Finding::required(PROGRAMS, Ok(accepted)));
            let limits = limits(config, &kernel, cgroup.as_ref(), loaded.degraded());
            if limits.is_empty() {
                let all = Ok("all that are configured".to_owned());
                findings.push(Finding::optional(EXTRAS, all));
            }
            findings.extend(limits.into_iter().map(|limit| {
                let limit = at_least(limit, "none on this kernel; all else is counted");
                Finding::optional(EXTRAS, Err(limit))
            }));
        }
    }
    findings
}

const PROGRAMS: &str = "BPF programs";
const EXTRAS: &str = "network extras";
