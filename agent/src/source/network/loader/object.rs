//! Parts of the loaded object by name and type.

use std::os::fd::{AsFd as _, BorrowedFd};

use aya::{
    Ebpf,
    maps::{Map, MapData, RingBuf},
    programs::{Program, ProgramError},
};

use crate::source::network::{
    error::{BpfError, kernel_error, program_error},
    sys::Iterator,
};

pub(super) fn typed<'a, P>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut P, ProgramError>
where
    &'a mut P: TryFrom<&'a mut Program, Error = ProgramError>,
{
    // The object is embedded: a missing name and a wrong type are the same bug.
    ebpf.program_mut(name)
        .ok_or(ProgramError::UnexpectedProgramType)?
        .try_into()
}

pub(super) fn iterator(
    ebpf: &Ebpf,
    name: &'static str,
    map: Option<BorrowedFd<'_>>,
) -> Result<Iterator, BpfError> {
    const ACTION: &str = "attach the BPF iterators";
    let program = ebpf
        .program(name)
        .ok_or(ProgramError::UnexpectedProgramType);
    let fd = program
        .and_then(Program::fd)
        .map_err(|error| program_error(ACTION, &error))?;
    Iterator::attach(fd.as_fd(), map).map_err(|error| kernel_error(ACTION, &error))
}

pub(super) fn ring(ebpf: &mut Ebpf, name: &'static str) -> Result<RingBuf<MapData>, BpfError> {
    let map = ebpf
        .take_map(name)
        .ok_or_else(|| BpfError::Kernel("find a BPF map", name.to_owned()))?;
    RingBuf::try_from(map).map_err(|error| kernel_error("map a BPF ring into memory", &error))
}

pub(super) fn map_fd<'a>(ebpf: &'a Ebpf, name: &'static str) -> Result<BorrowedFd<'a>, BpfError> {
    let data: Option<&MapData> = match ebpf.map(name) {
        Some(
            Map::Array(data)
            | Map::HashMap(data)
            | Map::LruHashMap(data)
            | Map::PerCpuArray(data)
            | Map::RingBuf(data)
            | Map::SkStorage(data),
        ) => Some(data),
        _ => None,
    };
    data.map(|data| data.fd().as_fd())
        .ok_or_else(|| BpfError::Kernel("find a BPF map", name.to_owned()))
}

/// Closes the maps that only the programs use, once all programs are loaded: file descriptors can be scarce.
pub(super) fn close_unused(ebpf: &mut Ebpf, log: bool) {
    let unused = |name: &str| {
        name.starts_with('.')
            || ["HANDLED", "TAKEN"].contains(&name)
            || (!log && name == "AYA_LOGS")
    };
    let names: Vec<String> = ebpf
        .maps()
        .map(|(name, _)| name.to_owned())
        .filter(|name| unused(name))
        .collect();
    for name in names {
        drop(ebpf.take_map(&name));
    }
}
