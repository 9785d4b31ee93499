//! The kernel's tables: filled at the start, changed to those of another configuration.

use std::{collections::BTreeSet, io};

use agent_ebpf::{Address, Control, Endpoint, map, protocol};
use aya::{
    Ebpf,
    maps::{Array, HashMap, LpmTrie, Map, MapData, MapError, lpm_trie::Key},
};

use super::{
    Tables,
    error::{Error, cause, kernel_error},
};

/// Where nothing has counted yet.
pub(super) fn begin(ebpf: &mut Ebpf, tables: &Tables, histograms: u32) -> Result<(), Error> {
    let write = |error: MapError| kernel_error("write the settings", &error);
    let control = Control {
        stride: tables.stride,
        auto_parties: tables.first_auto,
        histogram_limit: histograms,
        ..Control::default()
    };
    let mut place: Array<_, Control> =
        Array::try_from(map_mut(ebpf, map::CONTROL)?).map_err(write)?;
    place.set(0, control, 0).map_err(write)
}

/// Fills all tables; what is there already is replaced where it is. Parties before the ports to which they come: who
/// comes to a protocol's port and is no party's is a stranger.
pub(super) fn fill(ebpf: &mut Ebpf, tables: &Tables) -> Result<(), Error> {
    fill_parties(ebpf, tables)?;
    fill_ports(ebpf, tables)
}

fn fill_ports(ebpf: &mut Ebpf, tables: &Tables) -> Result<(), Error> {
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
) -> Result<Array<&'a mut MapData, u32>, Error> {
    Array::try_from(map_mut(ebpf, name)?).map_err(|error| kernel_error(PORT_TABLE, &error))
}

/// Takes out what is in `old` and not in `new`, once that is filled in. Ports first, as above the other way round.
pub(super) fn remove_stale(ebpf: &mut Ebpf, old: &Tables, new: &Tables) -> Result<(), Error> {
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
            gone(prefixes.remove(&Key::new(bits, address)))?;
        }
    }
    let mut endpoints: HashMap<_, Endpoint, u32> =
        HashMap::try_from(map_mut(ebpf, map::ENDPOINTS)?).map_err(party_error)?;
    for endpoint in stale(&old.endpoints, &new.endpoints) {
        gone(endpoints.remove(&endpoint))?;
    }
    Ok(())
}

/// The keys of `old` that `new` has not.
fn stale<K: Ord + Copy>(old: &[(K, u32)], new: &[(K, u32)]) -> Vec<K> {
    let kept: BTreeSet<K> = new.iter().map(|(key, _)| *key).collect();
    let keys = old.iter().map(|(key, _)| *key);
    keys.filter(|key| !kept.contains(key)).collect()
}

/// One key may be in a list twice, and a change be made again: what is not there need not be taken out.
fn gone(removed: Result<(), MapError>) -> Result<(), Error> {
    match removed {
        Err(error) if cause(&error).is_some_and(|it| it.kind() == io::ErrorKind::NotFound) => {
            Ok(())
        }
        result => result.map_err(party_error),
    }
}

const PORT_TABLE: &str = "write the port table";

#[expect(clippy::needless_pass_by_value, reason = "as map_err calls it")]
fn party_error(error: MapError) -> Error {
    kernel_error("write the party table", &error)
}

fn fill_parties(ebpf: &mut Ebpf, tables: &Tables) -> Result<(), Error> {
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
) -> Result<LpmTrie<&'a mut MapData, Address, u32>, Error> {
    LpmTrie::try_from(map_mut(ebpf, name)?).map_err(party_error)
}

fn map_mut<'a>(ebpf: &'a mut Ebpf, name: &'static str) -> Result<&'a mut Map, Error> {
    ebpf.map_mut(name)
        .ok_or_else(|| Error::Kernel("find a BPF map", name.to_owned()))
}
