//! The attributes of data points.

use std::collections::HashMap;

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_semantic_conventions::attribute::{HW_ID, HW_MODEL, HW_NAME, HW_TYPE, HW_VENDOR};

use super::proto::text;
use crate::{
    model::{Metric, OpenTelemetry},
    sample::{Snapshot, gpu::GpuInfo},
};

/// The attributes of every GPU in the snapshot, by its id.
pub(super) fn gpus(snapshot: &Snapshot) -> impl Iterator<Item = (String, Vec<KeyValue>)> {
    let gpus = snapshot.gpus.iter().flat_map(|gpus| &gpus.gpus);
    let describe = |info: Option<&GpuInfo>, id: &str| {
        let name = format!("gpu{id}");
        // A GPU that was never opened has neither UUID nor model.
        let uuid = info.map_or(&*name, |info| &info.uuid);
        let mut attributes = vec![text(HW_ID, uuid), text(HW_TYPE, "gpu")];
        if let Some(info) = info {
            attributes.push(text(HW_MODEL, &info.model));
            attributes.push(text(HW_VENDOR, "NVIDIA"));
        }
        attributes.push(text(HW_NAME, name));
        attributes
    };
    gpus.map(move |gpu| {
        let attributes = describe(gpu.info.as_deref(), &gpu.id);
        (gpu.id.to_string(), attributes)
    })
}

/// The attributes of one series: the constant ones, the GPU's, and one for each other label.
pub(super) fn attributes(
    metric: &Metric,
    form: &OpenTelemetry,
    values: &[&str],
    gpus: &HashMap<String, Vec<KeyValue>>,
) -> Vec<KeyValue> {
    let constant = form.constant.iter().map(|(name, value)| text(name, *value));
    let mut attributes: Vec<KeyValue> = constant.collect();
    for (label, value) in metric.labels.iter().zip(values) {
        if *label == "gpu_id" {
            attributes.extend(gpus.get(*value).into_iter().flatten().cloned());
        } else if let Some((name, before)) = form.attribute(label) {
            attributes.push(text(name, format!("{before}{value}")));
        }
    }
    attributes
}
