//! Which files of a pin directory an agent made. Nothing else is ever removed or reused. A name is not enough: the
//! kernel must confirm that the object is what the name says.

use std::{fs, io, path::Path};

use agent_ebpf::{map, pinned, program};
use aya::maps::{Array, Map, MapData};

use super::{
    format::{NAMES, STATE, State, TRIAL},
    path::is_bpf,
};
use crate::source::network::sys::{self, Object};

/// What a file's name stands for.
enum Expected<'a> {
    /// The state: one value of 64-bit words.
    State,
    /// The names of parties and protocols.
    Names,
    /// The object of [`super::directory::PinDirectory::check_writable`].
    Trial,
    /// The map of this name.
    Map(&'a str),
    Link,
}

/// What this version means by a name; `None` if it does not use the name.
fn of_this_version(name: &str) -> Option<Expected<'_>> {
    let maps = || {
        let all = pinned::MAPS.iter().chain(&pinned::UDP_MAPS);
        all.chain(&pinned::RECORD_MAPS)
    };
    match of_any_version(name)? {
        Expected::Map(map) if !maps().any(|it| *it == map) => None,
        Expected::Link => {
            let program = name.splitn(3, '-').nth(2)?;
            program::ALL.contains(&program).then_some(Expected::Link)
        }
        expected => Some(expected),
    }
}

/// What any version may mean by it.
fn of_any_version(name: &str) -> Option<Expected<'_>> {
    let all = |text: &str, allowed: fn(&u8) -> bool| {
        let fits = |byte: u8| allowed(&byte) || byte.is_ascii_digit() || byte == b'_';
        !text.is_empty() && text.bytes().all(fits)
    };
    match name {
        STATE => return Some(Expected::State),
        NAMES => return Some(Expected::Names),
        TRIAL => return Some(Expected::Trial),
        _ => {}
    }
    if let Some(map) = name.strip_prefix("map-") {
        return all(map, u8::is_ascii_uppercase).then_some(Expected::Map(map));
    }
    let (generation, program) = name.strip_prefix("link-")?.split_once('-')?;
    let is_number = generation
        .parse::<u32>()
        .is_ok_and(|it| it.to_string() == generation);
    (is_number && all(program, u8::is_ascii_lowercase)).then_some(Expected::Link)
}

/// The files of a directory.
#[derive(Debug, Default)]
pub(super) struct Contents {
    /// Made by an agent.
    pub(super) ours: Vec<String>,
    /// Something else under a name that this version uses.
    pub(super) conflicts: Vec<String>,
    pub(super) others: Vec<String>,
}

/// Sorts every file of a directory.
pub(super) fn contents(directory: &Path) -> io::Result<Contents> {
    let of_another = is_of_another_version(directory);
    let mut contents = Contents::default();
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        let shown = name.to_string_lossy().into_owned();
        let Some(name) = name.to_str() else {
            contents.others.push(shown);
            continue;
        };
        let path = directory.join(name);
        match of_this_version(name) {
            Some(expected) if is(&path, &expected)? => contents.ours.push(shown),
            Some(_) => contents.conflicts.push(shown),
            None => match of_any_version(name).filter(|_| of_another) {
                Some(expected) if is(&path, &expected)? => contents.ours.push(shown),
                _ => contents.others.push(shown),
            },
        }
    }
    Ok(contents)
}

/// Whether an agent of this version made the file.
pub(super) fn is_ours(directory: &Path, name: &str) -> bool {
    of_this_version(name)
        .is_some_and(|expected| is(&directory.join(name), &expected).unwrap_or(false))
}

/// Whether an agent of another version, which may use other names, left this directory.
fn is_of_another_version(directory: &Path) -> bool {
    let control = format!("map-{}", map::CONTROL);
    if !is_ours(directory, STATE) || !is_ours(directory, &control) {
        return false;
    }
    let version = || -> Option<u64> {
        let map = Map::from_map_data(MapData::from_pin(directory.join(STATE)).ok()?).ok()?;
        let state: Array<_, State> = Array::try_from(map).ok()?;
        Some(state.get(&0, 0).ok()?[0])
    };
    version() != Some(pinned::VERSION)
}

fn is(path: &Path, expected: &Expected<'_>) -> io::Result<bool> {
    // A symbolic link, a directory or a file of another file system is not a BPF object.
    if !fs::symlink_metadata(path)?.is_file() || !is_bpf(path) {
        return Ok(false);
    }
    let object = sys::pinned_object(path)?;
    Ok(match (expected, object) {
        (
            Expected::State,
            Object::Map {
                key: 4,
                value,
                entries: 1,
            },
        ) => value % 8 == 0,
        (Expected::Link, Object::Link)
        | (
            Expected::Names,
            Object::Map {
                key: 8, value: 128, ..
            },
        )
        | (
            Expected::Trial,
            Object::Map {
                key: 4,
                value: 4,
                entries: 1,
            },
        ) => true,
        (Expected::Map(name), Object::Map { .. }) => {
            let map = MapData::from_pin(path).map_err(io::Error::other)?;
            let info = map.info().map_err(io::Error::other)?;
            // The kernel keeps 15 bytes of a name.
            let found = name.get(..15).unwrap_or(name);
            info.name_as_str() == Some(found)
        }
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_an_agent_gives() {
        for name in [
            "state",
            "names",
            "trial",
            "map-COUNTERS",
            "map-UNEXPECTED_SENDERS",
            "map-RECORDS",
            "link-1-set_state",
            "link-4294967295-datagrams_refused_at_exit",
        ] {
            assert!(
                of_this_version(name).is_some() && of_any_version(name).is_some(),
                "{name}"
            );
        }
        for name in ["map-OTHER", "link-1-other", "link-0-later"] {
            assert!(
                of_this_version(name).is_none() && of_any_version(name).is_some(),
                "{name}"
            );
        }
        for name in [
            "",
            "map-",
            "map-foo",
            "map-A-B",
            "link-",
            "link-1",
            "link-1-",
            "link-x-sent",
            "link-01-sent",
            "link-4294967296-sent",
            "link-1-Sent",
            "link--sent",
            "STATE",
            "state2",
            "counters",
        ] {
            assert!(of_any_version(name).is_none(), "{name}");
        }
    }

    #[test]
    fn files_of_other_file_systems_are_nobodys() {
        let place = std::env::temp_dir().join(format!("partymeter-owned-{}", std::process::id()));
        fs::create_dir(&place).unwrap();
        for name in ["state", "map-COUNTERS", "link-1-sent", "map-OTHER"] {
            fs::write(place.join(name), "").unwrap();
        }
        fs::create_dir(place.join("names")).unwrap();
        let found = contents(&place);
        fs::remove_dir_all(&place).unwrap();
        let Contents {
            ours,
            mut conflicts,
            others,
        } = found.unwrap();
        conflicts.sort();
        assert_eq!(ours, [""; 0]);
        assert_eq!(conflicts, ["link-1-sent", "map-COUNTERS", "names", "state"]);
        assert_eq!(others, ["map-OTHER"]);
    }
}
