//! Each valid range of the catalog applies to every series of its metric and to no other.

use std::sync::Arc;

use super::*;
use crate::{
    export::prometheus,
    model::{MetricValue, gpu},
    sample::Snapshot,
};

/// A snapshot in which every metric has a series.
fn complete() -> (Snapshot, Reading) {
    let snapshot = prometheus::tests::complete();
    let reading = snapshot.gpus.as_ref().unwrap().gpus[0].reading.clone();
    (snapshot, (*reading.unwrap()).clone())
}

/// The number of series of every GPU metric with this reading.
fn series(snapshot: &mut Snapshot, reading: Reading) -> Vec<(&'static str, usize)> {
    snapshot.gpus.as_mut().unwrap().gpus[0].reading = Some(Arc::new(reading));
    let count = |it: &'static gpu::GpuMetric| {
        let mut count = 0;
        (it.metric.read)(snapshot, &mut |_, _: MetricValue<'_>| count += 1);
        (it.metric.name, count)
    };
    gpu::metrics().map(count).collect()
}

#[test]
fn each_range_applies_to_its_metric_only() {
    let (mut snapshot, reading) = complete();
    let before = series(&mut snapshot, reading.clone());
    for (ranged, whole) in gpu::metrics().zip(&before) {
        let name = ranged.metric.name;
        // No value is within this range.
        let empty = ValidRange {
            min: 1.0,
            max: -1.0,
        };
        let mut judged = reading.clone();
        let found = remove_implausible(&mut judged, &|metric| (metric == name).then_some(empty));
        let wanted = if ranged.range.is_some() { whole.1 } else { 0 };
        assert_eq!(found.len(), wanted, "{name}");
        for (after, before) in series(&mut snapshot, judged).into_iter().zip(&before) {
            if after.0 == name {
                assert_eq!(after.1, before.1 - wanted, "{name}");
            } else {
                assert_eq!(after, *before, "by {name}");
            }
        }
    }
}

#[test]
fn plausible_extremes_stay() {
    let (_, mut reading) = complete();
    reading.temperatures = vec![("gpu", -40.0), ("memory", 127.0)];
    reading.temperature_margin = Some(-12.0);
    reading.fans = vec![(0, 1.3)];
    reading.power = Some(2_700.0);
    reading.utilization = Some(100);
    reading.activity.sm = Some(1.000_4);
    reading.pcie.generation = Some(0);
    if let Some(memory) = &mut reading.memory {
        memory.used = memory.total.map(|total| total + (1 << 20));
    }
    assert_eq!(remove_implausible(&mut reading, &gpu::range), []);
}

#[test]
fn implausible_values_are_removed_and_reported() {
    let (_, mut reading) = complete();
    let sound = reading.temperatures[0];
    reading.utilization = Some(808_334_905);
    reading.power = Some(4_294_967.295);
    reading.temperatures = vec![sound, ("memory", f64::from(0xff00_0000_u32))];
    reading.activity.dram = Some(f64::NAN);
    reading.remap_failure = Some(0xff00_0000);
    reading.memory.as_mut().unwrap().used = Some(u64::MAX);
    let found = remove_implausible(&mut reading, &gpu::range);
    let found: Vec<_> = found.iter().map(|it| (it.call, it.metric)).collect();
    let wanted = [
        ("nvmlDeviceGetUtilizationRates", "gpu_utilization_percent"),
        ("nvmlDeviceGetMemoryInfo_v2", "gpu_memory_used_bytes"),
        ("nvmlDeviceGetPowerUsage", "gpu_power_watts"),
        ("nvmlDeviceGetFieldValues", "gpu_temperature_celsius"),
        ("nvmlDeviceGetFieldValues", "gpu_row_remap_failure"),
        ("nvmlGpmMetricsGet", "gpu_dram_active_ratio"),
    ];
    assert_eq!(found, wanted);
    assert_eq!(reading.temperatures, [sound]);
    assert_eq!((reading.utilization, reading.power), (None, None));
    let memory = reading.memory.unwrap();
    assert!(memory.used.is_none() && memory.total.is_some());
}
