//! A directory of pinned maps and links: read, written and cleared.

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
    format::{NAMES, Name, NameKey, STATE, State, TRIAL, write_error},
    ownership,
};
use crate::source::network::{
    error::{BpfError, cause, kernel_error},
    layout::{Kind, Layout},
};

/// A directory in a BPF file system.
#[derive(Clone, Debug)]
pub(crate) struct PinDirectory(pub(in super::super) PathBuf);

/// What an earlier agent left.
#[derive(Debug)]
pub(crate) struct PinnedState {
    pub(crate) layout: Layout,
    /// When counting started.
    pub(crate) since: SystemTime,
    /// The load of the programs that counts.
    pub(crate) generation: u32,
}

/// Why an agent cannot resume.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PinError {
    /// It cannot be read.
    #[error("{0}")]
    Unreadable(String),
    /// It is something else, or incomplete.
    #[error("{0}")]
    Foreign(&'static str),
}

/// What was removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Removed {
    /// Links, each of which kept a program attached.
    pub(crate) links: usize,
    /// Maps.
    pub(crate) maps: usize,
    /// Files that remain because no agent made them.
    pub(crate) left: Vec<String>,
}

impl PinDirectory {
    /// Checks that objects can be pinned here.
    pub(crate) fn check_writable(&self) -> Result<(), BpfError> {
        let trial = self.0.join(TRIAL);
        // Left by an agent that was killed here.
        if ownership::is_ours(&self.0, TRIAL) {
            drop(fs::remove_file(&trial));
        }
        let map = Array::<_, u32>::create(1, 0).map_err(|error| write_error(&error))?;
        map.pin(&trial).map_err(|error| write_error(&error))?;
        fs::remove_file(&trial).map_err(|error| write_error(&error))
    }

    /// The file of a map.
    pub(crate) fn map(&self, name: &str) -> PathBuf {
        self.0.join(format!("map-{name}"))
    }

