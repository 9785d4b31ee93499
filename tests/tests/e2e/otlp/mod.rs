//! OTLP against real receivers: what arrives, and what happens when it does not. GPUs are made up, and still: two looks
//! at them see the same.

mod certificates;
mod connections;
mod faults;
mod logs;
mod metrics;
mod traces;

use partymeter_fake_nvml::{SCENARIO, Scenario, models::Model, scenario::Load};

use crate::{
    gpu::library,
    support::{Agent, agent::Scratch},
};

/// An agent that sends what it reads of made-up GPUs.
struct Sending {
    agent: Agent,
    _scenario: Scratch,
}

impl Sending {
    /// With these keys of the section `otlp`.
    fn start(keys: &str) -> Self {
        Self::with(keys, "", &[])
    }

    /// Also with other keys before, and variables.
    fn with(keys: &str, before: &str, variables: &[&str]) -> Self {
        let mut scenario = Scenario::of(Model::H100, 2);
        scenario.frozen = Some(1000.0);
        scenario.gpus[0].load = Load::Curve;
        Self::of(&scenario, keys, before, variables)
    }

    fn of(scenario: &Scenario, keys: &str, before: &str, variables: &[&str]) -> Self {
        let file = Scratch::with("scenario.json", &serde_json::to_string(scenario).unwrap());
        let library = library();
        let library = library.display();
        let config = format!(
            "node = \"here\"\n{before}\n[gpu]\nlibrary = \"{library}\"\n[network]\nenabled = false\n[otlp]\n{keys}"
        );
        let variable = format!("{SCENARIO}={}", file.0.display());
        let wrapper = [&["env", variable.as_str()][..], variables].concat();
        Self {
            agent: Agent::launch(&config, &wrapper),
            _scenario: file,
        }
    }

    /// A counter of how sending goes.
    fn count(&self, counter: &str, labels: &str) -> f64 {
        let series = format!("partymeter_otlp_{counter}{{{labels}}}");
        self.agent
            .series(&series)
            .unwrap_or_else(|| panic!("no {series}"))
    }
}
