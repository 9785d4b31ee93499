//! What the library is to make up. The file is JSON and may change while the library runs.

use serde::{Deserialize, Serialize};

use crate::models::Model;

/// Everything.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Scenario {
    /// Makes figures differ.
    pub seed: u64,
    /// Stops the clock there, in seconds; else it is that of the system.
    pub frozen: Option<f64>,
    /// The driver is loaded.
    pub loaded: bool,
    /// Which load of the driver it is: a handle of another one is lost, and the library has to be started anew.
    pub generation: u32,
    /// `nvmlSystemGetDriverVersion`.
    pub driver_version: String,
    /// `nvmlSystemGetCudaDriverVersion_v2`.
    pub cuda_version: i32,
    /// The GPUs, by their place; a removed one keeps its place here.
    pub gpus: Vec<Gpu>,
    /// What goes wrong.
    pub rules: Vec<Rule>,
    /// Confidential computing; `None`: the functions are not supported.
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
    /// So many of one model.
    pub fn of(model: Model, count: usize) -> Self {
        Self {
            gpus: vec![Gpu::new(model); count],
            ..Self::default()
        }
    }

    /// Reads `h100x8` or `a100x2,l40sx1`.
    ///
    /// # Errors
    /// One line that says what is possible.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut gpus = Vec::new();
        for part in text.split(',') {
            let (model, count) = part.rsplit_once('x').unwrap_or((part, "1"));
            let known = Model::ALL.into_iter().find(|known| known.name() == model);
            let names = Model::ALL.map(Model::name).join(", ");
            let known = known
                .ok_or_else(|| format!("{part}: no such model; one of {names}, as in h100x8"))?;
            let count: usize = count
                .parse()
                .map_err(|_| format!("{part}: not a number of GPUs, as in h100x8"))?;
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
            count => Err(format!("{text}: {count} GPUs; 1 to 16 can be made up")),
        }
    }
}

/// One GPU.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Gpu {
    /// What it is.
    pub model: Model,
    /// How busy it is.
    #[serde(default)]
    pub load: Load,
    /// It has fallen off the bus.
    #[serde(default)]
    pub lost: bool,
    /// It is not there; seen when the library starts, and until then like a lost one.
    #[serde(default)]
    pub removed: bool,
    /// XID errors so far, only ever added to: an event set gets those that come after it registered.
    #[serde(default)]
    pub xids: Vec<u64>,
    /// MIG instances; none: MIG is off.
    #[serde(default)]
    pub mig: Vec<Instance>,
    /// Who uses it.
    #[serde(default)]
    pub processes: Vec<Process>,
    /// What the PCIe counters begin at.
    #[serde(default)]
    pub pcie_start: u64,
    /// The PCIe counters are of 32 bits and wrap.
    #[serde(default)]
    pub pcie_wraps: bool,
    /// ECC errors: corrected and uncorrected, each volatile and aggregate.
    #[serde(default)]
    pub ecc: [u64; 4],
    /// `nvmlClocksEventReason*`.
    #[serde(default)]
    pub reasons: u64,
    /// Percent of each fan.
    #[serde(default)]
    pub fans: Vec<u32>,
    /// What single field values say instead of what the model and its load make of them.
    #[serde(default)]
    pub figures: Vec<Figure>,
    /// What single functions say instead.
    #[serde(default)]
    pub answers: Vec<Answer>,
    /// The place of the GPU that the events of its XID errors name; `None`: itself.
    #[serde(default)]
    pub events_name: Option<usize>,
    /// NVLinks that it says it has, where that is not what the model has; those beyond are down.
    #[serde(default)]
    pub links: Option<u32>,
    /// It is a virtual one, with or without its license.
    #[serde(default)]
    pub license: Option<bool>,
}

impl Gpu {
    /// An idle one.
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
            figures: Vec::new(),
            answers: Vec::new(),
            events_name: None,
            links: None,
            license: None,
        }
    }
}

/// What a field value says. One that the model does not have stays not supported.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Figure {
    /// `NVML_FI_*`.
    pub field: u32,
    /// The link; `None`: any, and where the field has no scope.
    #[serde(default)]
    pub scope: Option<u32>,
    /// In the unit of the field, cut to its type.
    pub value: i64,
}

/// What a function says: every number that it gives.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// NVML's name of it.
    pub function: String,
    /// In the unit of the function, cut to its type.
    pub value: i64,
}

/// How busy a GPU is.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Load {
    /// Not at all.
    #[default]
    Idle,
    /// All the time.
    Busy,
    /// Up and down, once a minute.
    Curve,
}

/// One MIG instance.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Instance {
    /// Of its GPU instance.
    pub gpu_instance: u32,
    /// Within that.
    pub compute_instance: u32,
    /// As `1g.10gb`.
    pub profile: String,
    /// MiB.
    pub memory: u64,
}

/// One process.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// Bytes; `None`: not available.
    pub memory: Option<u64>,
    /// Percent of the SMs; `None`: it has no sample.
    pub sm: Option<u32>,
}

/// Something that goes wrong.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Rule {
    /// NVML's name of the function; `*`: any of a device.
    pub function: String,
    /// The place of the GPU; `None`: any.
    pub gpu: Option<usize>,
    /// With `nvmlDeviceGetFieldValues`: this field only fails.
    pub field: Option<u32>,
    /// It takes so much longer.
    pub milliseconds: u64,
    /// It does not return while the scenario has this rule.
    pub hang: bool,
    /// What it returns.
    pub code: u32,
    /// An XID error comes with its first failure of each GPU, to whoever has registered by then.
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
    /// It is on.
    pub enabled: bool,
    /// Developer tools are allowed.
    pub devtools: bool,
    /// `NVML_CC_SYSTEM_MULTIGPU_*`.
    pub multi_gpu: u32,
    /// The GPUs accept work.
    pub ready: bool,
}
