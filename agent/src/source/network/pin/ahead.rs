//! What can be told of the pinned counters without taking them: for the agent that is about to, and for `partymeter
//! check`, which does not.

use std::path::Path;

use super::{Place, busy, not_to_be_used, unusable};
use crate::{
    config::Config,
    finding::{Finding, or_else},
    lock, safe_dir,
    source::network::{
        layout::Layout,
        loader::{Folder, Unfit},
    },
};

/// Where the counters of a configuration are or would be pinned, or why not, as [`Pins::open`] would find it; changes
/// nothing.
pub fn probe(config: &Config) -> Vec<Finding> {
    const WHAT: &str = "counters";
    let (path, chosen) = match Place::of(config) {
        Ok(Place::At { path, chosen }) => (path, chosen),
        Ok(Place::Nowhere(why)) => {
            let line = format!("they end with the agent: {why}");
            return vec![Finding::required(WHAT, Ok(line))];
        }
        Err(error) => return vec![Finding::required(WHAT, Err(error.to_string()))],
    };
    let refused = |why: String| {
        vec![if chosen {
            Finding::required(WHAT, Err(unusable(&why).to_string()))
        } else {
            Finding::optional(WHAT, Err(ended(&why)))
        }]
    };
    let shown = path.display();
    let found = safe_dir::probe(&path).and_then(|()| safe_dir::open(&path));
    let directory = match found {
        Ok(directory) => directory,
        Err(error) if error.is_missing() && safe_dir::probe(&path).is_ok() => {
            let line = format!("they are to be pinned under {shown}");
            return vec![Finding::required(WHAT, Ok(line))];
        }
        Err(error) => return refused(not_to_be_used(&error)),
    };
    match lock::is_taken(&directory) {
        Ok(false) => {}
        Ok(true) => return vec![Finding::required(WHAT, Err(busy(&path).to_string()))],
        Err(error) => return refused(format!("cannot use {shown}: {error}")),
    }
    let line = format!("pinned under {shown}");
    match examine(&Folder(path.clone()), config) {
        Err(why) => refused(why),
        Ok(Examined { unfit: None, .. }) => vec![Finding::required(WHAT, Ok(line))],
        Ok(Examined {
            unfit: Some(why), ..
        }) => vec![
            Finding::required(WHAT, Ok(line)),
            Finding::optional(WHAT, Err(at_zero(&path, &why))),
        ],
    }
}

/// What there is in a directory to go on with.
pub(super) struct Examined {
    /// Numbers to go on with.
    pub(super) layout: Option<Layout>,
    /// Why what is there cannot be gone on with.
    pub(super) unfit: Option<String>,
}

/// Looks at what is in a directory; changes nothing in it.
///
/// # Errors
/// Why nothing can be pinned there.
pub(super) fn examine(folder: &Folder, config: &Config) -> Result<Examined, String> {
    folder
        .nothing_in_the_way()
        .map_err(|error| error.to_string())?;
    let (layout, unfit) = match folder.read() {
        Ok(None) => (None, None),
        Ok(Some(kept)) => {
            let mut layout = kept.layout;
            match layout.go_on(config) {
                Ok(()) => (Some(layout), None),
                Err(full) => (None, Some(full.to_string())),
            }
        }
        Err(Unfit::Foreign(why)) => (None, Some(why.to_owned())),
        Err(Unfit::Unreadable(why)) => return Err(why),
    };
    Ok(Examined { layout, unfit })
}

pub(super) fn at_zero(path: &Path, why: &str) -> String {
    format!(
        "counters begin at 0: what is pinned under {} is of no use, {why}; help: nothing, unless it is to be gone on with \
         by the agent that has left it",
        path.display()
    )
}

pub(super) fn ended(why: &str) -> String {
    or_else(
        &format!("counters end with the agent ({why})"),
        "set network.bpf_pin_path to a directory of a BPF file system, or to \"\" for none",
    )
}
