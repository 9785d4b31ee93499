//! The scenario: the GPUs to simulate and what goes wrong. The file is JSON and may change while the library runs.

use serde::{Deserialize, Serialize};

use crate::models::Model;

/// A scenario.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Scenario {
    /// Varies the simulated values.
    pub seed: u64,
    /// Stops the clock at this time, in seconds; `None` follows the system's.
    pub frozen: Option<f64>,
    /// Whether the driver is loaded.
    pub loaded: bool,
    /// How often the driver was loaded. Handles of another generation are lost, and the library has to be reloaded.
    pub generation: u32,
    /// `nvmlSystemGetDriverVersion`.
    pub driver_version: String,
    /// `nvmlSystemGetCudaDriverVersion_v2`.
    pub cuda_version: i32,
    /// The GPUs. A removed GPU keeps its position.
    pub gpus: Vec<Gpu>,
    /// What goes wrong.
    pub rules: Vec<Rule>,
    /// Confidential computing; `None` if the driver does not support it.
    pub conf_compute: Option<ConfCompute>,
}

impl Default for Scenario {
    fn default() -> Self {
        Self {
            seed: 1,
            frozen: None,
            loaded: true,
            generation: 1,
            driver_version: "580.95.05".to_owned(),
            cuda_version: 13_000,
            gpus: Vec::new(),
            rules: Vec::new(),
            conf_compute: None,
        }
    }
}

impl Scenario {
    /// Idle GPUs of one model.
    pub fn of(model: Model, count: usize) -> Self {
        Self {
            gpus: vec![Gpu::new(model); count],
            ..Self::default()
        }
    }

    /// Reads `h100x8` or `a100x2,l40sx1`.
    ///
    /// # Errors
    /// One line that says what is valid.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut gpus = Vec::new();
        for part in text.split(',') {
            let (model, count) = part.rsplit_once('x').unwrap_or((part, "1"));
            let known = Model::ALL.into_iter().find(|known| known.name() == model);
            let names = Model::ALL.map(Model::name).join(", ");
            let known = known.ok_or_else(|| {
                format!("unknown model in {part}; help: use one of {names}, as in h100x8")
            })?;
            let count: usize = count.parse().map_err(|_| {
                format!("invalid number of GPUs in {part}; help: write it as in h100x8")
            })?;
            gpus.extend(vec![
                Gpu {
                    load: Load::Curve,
                    ..Gpu::new(known)
                };
                count
            ]);
        }
        match gpus.len() {
            1..=16 => Ok(Self {
                gpus,
                ..Self::default()
            }),
            count => Err(format!("{text} has {count} GPUs; help: use 1 to 16")),
        }
    }
}

/// A GPU.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Gpu {
    /// The model.
    pub model: Model,
    /// The load.
    #[serde(default)]
    pub load: Load,
    /// Whether the GPU has fallen off the bus.
    #[serde(default)]
    pub lost: bool,
    /// Whether the GPU is not there. It takes effect when the library is loaded; until then the GPU is lost.
    #[serde(default)]
    pub removed: bool,
    /// XID errors so far; tests only append. An event set delivers those after its registration.
    #[serde(default)]
    pub xids: Vec<u64>,
    /// MIG instances; MIG is off if there are none.
    #[serde(default)]
    pub mig: Vec<Instance>,
    /// The processes on the GPU.
    #[serde(default)]
    pub processes: Vec<Process>,
    /// The start of the PCIe counters.
    #[serde(default)]
    pub pcie_start: u64,
    /// Whether the PCIe counters have 32 bits and wrap.
    #[serde(default)]
    pub pcie_wraps: bool,
    /// ECC errors: corrected and uncorrected, each volatile and aggregate.
    #[serde(default)]
    pub ecc: [u64; 4],
    /// Active reasons for lower clocks (`nvmlClocksEventReason*` bits).
    #[serde(default)]
    pub reasons: u64,
    /// The speed of each fan, in percent.
    #[serde(default)]
    pub fans: Vec<u32>,
    /// Answers for single fields in place of the simulated ones.
    #[serde(default)]
    pub field_answers: Vec<FieldAnswer>,
    /// Answers of single functions in place of the simulated ones.
    #[serde(default)]
    pub answers: Vec<Answer>,
    /// The position of the GPU that the events of its XID errors name; `None` for itself.
    #[serde(default)]
    pub events_name: Option<usize>,
    /// The number of NVLinks if it is not the model's; links beyond it are down.
    #[serde(default)]
    pub links: Option<u32>,
    /// Whether a virtual GPU has its license; `None` if the GPU is not virtual.
    #[serde(default)]
    pub license: Option<bool>,
}

impl Gpu {
    /// An idle GPU.
    pub const fn new(model: Model) -> Self {
        Self {
            model,
            load: Load::Idle,
            lost: false,
            removed: false,
            xids: Vec::new(),
            mig: Vec::new(),
            processes: Vec::new(),
            pcie_start: 0,
            pcie_wraps: false,
            ecc: [0; 4],
            reasons: 0,
            fans: Vec::new(),
            field_answers: Vec::new(),
            answers: Vec::new(),
            events_name: None,
            links: None,
            license: None,
        }
    }
}

/// The answer for a field. A field that the model lacks stays unsupported.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct FieldAnswer {
    /// `NVML_FI_*`.
    pub field: u32,
    /// The link; `None` for any, and for fields without a scope.
    #[serde(default)]
    pub scope: Option<u32>,
    /// The value in the unit of the field, truncated to its type.
    pub value: i64,
}

/// The answer of a function, for every number that it returns.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// The function's name in NVML.
    pub function: String,
    /// The value in the unit of the function, truncated to its type.
    pub value: i64,
}

/// The load of a GPU.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Load {
    /// No load.
    #[default]
    Idle,
    /// Full load.
    Busy,
    /// Between none and full, in a period of one minute.
    Curve,
}

/// A MIG compute instance.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Instance {
    /// The id of its GPU instance.
    pub gpu_instance: u32,
    /// Its id within the GPU instance.
    pub compute_instance: u32,
    /// The profile, as `1g.10gb`.
    pub profile: String,
    /// Memory, in MiB.
    pub memory: u64,
}

/// A process.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Process {
    /// The process id.
    pub pid: u32,
    /// Memory in bytes; `None` if NVML cannot tell.
    pub memory: Option<u64>,
    /// SM utilization in percent; `None` if there is no sample.
    pub sm: Option<u32>,
}

/// A failure.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Rule {
    /// The function's name in NVML; `*` for every function of a device.
    pub function: String,
    /// The position of the GPU; `None` for any.
    pub gpu: Option<usize>,
    /// Only this field of `nvmlDeviceGetFieldValues`.
    pub field: Option<u32>,
    /// The delay.
    pub milliseconds: u64,
    /// Whether the call hangs while the scenario has this rule.
    pub hang: bool,
    /// The code that the call returns.
    pub code: u32,
    /// The XID error that comes with the first failure of each GPU, for event sets that are registered by then.
    pub xid: Option<u64>,
}

/// Confidential computing.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct ConfCompute {
    /// `NVML_CC_SYSTEM_CPU_CAPS_*`.
    pub cpu: u32,
    /// `NVML_CC_SYSTEM_ENVIRONMENT_*`.
    pub environment: u32,
    /// Whether it is on.
    pub enabled: bool,
    /// Whether developer tools are allowed.
    pub devtools: bool,
    /// `NVML_CC_SYSTEM_MULTIGPU_*`.
    pub multi_gpu: u32,
    /// Whether the GPUs accept work.
    pub ready: bool,
}
