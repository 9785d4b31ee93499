//! One open device: which calls it supports, when to make them, and what happens when they fail.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tracing::debug;

use super::{
    api::{DeviceHandle, DeviceSelector, NvmlApi, Schedule},
    call_state::{CallState, Outcome},
    counters::CounterUnwrapper,
    decode,
    error::{NvmlError, NvmlReturn},
    field::FieldValue,
    fields, process,
    raw::{RawReading, XidEvent},
    session::NvmlSession,
    status::GpuStatus,
};
use crate::sample::gpu::{GpuInfo, Reading};

/// The interval of calls on [`Schedule::Slow`].
const SLOW: Duration = Duration::from_secs(10);

/// How often unsupported calls are tried again: an administrator may have changed the device's mode.
pub(super) const PROBE: Duration = Duration::from_mins(5);

/// How long to wait for the XID error of a device that has just failed: the kernel reports it at about that time.
const DRAIN: Duration = Duration::from_millis(50);

/// The call that reads all fields.
pub(super) const FIELDS: &str = "nvmlDeviceGetFieldValues";

/// An open device and the state of its calls.
pub(super) struct OpenDevice {
    pub(super) device: Box<dyn DeviceHandle>,
    /// The generation of the library in which the device was opened.
    pub(super) generation: u64,
    pub(super) info: Arc<GpuInfo>,
    calls: Vec<CallState>,
    fields: Vec<FieldValue>,
    fields_call: CallState,
    xids_call: CallState,
    slow: RawReading,
    pub(super) slow_read: Option<Instant>,
    probed: Instant,
    had_instances: bool,
}

impl OpenDevice {
    /// Opens a device and finds out how many links it has.
    pub(super) fn new(
        library: &dyn NvmlApi,
        generation: u64,
        selector: &DeviceSelector,
        session: &NvmlSession,
    ) -> Result<Self, NvmlError> {
        let mut device = library.open(selector)?;
        let info = decode::info(&device.identity()?, library.versions());
        let calls = device.schedules().into_iter();
        let calls = calls.map(|schedule| CallState::new(schedule, is_wanted(schedule, session)));
        let mut open = Self {
            generation,
            info: Arc::new(info),
            calls: calls.collect(),
            fields: Vec::new(),
            fields_call: CallState::new(Schedule::EveryRound, true),
            xids_call: CallState::new(Schedule::EveryRound, true),
            slow: RawReading::default(),
            slow_read: None,
            probed: Instant::now(),
            had_instances: false,
            device,
        };
        open.fields = open.all_fields(session)?;
        Ok(open)
    }

    /// Every field that the device can have, those of its links included.
    fn all_fields(&mut self, session: &NvmlSession) -> Result<Vec<FieldValue>, NvmlError> {
        let mut count = [fields::link_count()];
        let links = self.device.fields(&mut count).and_then(|()| {
            let [count] = count;
            count.value.map_err(|code| NvmlError { call: FIELDS, code })
        });
        let links = match links {
            Ok(number) => number.whole().unwrap_or(0),
            Err(error) if error.code.is_unsupported() => 0,
            Err(error) => {
                session.count_error(error);
                return Err(error);
            }
        };
        Ok(fields::requests(u32::try_from(links).unwrap_or(u32::MAX)))
    }

    /// Makes the next round try everything that was not supported.
    fn probe(&mut self, session: &NvmlSession) -> Result<(), NvmlError> {
        self.probed = Instant::now();
        for call in &mut self.calls {
            call.is_supported = is_wanted(call.schedule, session);
        }
        self.fields_call.is_supported = true;
        self.xids_call.is_supported = true;
        self.fields = self.all_fields(session)?;
        Ok(())
    }

