//! A Python environment in the target directory: the MPC framework mpyc and receivers of OTLP, for tests.

use anyhow::Context as _;
use xshell::cmd;

use super::apt::Apt;
use crate::project::Project;

/// mpyc; Rotel, a receiver of OTLP; and gRPC's server with OpenTelemetry's message classes, for a receiver of ours.
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
    // Removed first, so that an outdated environment does not create the new one.
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
    .with_context(|| format!("pip cannot install {wanted} from PyPI, which tests need"))?;
    Ok(())
}

/// nvitop-exporter, with which the benchmarks compare the GPU source.
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
            format!("pip cannot install nvitop-exporter {VERSION} from PyPI, with which the benchmarks compare")
        })?;
    }
    Ok(())
}

/// Whether the interpreter, to which the environment links, still exists and has the right packages.
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

/// A Python that can create environments; Debian's needs `python3-venv` for that.
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
