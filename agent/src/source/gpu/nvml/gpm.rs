//! GPU performance monitoring (GPM, Hopper and later): ratios over the time between two samples. It needs neither root
//! nor the profiling lock that DCGM takes.

use std::{
    ptr::null_mut,
    sync::Arc,
    time::{Duration, Instant},
};

use nvml_wrapper::Nvml;
use nvml_wrapper_sys::bindings::*;

use super::ffi::Device;
use crate::source::gpu::error::{NvmlError, NvmlReturn};

/// The least time between two samples that NVML asks for.
const MIN_DISTANCE: Duration = Duration::from_millis(100);

/// The metrics (`nvmlGpmMetricId_t`) that are ratios of a whole GPU or a GPU instance.
const METRICS: [nvmlGpmMetricId_t; 12] = [
    nvmlGpmMetricId_t_NVML_GPM_METRIC_GRAPHICS_UTIL,
    nvmlGpmMetricId_t_NVML_GPM_METRIC_SM_UTIL,
    nvmlGpmMetricId_t_NVML_GPM_METRIC_SM_OCCUPANCY,
    nvmlGpmMetricId_t_NVML_GPM_METRIC_INTEGER_UTIL,
    nvmlGpmMetricId_t_NVML_GPM_METRIC_ANY_TENSOR_UTIL,
    nvmlGpmMetricId_t_NVML_GPM_METRIC_DFMA_TENSOR_UTIL,
    nvmlGpmMetricId_t_NVML_GPM_METRIC_HMMA_TENSOR_UTIL,
    nvmlGpmMetricId_t_NVML_GPM_METRIC_IMMA_TENSOR_UTIL,
    nvmlGpmMetricId_t_NVML_GPM_METRIC_DRAM_BW_UTIL,
    nvmlGpmMetricId_t_NVML_GPM_METRIC_FP64_UTIL,
    nvmlGpmMetricId_t_NVML_GPM_METRIC_FP32_UTIL,
    nvmlGpmMetricId_t_NVML_GPM_METRIC_FP16_UTIL,
];

#[expect(clippy::cast_possible_truncation, reason = "twelve")]
const METRICS_COUNT: u32 = METRICS.len() as u32;

/// Takes samples of one GPU or GPU instance.
#[derive(Default)]
pub(super) struct Gpm {
    samples: Option<Samples>,
    /// The index of the newest sample, and when it was taken.
    newest: Option<(usize, Instant)>,
    last: Vec<(u32, f64)>,
}

/// Two samples, taken in turn.
struct Samples {
    nvml: Arc<Nvml>,
    samples: [nvmlGpmSample_t; 2],
}

impl Samples {
    fn allocate(device: &Device) -> Result<Self, NvmlError> {
        let mut support = nvmlGpmSupport_t {
            version: 1,
            isSupportedDevice: 0,
        };
        nvml!(
            device.nvml,
            nvmlGpmQueryDeviceSupport(device.handle, &raw mut support)
        )?;
        if support.isSupportedDevice == 0 {
            return Err(NvmlError {
                call: "nvmlGpmQueryDeviceSupport",
                code: NvmlReturn::NOT_SUPPORTED,
            });
        }
        let mut allocated = Self {
            nvml: Arc::clone(&device.nvml),
            samples: [null_mut(); 2],
        };
        for sample in &mut allocated.samples {
            nvml!(device.nvml, nvmlGpmSampleAlloc(sample))?;
        }
        Ok(allocated)
    }
}

impl Drop for Samples {
    fn drop(&mut self) {
        for sample in self.samples.into_iter().filter(|sample| !sample.is_null()) {
            // Fails only if the driver is gone, and the sample with it.
            let _ = nvml!(self.nvml, nvmlGpmSampleFree(sample));
        }
    }
}

impl Gpm {
    /// Takes a sample of the GPU, or of one of its GPU instances. Returns the metrics since the last sample, by
    /// `nvmlGpmMetricId_t` and in percent: none the first time.
    pub(super) fn read(
        &mut self,
        device: &Device,
        gpu_instance: Option<u32>,
    ) -> Result<Vec<(u32, f64)>, NvmlError> {
        if self
            .newest
            .is_some_and(|(_, taken)| taken.elapsed() < MIN_DISTANCE)
        {
            return Ok(self.last.clone());
        }
        let samples = match &mut self.samples {
            Some(samples) => samples,
            none => none.insert(Samples::allocate(device)?),
        };
        let older = self.newest.take().map(|(index, _)| index);
        let newer = older.map_or(0, |older| 1 - older);
        let sample = samples.samples[newer];
        let Device { nvml, handle } = device;
        match gpu_instance {
            None => nvml!(nvml, nvmlGpmSampleGet(*handle, sample))?,
            Some(id) => nvml!(nvml, nvmlGpmMigSampleGet(*handle, id, sample))?,
        }
        self.newest = Some((newer, Instant::now()));
        self.last = match older {
            Some(older) => metrics(nvml, samples.samples[older], sample)?,
            None => Vec::new(),
        };
        Ok(self.last.clone())
    }
}

fn metrics(
    nvml: &Nvml,
    sample1: nvmlGpmSample_t,
    sample2: nvmlGpmSample_t,
) -> Result<Vec<(u32, f64)>, NvmlError> {
    // SAFETY: a structure of integers, doubles and pointers, for which zero is valid.
    let mut request: Box<nvmlGpmMetricsGet_t> = Box::new(unsafe { std::mem::zeroed() });
    request.version = NVML_GPM_METRICS_GET_VERSION;
    request.numMetrics = METRICS_COUNT;
    (request.sample1, request.sample2) = (sample1, sample2);
    for (metric, id) in request.metrics.iter_mut().zip(METRICS) {
        metric.metricId = id;
    }
    nvml!(nvml, nvmlGpmMetricsGet(&raw mut *request))?;
    let answers = request.metrics[..METRICS.len()].iter();
    Ok(answers
        .filter(|metric| {
            metric.nvmlReturn == nvmlReturn_enum_NVML_SUCCESS && metric.value.is_finite()
        })
        .map(|metric| (metric.metricId, metric.value))
        .collect())
}
