//! What the loaded library remembers: the scenario as it is now, starts, event sets, and how often it was called.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::c_void,
    fmt::Write as _,
    fs,
    sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError},
    thread::sleep,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use nvml_wrapper_sys::bindings::{nvmlDevice_t, nvmlReturn_t};

use crate::{
    CALLS, SCENARIO,
    scenario::{Instance, Scenario},
    values::At,
};

/// Codes of `nvmlReturn_t` that are given here.
pub mod code {
    use nvml_wrapper_sys::bindings::nvmlReturn_t;

    pub const UNINITIALIZED: nvmlReturn_t = 1;
    pub const INVALID_ARGUMENT: nvmlReturn_t = 2;
    pub const NOT_SUPPORTED: nvmlReturn_t = 3;
    pub const NOT_FOUND: nvmlReturn_t = 6;
    pub const INSUFFICIENT_SIZE: nvmlReturn_t = 7;
    pub const DRIVER_NOT_LOADED: nvmlReturn_t = 9;
    pub const TIMEOUT: nvmlReturn_t = 10;
    pub const GPU_IS_LOST: nvmlReturn_t = 15;
    #[cfg(not(feature = "old-driver"))]
    pub const VERSION_MISMATCH: nvmlReturn_t = 25;
}

/// How often the scenario's file is looked at, at most.
const LOOK: Duration = Duration::from_millis(20);

/// How often the file of calls is written, at most.
const WRITE: Duration = Duration::from_millis(500);

/// When the driver was loaded, in seconds since 1970, for the clock that runs.
const EPOCH: f64 = 1_790_000_000.0;

static STATE: LazyLock<Mutex<State>> = LazyLock::new(Mutex::default);

/// Everything.
#[derive(Default)]
pub struct State {
    pub scenario: Arc<Scenario>,
    file: Option<(SystemTime, u64)>,
    looked: Option<Instant>,
    /// The scenario came from the variable itself.
    told: bool,
    /// `nvmlInit` less `nvmlShutdown`.
    starts: u32,
    /// The driver's generation at the first of them.
    generation: u32,
    /// Places of the GPUs that were there then, by index.
    pub indices: Vec<usize>,
    /// Event sets: (place, XIDs that were delivered) of each registered GPU.
    pub sets: BTreeMap<usize, Vec<(usize, usize)>>,
    pub next_set: usize,
    /// XID errors that came with a failing call, by place, until they are read.
    pub died: BTreeMap<usize, Vec<u64>>,
    /// Those that have come.
    fired: BTreeSet<(&'static str, usize, u64)>,
    calls: BTreeMap<&'static str, u64>,
    /// Calls before the library was loaded.
    before: BTreeMap<String, u64>,
    written: Option<Instant>,
}

/// What a file of calls says.
fn counted(text: &str) -> BTreeMap<String, u64> {
    let lines = text.lines().filter_map(|line| line.split_once(' '));
    lines
        .filter_map(|(function, count)| Some((function.to_owned(), count.parse().ok()?)))
        .collect()
}

pub fn lock() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a device's handle stands for.
#[derive(Clone, Debug)]
pub struct Device {
    pub scenario: Arc<Scenario>,
    pub place: usize,
    /// Which MIG instance, by its place in the list.
    pub instance: Option<usize>,
    pub time: f64,
}

impl Device {
    pub fn at(&self) -> At<'_> {
        At {
            gpu: &self.scenario.gpus[self.place],
            place: self.place,
            seed: self.scenario.seed,
            time: self.time,
        }
    }

    /// What a function says: what the scenario states, or that.
    pub fn says(&self, function: &str, value: u64) -> u64 {
        let answers = &self.scenario.gpus[self.place].answers;
        let stated = answers.iter().find(|answer| answer.function == function);
        stated.map_or(value, |answer| answer.value.cast_unsigned())
    }

    pub fn mig(&self) -> Option<&Instance> {
        self.instance
            .and_then(|instance| self.scenario.gpus[self.place].mig.get(instance))
    }
}

impl State {
    /// Reads the scenario again, if it is time and it has changed.
    pub fn refresh(&mut self) {
        if self.looked.is_some_and(|looked| looked.elapsed() < LOOK) {
            return;
        }
        self.looked = Some(Instant::now());
        let Some(name) = std::env::var_os(SCENARIO) else {
            return;
        };
        let Ok(metadata) = fs::metadata(&name) else {
            if self.file.is_none() && !self.told {
                // No file: GPUs by their names.
                let named = name.to_string_lossy();
                let scenario = Scenario::parse(&named).unwrap_or_else(|problem| {
                    eprintln!("{SCENARIO}: no such file, and no GPUs: {problem}");
                    Scenario::default()
                });
                self.told = true;
                self.scenario = Arc::new(scenario);
            }
            return;
        };
        let stamp = (metadata.modified().unwrap_or(UNIX_EPOCH), metadata.len());
        if self.file == Some(stamp) {
            return;
        }
        // One that is just being written is read the next time.
        let Ok(text) = fs::read_to_string(&name) else {
            return;
        };
        if let Ok(scenario) = serde_json::from_str(&text) {
            self.file = Some(stamp);
            self.scenario = Arc::new(scenario);
        }
    }

