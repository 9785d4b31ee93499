//! NVML behind the seam: nothing outside this folder touches nvml-wrapper or its -sys crate. The wrapper loads,
//! starts and ends the library; what is read goes through the function pointers, because the wrapper's own calls
//! hide return codes, scopes and value types, and tie every handle to a lifetime.
//!
//! Here: the library, one open device, and the fields. `calls.rs` has the table of calls, `events.rs`,
//! `gpm.rs`, `mig.rs` and `processes.rs` what needs more than one call.

#![expect(non_upper_case_globals, reason = "the constants of NVML's header")]

/// Calls a function of the library; one that it does not have is an error of that call.
macro_rules! nvml {
    ($nvml:expr, $function:ident($($argument:expr),*)) => {{
        const CALL: &str = stringify!($function);
        match &$nvml.lib().$function {
            // SAFETY: the function of NVML's header; every pointer is to a live value of the type that it names,
            // and every handle was given by this library, which is still initialised.
            Ok(function) => $crate::source::gpu::nvml::outcome(CALL, unsafe { function($($argument),*) }),
            Err(_) => Err($crate::source::gpu::raw::Trouble { call: CALL, code: $crate::source::gpu::raw::Code::FUNCTION_NOT_FOUND }),
        }
    }};
}

/// The one value that a device's function gives through its last argument.
macro_rules! get {
    ($board:expr, $function:ident $(, $argument:expr)*) => {{
        // SAFETY: integers and structures of integers, for which zero is a value.
        let mut value = unsafe { std::mem::zeroed() };
        nvml!($board.nvml, $function($board.handle $(, $argument)*, &raw mut value)).map(|()| value)
    }};
}

mod calls;
mod events;
mod gpm;
mod mig;
mod processes;

use std::{
    ffi::{CStr, OsStr, c_char, c_uint},
    sync::Arc,
    time::Duration,
};

use nvml_wrapper::{Nvml, error::NvmlError};
use nvml_wrapper_sys::bindings::*;

use super::fields::FieldValue;
use super::raw::{
    At, Board, Code, ConfCompute, Driver, Event, Identity, Number, Pace, Raw, Trouble, Versions,
};
use crate::text::printable;

/// The numbers of `NVML_FI_*`.
pub(in crate::source::gpu) use nvml_wrapper_sys::bindings::field_id;

fn outcome(call: &'static str, code: nvmlReturn_t) -> Result<(), Trouble> {
    match code {
        nvmlReturn_enum_NVML_SUCCESS => Ok(()),
        code => Err(Trouble {
            call,
            code: Code(code),
        }),
    }
}

/// `NVML_STRUCT_VERSION`.
const fn version<T>(number: u32) -> u32 {
    #[expect(clippy::cast_possible_truncation, reason = "structures of some bytes")]
    let size = size_of::<T>() as u32;
    size | number << 24
}

/// A library that is loaded and initialised; both end when it is dropped.
pub(in crate::source::gpu) struct Library {
    nvml: Arc<Nvml>,
    versions: Versions,
}

/// Loads and initialises a library.
///
/// # Errors
/// The code, and what the loader says where there is no such file.
pub(in crate::source::gpu) fn load(path: &OsStr) -> Result<Library, (Code, String)> {
    let nvml = Nvml::builder()
        .lib_path(path)
        .init()
        .map_err(|error| match error {
            NvmlError::LibloadingError(error) => (Code(12), error.to_string()),
            NvmlError::FailedToLoadSymbol(error) => (Code::FUNCTION_NOT_FOUND, error),
            error => {
                let code = Code(nvml_code(&error));
                (code, code.meaning().to_owned())
            }
        })?;
    let cuda = nvml.sys_cuda_driver_version().ok();
    // SAFETY: asks whether a symbol is there; it is not called.
    let fake = unsafe {
        nvml.lib()
            .__library
            .get::<*const ()>(b"partymeter_fake_nvml_version\0")
    }
    .is_ok();
    let versions = Versions {
        driver: nvml.sys_driver_version().ok().map(printable),
        cuda: cuda.map(|cuda| format!("{}.{}", cuda / 1000, cuda % 1000 / 10)),
        fake,
    };
    Ok(Library {
        nvml: Arc::new(nvml),
        versions,
    })
}

/// The code that the wrapper made an error of.
fn nvml_code(error: &NvmlError) -> u32 {
    match error {
        NvmlError::DriverNotLoaded => 9,
        NvmlError::NoPermission => 4,
        NvmlError::LibRmVersionMismatch => 18,
        NvmlError::LibraryNotFound => 12,
        NvmlError::GpuLost => 15,
        NvmlError::InUse => 19,
        _ => 999,
    }
}

