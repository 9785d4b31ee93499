//! The state of the loaded library: initialisations, device handles, event sets.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::c_void,
    sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError},
    thread::sleep,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use nvml_wrapper_sys::bindings::{nvmlDevice_t, nvmlReturn_t};

use crate::{
    call_counter::CallCounter,
    code,
    scenario::{Instance, Rule, Scenario},
    scenario_file::{POLL_INTERVAL, ScenarioFile},
    values::SimulatedGpu,
};

/// When the driver was loaded, in seconds since 1970, unless the scenario stops the clock.
const EPOCH: f64 = 1_790_000_000.0;

static STATE: LazyLock<Mutex<State>> = LazyLock::new(Mutex::default);

/// The state of the library.
#[derive(Default)]
pub struct State {
    file: ScenarioFile,
    calls: CallCounter,
    /// `nvmlInit` calls without their `nvmlShutdown`.
    initialisations: u32,
    /// The driver's generation at the first of them.
    generation: u32,
    /// The GPUs that were there then: positions in the scenario, by NVML index.
    pub indices: Vec<usize>,
    /// Event sets: the position and the number of delivered XID errors of each registered GPU.
    pub event_sets: BTreeMap<usize, Vec<(usize, usize)>>,
    pub last_event_set: usize,
    /// XID errors of [`Rule::xid`] that no event set has delivered, by position.
    pub rule_xids: BTreeMap<usize, Vec<u64>>,
    /// Those that have occurred: function, position, XID.
    fired: BTreeSet<(&'static str, usize, u64)>,
}

pub fn lock() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a device handle stands for.
#[derive(Clone, Debug)]
pub struct Device {
    pub scenario: Arc<Scenario>,
    pub position: usize,
    /// The MIG instance, by its position in [`Gpu::mig`](crate::Gpu::mig).
    pub instance: Option<usize>,
    pub time: f64,
}

impl Device {
    pub fn simulated(&self) -> SimulatedGpu<'_> {
        SimulatedGpu {
            gpu: &self.scenario.gpus[self.position],
            position: self.position,
            seed: self.scenario.seed,
            time: self.time,
        }
    }

    /// The answer of a function: the scenario's, or else `value`.
    pub fn answer(&self, function: &str, value: u64) -> u64 {
        let answers = &self.scenario.gpus[self.position].answers;
        let given = answers.iter().find(|answer| answer.function == function);
        given.map_or(value, |answer| answer.value.cast_unsigned())
    }

    pub fn mig(&self) -> Option<&Instance> {
        self.instance
            .and_then(|instance| self.scenario.gpus[self.position].mig.get(instance))
    }
}

impl State {
    pub fn scenario(&self) -> &Arc<Scenario> {
        &self.file.scenario
    }

    /// Counts a call, and reads the scenario if it has changed.
    pub fn enter(&mut self, function: &'static str) {
        self.file.refresh();
        self.calls.count(function);
    }

    /// `nvmlInit`.
    pub fn start(&mut self) -> Result<(), nvmlReturn_t> {
        self.file.refresh();
        if !self.scenario().loaded {
            return Err(code::DRIVER_NOT_LOADED);
        }
        if self.initialisations == 0 {
            self.generation = self.scenario().generation;
            let gpus = self.scenario().gpus.iter().enumerate();
            let present = gpus.filter(|(_, gpu)| !gpu.removed);
            self.indices = present.map(|(position, _)| position).collect();
        }
        self.initialisations += 1;
        Ok(())
    }

    /// `nvmlShutdown`.
    pub fn stop(&mut self) -> Result<(), nvmlReturn_t> {
        if self.initialisations == 0 {
            return Err(code::UNINITIALIZED);
        }
        self.initialisations -= 1;
        if self.initialisations == 0 {
            self.event_sets.clear();
            self.rule_xids.clear();
            self.indices.clear();
        }
        Ok(())
    }

