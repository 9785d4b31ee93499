//! Reads the series of a metric from a snapshot.

use crate::{
    model::metric::{Emit, MetricValue},
    sample::{
        Snapshot,
        gpu::{Gpu, Instance, Named, Reading, System},
    },
};

/// Reads one value of each GPU.
macro_rules! per_gpu {
    (|$reading:ident| $value:expr) => {
        |snapshot, emit| {
            $crate::model::gpu::series::each(snapshot, |id, $reading| {
                $crate::model::gpu::series::one(emit, &[id], $value);
            })
        }
    };
}

/// Reads the named values of each GPU.
macro_rules! per_name {
    (|$reading:ident| $values:expr) => {
        |snapshot, emit| {
            $crate::model::gpu::series::each(snapshot, |id, $reading| {
                $crate::model::gpu::series::list(emit, id, &$values);
            })
        }
    };
}

/// Reads one value of each MIG GPU instance.
macro_rules! per_gpu_instance {
    (|$instance:ident| $value:expr) => {
        |snapshot, emit| {
            $crate::model::gpu::series::each(snapshot, |id, reading| {
                $crate::model::gpu::series::instances(reading, |$instance| {
                    let labels = [id, &$instance.gpu_instance];
                    $crate::model::gpu::series::one(emit, &labels, $value);
                });
            })
        }
    };
}

/// Reads one value of the machine.
macro_rules! per_machine {
    (|$system:ident| $value:expr) => {
        |snapshot, emit| {
            let value = $crate::model::gpu::series::system(snapshot).and_then(|$system| $value);
            $crate::model::gpu::series::one(emit, &[], value);
        }
    };
}

/// Every GPU that was ever seen.
pub(super) fn gpus(snapshot: &Snapshot) -> &[Gpu] {
    snapshot.gpus.as_ref().map_or(&[], |gpus| &gpus.gpus)
}

/// The state of driver and machine.
pub(super) fn system(snapshot: &Snapshot) -> Option<&System> {
    snapshot.gpus.as_ref()?.system.as_deref()
}

/// Calls `read` for every GPU that has a reading.
pub(super) fn each(snapshot: &Snapshot, mut read: impl FnMut(&str, &Reading)) {
    for gpu in gpus(snapshot) {
        if let Some(reading) = &gpu.reading {
            read(&gpu.id, reading);
        }
    }
}

/// Emits a value, if there is one.
pub(super) fn one(emit: Emit<'_>, labels: &[&str], value: Option<impl Into<MetricValue<'static>>>) {
    if let Some(value) = value {
        emit(labels, value.into());
    }
}

/// Emits named values.
pub(super) fn list<T: Copy + Into<MetricValue<'static>>>(
    emit: Emit<'_>,
    id: &str,
    values: &[Named<T>],
) {
    for (name, value) in values {
        emit(&[id, name], (*value).into());
    }
}

/// Emits the values of both directions that are there.
pub(super) fn both(emit: Emit<'_>, labels: &[&str], transmit: Option<u64>, receive: Option<u64>) {
    for (direction, value) in [("transmit", transmit), ("receive", receive)] {
        one(emit, &[labels, &[direction]].concat(), value);
    }
}

/// Calls `read` for the first compute instance of each GPU instance, which has the values of the GPU instance.
pub(super) fn instances(reading: &Reading, mut read: impl FnMut(&Instance)) {
    let mut last = None;
    for instance in &reading.instances {
        if last.replace(&instance.gpu_instance) != Some(&instance.gpu_instance) {
            read(instance);
        }
    }
}

impl From<u64> for MetricValue<'_> {
    fn from(value: u64) -> Self {
        Self::Integer(value)
    }
}

impl From<f64> for MetricValue<'_> {
    fn from(value: f64) -> Self {
        Self::Real(value)
    }
}

impl From<bool> for MetricValue<'_> {
    fn from(value: bool) -> Self {
        Self::Integer(value.into())
    }
}
