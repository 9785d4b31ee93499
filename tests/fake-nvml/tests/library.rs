//! The library as a program uses it: loaded by its path, through nvml-wrapper. A process has one library and one
//! scenario, so that one test covers everything.

use std::{
    ffi::OsStr,
    fs,
    path::PathBuf,
    ptr::{null, null_mut},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use nvml_wrapper::{
    Nvml,
    bitmasks::event::EventTypes,
    enum_wrappers::device::{TemperatureSensor, TemperatureThreshold},
    enums::event::XidError,
    error::NvmlError,
};
use partymeter_fake_nvml::{
    Answer, CALLS, Rule, SCENARIO, Scenario,
    models::Model,
    scenario::{Instance, Load, Process},
    values::{self, SimulatedGpu},
};

/// Longer than the library takes to notice a changed scenario.
const REFRESH: Duration = Duration::from_millis(60);

/// Codes of `nvmlReturn_t`.
const INVALID_ARGUMENT: u32 = 2;
const INSUFFICIENT_SIZE: u32 = 7;
const VERSION_MISMATCH: u32 = 25;
const UNKNOWN: u32 = 999;

/// The library that cargo builds beside this test.
fn library() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.with_file_name("libpartymeter_fake_nvml.so")
}

fn start() -> Nvml {
    let library = library();
    let started = Nvml::builder().lib_path(OsStr::new(&library)).init();
    started.unwrap_or_else(|error| panic!("{}: {error}", library.display()))
}

/// A scenario and its file.
struct ScenarioFile {
    path: PathBuf,
    scenario: Scenario,
}

impl ScenarioFile {
    fn change(&mut self, change: impl FnOnce(&mut Scenario)) {
        change(&mut self.scenario);
        self.write();
        // The library does not signal that it has read the file.
        thread::sleep(REFRESH);
    }

    fn write(&self) {
        let next = self.path.with_extension("next");
        fs::write(&next, serde_json::to_string(&self.scenario).unwrap()).unwrap();
        fs::rename(next, &self.path).unwrap();
    }
}

fn rule(function: &str) -> Rule {
    Rule {
        function: function.to_owned(),
        ..Rule::default()
    }
}

