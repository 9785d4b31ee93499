//! The agent under measurement: writes its configuration, starts it, waits until it counts, reads its page and its
//! process, and stops it. One at a time.

use std::{
    ffi::OsString,
    fmt::Write as _,
    fs,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use partymeter_tests::kernel_btf;

use super::{
    http::{Client, Format},
    page::Page,
};

/// How long the agent may take to count, and to stop.
const PATIENCE: Duration = Duration::from_secs(10);

/// The agent's program, and a directory for the files of its runs.
pub(super) struct Program {
    path: PathBuf,
    version: String,
    directory: PathBuf,
}

/// What the agent is to account.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setup {
    pub(super) interval: Duration,
    /// How many parties beside the one that the traffic goes to.
    pub(super) more_parties: usize,
    /// How many protocols beside the one on the traffic's ports.
    pub(super) more_protocols: usize,
    /// Whether everything that has a switch is off: bytes and connections only.
    pub(super) bytes_only: bool,
    /// Whether it must find accounts by open files, as on a kernel whose iterator over socket storage is not safe.
    pub(super) by_files: bool,
    /// How many GPUs are made up, with everything about them switched on; 0: as it is by default.
    pub(super) gpus: usize,
    /// Whether connections are recorded.
    pub(super) ledger: bool,
}

impl Default for Setup {
    /// Sixteen pairs of party and protocol, among them those of `party_id="unknown"`; the default interval.
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(1),
            more_parties: 2,
            more_protocols: 3,
            bytes_only: false,
            by_files: false,
            gpus: 0,
            ledger: false,
        }
    }
}

impl Setup {
    /// The configuration file.
    fn file(self, listen: SocketAddr, party: &[&str], ports: &str, directory: &Path) -> String {
        let mut text = format!(
            "node = \"bench\"\ninterval = \"{}ms\"\n\n[prometheus]\nlisten = \"{listen}\"\n\n[log]\nlevel = \"warn\"\n",
            self.interval.as_millis()
        );
        let mut add = |part: std::fmt::Arguments<'_>| {
            // Writing to a string cannot fail.
            let _ = text.write_fmt(part);
        };
        add(format_args!(
            "\n[[parties]]\nid = \"bench\"\nendpoints = {party:?}\n\n[[protocols]]\nname = \"bench\"\nports = [\"{ports}\"]\n"
        ));
        if self.bytes_only {
            add(format_args!(
                "\n[network]\nlatency = false\nmessages = false\n"
            ));
        }
        if self.ledger {
            let ledger = directory.join("ledger");
            add(format_args!(
                "\n[ledger]\npath = \"{}\"\n",
                ledger.display()
            ));
        }
        if self.gpus > 0 {
            let library = fake_library();
            add(format_args!(
                "\n[gpu]\nlibrary = \"{}\"\nprocesses = true\ndcgm_names = true\n",
                library.display()
            ));
        }
        for party in 0..self.more_parties {
            // 198.18.0.0/15 is for benchmarks (RFC 2544).
            add(format_args!(
                "\n[[parties]]\nid = \"party-{party}\"\nendpoints = [\"198.18.{}.{}\"]\n",
                party / 256,
                party % 256
            ));
        }
        for protocol in 0..self.more_protocols {
            add(format_args!(
                "\n[[protocols]]\nname = \"protocol-{protocol}\"\nports = [{}]\n",
                2000 + protocol
            ));
        }
        text
    }
}

impl Program {
    /// # Errors
    /// When it is not there or does not say its version.
    pub(super) fn find(path: PathBuf) -> anyhow::Result<Self> {
        let output = Command::new(&path)
            .arg("--version")
            .output()
            .with_context(|| {
                format!(
                    "cannot run {}: build it with `cargo xtask build`, or name it with --agent",
                    path.display()
                )
            })?;
        let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        ensure!(
            output.status.success() && !version.is_empty(),
            "{} --version fails: {}",
            path.display(),
            output.status
        );
        let directory =
            std::env::temp_dir().join(format!("partymeter-bench-{}", std::process::id()));
        fs::create_dir_all(&directory)
            .with_context(|| format!("cannot make {}", directory.display()))?;
        Ok(Self {
            path,
            version,
            directory,
        })
    }

    /// Where the library that makes GPUs up writes how often it was called.
    pub(super) fn calls(&self) -> PathBuf {
        self.directory.join("calls")
    }

    pub(super) fn version(&self) -> &str {
        &self.version
    }

    /// Starts the agent, and returns once its network source counts.
    pub(super) fn start(&self, setup: Setup) -> anyhow::Result<Agent> {
        self.start_behind(setup, &[])
    }

    /// As [`Program::start`], by a command that starts the one behind it.
    pub(super) fn start_behind(&self, setup: Setup, wrapper: &[String]) -> anyhow::Result<Agent> {
        // Free now; the agent says so if somebody takes it before it does.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let config = self.directory.join("agent.toml");
        let party = super::generator::PARTY_NETWORKS;
        let ports = super::generator::PROTOCOL_PORTS;
        let ports = format!("{}-{}", ports.start(), ports.end());
        fs::write(
            &config,
            setup.file(address, &party, &ports, &self.directory),
        )
        .with_context(|| format!("cannot write {}", config.display()))?;
        let log = self.directory.join("agent.log");
        let output =
            fs::File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let mut line = wrapper.iter().map(OsString::from).collect::<Vec<_>>();
        if setup.by_files {
            let btf = self.directory.join("btf");
            kernel_btf::with_rework(&btf)?;
            line.extend(kernel_btf::showing(&btf).into_iter().map(OsString::from));
        }
        line.push(self.path.clone().into());
        let mut command = Command::new(&line[0]);
        command.args(&line[1..]);
        for (name, _) in std::env::vars_os() {
            // A setting of the caller's must not reach it.
            if name.to_string_lossy().starts_with("PARTYMETER_") {
                command.env_remove(name);
            }
        }
        if setup.gpus > 0 {
            command.env(
                partymeter_fake_nvml::SCENARIO,
                format!("h100x{}", setup.gpus),
            );
            command.env(partymeter_fake_nvml::CALLS, self.calls());
        }
        let process = command
            .arg("run")
            .arg("--config")
            .arg(&config)
            .args(["--network-bpf-pin-path", ""])
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("cannot start {}", self.path.display()))?;
        let mut agent = Agent {
            process,
            client: Client::new(address, Format::Text),
            address,
        };
        match agent.wait_until_counting() {
            Ok(()) => Ok(agent),
            Err(error) => {
                drop(agent);
                Err(error.context(last_words(&log)))
            }
        }
    }
}

