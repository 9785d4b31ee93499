//! Writes the kernel side's tables: filled at the start, changed on reload.

use std::{collections::BTreeSet, io};

use agent_ebpf::{Address, Control, Endpoint, map, protocol};
use aya::{
    Ebpf,
    maps::{Array, HashMap, LpmTrie, Map, MapData, MapError, lpm_trie::Key},
};

use crate::source::network::{
    error::{BpfError, cause, kernel_error},
    tables::Tables,
};

/// Writes the initial control values, where nothing has counted yet.
pub(super) fn write_control(
    ebpf: &mut Ebpf,
    tables: &Tables,
    histograms: u32,
) -> Result<(), BpfError> {
    let write = |error: MapError| kernel_error("write the settings", &error);
    let control = Control {
        stride: tables.stride,
        auto_parties: tables.first_auto,
        histogram_limit: histograms,
        ..Control::default()
    };
    let mut map: Array<_, Control> =
        Array::try_from(map_mut(ebpf, map::CONTROL)?).map_err(write)?;
    map.set(0, control, 0).map_err(write)
}

/// Fills all tables and replaces existing entries. Parties come before ports: a peer at a protocol's port without a
/// party is unexpected.
pub(super) fn fill(ebpf: &mut Ebpf, tables: &Tables) -> Result<(), BpfError> {
    fill_parties(ebpf, tables)?;
    fill_ports(ebpf, tables)
}

fn fill_ports(ebpf: &mut Ebpf, tables: &Tables) -> Result<(), BpfError> {
    for (name, entries) in [
        (map::PORTS, &tables.ports),
        (map::UDP_PORTS, &tables.udp_ports),
    ] {
        let mut ports = port_table(ebpf, name)?;
        for (port, protocol) in entries {
            let written = ports.set(u32::from(*port), protocol, 0);
            written.map_err(|error| kernel_error(PORT_TABLE, &error))?;
        }
    }
    Ok(())
}

fn port_table<'a>(
    ebpf: &'a mut Ebpf,
    name: &'static str,
) -> Result<Array<&'a mut MapData, u32>, BpfError> {
    Array::try_from(map_mut(ebpf, name)?).map_err(|error| kernel_error(PORT_TABLE, &error))
}

/// Removes the entries that are in `old` and not in `new`, which must be filled in. Ports come first, for the same
/// reason.
pub(super) fn remove_stale(ebpf: &mut Ebpf, old: &Tables, new: &Tables) -> Result<(), BpfError> {
    for (name, old, new) in [
        (map::PORTS, &old.ports, &new.ports),
        (map::UDP_PORTS, &old.udp_ports, &new.udp_ports),
    ] {
        let mut ports = port_table(ebpf, name)?;
        for port in stale(old, new) {
            let written = ports.set(u32::from(port), protocol::OTHER, 0);
            written.map_err(|error| kernel_error(PORT_TABLE, &error))?;
        }
    }
    for (name, old, new) in [
        (map::PREFIXES, &old.prefixes, &new.prefixes),
        (map::ALLOWED, &old.allowed, &new.allowed),
    ] {
        let mut prefixes = trie(ebpf, name)?;
        for (address, bits) in stale(old, new) {
            ignore_missing(prefixes.remove(&Key::new(bits, address)))?;
        }
    }
    let mut endpoints: HashMap<_, Endpoint, u32> =
        HashMap::try_from(map_mut(ebpf, map::ENDPOINTS)?).map_err(party_error)?;
    for endpoint in stale(&old.endpoints, &new.endpoints) {
        ignore_missing(endpoints.remove(&endpoint))?;
    }
    Ok(())
}

/// The keys of `old` that are not in `new`.
fn stale<K: Ord + Copy>(old: &[(K, u32)], new: &[(K, u32)]) -> Vec<K> {
    let kept: BTreeSet<K> = new.iter().map(|(key, _)| *key).collect();
    let keys = old.iter().map(|(key, _)| *key);
    keys.filter(|key| !kept.contains(key)).collect()
}

/// A key may be listed twice, and a change repeated, so a missing key is no error.
fn ignore_missing(removed: Result<(), MapError>) -> Result<(), BpfError> {
    match removed {
        Err(error) if cause(&error).is_some_and(|it| it.kind() == io::ErrorKind::NotFound) => {
            Ok(())
        }
        result => result.map_err(party_error),
    }
}

const PORT_TABLE: &str = "write the port table";

#[expect(clippy::needless_pass_by_value, reason = "as map_err calls it")]
fn party_error(error: MapError) -> BpfError {
    kernel_error("write the party table", &error)
}

fn fill_parties(ebpf: &mut Ebpf, tables: &Tables) -> Result<(), BpfError> {
    for (name, entries) in [
        (map::PREFIXES, &tables.prefixes),
        (map::ALLOWED, &tables.allowed),
    ] {
        let mut prefixes = trie(ebpf, name)?;
        for ((address, bits), value) in entries {
            prefixes
                .insert(&Key::new(*bits, *address), value, 0)
                .map_err(party_error)?;
        }
    }
    let mut endpoints: HashMap<_, Endpoint, u32> =
        HashMap::try_from(map_mut(ebpf, map::ENDPOINTS)?).map_err(party_error)?;
    for (endpoint, party) in &tables.endpoints {
        endpoints.insert(endpoint, party, 0).map_err(party_error)?;
    }
    Ok(())
}

fn trie<'a>(
    ebpf: &'a mut Ebpf,
    name: &'static str,
) -> Result<LpmTrie<&'a mut MapData, Address, u32>, BpfError> {
    LpmTrie::try_from(map_mut(ebpf, name)?).map_err(party_error)
}

fn map_mut<'a>(ebpf: &'a mut Ebpf, name: &'static str) -> Result<&'a mut Map, BpfError> {
    ebpf.map_mut(name)
        .ok_or_else(|| BpfError::Kernel("find a BPF map", name.to_owned()))
}