    /// Makes the loader reuse pinned maps and pin new ones.
    pub(crate) fn pin_maps(&self, loader: &mut EbpfLoader<'_>, maps: &[&'static str]) {
        for name in maps {
            loader.map_pin_path(name, self.map(name));
        }
    }

    /// The file of a link.
    pub(crate) fn link(&self, generation: u32, program: &str) -> PathBuf {
        self.0.join(format!("link-{generation}-{program}"))
    }

    /// The files that describe the maps, the decisive one last.
    pub(crate) fn metadata_files(&self) -> [PathBuf; 2] {
        [NAMES, STATE].map(|name| self.0.join(name))
    }

    /// Reads what an agent can resume from; `None` if the directory is empty.
    pub(crate) fn read(&self) -> Result<Option<PinnedState>, PinError> {
        const STOPPED: PinError = PinError::Foreign("an agent was stopped before it counted");
        const VERSION: PinError = PinError::Foreign("it is of another version of partymeter");
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
        let [
            version,
            stride,
            party_capacity,
            auto_capacity,
            seconds,
            nanoseconds,
        ] = state;
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
            return Err(PinError::Foreign("a part of it is gone"));
        }
        let dimensions =
            [stride, party_capacity, auto_capacity].map(|it| u32::try_from(it).unwrap_or(0));
        let layout = Layout::restore(dimensions, self.names()?);
        let layout = layout.ok_or(PinError::Foreign("its names are incomplete"))?;
        let control = open(&self.map(map::CONTROL)).map_err(|error| unreadable(&error))?;
        let control: Array<_, Control> = Array::try_from(control).map_err(|_other_size| VERSION)?;
        let control = control.get(&0, 0).map_err(|error| unreadable(&error))?;
        let nanoseconds = u32::try_from(nanoseconds).unwrap_or(0);
        Ok(Some(PinnedState {
            layout,
            since: UNIX_EPOCH + Duration::new(seconds, nanoseconds),
            generation: handover::generation(control.handover),
        }))
    }

    fn names(&self) -> Result<Vec<(Kind, u32, Arc<str>)>, PinError> {
        let map = open(&self.0.join(NAMES)).map_err(|error| unreadable(&error))?;
        let map: HashMap<_, NameKey, Name> =
            HashMap::try_from(map).map_err(|error| unreadable(&error))?;
        let name = |entry: Result<(NameKey, Name), MapError>| {
            let ([kind, number], name) = entry.map_err(|error| unreadable(&error))?;
            let length = name.iter().position(|byte| *byte == 0);
            let name = str::from_utf8(&name[..length.unwrap_or(name.len())]).ok();
            let kind = Kind::ALL.into_iter().find(|it| *it as u32 == kind);
            let whole = name.zip(kind);
            let (name, kind) = whole.ok_or(PinError::Foreign("its names are not readable"))?;
            Ok((kind, number, Arc::from(name)))
        };
        map.iter().map(name).collect()
    }

    /// Describes the maps once they are ready.
    pub(crate) fn write(
        &self,
        layout: &Layout,
        since: SystemTime,
    ) -> Result<PinnedNames, BpfError> {
        let path = self.0.join(NAMES);
        if !path.exists() {
            let names =
                HashMap::<_, NameKey, Name>::create(layout.names_capacity(), BPF_F_NO_PREALLOC);
            let names = names.map_err(|error| write_error(&error))?;
            names.pin(&path).map_err(|error| write_error(&error))?;
        }
        let names = open(&path).and_then(HashMap::try_from);
        let mut names = PinnedNames(names.map_err(|error| write_error(&error))?);
        names.write(layout)?;
        let path = self.0.join(STATE);
        if !path.exists() {
            let since = since.duration_since(UNIX_EPOCH).unwrap_or_default();
            let [stride, party_capacity, auto_capacity] = layout.dimensions().map(u64::from);
            let value = [
                pinned::VERSION,
                stride,
                party_capacity,
                auto_capacity,
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

    /// Removes the links of all generations but one, which detaches their programs.
    pub(crate) fn remove_links(&self, keep: u32) -> io::Result<()> {
        let keep = format!("link-{keep}-");
        let entries = self.entries()?.into_iter();
        let mut old = entries.filter(|it| it.starts_with("link-") && !it.starts_with(&keep));
        old.try_for_each(|name| fs::remove_file(self.0.join(name)))
    }

    /// Removes everything that agents pinned, links first: without a reader nothing needs to count.
    pub(crate) fn clear(&self) -> io::Result<Removed> {
        let found = ownership::contents(&self.0)?;
        let (links, maps): (Vec<_>, Vec<_>) = found
            .ours
            .iter()
            .partition(|name| name.starts_with("link-"));
        for name in links.iter().chain(&maps) {
            fs::remove_file(self.0.join(name))?;
        }
        let (links, maps) = (links.len(), maps.len());
        let mut left = found.conflicts;
        left.extend(found.others);
        left.sort();
        Ok(Removed { links, maps, left })
    }

    /// Fails if a file that no agent made has a name that is needed.
    pub(crate) fn check_conflicts(&self) -> io::Result<()> {
        match ownership::contents(&self.0)?.conflicts.first() {
            None => Ok(()),
            Some(name) => {
                let path = self.0.join(name);
                let why = format!("{} is not partymeter's; help: remove it", path.display());
                Err(io::Error::other(why))
            }
        }
    }

    /// What agents made: the directory may be shared.
    fn entries(&self) -> io::Result<Vec<String>> {
        Ok(ownership::contents(&self.0)?.ours)
    }
}

/// The pinned numbers of parties and protocols.
pub(crate) struct PinnedNames(pub(super) HashMap<MapData, NameKey, Name>);

impl PinnedNames {
    /// Adds new names in the order of numbers, so that an interruption leaves no gap.
    pub(crate) fn write(&mut self, layout: &Layout) -> Result<(), BpfError> {
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

fn unreadable(error: &(dyn std::error::Error + 'static)) -> PinError {
    PinError::Unreadable(kernel_error("read what is pinned", error).to_string())
}