/// The library that makes GPUs up, beside this program.
pub(super) fn fake_library() -> PathBuf {
    let own = std::env::current_exe().unwrap_or_default();
    own.with_file_name("libpartymeter_fake_nvml.so")
}

impl Drop for Program {
    fn drop(&mut self) {
        // Left-over files in the temporary directory are no error.
        drop(fs::remove_dir_all(&self.directory));
    }
}

fn last_words(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().rev().take(5).collect();
    let lines: Vec<&str> = lines.into_iter().rev().collect();
    format!(
        "the agent does not count; it says: {}",
        if lines.is_empty() {
            "nothing".to_owned()
        } else {
            lines.join(" | ")
        }
    )
}

/// A running agent; stopped when dropped.
pub(super) struct Agent {
    process: Child,
    client: Client,
    /// Of its page.
    pub(super) address: SocketAddr,
}

/// Resident memory of a process, in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Memory {
    /// All of it.
    pub(super) resident: u64,
    /// What is its own and not a file's.
    pub(super) anonymous: u64,
    /// The most that was ever resident.
    pub(super) peak: u64,
}

impl Agent {
    fn wait_until_counting(&mut self) -> anyhow::Result<()> {
        let began = Instant::now();
        loop {
            let state = self.page().and_then(|page| {
                let up = page.value("partymeter_source_up", &[("source", "network")])?;
                ensure!(up > 0.5, "its network source is down");
                Ok(())
            });
            let Err(error) = state else { return Ok(()) };
            if let Some(status) = self.process.try_wait()? {
                bail!("it ended with {status}");
            }
            if began.elapsed() > PATIENCE {
                return Err(error);
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Its process id.
    pub(super) fn id(&self) -> u32 {
        self.process.id()
    }

    /// The newest page.
    pub(super) fn page(&mut self) -> anyhow::Result<Page> {
        Page::new(self.client.scrape()?)
    }

    /// Processor time that all its threads have used, in nanoseconds.
    pub(super) fn processor_time(&self) -> anyhow::Result<u64> {
        processor_time(self.process.id())
    }

    /// Its memory now.
    pub(super) fn memory(&self) -> anyhow::Result<Memory> {
        memory(self.process.id())
    }

    /// Stops it in order and says how long that took.
    pub(super) fn stop(mut self) -> anyhow::Result<Duration> {
        let began = Instant::now();
        self.terminate()?;
        while self.process.try_wait()?.is_none() {
            ensure!(
                began.elapsed() < PATIENCE,
                "the agent does not stop on SIGTERM"
            );
            thread::sleep(Duration::from_millis(2));
        }
        Ok(began.elapsed())
    }

    fn terminate(&self) -> anyhow::Result<()> {
        let id = Pid::from_raw(i32::try_from(self.process.id())?);
        kill(id, Signal::SIGTERM).context("cannot stop the agent")
    }
}

/// Processor time that all threads of a process have used, in nanoseconds.
pub(super) fn processor_time(process: u32) -> anyhow::Result<u64> {
    let tasks = format!("/proc/{process}/task");
    let mut total = 0;
    for task in fs::read_dir(&tasks).with_context(|| format!("cannot read {tasks}"))? {
        // A thread that has just ended had its time before and will not be missed.
        let Ok(text) = fs::read_to_string(task?.path().join("schedstat")) else {
            continue;
        };
        let first = text.split_whitespace().next().unwrap_or_default();
        total += first
            .parse::<u64>()
            .with_context(|| format!("{tasks}/*/schedstat says {text:?}"))?;
    }
    Ok(total)
}

/// Memory of a process.
pub(super) fn memory(process: u32) -> anyhow::Result<Memory> {
    let path = format!("/proc/{process}/status");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        let kibibytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
        Some(kibibytes * 1024)
    };
    let need = |name: &str| field(name).with_context(|| format!("{path} has no {name}"));
    Ok(Memory {
        resident: need("VmRSS")?,
        anonymous: need("RssAnon")?,
        peak: need("VmHWM")?,
    })
}

impl Drop for Agent {
    fn drop(&mut self) {
        // Already reaped after `stop`; otherwise this is the way out after an error that is reported.
        if let Ok(None) = self.process.try_wait() {
            drop(self.process.kill());
            drop(self.process.wait());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_names_as_many_parties_and_protocols_as_asked_for() {
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        let text = Setup::default().file(address, &["10.0.0.0/8"], "7000-7001", Path::new("/"));
        assert_eq!(text.matches("[[parties]]").count(), 3);
        assert_eq!(text.matches("[[protocols]]").count(), 4);
        assert!(text.contains("interval = \"1000ms\""), "{text}");
    }
}