    fn ready(&self) -> Result<(), nvmlReturn_t> {
        if self.initialisations == 0 {
            Err(code::UNINITIALIZED)
        } else if !self.scenario().loaded {
            Err(code::DRIVER_NOT_LOADED)
        } else if self.generation != self.scenario().generation {
            Err(code::UNINITIALIZED)
        } else {
            Ok(())
        }
    }

    pub fn time(&self) -> f64 {
        self.scenario().frozen.unwrap_or_else(|| {
            SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default()
                .as_secs_f64()
                - EPOCH
        })
    }

    /// The handle of a GPU, or of one of its MIG instances.
    pub fn handle(&self, position: usize, instance: Option<usize>) -> nvmlDevice_t {
        let number = (self.generation as usize) << 20
            | position << 8
            | instance.map_or(0, |instance| instance + 1)
            | 1 << 40;
        std::ptr::without_provenance_mut::<c_void>(number).cast()
    }

    fn decode(&self, handle: nvmlDevice_t) -> Result<(usize, Option<usize>), nvmlReturn_t> {
        let number = handle.addr();
        if number >> 40 != 1 {
            return Err(code::INVALID_ARGUMENT);
        }
        let (generation, position, instance) =
            (number >> 20 & 0xf_ffff, number >> 8 & 0xfff, number & 0xff);
        if generation != self.generation as usize {
            return Err(code::GPU_IS_LOST);
        }
        if !self.indices.contains(&position) {
            return Err(code::INVALID_ARGUMENT);
        }
        Ok((position, instance.checked_sub(1)))
    }
}

/// Enters a function that concerns no device.
pub fn system(function: &'static str) -> Result<MutexGuard<'static, State>, nvmlReturn_t> {
    let mut state = lock();
    state.enter(function);
    drop(state);
    apply_rules(function, None)?;
    let state = lock();
    state.ready()?;
    Ok(state)
}

/// Enters a function that concerns a device.
pub fn device(function: &'static str, handle: nvmlDevice_t) -> Result<Device, nvmlReturn_t> {
    let position = {
        let mut state = lock();
        state.enter(function);
        state.ready()?;
        state.decode(handle)?.0
    };
    apply_rules(function, Some(position))?;
    let state = lock();
    state.ready()?;
    let (position, instance) = state.decode(handle)?;
    let gpu = state
        .scenario()
        .gpus
        .get(position)
        .ok_or(code::GPU_IS_LOST)?;
    if gpu.lost || gpu.removed {
        return Err(code::GPU_IS_LOST);
    }
    if instance.is_some_and(|instance| instance >= gpu.mig.len()) {
        return Err(code::NOT_FOUND);
    }
    Ok(Device {
        scenario: Arc::clone(state.scenario()),
        position,
        instance,
        time: state.time(),
    })
}

/// Fails, delays or hangs a call as the rules of the scenario say.
fn apply_rules(function: &'static str, position: Option<usize>) -> Result<(), nvmlReturn_t> {
    loop {
        let rule = {
            let mut state = lock();
            state.file.refresh();
            let concerns = |rule: &&Rule| {
                let named =
                    rule.function == function || (rule.function == "*" && position.is_some());
                named && rule.field.is_none() && (rule.gpu.is_none() || rule.gpu == position)
            };
            state.scenario().rules.iter().find(concerns).cloned()
        };
        let Some(rule) = rule else {
            return Ok(());
        };
        if !rule.hang {
            sleep(Duration::from_millis(rule.milliseconds));
            if let (Some(position), Some(xid)) = (position, rule.xid) {
                let mut state = lock();
                if state.fired.insert((function, position, xid)) {
                    state.rule_xids.entry(position).or_default().push(xid);
                }
            }
            return if rule.code == 0 {
                Ok(())
            } else {
                Err(rule.code)
            };
        }
        sleep(POLL_INTERVAL);
    }
}
