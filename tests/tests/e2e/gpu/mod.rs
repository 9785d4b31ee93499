//! The GPU source against the fake NVML. These tests need no root.

mod driver;
mod failures;
mod features;
mod fields;
mod implausible;
mod links;
mod lost;
mod pages;
mod pause;
mod processes;
mod values;
mod xids;

use std::{fs, path::PathBuf};

use partymeter_fake_nvml::{Answer, CALLS, FieldAnswer, Rule, SCENARIO, Scenario};

use crate::support::{
    Agent,
    agent::{Scratch, program},
    until_true,
};

/// Return codes of NVML.
mod code {
    pub const NOT_SUPPORTED: u32 = 3;
    pub const INSUFFICIENT_SIZE: u32 = 7;
    pub const GPU_IS_LOST: u32 = 15;
    pub const UNKNOWN: u32 = 999;
}

/// The fake library, beside the agent.
pub(crate) fn library() -> PathBuf {
    let built = program().with_file_name("libpartymeter_fake_nvml.so");
    assert!(
        built.exists(),
        "build it first: cargo xtask build --fake-nvml"
    );
    built
}

/// The fake library of an old driver.
fn old_library() -> PathBuf {
    let target = program().parent().unwrap().parent().unwrap().to_owned();
    let built = target.join("old-driver/release/libpartymeter_fake_nvml.so");
    assert!(
        built.exists(),
        "build it first: cargo xtask build --fake-nvml"
    );
    built
}

/// An agent that reads fake GPUs only.
struct Fake {
    agent: Agent,
    file: Scratch,
    calls: Scratch,
    scenario: Scenario,
}

impl Fake {
    fn start(scenario: Scenario) -> Self {
        Self::with(scenario, "", &library())
    }

    fn with(scenario: Scenario, keys: &str, library: &std::path::Path) -> Self {
        let file = Scratch::with("scenario.json", &serde_json::to_string(&scenario).unwrap());
        let config = format!(
            "node = \"here\"\n[gpu]\nlibrary = \"{}\"\n{keys}\n[network]\nenabled = false\n",
            library.display()
        );
        let variable = format!("{SCENARIO}={}", file.0.display());
        let calls = Scratch::new("calls");
        let counted = format!("{CALLS}={}", calls.0.display());
        let agent = Agent::launch(&config, &["env", &variable, &counted]);
        Self {
            agent,
            file,
            calls,
            scenario,
        }
    }

    /// Changes the scenario while the agent runs.
    fn change(&mut self, change: impl FnOnce(&mut Scenario)) {
        change(&mut self.scenario);
        // Atomically: the library may be reading it.
        let next = self.file.0.with_extension("next");
        fs::write(&next, serde_json::to_string(&self.scenario).unwrap()).unwrap();
        fs::rename(next, &self.file.0).unwrap();
    }

    fn series(&self, series: &str) -> Option<f64> {
        self.agent.series(series)
    }

    /// Waits until a series has this value.
    fn until(&self, series: &str, wanted: Option<f64>) {
        until_true(
            || self.series(series) == wanted,
            || {
                let (now, log) = (self.series(series), self.agent.log());
                format!("{series} is {now:?}, not {wanted:?}\n{log}")
            },
        );
    }

    /// How often a function of the library was called, as of half a second ago.
    fn calls(&self, function: &str) -> u64 {
        let counted = fs::read_to_string(&self.calls.0).unwrap();
        let mut lines = counted.lines().filter_map(|line| line.split_once(' '));
        let count = lines.find(|(name, _)| *name == function);
        count.map_or(0, |(_, count)| count.parse().unwrap())
    }

    /// The number of log lines that contain all these words.
    fn lines(&self, words: &[&str]) -> usize {
        let log = self.agent.log();
        let has = |line: &&str| words.iter().all(|word| line.contains(word));
        log.lines().filter(has).count()
    }

    /// Waits until a GPU has been read this many times more.
    fn after_rounds(&self, gpu: usize, rounds: u32) {
        self.agent.after_rounds_of(&format!("gpu{gpu}"), rounds);
    }
}

/// An answer of a function.
fn answer(function: &str, value: i64) -> Answer {
    Answer {
        function: function.to_owned(),
        value,
    }
}

/// A rule by which a function fails.
fn fails(function: &str, gpu: usize, code: u32) -> Rule {
    Rule {
        function: function.to_owned(),
        gpu: Some(gpu),
        code,
        ..Default::default()
    }
}

/// An answer for a field.
fn field_answer(field: u32, scope: Option<u32>, value: i64) -> FieldAnswer {
    FieldAnswer {
        field,
        scope,
        value,
    }
}

fn up(gpu: usize) -> String {
    format!("gpu_up{{gpu_id=\"{gpu}\"}}")
}

fn down(gpu: usize, reason: &str) -> String {
    format!("gpu_down_info{{gpu_id=\"{gpu}\",reason=\"{reason}\"}}")
}

fn power(gpu: usize) -> String {
    format!("gpu_power_watts{{gpu_id=\"{gpu}\"}}")
}
