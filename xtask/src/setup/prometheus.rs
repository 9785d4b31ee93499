//! Prometheus and promtool for the tests. Debian's package would start and enable a service: it is unpacked in the
//! target directory instead, unless Prometheus is already there.

use anyhow::Context as _;

use super::apt::Apt;

pub(super) fn ensure(apt: &Apt<'_>) -> anyhow::Result<()> {
    let project = apt.project;
    if project.has("prometheus") && project.has("promtool") {
        return Ok(());
    }
    apt.unpack("prometheus", &project.prometheus())
        .context("the tests scrape with Prometheus")
}
