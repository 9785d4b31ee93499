//! Two GPUs: one that has everything, one that is lost.

use std::sync::Arc;

use crate::sample::{
    FailureKind,
    gpu::{
        Activity, Gpu, GpuInfo, Gpus, Instance, Link, Memory, Pcie, Process, Reading, System,
        VgpuLicense, Xid,
    },
};

fn activity(graphics: f64) -> Activity {
    Activity {
        graphics: Some(graphics),
        sm: Some(0.5),
        occupancy: Some(0.25),
        tensor: Some(0.125),
        dram: Some(0.75),
        pipes: vec![("fp64", 0.0), ("fp32", 0.1), ("fp16", 0.2)],
    }
}

fn memory(total: u64, reserved: Option<u64>) -> Memory {
    Memory {
        used: Some(1 << 30),
        total: Some(total),
        free: Some(total - (1 << 30)),
        reserved,
    }
}

fn instance(gpu_instance: u32, compute_instance: u32, first: bool) -> Instance {
    Instance {
        gpu_instance: gpu_instance.to_string(),
        compute_instance: compute_instance.to_string(),
        profile: "1g.10gb".to_owned(),
        uuid: format!("MIG-{gpu_instance}-{compute_instance}"),
        memory: first.then(|| memory(10 << 30, None)),
        activity: if first {
            activity(0.25)
        } else {
            Activity::default()
        },
    }
}

fn reading() -> Reading {
    Reading {
        info: Arc::new(GpuInfo {
            uuid: "GPU-0a1b".to_owned(),
            model: "NVIDIA H100 80GB HBM3".to_owned(),
            pci_bus_id: "00000000:17:00.0".to_owned(),
            vbios: "96.00.5E.00.01".to_owned(),
            device: "nvidia0".to_owned(),
            driver_version: "580.95.05".to_owned(),
            cuda_version: "13.0".to_owned(),
        }),
        utilization: Some(98),
        encoder: Some(0),
        decoder: Some(1),
        jpeg: Some(2),
        ofa: Some(3),
        memory_controller: Some(41),
        memory: Some(memory(80 << 30, Some(500 << 20))),
        bar1_used: Some(1 << 20),
        bar1_total: Some(128 << 30),
        power: Some(612.345),
        power_limit: Some(700.0),
        energy: Some(123_456.789),
        temperatures: vec![("gpu", 61.0), ("memory", 72.0)],
        temperature_limits: vec![("shutdown", 92.0), ("slowdown", 89.0)],
        temperature_margins: vec![("shutdown", -8.0), ("slowdown", -2.0)],
        temperature_margin: Some(26.0),
        fans: vec![(0, 0.35)],
        clocks: vec![("sm", 1_980_000_000), ("memory", 2_619_000_000)],
        clocks_max: vec![("sm", 1_980_000_000)],
        performance_state: Some(0),
        throttle: vec![("sw_power_cap", true), ("hw_slowdown", false)],
        throttle_seconds: vec![("sw_power_cap", 12.5), ("thermal", 0.0)],
        activity: activity(0.97),
        pcie: Pcie {
            transmit: Some(1_000_000),
            receive: Some(2_000_000),
            replays: Some(3),
            generation: Some(5),
            width: Some(16),
        },
        links: vec![
            Link {
                link: 0,
                up: Some(1),
                transmit: Some(4096),
                receive: Some(8192),
                errors: vec![("replay", 0), ("crc_flit", 1)],
            },
            Link {
                link: 1,
                up: Some(0),
                ..Link::default()
            },
        ],
        ecc: vec![
            ("corrected", "volatile", 5),
            ("uncorrected", "volatile", 1),
            ("corrected", "aggregate", 50),
            ("uncorrected", "aggregate", 10),
        ],
        retired: vec![("single_bit", 1), ("double_bit", 0)],
        remapped: vec![("correctable", 2), ("uncorrectable", 1)],
        remap_pending: Some(1),
        remap_failure: Some(0),
        recovery_action: Some(0),
        protected_used: Some(1 << 20),
        protected_total: Some(64 << 30),
        vgpu_license: Some(VgpuLicense::Licensed),
        instances: vec![
            instance(1, 0, true),
            instance(1, 1, false),
            instance(7, 0, true),
        ],
        processes: vec![
            Process {
                pid: "4711".to_owned(),
                command: "python3".to_owned(),
                container: "3f9c".to_owned(),
                memory: Some(1 << 30),
                sm: Some(97),
            },
            Process {
                pid: "other".to_owned(),
                memory: Some(5),
                ..Process::default()
            },
        ],
    }
}

/// Everything that a page can show of GPUs.
pub(super) fn gpus() -> Gpus {
    Gpus {
        system: Some(Arc::new(System {
            count: 2,
            fake: true,
            cc_enabled: Some(true),
            cc_ready: Some(false),
            cc_devtools: Some(false),
            cc_protected_pcie: Some(true),
            cc_environment: Some("production"),
        })),
        gpus: vec![
            Gpu {
                id: "0".into(),
                info: Some(reading().info),
                reading: Some(Arc::new(reading())),
                down: None,
                xids: Vec::new(),
            },
            Gpu {
                id: "1".into(),
                info: Some(Arc::new(GpuInfo {
                    uuid: "GPU-2c3d".to_owned(),
                    pci_bus_id: "00000000:2A:00.0".to_owned(),
                    device: "nvidia1".to_owned(),
                    ..(*reading().info).clone()
                })),
                reading: None,
                down: Some(FailureKind::Lost),
                xids: vec![Xid {
                    xid: 79,
                    count: 1,
                    last: 1_699_999_998.5,
                }],
            },
        ],
        errors: vec![
            ("nvmlDeviceGetFieldValues", "implausible", 2),
            ("nvmlDeviceGetMemoryInfo_v2", "gpu_is_lost", 1),
        ],
        dcgm_names: true,
    }
}