    pub fn count(&mut self, function: &'static str) {
        let Some(path) = std::env::var_os(CALLS) else {
            return;
        };
        if self.written.is_none() {
            // A program that loads the library anew goes on with what it has counted.
            self.before = counted(&fs::read_to_string(&path).unwrap_or_default());
        }
        *self.calls.entry(function).or_insert(0) += 1;
        if self
            .written
            .is_none_or(|written| written.elapsed() >= WRITE)
        {
            self.written = Some(Instant::now());
            let mut text = String::new();
            let mut sums = self.before.clone();
            for (function, count) in &self.calls {
                *sums.entry((*function).to_owned()).or_insert(0) += count;
            }
            for (function, count) in sums {
                // Writing to memory cannot fail.
                let _ = writeln!(text, "{function} {count}");
            }
            // Who reads it finds it missing.
            let _ = fs::write(path, text);
        }
    }

    /// `nvmlInit`.
    pub fn start(&mut self) -> Result<(), nvmlReturn_t> {
        self.refresh();
        if !self.scenario.loaded {
            return Err(code::DRIVER_NOT_LOADED);
        }
        if self.starts == 0 {
            self.generation = self.scenario.generation;
            let there = self
                .scenario
                .gpus
                .iter()
                .enumerate()
                .filter(|(_, gpu)| !gpu.removed);
            self.indices = there.map(|(place, _)| place).collect();
        }
        self.starts += 1;
        Ok(())
    }

    /// `nvmlShutdown`.
    pub fn stop(&mut self) -> Result<(), nvmlReturn_t> {
        if self.starts == 0 {
            return Err(code::UNINITIALIZED);
        }
        self.starts -= 1;
        if self.starts == 0 {
            self.sets.clear();
            self.died.clear();
            self.indices.clear();
        }
        Ok(())
    }

    fn ready(&self) -> Result<(), nvmlReturn_t> {
        if self.starts == 0 {
            Err(code::UNINITIALIZED)
        } else if !self.scenario.loaded {
            Err(code::DRIVER_NOT_LOADED)
        } else if self.generation != self.scenario.generation {
            Err(code::UNINITIALIZED)
        } else {
            Ok(())
        }
    }

    pub fn time(&self) -> f64 {
        self.scenario.frozen.unwrap_or_else(|| {
            SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default()
                .as_secs_f64()
                - EPOCH
        })
    }

    /// A handle of a GPU, or of one of its instances.
    pub fn handle(&self, place: usize, instance: Option<usize>) -> nvmlDevice_t {
        let number = (self.generation as usize) << 20
            | place << 8
            | instance.map_or(0, |instance| instance + 1)
            | 1 << 40;
        std::ptr::without_provenance_mut::<c_void>(number).cast()
    }

    fn decode(&self, handle: nvmlDevice_t) -> Result<(usize, Option<usize>), nvmlReturn_t> {
        let number = handle.addr();
        if number >> 40 != 1 {
            return Err(code::INVALID_ARGUMENT);
        }
        let (generation, place, instance) =
            (number >> 20 & 0xf_ffff, number >> 8 & 0xfff, number & 0xff);
        if generation != self.generation as usize {
            return Err(code::GPU_IS_LOST);
        }
        if !self.indices.contains(&place) {
            return Err(code::INVALID_ARGUMENT);
        }
        Ok((place, instance.checked_sub(1)))
    }
}

/// A call that concerns no device.
pub fn system(function: &'static str) -> Result<MutexGuard<'static, State>, nvmlReturn_t> {
    let mut state = lock();
    state.refresh();
    state.count(function);
    drop(state);
    misbehave(function, None)?;
    let state = lock();
    state.ready()?;
    Ok(state)
}

/// A call that concerns a device.
pub fn device(function: &'static str, handle: nvmlDevice_t) -> Result<Device, nvmlReturn_t> {
    let place = {
        let mut state = lock();
        state.refresh();
        state.count(function);
        state.ready()?;
        state.decode(handle)?.0
    };
    misbehave(function, Some(place))?;
    let state = lock();
    state.ready()?;
    let (place, instance) = state.decode(handle)?;
    let gpu = state.scenario.gpus.get(place).ok_or(code::GPU_IS_LOST)?;
    if gpu.lost || gpu.removed {
        return Err(code::GPU_IS_LOST);
    }
    if instance.is_some_and(|instance| instance >= gpu.mig.len()) {
        return Err(code::NOT_FOUND);
    }
    Ok(Device {
        scenario: Arc::clone(&state.scenario),
        place,
        instance,
        time: state.time(),
    })
}

/// Does what the rules say.
fn misbehave(function: &'static str, place: Option<usize>) -> Result<(), nvmlReturn_t> {
    loop {
        let rule = {
            let mut state = lock();
            state.refresh();
            let concerns = |rule: &&crate::scenario::Rule| {
                let named = rule.function == function || (rule.function == "*" && place.is_some());
                named && rule.field.is_none() && (rule.gpu.is_none() || rule.gpu == place)
            };
            state.scenario.rules.iter().find(concerns).cloned()
        };
        let Some(rule) = rule else {
            return Ok(());
        };
        if !rule.hang {
            sleep(Duration::from_millis(rule.milliseconds));
            if let (Some(place), Some(xid)) = (place, rule.xid) {
                let mut state = lock();
                if state.fired.insert((function, place, xid)) {
                    state.died.entry(place).or_default().push(xid);
                }
            }
            return if rule.code == 0 {
                Ok(())
            } else {
                Err(rule.code)
            };
        }
        sleep(LOOK);
    }
}