#[test]
fn the_library_follows_its_scenario() {
    let directory = std::env::temp_dir().join(format!("fake-nvml-{}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    let mut file = ScenarioFile {
        path: directory.join("scenario.json"),
        scenario: Scenario::of(Model::H100, 3),
    };
    file.scenario.frozen = Some(500.0);
    file.scenario.gpus[1].load = Load::Curve;
    file.write();
    let calls = directory.join("calls");
    // SAFETY: this is the only test of the process, so that no other thread reads the environment.
    unsafe {
        std::env::set_var(SCENARIO, &file.path);
        std::env::set_var(CALLS, &calls);
    }

    let nvml = start();
    values_of_gpus(&nvml, &mut file);
    limits(&nvml);
    models(&nvml, &mut file);
    instances(&nvml, &mut file);
    processes(&nvml, &mut file);
    failures(&nvml, &mut file);
    hang(&nvml, &mut file);
    xids(&nvml, &mut file);
    let counted = fs::read_to_string(&calls).unwrap();
    let power = counted
        .lines()
        .find_map(|line| line.strip_prefix("nvmlDeviceGetPowerUsage "));
    assert!(power.unwrap().parse::<u64>().unwrap() > 3, "{counted}");
    reload(nvml, &mut file);
    fs::remove_dir_all(directory).unwrap();
}

fn values_of_gpus(nvml: &Nvml, file: &mut ScenarioFile) {
    assert_eq!(nvml.device_count().unwrap(), 3);
    for index in 0..3 {
        let position = index as usize;
        let device = nvml.device_by_index(index).unwrap();
        let at = SimulatedGpu::new(&file.scenario, position, 500.0).unwrap();
        assert_eq!(device.power_usage().unwrap(), at.power());
        assert_eq!(device.total_energy_consumption().unwrap(), at.energy());
        let temperature = device.temperature(TemperatureSensor::Gpu).unwrap();
        assert_eq!(temperature, at.temperature());
        let rates = device.utilization_rates().unwrap();
        let wanted = (at.utilization(), at.memory_utilization());
        assert_eq!((rates.gpu, rates.memory), wanted);
        let found = nvml.device_by_uuid(device.uuid().unwrap()).unwrap();
        assert_eq!(found.pci_info().unwrap().bus_id, values::bus_id(position));
    }
    file.change(|scenario| {
        scenario.gpus[0].answers = vec![Answer {
            function: "nvmlDeviceGetPowerUsage".to_owned(),
            value: 4_294_967_295,
        }];
    });
    let answer = nvml.device_by_index(0).unwrap().power_usage();
    assert_eq!(answer.unwrap(), u32::MAX);
    file.change(|scenario| scenario.gpus[0].answers.clear());
    let power = |position| {
        SimulatedGpu::new(&file.scenario, position, 500.0)
            .unwrap()
            .power()
    };
    assert_ne!(power(0), power(1), "the curve differs from idle");
}

/// Buffers that are too small, null pointers, and wrong structure versions.
fn limits(nvml: &Nvml) {
    let device = nvml.device_by_index(0).unwrap();
    let lib = nvml.lib();
    let mut text = [7; 8];
    // SAFETY: the device is open; every pointer is null or to memory of the stated length.
    let codes = unsafe {
        let handle = device.handle();
        [
            lib.nvmlDeviceGetName(handle, text.as_mut_ptr(), 8),
            lib.nvmlDeviceGetName(handle, null_mut(), 96),
            lib.nvmlDeviceGetName(null_mut(), text.as_mut_ptr(), 8),
            lib.nvmlDeviceGetPowerUsage(handle, null_mut()),
            lib.nvmlDeviceGetHandleByUUID(null(), null_mut()),
        ]
    };
    assert_eq!(codes[0], INSUFFICIENT_SIZE);
    assert_eq!(codes[1..], [INVALID_ARGUMENT; 4]);
    assert_eq!(text, [7; 8], "the buffer is unchanged");
    // SAFETY: the device is open; zero is valid for a structure of integers.
    let code = unsafe {
        let mut memory = std::mem::zeroed();
        lib.nvmlDeviceGetMemoryInfo_v2(device.handle(), &raw mut memory)
    };
    assert_eq!(code, VERSION_MISMATCH);
}

fn models(nvml: &Nvml, file: &mut ScenarioFile) {
    file.change(|scenario| scenario.gpus[2].model = Model::T4);
    let device = nvml.device_by_index(2).unwrap();
    assert_eq!(device.name().unwrap(), "Tesla T4");
    let error = device.mig_mode();
    assert!(matches!(error, Err(NvmlError::NotSupported)), "{error:?}");
    let error = device.temperature_threshold(TemperatureThreshold::MemoryMax);
    assert!(matches!(error, Err(NvmlError::NotSupported)), "{error:?}");
}

fn instances(nvml: &Nvml, file: &mut ScenarioFile) {
    file.change(|scenario| {
        scenario.gpus[0].mig.push(Instance {
            gpu_instance: 9,
            compute_instance: 0,
            profile: "1g.10gb".to_owned(),
            memory: 9856,
        });
    });
    let device = nvml.device_by_index(0).unwrap();
    let error = device.utilization_rates();
    assert!(matches!(error, Err(NvmlError::NotSupported)), "{error:?}");
    assert!(device.power_usage().is_ok());
    let instance = device.mig_device_by_index(0).unwrap();
    assert_eq!(instance.memory_info().unwrap().total, 9856 << 20);
    let uuid = values::mig_uuid(file.scenario.seed, 0, 0);
    assert_eq!(instance.uuid().unwrap(), uuid);
    assert!(instance.power_usage().is_err());
    assert!(instance.temperature(TemperatureSensor::Gpu).is_err());
    let error = device.mig_device_by_index(1).map(drop);
    assert!(matches!(error, Err(NvmlError::NotFound)), "{error:?}");
    file.change(|scenario| scenario.gpus[0].mig.clear());
}

fn processes(nvml: &Nvml, file: &mut ScenarioFile) {
    let process = Process {
        pid: 4711,
        memory: Some(1 << 30),
        sm: Some(40),
    };
    file.change(|scenario| scenario.gpus[0].processes = vec![process; 2]);
    let device = nvml.device_by_index(0).unwrap();
    assert_eq!(device.running_compute_processes().unwrap().len(), 2);
    let mut count = 0;
    // SAFETY: the device is open; the count of 0 allows a null pointer.
    let code = unsafe {
        let lib = nvml.lib();
        lib.nvmlDeviceGetComputeRunningProcesses_v3(device.handle(), &raw mut count, null_mut())
    };
    assert_eq!((code, count), (INSUFFICIENT_SIZE, 2));
}

fn failures(nvml: &Nvml, file: &mut ScenarioFile) {
    file.change(|scenario| {
        scenario.rules = vec![
            Rule {
                gpu: Some(1),
                code: UNKNOWN,
                ..rule("nvmlDeviceGetPowerUsage")
            },
            Rule {
                milliseconds: 150,
                ..rule("nvmlDeviceGetTemperature")
            },
        ];
    });
    let healthy = nvml.device_by_index(0).unwrap();
    let device = nvml.device_by_index(1).unwrap();
    assert!(healthy.power_usage().is_ok());
    let error = device.power_usage();
    assert!(matches!(error, Err(NvmlError::Unknown)), "{error:?}");
    let before = Instant::now();
    device.temperature(TemperatureSensor::Gpu).unwrap();
    assert!(before.elapsed() >= Duration::from_millis(150));
    file.change(|scenario| {
        scenario.rules.clear();
        scenario.gpus[1].lost = true;
    });
    let error = device.power_usage();
    assert!(matches!(error, Err(NvmlError::GpuLost)), "{error:?}");
    let error = nvml.device_by_index(1).map(drop);
    assert!(matches!(error, Err(NvmlError::GpuLost)), "{error:?}");
    file.change(|scenario| scenario.gpus[1].lost = false);
    assert!(device.power_usage().is_ok());
}

fn hang(nvml: &Nvml, file: &mut ScenarioFile) {
    file.change(|scenario| {
        scenario.rules = vec![Rule {
            gpu: Some(1),
            hang: true,
            ..rule("nvmlDeviceGetPowerUsage")
        }];
    });
    thread::scope(|scope| {
        let (done, hung) = mpsc::channel();
        scope.spawn(move || done.send(nvml.device_by_index(1).unwrap().power_usage()));
        let other = nvml.device_by_index(0).unwrap();
        let end = Instant::now() + Duration::from_millis(400);
        while Instant::now() < end {
            assert!(other.power_usage().is_ok());
        }
        assert!(hung.try_recv().is_err(), "the call returned");
        file.change(|scenario| scenario.rules.clear());
        let released = hung.recv_timeout(Duration::from_secs(10)).unwrap();
        assert!(released.is_ok(), "{released:?}");
    });
}

fn xids(nvml: &Nvml, file: &mut ScenarioFile) {
    file.change(|scenario| scenario.gpus[0].xids = vec![13]);
    let registered = || {
        let device = nvml.device_by_index(0).unwrap();
        let set = nvml.create_event_set().unwrap();
        let types = EventTypes::CRITICAL_XID_ERROR;
        device.register_events(types, set).unwrap()
    };
    let sets = [registered(), registered()];
    file.change(|scenario| scenario.gpus[0].xids.extend([31, 48]));
    for set in &sets {
        for wanted in [31, 48] {
            match set.wait(5000).unwrap().event_data {
                Some(XidError::Value(xid)) => assert_eq!(xid, wanted),
                other => panic!("{other:?} instead of XID {wanted}"),
            }
        }
        let before = Instant::now();
        let end = set.wait(200).map(drop);
        assert!(matches!(end, Err(NvmlError::Timeout)), "{end:?}");
        assert!(before.elapsed() >= Duration::from_millis(200));
    }
    // The XID error of a rule occurs once.
    let device = nvml.device_by_index(0).unwrap();
    file.change(|scenario| {
        scenario.rules = vec![Rule {
            gpu: Some(0),
            code: UNKNOWN,
            xid: Some(79),
            ..rule("nvmlDeviceGetPowerUsage")
        }];
    });
    for _ in 0..2 {
        assert!(device.power_usage().is_err());
    }
    let event = sets[0].wait(5000).unwrap().event_data;
    assert!(matches!(event, Some(XidError::Value(79))), "{event:?}");
    let end = sets[0].wait(0).map(drop);
    assert!(matches!(end, Err(NvmlError::Timeout)), "{end:?}");
    file.change(|scenario| scenario.rules.clear());
}

fn reload(nvml: Nvml, file: &mut ScenarioFile) {
    file.change(|scenario| scenario.loaded = false);
    let error = nvml.device_count();
    assert!(
        matches!(error, Err(NvmlError::DriverNotLoaded)),
        "{error:?}"
    );
    file.change(|scenario| {
        (scenario.loaded, scenario.generation) = (true, 2);
        scenario.gpus[0].removed = true;
    });
    let error = nvml.device_count();
    assert!(matches!(error, Err(NvmlError::Uninitialized)), "{error:?}");
    nvml.shutdown().unwrap();

    let nvml = start();
    assert_eq!(nvml.device_count().unwrap(), 2);
    let first = nvml.device_by_index(0).unwrap();
    assert_eq!(first.uuid().unwrap(), values::uuid(file.scenario.seed, 1));
}
