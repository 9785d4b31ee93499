//! The metrics of the GPU source, with their names in dcgm-exporter.

mod activity;
mod dcgm;
mod lines;
mod load;
mod machine;
mod mig;
mod power;
mod ranges;

pub use dcgm::{Dcgm, EmitLabelled, Family, Scale, families};

use super::{Emit, Metric, Reset, Value};
use crate::sample::{
    Snapshot,
    gpu::{Gpu, Instance, Named, Range, Reading, System},
};

const DRIVER: Reset = Reset::Driver;
const START: Reset = Reset::Agent;

/// A metric, the values that it can have, and what dcgm-exporter makes of them.
pub struct GpuMetric {
    /// The metric.
    pub metric: Metric,
    /// The values that can be. What NVML says beyond is counted and is not a value; `None`: it is no figure of NVML's.
    pub range: Option<Range>,
    /// One name there may be a part of a metric here.
    pub dcgm: &'static [Dcgm],
}

/// All of them, in the order of the page.
pub fn metrics() -> impl Iterator<Item = &'static GpuMetric> {
    [
        load::METRICS,
        power::METRICS,
        activity::METRICS,
        mig::METRICS,
        lines::METRICS,
        machine::METRICS,
    ]
    .into_iter()
    .flatten()
}

/// The values that a metric can have; `None`: any.
pub fn range(name: &str) -> Option<Range> {
    metrics().find(|it| it.metric.name == name)?.range
}

fn gpus(snapshot: &Snapshot) -> &[Gpu] {
    snapshot.gpus.as_ref().map_or(&[], |gpus| &gpus.gpus)
}

fn system(snapshot: &Snapshot) -> Option<&System> {
    snapshot.gpus.as_ref()?.system.as_deref()
}

/// Every GPU that has a reading.
fn each(snapshot: &Snapshot, mut read: impl FnMut(&str, &Reading)) {
    for gpu in gpus(snapshot) {
        if let Some(reading) = &gpu.reading {
            read(&gpu.id, reading);
        }
    }
}

fn one(emit: Emit<'_>, id: &str, value: Option<impl Into<Value<'static>>>) {
    if let Some(value) = value {
        emit(&[id], value.into());
    }
}

fn list<T: Copy + Into<Value<'static>>>(emit: Emit<'_>, id: &str, values: &[Named<T>]) {
    for (name, value) in values {
        emit(&[id, name], (*value).into());
    }
}

/// Both directions, each if it is there.
fn both(emit: Emit<'_>, labels: &[&str], transmit: Option<u64>, receive: Option<u64>) {
    for (direction, value) in [("transmit", transmit), ("receive", receive)] {
        if let Some(value) = value {
            emit(&[labels, &[direction]].concat(), Value::Integer(value));
        }
    }
}

/// A value of every GPU instance that has it: of its first compute instance.
fn instances<T: Into<Value<'static>>>(
    emit: Emit<'_>,
    id: &str,
    reading: &Reading,
    value: impl Fn(&Instance) -> Option<T>,
) {
    let mut last = None;
    for instance in &reading.instances {
        if last.replace(&instance.gpu_instance) != Some(&instance.gpu_instance)
            && let Some(value) = value(instance)
        {
            emit(&[id, &instance.gpu_instance], value.into());
        }
    }
}

impl From<u64> for Value<'_> {
    fn from(value: u64) -> Self {
        Self::Integer(value)
    }
}

impl From<f64> for Value<'_> {
    fn from(value: f64) -> Self {
        Self::Real(value)
    }
}

impl From<bool> for Value<'_> {
    fn from(value: bool) -> Self {
        Self::Integer(value.into())
    }
}