impl Driver for Library {
    fn versions(&self) -> &Versions {
        &self.versions
    }

    fn count(&self) -> Result<u32, Trouble> {
        let mut count = 0;
        nvml!(self.nvml, nvmlDeviceGetCount_v2(&raw mut count))?;
        Ok(count)
    }

    fn open(&self, at: &At) -> Result<Box<dyn Board>, Trouble> {
        let mut device: nvmlDevice_t = std::ptr::null_mut();
        match at {
            At::Index(index) => {
                nvml!(
                    self.nvml,
                    nvmlDeviceGetHandleByIndex_v2(*index, &raw mut device)
                )?;
            }
            At::BusId(id) => {
                let id: Vec<c_char> = id.bytes().chain([0]).map(u8::cast_signed).collect();
                nvml!(
                    self.nvml,
                    nvmlDeviceGetHandleByPciBusId_v2(id.as_ptr(), &raw mut device)
                )?;
            }
        }
        Ok(Box::new(Device {
            nvml: Arc::clone(&self.nvml),
            handle: device,
            events: None,
            gpm: gpm::Gpm::default(),
            links: None,
            instances: Vec::new(),
            processes_seen: 0,
        }))
    }

    fn conf_compute(&self, trouble: &mut dyn FnMut(Trouble)) -> ConfCompute {
        let mut told = ConfCompute::default();
        // SAFETY: a structure of integers.
        let mut settings: nvmlSystemConfComputeSettings_t = unsafe { std::mem::zeroed() };
        settings.version = version::<nvmlSystemConfComputeSettings_t>(1);
        match nvml!(
            self.nvml,
            nvmlSystemGetConfComputeSettings(&raw mut settings)
        ) {
            Ok(()) => {
                told.enabled = Some(settings.ccFeature == NVML_CC_SYSTEM_FEATURE_ENABLED);
                told.environment = Some(settings.environment);
                told.devtools = Some(settings.devToolsMode == NVML_CC_SYSTEM_DEVTOOLS_MODE_ON);
                told.multi_gpu = Some(settings.multiGpuMode);
            }
            Err(error) => {
                trouble(error);
                // What drivers before 12.4 have; it does not tell protected PCIe.
                // SAFETY: a structure of integers.
                let mut state: nvmlConfComputeSystemState_t = unsafe { std::mem::zeroed() };
                match nvml!(self.nvml, nvmlSystemGetConfComputeState(&raw mut state)) {
                    Ok(()) => {
                        told.enabled = Some(state.ccFeature == NVML_CC_SYSTEM_FEATURE_ENABLED);
                        told.environment = Some(state.environment);
                        told.devtools = Some(state.devToolsMode == NVML_CC_SYSTEM_DEVTOOLS_MODE_ON);
                    }
                    Err(error) => trouble(error),
                }
            }
        }
        let mut ready = 0;
        match nvml!(
            self.nvml,
            nvmlSystemGetConfComputeGpusReadyState(&raw mut ready)
        ) {
            Ok(()) => told.ready = Some(ready == NVML_CC_ACCEPTING_CLIENT_REQUESTS_TRUE),
            Err(error) => trouble(error),
        }
        told
    }
}

/// One open device, with what is allocated for it.
struct Device {
    nvml: Arc<Nvml>,
    handle: nvmlDevice_t,
    events: Option<events::Set>,
    gpm: gpm::Gpm,
    /// NVLinks that it has, once it has said so.
    links: Option<u32>,
    instances: Vec<mig::Known>,
    /// Microseconds since 1970: the newest sample of process utilization that was read.
    processes_seen: u64,
}

// SAFETY: NVML's handles may be used from any thread (NVML API reference, "Thread Safety"); the pointers inside
// are freed once, by the owner.
unsafe impl Send for Device {}

impl Board for Device {
    fn identity(&mut self) -> Result<Identity, Trouble> {
        // SAFETY: a structure of integers.
        let pci: nvmlPciInfo_t = get!(self, nvmlDeviceGetPciInfo_v3)?;
        Ok(Identity {
            uuid: text(|into, length| {
                nvml!(self.nvml, nvmlDeviceGetUUID(self.handle, into, length))
            })?,
            name: text(|into, length| {
                nvml!(self.nvml, nvmlDeviceGetName(self.handle, into, length))
            })?,
            bus_id: read_text(&pci.busId),
            vbios: text(|into, length| {
                nvml!(
                    self.nvml,
                    nvmlDeviceGetVbiosVersion(self.handle, into, length)
                )
            })
            .ok(),
            minor: get!(self, nvmlDeviceGetMinorNumber).ok(),
        })
    }

