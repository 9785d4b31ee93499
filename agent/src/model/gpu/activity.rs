//! Activity by GPM: each metric once for whole GPUs and once for MIG GPU instances.

use super::{
    metric::{GpuMetric, Scale, gauge},
    ranges,
};
use crate::model::metric::{Kind, Metric, Reset, otel};

macro_rules! activity {
    ($($field:ident: $name:literal, $otel:literal, $dcgm:literal, $help:literal;)*) => {
        /// Of whole GPUs.
        pub(super) static GPU: &[GpuMetric] = &[$(GpuMetric {
            metric: Metric {
                name: concat!("gpu_", $name, "_ratio"),
                kind: Kind::Gauge,
                unit: "1",
                help: concat!($help, "."),
                labels: &["gpu_id"],
                source: "nvmlGpmMetricsGet",
                reset: Reset::None,
                opentelemetry: &[otel(concat!("partymeter.gpu.", $otel))],
                read: per_gpu!(|reading| reading.activity.$field),
            },
            range: Some(ranges::SHARE),
            dcgm: &[gauge($dcgm, &[], Scale::Same, concat!($help, "."))],
        }),*];

        /// Of MIG GPU instances.
        pub(super) static GPU_INSTANCE: &[GpuMetric] = &[$(GpuMetric {
            metric: Metric {
                name: concat!("gpu_mig_", $name, "_ratio"),
                kind: Kind::Gauge,
                unit: "1",
                help: concat!($help, ", in the GPU instance."),
                labels: &["gpu_id", "gpu_instance_id"],
                source: "nvmlGpmMigSampleGet, nvmlGpmMetricsGet",
                reset: Reset::None,
                opentelemetry: &[otel(concat!("partymeter.gpu.mig.", $otel))],
                read: per_gpu_instance!(|instance| instance.activity.$field),
            },
            range: Some(ranges::SHARE),
            dcgm: &[gauge($dcgm, &[], Scale::Same, concat!($help, "."))],
        }),*];
    };
}

activity! {
    graphics: "graphics_active", "graphics.active", "DCGM_FI_PROF_GR_ENGINE_ACTIVE",
        "Share of the time in which the graphics or compute engine was busy";
    sm: "sm_active", "sm.active", "DCGM_FI_PROF_SM_ACTIVE",
        "Share of the time in which SMs had a warp, on average over them";
    occupancy: "sm_occupancy", "sm.occupancy", "DCGM_FI_PROF_SM_OCCUPANCY",
        "Warps on the SMs, of those that fit";
    tensor: "tensor_active", "tensor.active", "DCGM_FI_PROF_PIPE_TENSOR_ACTIVE",
        "Share of the time in which tensor cores were busy";
    dram: "dram_active", "dram.active", "DCGM_FI_PROF_DRAM_ACTIVE",
        "Share of the memory bandwidth that was used";
}