    /// Reads the device once.
    ///
    /// # Errors
    /// A fatal error, or the last one if every call failed.
    pub(super) fn round(
        &mut self,
        gpu: &GpuStatus,
        session: &NvmlSession,
        counters: &mut CounterUnwrapper,
    ) -> Result<Reading, NvmlError> {
        let now = Instant::now();
        let since = |then: Instant| now.saturating_duration_since(then);
        let mut outcome = Outcome::default();
        // First, before another call finds the device lost: XID errors are the reason.
        if self.xids_call.is_due(now) {
            let result = self.take_xids(Duration::ZERO, gpu, session);
            self.xids_call.record(result, now, session, &mut outcome)?;
        }
        if self.slow_read.is_none_or(|read| since(read) >= SLOW) {
            self.slow_read = Some(now);
            let mut slow = RawReading::default();
            self.make_calls(now, true, &mut slow, session, &mut outcome)?;
            self.slow = slow;
        }
        let mut raw = self.slow.clone();
        self.make_calls(now, false, &mut raw, session, &mut outcome)?;
        self.read_fields(now, session, counters, &mut outcome)?;
        if let Outcome {
            succeeded: false,
            error: Some(error),
        } = outcome
        {
            return Err(error);
        }
        let mut reading = decode::reading(&raw, &self.fields, &self.info);
        reading.processes = raw.processes.map(process::describe).unwrap_or_default();
        // A device supports other calls with MIG than without.
        let has_instances = !reading.instances.is_empty();
        if has_instances != self.had_instances || since(self.probed) >= PROBE {
            self.had_instances = has_instances;
            self.probe(session)?;
        }
        Ok(reading)
    }

    /// Counts each XID error for the GPU that its event names.
    fn take_xids(
        &mut self,
        timeout: Duration,
        gpu: &GpuStatus,
        session: &NvmlSession,
    ) -> Result<(), NvmlError> {
        let mut events = Vec::new();
        let result = self.device.xids(timeout, &mut events);
        for XidEvent { xid, device } in events {
            let counted = match session.gpu_of_handle(self.generation, device) {
                Some(named) if device != self.device.handle() => named.count_xid(xid),
                // This device's own, or of a handle that no GPU has.
                _ => gpu.count_xid(xid),
            };
            if !counted {
                session.count_error(NvmlError {
                    call: "nvmlEventSetWait_v2",
                    code: NvmlReturn::IMPLAUSIBLE,
                });
            }
        }
        result
    }

    /// Reads the last XID errors of a device that is about to be closed. A device that is gone has none.
    pub(super) fn drain(&mut self, gpu: &GpuStatus, session: &NvmlSession) {
        if self.xids_call.is_supported
            && let Err(error) = self.take_xids(DRAIN, gpu, session)
        {
            debug!("the last XID errors could not be read: {error}");
        }
    }

    /// Makes the calls that are due: those on [`Schedule::Slow`], or the others.
    fn make_calls(
        &mut self,
        now: Instant,
        slow: bool,
        raw: &mut RawReading,
        session: &NvmlSession,
        outcome: &mut Outcome,
    ) -> Result<(), NvmlError> {
        for (index, call) in self.calls.iter_mut().enumerate() {
            if (call.schedule == Schedule::Slow) == slow && call.is_due(now) {
                let result = self.device.call(index, raw);
                call.record(result, now, session, outcome)?;
            }
        }
        Ok(())
    }

    /// Reads all fields, and drops those that the device does not support.
    fn read_fields(
        &mut self,
        now: Instant,
        session: &NvmlSession,
        counters: &mut CounterUnwrapper,
        outcome: &mut Outcome,
    ) -> Result<(), NvmlError> {
        for field in &mut self.fields {
            field.value = Err(NvmlReturn::NOT_SUPPORTED);
        }
        if !self.fields_call.is_due(now) || self.fields.is_empty() {
            return Ok(());
        }
        let result = self.device.fields(&mut self.fields);
        let succeeded = result.is_ok();
        self.fields_call.record(result, now, session, outcome)?;
        if !succeeded {
            return Ok(());
        }
        self.fields
            .retain(|field| !field.value.is_err_and(NvmlReturn::is_unsupported));
        for field in &mut self.fields {
            if let Err(code) = field.value {
                let error = NvmlError { call: FIELDS, code };
                session.count_error(error);
                if code.is_fatal() {
                    return Err(error);
                }
            }
            counters.extend(field);
        }
        Ok(())
    }
}

fn is_wanted(schedule: Schedule, session: &NvmlSession) -> bool {
    schedule != Schedule::Processes || session.reads_processes
}
