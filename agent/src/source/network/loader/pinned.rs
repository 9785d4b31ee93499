//! The directory of pinned maps and links: what the next agent finds, and goes on with.
//!
//! A map is pinned as `map-NAME`, a link as `link-GENERATION-PROGRAM`. `state` says what the maps are of, and is written
//! once they are ready; without it they are not. `names` has the number of every party and protocol; it only grows.
//! Every step leaves what the next start can go on with: new links stand beside the old ones, of which only one
//! generation counts, until [`Folder::remove_links`].

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use agent_ebpf::{Control, handover, map, pinned};
use aya::{
    EbpfLoader,
    maps::{Array, HashMap, Map, MapData, MapError},
};
use aya_obj::generated::BPF_F_NO_PREALLOC;

use super::{
    error::{Error, cause, kernel_error},
    owned,
};
use crate::source::network::layout::{Kind, Layout};

/// The one value of `state`: [`pinned::VERSION`], the layout's measures, and since when is counted, in seconds and
/// nanoseconds since 1970.
pub(super) type State = [u64; 6];
/// Kind and number.
type NameKey = [u32; 2];
/// UTF-8, then zeroes: names have no control characters and up to 128 bytes.
type Name = [u8; 128];

pub(super) const STATE: &str = "state";
pub(super) const NAMES: &str = "names";
pub(super) const TRIAL: &str = "trial";

/// The maps that are pinned.
pub(super) fn maps(udp: bool, records: bool) -> Vec<&'static str> {
    let of_udp = pinned::UDP_MAPS.iter().filter(|_| udp);
    let of_records = pinned::RECORD_MAPS.iter().filter(|_| records);
    let all = pinned::MAPS.iter().chain(of_udp).chain(of_records);
    all.copied().collect()
}

/// A directory in a BPF file system.
#[derive(Clone, Debug)]
pub(in super::super) struct Folder(pub(in super::super) PathBuf);

/// What an agent has left there.
#[derive(Debug)]
pub(in super::super) struct Kept {
    /// Its numbers.
    pub(in super::super) layout: Layout,
    /// Since when it and those before it have counted.
    pub(in super::super) since: SystemTime,
    /// Which load of the programs counts.
    pub(in super::super) generation: u32,
}

/// Why it cannot be gone on with.
#[derive(Debug, thiserror::Error)]
pub(in super::super) enum Unfit {
    /// Nobody may look.
    #[error("{0}")]
    Unreadable(String),
    /// It is something else.
    #[error("{0}")]
    Foreign(&'static str),
}

/// How much was there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Removed {
    /// Links, each of which had a program attached.
    pub(in super::super) links: usize,
    /// Maps.
    pub(in super::super) maps: usize,
    /// What is still there, for no agent has made it.
    pub(in super::super) left: Vec<String>,
}

impl Folder {
    /// Whether anything can be pinned here.
    pub(in super::super) fn try_out(&self) -> Result<(), Error> {
        let trial = self.0.join(TRIAL);
        // From somebody who was stopped here.
        if owned::is_ours(&self.0, TRIAL) {
            drop(fs::remove_file(&trial));
        }
        let map = Array::<_, u32>::create(1, 0).map_err(|error| write_error(&error))?;
        map.pin(&trial).map_err(|error| write_error(&error))?;
        fs::remove_file(&trial).map_err(|error| write_error(&error))
    }

    /// The file of a map.
    pub(super) fn map(&self, name: &str) -> PathBuf {
        self.0.join(format!("map-{name}"))
    }

