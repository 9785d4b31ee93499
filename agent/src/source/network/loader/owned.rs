//! Which files of a directory of pinned things an agent has made. Nothing else is ever removed or taken over: a name is
//! not enough, the kernel has to say of the object behind it that it is what the name says.

use std::{fs, io, path::Path};

use agent_ebpf::{map, pinned, program};
use aya::maps::{Array, Map, MapData};

use super::pinned::{NAMES, STATE, State, TRIAL};
use crate::source::network::{
    pin::is_bpf,
    sys::{self, Object},
};

/// What a name that an agent gives stands for.
enum Expected<'a> {
    /// Its state: one value of 64-bit numbers.
    State,
    /// The names of parties and protocols.
    Names,
    /// What was pinned to see whether that can be done.
    Trial,
    /// The map of this name.
    Map(&'a str),
    /// A link.
    Link,
}

/// What this version means by a name; `None`: it gives no such name.
fn known(name: &str) -> Option<Expected<'_>> {
    let maps = || {
        let all = pinned::MAPS.iter().chain(&pinned::UDP_MAPS);
        all.chain(&pinned::RECORD_MAPS)
    };
    match another(name)? {
        Expected::Map(map) if !maps().any(|it| *it == map) => None,
        Expected::Link => {
            let program = name.splitn(3, '-').nth(2)?;
            program::ALL.contains(&program).then_some(Expected::Link)
        }
        expected => Some(expected),
    }
}

/// What some version may mean by it.
fn another(name: &str) -> Option<Expected<'_>> {
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

/// What is in a directory.
#[derive(Debug, Default)]
pub(super) struct Contents {
    /// What agents have made.
    pub(super) ours: Vec<String>,
    /// What has a name that this version gives, and is something else.
    pub(super) in_the_way: Vec<String>,
    /// Everything else.
    pub(super) others: Vec<String>,
}

/// Looks at everything in a directory.
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
        match known(name) {
            Some(expected) if is(&path, &expected)? => contents.ours.push(shown),
            Some(_) => contents.in_the_way.push(shown),
            None => match another(name).filter(|_| of_another) {
                Some(expected) if is(&path, &expected)? => contents.ours.push(shown),
                _ => contents.others.push(shown),
            },
        }
    }
    Ok(contents)
}

/// Whether an agent of this version has made that file.
pub(super) fn is_ours(directory: &Path, name: &str) -> bool {
    known(name).is_some_and(|expected| is(&directory.join(name), &expected).unwrap_or(false))
}

/// Whether what agents have left there is of a version that may give other names.
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
    // What is a link or a directory, or in another file system, is no object of the kernel's.
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
            // The kernel keeps 15 bytes.
            let kept = name.get(..15).unwrap_or(name);
            info.name_as_str() == Some(kept)
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
            assert!(known(name).is_some() && another(name).is_some(), "{name}");
        }
        for name in ["map-OTHER", "link-1-other", "link-0-later"] {
            assert!(known(name).is_none() && another(name).is_some(), "{name}");
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
            assert!(another(name).is_none(), "{name}");
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
            mut in_the_way,
            others,
        } = found.unwrap();
        in_the_way.sort();
        assert_eq!(ours, [""; 0]);
        assert_eq!(
            in_the_way,
            ["link-1-sent", "map-COUNTERS", "names", "state"]
        );
        assert_eq!(others, ["map-OTHER"]);
    }
}
