//! The list of all GPU metrics.

use super::{
    activity, clocks, confidential_computing, errors, info, memory, metric::GpuMetric, mig, nvlink,
    nvml, pcie, pipes, power, processes, temperature, utilization,
};
use crate::sample::gpu::ValidRange;

/// Every GPU metric, in the order of the page.
pub fn metrics() -> impl Iterator<Item = &'static GpuMetric> {
    [
        info::METRICS,
        utilization::METRICS,
        memory::METRICS,
        power::METRICS,
        temperature::METRICS,
        clocks::METRICS,
        activity::GPU,
        pipes::METRICS,
        processes::METRICS,
        mig::METRICS,
        activity::GPU_INSTANCE,
        pcie::METRICS,
        nvlink::METRICS,
        errors::METRICS,
        confidential_computing::METRICS,
        nvml::METRICS,
    ]
    .into_iter()
    .flatten()
}

/// The valid range of a metric; `None` if it has none.
pub fn range(name: &str) -> Option<ValidRange> {
    metrics().find(|it| it.metric.name == name)?.range
}