    /// Has the loader take the maps that are there, and pin those that it makes.
    pub(super) fn pin_maps(&self, loader: &mut EbpfLoader<'_>, maps: &[&'static str]) {
        for name in maps {
            loader.map_pin_path(name, self.map(name));
        }
    }

    /// The file of a link.
    pub(super) fn link(&self, generation: u32, program: &str) -> PathBuf {
        self.0.join(format!("link-{generation}-{program}"))
    }

    /// The files that say what the maps are of, the one last without which the rest is of no use.
    pub(super) fn about(&self) -> [PathBuf; 2] {
        [NAMES, STATE].map(|name| self.0.join(name))
    }

    /// What can be gone on with; `None` where there is nothing.
    pub(in super::super) fn read(&self) -> Result<Option<Kept>, Unfit> {
        const STOPPED: Unfit = Unfit::Foreign("an agent was stopped before it counted");
        const VERSION: Unfit = Unfit::Foreign("it is of another version of partymeter");
        let names = self.entries().map_err(|error| unreadable(&error))?;
        if names.is_empty() {
            return Ok(None);
        }
        let state = match open(&self.0.join(STATE)) {
            Ok(state) => state,
            Err(error) if is_not_found(&error) => return Err(STOPPED),
            Err(error) => return Err(unreadable(&error)),
        };
        let state: Array<_, State> = Array::try_from(state).map_err(|_other_size| VERSION)?;
        let state = state.get(&0, 0).map_err(|error| unreadable(&error))?;
        let [version, stride, party_room, auto_room, seconds, nanoseconds] = state;
        match version {
            pinned::VERSION => {}
            0 => return Err(STOPPED),
            _ => return Err(VERSION),
        }
        let is_there = |map: &&str| {
            let file = format!("map-{map}");
            names.contains(&file)
        };
        if !pinned::MAPS.iter().all(is_there) {
            return Err(Unfit::Foreign("a part of it is gone"));
        }
        let measures = [stride, party_room, auto_room].map(|it| u32::try_from(it).unwrap_or(0));
        let layout = Layout::restore(measures, self.names()?);
        let layout = layout.ok_or(Unfit::Foreign("its names are incomplete"))?;
        let control = open(&self.map(map::CONTROL)).map_err(|error| unreadable(&error))?;
        let control: Array<_, Control> = Array::try_from(control).map_err(|_other_size| VERSION)?;
        let control = control.get(&0, 0).map_err(|error| unreadable(&error))?;
        let nanoseconds = u32::try_from(nanoseconds).unwrap_or(0);
        Ok(Some(Kept {
            layout,
            since: UNIX_EPOCH + Duration::new(seconds, nanoseconds),
            generation: handover::generation(control.handover),
        }))
    }

    fn names(&self) -> Result<Vec<(Kind, u32, Arc<str>)>, Unfit> {
        let map = open(&self.0.join(NAMES)).map_err(|error| unreadable(&error))?;
        let map: HashMap<_, NameKey, Name> =
            HashMap::try_from(map).map_err(|error| unreadable(&error))?;
        let name = |entry: Result<(NameKey, Name), MapError>| {
            let ([kind, number], name) = entry.map_err(|error| unreadable(&error))?;
            let length = name.iter().position(|byte| *byte == 0);
            let name = str::from_utf8(&name[..length.unwrap_or(name.len())]).ok();
            let kind = Kind::ALL.into_iter().find(|it| *it as u32 == kind);
            let whole = name.zip(kind);
            let (name, kind) = whole.ok_or(Unfit::Foreign("its names are not readable"))?;
            Ok((kind, number, Arc::from(name)))
        };
        map.iter().map(name).collect()
    }

    /// Says what the maps are of, once they are ready.
    pub(super) fn write(&self, layout: &Layout, since: SystemTime) -> Result<Names, Error> {
        let path = self.0.join(NAMES);
        if !path.exists() {
            let names = HashMap::<_, NameKey, Name>::create(layout.names_room(), BPF_F_NO_PREALLOC);
            let names = names.map_err(|error| write_error(&error))?;
            names.pin(&path).map_err(|error| write_error(&error))?;
        }
        let names = open(&path).and_then(HashMap::try_from);
        let mut names = Names(names.map_err(|error| write_error(&error))?);
        names.write(layout)?;
        let path = self.0.join(STATE);
        if !path.exists() {
            let since = since.duration_since(UNIX_EPOCH).unwrap_or_default();
            let [stride, party_room, auto_room] = layout.measures().map(u64::from);
            let value = [
                pinned::VERSION,
                stride,
                party_room,
                auto_room,
                since.as_secs(),
                u64::from(since.subsec_nanos()),
            ];
            let state = Array::<_, State>::create(1, 0);
            let mut state = state.map_err(|error| write_error(&error))?;
            let written = state.set(0, value, 0);
            written.map_err(|error| write_error(&error))?;
            state.pin(&path).map_err(|error| write_error(&error))?;
        }
        Ok(names)
    }

    /// Removes the links of every generation but one; what they attached is detached.
    pub(super) fn remove_links(&self, keep: u32) -> io::Result<()> {
        let keep = format!("link-{keep}-");
        let entries = self.entries()?.into_iter();
        let mut old = entries.filter(|it| it.starts_with("link-") && !it.starts_with(&keep));
        old.try_for_each(|name| fs::remove_file(self.0.join(name)))
    }

    /// Removes everything that agents have pinned, links first: nothing counts any more what nobody will read.
    pub(in super::super) fn clear(&self) -> io::Result<Removed> {
        let found = owned::contents(&self.0)?;
        let (links, maps): (Vec<_>, Vec<_>) = found
            .ours
            .iter()
            .partition(|name| name.starts_with("link-"));
        for name in links.iter().chain(&maps) {
            fs::remove_file(self.0.join(name))?;
        }
        let (links, maps) = (links.len(), maps.len());
        let mut left = found.in_the_way;
        left.extend(found.others);
        left.sort();
        Ok(Removed { links, maps, left })
    }

    /// Fails where something that no agent has made has a name that is needed.
    pub(in super::super) fn nothing_in_the_way(&self) -> io::Result<()> {
        match owned::contents(&self.0)?.in_the_way.first() {
            None => Ok(()),
            Some(name) => {
                let path = self.0.join(name);
                let why = format!("{} is not partymeter's; help: remove it", path.display());
                Err(io::Error::other(why))
            }
        }
    }

    /// What agents have made here: the directory may be shared with others.
    fn entries(&self) -> io::Result<Vec<String>> {
        Ok(owned::contents(&self.0)?.ours)
    }
}

/// The pinned numbers of parties and protocols.
pub(super) struct Names(HashMap<MapData, NameKey, Name>);

impl Names {
    /// Adds what is new. In the order of numbers: whenever this stops, those before are there.
    pub(super) fn write(&mut self, layout: &Layout) -> Result<(), Error> {
        for (kind, number, name) in layout.names() {
            let mut value: Name = [0; 128];
            let name = name.as_bytes();
            value[..name.len().min(128)].copy_from_slice(&name[..name.len().min(128)]);
            let written = self.0.insert([kind as u32, number], value, 0);
            written.map_err(|error| write_error(&error))?;
        }
        Ok(())
    }
}

fn open(path: &Path) -> Result<Map, MapError> {
    Map::from_map_data(MapData::from_pin(path)?)
}

fn is_not_found(error: &MapError) -> bool {
    cause(error).is_some_and(|error| error.kind() == io::ErrorKind::NotFound)
}

fn unreadable(error: &(dyn std::error::Error + 'static)) -> Unfit {
    Unfit::Unreadable(kernel_error("read what is pinned", error).to_string())
}

fn write_error(error: &(dyn std::error::Error + 'static)) -> Error {
    kernel_error("pin the counters", error)
}
