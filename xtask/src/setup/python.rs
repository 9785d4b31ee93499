//! A Python environment in the target directory: mpyc, the MPC framework that a test runs, and what receives OTLP.

use anyhow::Context as _;
use xshell::cmd;

use super::apt::Apt;
use crate::project::Project;

/// mpyc; Rotel, a receiver of OTLP; and OpenTelemetry's own classes to decode it with, on gRPC's own server.
const PACKAGES: [(&str, &str); 5] = [
    ("mpyc", "0.11"),
    ("rotel", "0.0.1a15"),
    ("opentelemetry_proto", "1.45.2"),
    ("grpcio", "1.85.1"),
    ("googleapis_common_protos", "1.76.0"),
];

pub(super) fn ensure(apt: &Apt<'_>) -> anyhow::Result<()> {
    let project = apt.project;
    if is_complete(project) {
        return Ok(());
    }
    let (sh, home) = (&project.sh, project.python());
    // An outdated one must not be the Python that makes the new one.
    sh.remove_path(&home)?;
    let python = interpreter(apt)?;
    cmd!(sh, "{python} -m venv {home}").run()?;
    let pip = home.join("bin/pip");
    let packages = PACKAGES.map(|(name, version)| format!("{name}=={version}"));
    let wanted = packages.join(", ");
    cmd!(
        sh,
        "{pip} install --quiet --disable-pip-version-check {packages...}"
    )
    .run()
    .with_context(|| format!("tests run {wanted} from PyPI"))?;
    Ok(())
}

/// nvitop-exporter, which the benchmarks compare the GPU source with.
pub(super) fn exporter(apt: &Apt<'_>) -> anyhow::Result<()> {
    const VERSION: &str = "1.7.0";
    let (sh, home) = (&apt.project.sh, apt.project.python());
    if !home.join("bin/nvitop-exporter").exists() {
        let pip = home.join("bin/pip");
        cmd!(
            sh,
            "{pip} install --quiet --disable-pip-version-check nvitop-exporter=={VERSION}"
        )
        .run()
        .with_context(|| {
            format!("the benchmarks compare with nvitop-exporter {VERSION} from PyPI")
        })?;
    }
    Ok(())
}

/// Whether the interpreter still exists (the environment links to it) and has the right packages.
pub(crate) fn is_complete(project: &Project) -> bool {
    let home = project.python();
    let installed = |library: std::path::PathBuf| {
        let is_there = |(name, version)| {
            let directory = format!("site-packages/{name}-{version}.dist-info");
            library.join(directory).is_dir()
        };
        PACKAGES.into_iter().all(is_there)
    };
    home.join("bin/python").exists()
        && project
            .sh
            .read_dir(home.join("lib"))
            .is_ok_and(|libraries| libraries.into_iter().any(installed))
}

/// A Python that can make environments: Debian's cannot without `python3-venv`.
fn interpreter(apt: &Apt<'_>) -> anyhow::Result<&'static str> {
    let sh = &apt.project.sh;
    for python in ["python3", "/usr/bin/python3"] {
        let probe = cmd!(sh, "{python} -c 'import venv, ensurepip'")
            .quiet()
            .ignore_stderr();
        if probe.run().is_ok() {
            return Ok(python);
        }
    }
    apt.install(&["python3-venv"])?;
    Ok("/usr/bin/python3")
}
