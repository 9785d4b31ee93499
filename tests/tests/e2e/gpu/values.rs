//! Values against those that the fake library simulates: units, wrapping counters, MIG, confidential computing.

use partymeter_fake_nvml::{
    Scenario,
    models::Model,
    scenario::{ConfCompute, Instance, Load},
    values::{SimulatedGpu, gpm_share},
};

use super::{Fake, library};

/// The time at which the clock stops.
const TIME: f64 = 1234.5;

fn busy(model: Model, count: usize) -> Scenario {
    let mut scenario = Scenario::of(model, count);
    scenario.frozen = Some(TIME);
    for gpu in &mut scenario.gpus {
        gpu.load = Load::Curve;
    }
    scenario
}

#[test]
fn values_are_in_base_units() {
    let scenario = busy(Model::H100, 3);
    let fake = Fake::start(scenario.clone());
    fake.after_rounds(2, 2);
    let (mut used, mut checked) = (0.0, 0);
    for place in 0..3 {
        let at = SimulatedGpu::new(&scenario, place, TIME).unwrap();
        #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
        let exact = |value: u64| value as f64;
        let mut check = |series: &str, wanted: f64| {
            let series = series.replace("ID", &format!("gpu_id=\"{place}\""));
            let now = fake.series(&series).unwrap_or(f64::NAN);
            assert!(
                (now - wanted).abs() <= wanted.abs() * 1e-12,
                "{series}: {now}, not {wanted}"
            );
            checked += 1;
        };
        check(
            "gpu_utilization_percent{ID,node=\"here\"}",
            at.utilization().into(),
        );
        check("gpu_memory_used_bytes{ID}", exact(at.memory_used()));
        check("gpu_memory_total_bytes{ID}", exact(81_559 << 20));
        check("gpu_memory_reserved_bytes{ID}", exact(551 << 20));
        check("gpu_power_watts{ID}", f64::from(at.power()) / 1e3);
        check("gpu_power_limit_watts{ID}", 700.0);
        check("gpu_energy_joules_total{ID}", exact(at.energy()) / 1e3);
        check(
            "gpu_temperature_celsius{ID,sensor=\"gpu\"}",
            at.temperature().into(),
        );
        check(
            "gpu_temperature_celsius{ID,sensor=\"memory\"}",
            (at.temperature() + 8).into(),
        );
        check(
            "gpu_temperature_margin_celsius{ID,limit=\"shutdown\"}",
            -8.0,
        );
        check(
            "gpu_clock_hertz{ID,domain=\"sm\"}",
            f64::from(at.sm_clock()) * 1e6,
        );
        check("gpu_clock_hertz{ID,domain=\"memory\"}", 2.619e9);
        check(
            "gpu_throttle_seconds_total{ID,reason=\"sw_power_cap\"}",
            exact(at.power_violation()) / 1e9,
        );
        check(
            "gpu_pcie_bytes_total{ID,direction=\"transmit\"}",
            exact(at.pcie_transmit()),
        );
        check(
            "gpu_pcie_bytes_total{ID,direction=\"receive\"}",
            exact(at.pcie_receive()),
        );
        check(
            "gpu_nvlink_bytes_total{ID,link=\"17\",direction=\"transmit\"}",
            exact(at.link_transmit(17) * 1024),
        );
        check(
            "gpu_nvlink_bytes_total{ID,link=\"17\",direction=\"receive\"}",
            exact(at.link_receive(17) * 1024),
        );
        check(
            "gpu_sm_active_ratio{ID}",
            at.load() * gpm_share(2).unwrap() / 100.0,
        );
        check(
            "gpu_tensor_active_ratio{ID}",
            at.load() * gpm_share(5).unwrap() / 100.0,
        );
        used += exact(at.memory_used());
    }
    assert_eq!(checked, 3 * 19);
    assert_eq!(
        fake.series("memory_usage_bytes{type=\"gpu_memory\",node=\"here\"}"),
        Some(used)
    );
}

#[test]
fn counters_continue_past_32_bits() {
    let mut scenario = busy(Model::H100, 1);
    scenario.gpus[0].load = Load::Idle;
    scenario.gpus[0].pcie_wraps = true;
    scenario.gpus[0].pcie_start = (1 << 32) - 1000;
    let mut fake = Fake::start(scenario);
    let series = "gpu_pcie_bytes_total{gpu_id=\"0\",direction=\"transmit\"}";
    fake.until(series, Some(f64::from(u32::MAX) + 1.0 - 1000.0));
    fake.change(|scenario| scenario.gpus[0].pcie_start += 3000);
    fake.until(series, Some(f64::from(u32::MAX) + 1.0 + 2000.0));
    fake.change(|scenario| scenario.gpus[0].pcie_start += 1 << 31);
    fake.after_rounds(0, 2);
    fake.change(|scenario| scenario.gpus[0].pcie_start += 1 << 31);
    fake.until(series, Some(2.0 * (f64::from(u32::MAX) + 1.0) + 2000.0));
}

