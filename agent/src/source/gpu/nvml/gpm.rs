//! GPU performance monitoring (Hopper and later): ratios over the time between two samples. Needs neither root
//! nor the profiling lock that DCGM takes.

use std::{
    ptr::null_mut,
    sync::Arc,
    time::{Duration, Instant},
};

use nvml_wrapper::Nvml;
use nvml_wrapper_sys::bindings::*;

use super::super::raw::{Code, Trouble};

/// NVML wants samples at least that far apart.
const APART: Duration = Duration::from_millis(100);

/// `nvmlGpmMetricId_t`: all that are ratios of the whole GPU, or of an instance.
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

#[expect(clippy::cast_possible_truncation, reason = "some twelve")]
const METRICS_COUNT: u32 = METRICS.len() as u32;

/// Two samples, taken in turn.
#[derive(Default)]
pub(super) struct Gpm {
    samples: Option<Samples>,
    /// The newest one, and when it was taken.
    newest: Option<(usize, Instant)>,
    last: Vec<(u32, f64)>,
}

struct Samples {
    nvml: Arc<Nvml>,
    samples: [nvmlGpmSample_t; 2],
}

impl Samples {
    fn allocate(nvml: &Arc<Nvml>, device: nvmlDevice_t) -> Result<Self, Trouble> {
        let mut support = nvmlGpmSupport_t {
            version: 1,
            isSupportedDevice: 0,
        };
        nvml!(nvml, nvmlGpmQueryDeviceSupport(device, &raw mut support))?;
        if support.isSupportedDevice == 0 {
            return Err(Trouble {
                call: "nvmlGpmQueryDeviceSupport",
                code: Code::NOT_SUPPORTED,
            });
        }
        let mut own = Self {
            nvml: Arc::clone(nvml),
            samples: [null_mut(); 2],
        };
        for sample in &mut own.samples {
            nvml!(nvml, nvmlGpmSampleAlloc(sample))?;
        }
        Ok(own)
    }
}

impl Drop for Samples {
    fn drop(&mut self) {
        for sample in self.samples.into_iter().filter(|sample| !sample.is_null()) {
            // A sample that cannot be freed belongs to a library that has been shut down.
            let _ = nvml!(self.nvml, nvmlGpmSampleFree(sample));
        }
    }
}

impl Gpm {
    /// Takes a sample, of the GPU or of one of its GPU instances, and gives the metrics of the time since the
    /// last one, in percent by `nvmlGpmMetricId_t`: nothing the first time.
    pub(super) fn round(
        &mut self,
        nvml: &Arc<Nvml>,
        device: nvmlDevice_t,
        gpu_instance: Option<u32>,
    ) -> Result<Vec<(u32, f64)>, Trouble> {
        if self
            .newest
            .is_some_and(|(_, taken)| taken.elapsed() < APART)
        {
            return Ok(self.last.clone());
        }
        let samples = match &mut self.samples {
            Some(samples) => samples,
            none => none.insert(Samples::allocate(nvml, device)?),
        };
        let older = self.newest.take().map(|(index, _)| index);
        let newer = older.map_or(0, |older| 1 - older);
        let sample = samples.samples[newer];
        match gpu_instance {
            None => nvml!(nvml, nvmlGpmSampleGet(device, sample))?,
            Some(id) => nvml!(nvml, nvmlGpmMigSampleGet(device, id, sample))?,
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
    nvml: &Arc<Nvml>,
    sample1: nvmlGpmSample_t,
    sample2: nvmlGpmSample_t,
) -> Result<Vec<(u32, f64)>, Trouble> {
    // SAFETY: integers, doubles, and pointers, for which zero is a value.
    let mut ask: Box<nvmlGpmMetricsGet_t> = Box::new(unsafe { std::mem::zeroed() });
    ask.version = NVML_GPM_METRICS_GET_VERSION;
    ask.numMetrics = METRICS_COUNT;
    (ask.sample1, ask.sample2) = (sample1, sample2);
    for (metric, id) in ask.metrics.iter_mut().zip(METRICS) {
        metric.metricId = id;
    }
    nvml!(nvml, nvmlGpmMetricsGet(&raw mut *ask))?;
    let told = ask.metrics[..METRICS.len()].iter();
    Ok(told
        .filter(|metric| {
            metric.nvmlReturn == nvmlReturn_enum_NVML_SUCCESS && metric.value.is_finite()
        })
        .map(|metric| (metric.metricId, metric.value))
        .collect())
}