    fn handle(&self) -> usize {
        self.handle.addr()
    }

    fn xids(&mut self, patience: Duration, xids: &mut Vec<Event>) -> Result<(), Trouble> {
        self.read_xids(patience, xids)
    }

    fn paces(&self) -> Vec<Pace> {
        calls::CALLS.iter().map(|call| call.0).collect()
    }

    fn call(&mut self, index: usize, raw: &mut Raw) -> Result<(), Trouble> {
        calls::CALLS
            .get(index)
            .map_or(Ok(()), |call| call.1(self, raw))
    }

    fn fields(&mut self, fields: &mut [FieldValue]) -> Result<(), Trouble> {
        let scheme = self.nvml.field_id_scheme();
        let ask = |field: &FieldValue| nvmlFieldValue_t {
            fieldId: translated(field.id, scheme == nvml_wrapper::FieldIdScheme::V13Update1),
            scopeId: field.scope,
            timestamp: 0,
            latencyUsec: 0,
            valueType: 0,
            nvmlReturn: 0,
            value: nvmlValue_t { ullVal: 0 },
        };
        let mut values: Vec<nvmlFieldValue_t> = fields.iter().map(ask).collect();
        let count = i32::try_from(values.len()).unwrap_or(i32::MAX);
        nvml!(
            self.nvml,
            nvmlDeviceGetFieldValues(self.handle, count, values.as_mut_ptr())
        )?;
        for (field, value) in fields.iter_mut().zip(&values) {
            field.value = match value.nvmlReturn {
                nvmlReturn_enum_NVML_SUCCESS => number(value),
                code => Err(Code(code)),
            };
            if field.id == field_id::NVML_FI_DEV_NVLINK_LINK_COUNT {
                let count = field.value.ok().and_then(Number::whole);
                self.links = count.and_then(|count| count.try_into().ok());
            }
        }
        Ok(())
    }
}

/// The field ids from 251 on were numbered anew with CUDA 13.0 Update 1; ours are the older.
const fn translated(id: u32, anew: bool) -> u32 {
    match id {
        251..=255 if anew => id + 18,
        256..=273 if anew => id - 5,
        id => id,
    }
}

fn number(value: &nvmlFieldValue_t) -> Result<Number, Code> {
    let union = value.value;
    // SAFETY: every member is a number, and every bit pattern is one; the tag says which was written.
    let number = unsafe {
        match value.valueType {
            nvmlValueType_enum_NVML_VALUE_TYPE_DOUBLE => Number::F64(union.dVal),
            nvmlValueType_enum_NVML_VALUE_TYPE_UNSIGNED_INT => Number::U32(union.uiVal),
            nvmlValueType_enum_NVML_VALUE_TYPE_UNSIGNED_LONG => Number::U64(union.ulVal),
            nvmlValueType_enum_NVML_VALUE_TYPE_UNSIGNED_LONG_LONG => Number::U64(union.ullVal),
            nvmlValueType_enum_NVML_VALUE_TYPE_SIGNED_LONG_LONG => Number::I64(union.sllVal),
            nvmlValueType_enum_NVML_VALUE_TYPE_SIGNED_INT => Number::I64(union.siVal.into()),
            nvmlValueType_enum_NVML_VALUE_TYPE_UNSIGNED_SHORT => Number::U32(union.usVal.into()),
            // A type of a later library: not a number that can be told.
            _ => return Err(Code::NOT_SUPPORTED),
        }
    };
    Ok(number)
}

/// A string that NVML writes into a buffer.
fn text(read: impl FnOnce(*mut c_char, c_uint) -> Result<(), Trouble>) -> Result<String, Trouble> {
    // More than any string of NVML's header takes.
    let mut buffer = [0; 96];
    read(buffer.as_mut_ptr(), 96)?;
    Ok(read_text(&buffer))
}

fn read_text(buffer: &[c_char]) -> String {
    let bytes: Vec<u8> = buffer
        .iter()
        .map(|byte| byte.cast_unsigned())
        .chain([0])
        .collect();
    CStr::from_bytes_until_nul(&bytes).map_or_else(
        |_| String::new(),
        // It goes into labels, log lines and the page as it is; empty stays empty.
        |text| match text.to_bytes() {
            [] => String::new(),
            bytes => printable(bytes),
        },
    )
}