#[test]
fn mig_instances_have_their_own_values() {
    let mut scenario = busy(Model::H100, 1);
    let instance = |gpu_instance, compute_instance, profile: &str, memory| Instance {
        gpu_instance,
        compute_instance,
        profile: profile.to_owned(),
        memory,
    };
    scenario.gpus[0].mig = vec![
        instance(1, 0, "3g.40gb", 40_448),
        instance(9, 0, "1c.2g.20gb", 20_096),
        instance(9, 1, "1c.2g.20gb", 20_096),
    ];
    let mut fake = Fake::start(scenario);
    fake.after_rounds(0, 2);
    let page = fake.agent.get("/metrics");
    assert_eq!(page.matches("\ngpu_mig_info{").count(), 3, "{page}");
    assert!(page.contains(
        "gpu_instance_id=\"9\",compute_instance_id=\"1\",profile=\"1c.2g.20gb\",uuid=\"MIG-"
    ));
    let total =
        |id: u32| format!("gpu_mig_memory_total_bytes{{gpu_id=\"0\",gpu_instance_id=\"{id}\"}}");
    assert_eq!(
        fake.series(&total(1)),
        Some(f64::from(40_448 << 10) * 1024.0)
    );
    assert_eq!(
        fake.series(&total(9)),
        Some(f64::from(20_096 << 10) * 1024.0)
    );
    assert_eq!(page.matches("\ngpu_mig_memory_used_bytes{").count(), 2);
    assert!(
        fake.series("gpu_mig_sm_active_ratio{gpu_id=\"0\",gpu_instance_id=\"9\"}")
            .is_some()
    );
    // With MIG the GPU as a whole has no utilization.
    assert_eq!(
        fake.series("gpu_utilization_percent{gpu_id=\"0\",node=\"here\"}"),
        None
    );
    fake.change(|scenario| scenario.gpus[0].mig.clear());
    let wanted = f64::from(
        SimulatedGpu::new(&fake.scenario, 0, TIME)
            .unwrap()
            .utilization(),
    );
    fake.until(
        "gpu_utilization_percent{gpu_id=\"0\",node=\"here\"}",
        Some(wanted),
    );
    assert!(!fake.agent.get("/metrics").contains("\ngpu_mig_"));
}

#[test]
fn confidential_computing_is_reported() {
    let mut scenario = busy(Model::H100, 1);
    let state = ConfCompute {
        // SEV-SNP, for which nvml-wrapper returns an unknown error.
        cpu: 3,
        environment: 2,
        enabled: true,
        devtools: false,
        multi_gpu: 1,
        ready: false,
    };
    scenario.conf_compute = Some(state);
    let mut fake = Fake::start(scenario.clone());
    for (series, wanted) in [
        ("gpu_cc_enabled", 1.0),
        ("gpu_cc_ready", 0.0),
        ("gpu_cc_devtools", 0.0),
        ("gpu_cc_protected_pcie", 1.0),
        ("gpu_cc_environment_info{environment=\"production\"}", 1.0),
        (
            "gpu_cc_protected_memory_total_bytes{gpu_id=\"0\"}",
            f64::from(81_559 << 10) * 1024.0,
        ),
    ] {
        assert_eq!(fake.series(series), Some(wanted), "{series}");
    }
    assert!(
        fake.series("gpu_cc_protected_memory_used_bytes{gpu_id=\"0\"}")
            .is_some()
    );
    fake.change(|scenario| {
        scenario.conf_compute = Some(ConfCompute {
            ready: true,
            ..state
        });
    });
    fake.until("gpu_cc_ready", Some(1.0));
    fake.change(|scenario| {
        scenario.conf_compute = Some(ConfCompute {
            environment: 1,
            enabled: false,
            devtools: true,
            ..state
        });
    });
    fake.until("gpu_cc_enabled", Some(0.0));
    assert_eq!(fake.series("gpu_cc_devtools"), Some(1.0));
    assert_eq!(
        fake.series("gpu_cc_environment_info{environment=\"simulation\"}"),
        Some(1.0)
    );
    let none = Fake::start(busy(Model::T4, 1));
    assert!(!none.agent.get("/metrics").contains("gpu_cc_"));
}

/// The names in the dashboard that dcgm-exporter publishes.
#[test]
fn dcgm_names_have_the_units_and_labels_of_dcgm_exporter() {
    let scenario = busy(Model::H100, 1);
    let fake = Fake::with(scenario.clone(), "dcgm_names = true", &library());
    fake.after_rounds(0, 2);
    let at = SimulatedGpu::new(&scenario, 0, TIME).unwrap();
    let labels = "{gpu=\"0\",UUID=\"GPU-00000001-0000-4000-8000-000000000000\",pci_bus_id=\"00000000:05:00.0\",device=\"nvidia0\",modelName=\"NVIDIA H100 80GB HBM3\",Hostname=\"here\",DCGM_FI_DRIVER_VERSION=\"580.95.05\"}";
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    for (name, wanted) in [
        ("DEV_GPU_TEMP", f64::from(at.temperature())),
        ("DEV_POWER_USAGE", f64::from(at.power()) / 1e3),
        ("DEV_SM_CLOCK", f64::from(at.sm_clock())),
        ("DEV_MEM_CLOCK", 2619.0),
        ("DEV_GPU_UTIL", f64::from(at.utilization())),
        ("DEV_FB_USED", (at.memory_used() >> 20) as f64),
        ("DEV_TOTAL_ENERGY_CONSUMPTION", at.energy() as f64),
        ("DEV_XID_ERRORS", 0.0),
        ("DEV_VGPU_LICENSE_STATUS", 0.0),
        ("DEV_GPU_TEMP_LIMIT", 87.0 - f64::from(at.temperature())),
        ("PROF_PIPE_TENSOR_ACTIVE", at.load() * 0.6),
    ] {
        let now = fake
            .series(&format!("DCGM_FI_{name}{labels}"))
            .unwrap_or(f64::NAN);
        assert!(
            (now - wanted).abs() < 1e-9 * wanted.max(1.0),
            "{name}: {now}, not {wanted}"
        );
    }
    let without = Fake::start(scenario);
    assert!(!without.agent.get("/metrics").contains("DCGM_"));
}
