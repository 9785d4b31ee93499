//! What some tests need and a machine may lack. A test names its needs in the reason for which it is ignored, as in
//! `#[ignore = "needs root, Python: …"]`. This file knows each need and how to check it.

use std::{fs, path::Path};

use anyhow::{Context as _, bail};
use xshell::cmd;

use crate::{privilege::Root, project::Project, setup};

/// A need that is not met.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Unmet {
    pub(crate) need: String,
    /// Why it is not met, and what would help.
    pub(crate) why: String,
    /// Whether root and `cargo xtask setup` would meet it. With `--strict` such a need must be met.
    pub(crate) can_be_had: bool,
}

/// The needs in the reason for which a test is ignored; none where the reason is another.
pub(crate) fn of_reason(reason: &str) -> Vec<&str> {
    let needs = reason.strip_prefix("needs ");
    let needs = needs.and_then(|needs| needs.split(':').next());
    needs.map_or_else(Vec::new, |needs| needs.split(", ").collect())
}

/// Checks whether a need is met. An unknown need is an error: a misspelt one would hide a test.
pub(crate) fn look(project: &Project, need: &str) -> anyhow::Result<Option<Unmet>> {
    let by_setup = |why: Option<String>| (why, true);
    let by_machine = |why: Option<String>| (why, false);
    let unless = |is_met: bool, why: &str| (!is_met).then(|| why.to_owned());
    let (why, can_be_had) = match need {
        "root" => by_setup(without_root(project)),
        "Python" => by_setup(unless(
            setup::has_python(project),
            "target/python is missing or outdated; run `cargo xtask setup test`",
        )),
        "Prometheus" => by_setup(unless(
            project.has("prometheus") && project.has("promtool"),
            "prometheus or promtool is missing; run `cargo xtask setup test`",
        )),
        "VictoriaMetrics" => by_setup(unless(
            project.victoria_metrics().join("usr/bin").exists(),
            "target/victoria-metrics is missing; run `cargo xtask setup test`",
        )),
        "NVML" if cfg!(not(target_arch = "x86_64")) => {
            by_machine(Some("NVIDIA's library is tested on x86-64 only".into()))
        }
        "NVML" if Path::new("/proc/driver/nvidia").exists() => by_machine(Some(
            "NVIDIA's driver is loaded, and the test checks the library without it".into(),
        )),
        "NVML" => by_setup(unless(
            project.nvml().join("usr").exists(),
            "target/nvml is missing; run `cargo xtask setup test`",
        )),
        "mandoc" | "zsh" | "fish" => by_setup(unless(
            project.has(need),
            "it is not installed; run `cargo xtask setup test`",
        )),
        "MPTCP" => by_machine(unless(
            Path::new("/proc/sys/net/mptcp/enabled").exists(),
            "this kernel has none; boot one with CONFIG_MPTCP",
        )),
        "BTF" => by_machine(unless(
            Path::new("/sys/kernel/btf/vmlinux").exists(),
            "this kernel has none; boot one with CONFIG_DEBUG_INFO_BTF",
        )),
        "GPU" => by_machine(unless(
            has_gpu(project),
            "nvidia-smi is missing or lists none; run `cargo xtask gpu-check` on a machine with a GPU and its driver",
        )),
        other => match other.strip_prefix("Linux ") {
            Some(version) => by_machine(older_than(version)?),
            None => bail!(
                "a test needs {other:?}, which is unknown: correct its reason, or add the need to xtask/src/needs.rs"
            ),
        },
    };
    Ok(why.map(|why| Unmet {
        need: need.to_owned(),
        why,
        can_be_had,
    }))
}

/// Why tests cannot create network namespaces and load BPF programs here.
fn without_root(project: &Project) -> Option<String> {
    if Root::find(project) == Root::None {
        return Some("not root, and sudo is not installed".to_owned());
    }
    let missing = setup::missing_commands(project);
    (!missing.is_empty()).then(|| {
        let packages = missing.join(", ");
        format!("these packages are missing: {packages}; run `cargo xtask setup test`")
    })
}

fn has_gpu(project: &Project) -> bool {
    let sh = &project.sh;
    let listed = cmd!(sh, "nvidia-smi --list-gpus").quiet().ignore_stderr();
    project.has("nvidia-smi") && listed.read().is_ok_and(|list| list.starts_with("GPU "))
}

/// Why a test that needs this version of Linux cannot run: the kernel is older.
fn older_than(version: &str) -> anyhow::Result<Option<String>> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let wanted = numbers(version).with_context(|| format!("{version:?} is no version of Linux"))?;
    let own = numbers(&release).with_context(|| format!("{release:?} is no version of Linux"))?;
    Ok((own < wanted).then(|| format!("this is Linux {}", release.trim_end())))
}

/// The first two numbers of a version.
fn numbers(version: &str) -> Option<[u32; 2]> {
    let mut numbers = version.split(['.', '-']).map(|number| number.parse().ok());
    Some([numbers.next()??, numbers.next()??])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn needs_are_read_from_reasons() {
        let reason = "needs root, Linux 6.12: `cargo xtask test` runs it";
        assert_eq!(of_reason(reason), ["root", "Linux 6.12"]);
        assert_eq!(of_reason("needs GPU"), ["GPU"]);
        assert!(of_reason("too slow").is_empty());
    }

    #[test]
    fn an_unknown_need_is_an_error() {
        let project = Project::open().unwrap();
        let error = look(&project, "Pyhton").unwrap_err().to_string();
        assert!(error.starts_with("a test needs \"Pyhton\""), "{error}");
        assert!(look(&project, "Linux six").is_err());
        assert_eq!(look(&project, "Linux 2.6").unwrap(), None);
        let unmet = look(&project, "Linux 999.0").unwrap().unwrap();
        assert!(!unmet.can_be_had && unmet.why.starts_with("this is Linux "));
    }

    #[test]
    fn versions_are_compared_by_number() {
        assert!(numbers("6.6.30-1-amd64") < numbers("6.12"));
        assert!(numbers("6.18.44\n") > numbers("6.12"));
        assert_eq!(numbers("6"), None);
    }
}
