//! Prometheus and promtool for the tests. Debian's package would start a service, so it is unpacked in the target directory,
//! unless Prometheus is installed already.

use anyhow::Context as _;

use super::apt::Apt;

pub(super) fn ensure(apt: &Apt<'_>) -> anyhow::Result<()> {
    let project = apt.project;
    if project.has("prometheus") && project.has("promtool") {
        return Ok(());
    }
    apt.unpack("prometheus", &project.prometheus())
        .context("cannot fetch Prometheus, which scrapes the agent in tests; install prometheus and promtool by hand")
}
