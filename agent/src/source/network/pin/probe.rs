//! Examines pinned counters without locking them, for `partymeter check`.

use super::{
    directory::PinDirectory,
    examine::{Examined, examine},
    path::{
        PinPath, counters_not_pinned, counters_reset, in_use, invalid_pin_path, unusable_directory,
    },
};
use crate::{config::Config, finding::Finding, lock, safe_dir};

/// Where counters are or would be pinned, or why not, as [`super::Pins::open`] would find it. Changes nothing.
pub fn probe(config: &Config) -> Vec<Finding> {
    const WHAT: &str = "counters";
    let (path, chosen) = match PinPath::of(config) {
        Ok(PinPath::At { path, chosen }) => (path, chosen),
        Ok(PinPath::Disabled(why)) => {
            let line = format!("they end with the agent: {why}");
            return vec![Finding::required(WHAT, Ok(line))];
        }
        Err(error) => return vec![Finding::required(WHAT, Err(error.to_string()))],
    };
    let refused = |why: String| {
        vec![if chosen {
            Finding::required(WHAT, Err(invalid_pin_path(&why).to_string()))
        } else {
            Finding::optional(WHAT, Err(counters_not_pinned(&why)))
        }]
    };
    let shown = path.display();
    let found = safe_dir::probe(&path).and_then(|()| safe_dir::open(&path));
    let lock_file = match found {
        Ok(file) => file,
        Err(error) if error.is_missing() && safe_dir::probe(&path).is_ok() => {
            let line = format!("they are to be pinned under {shown}");
            return vec![Finding::required(WHAT, Ok(line))];
        }
        Err(error) => return refused(unusable_directory(&error)),
    };
    match lock::is_taken(&lock_file) {
        Ok(false) => {}
        Ok(true) => return vec![Finding::required(WHAT, Err(in_use(&path).to_string()))],
        Err(error) => return refused(format!("cannot use {shown}: {error}")),
    }
    let line = format!("pinned under {shown}");
    match examine(&PinDirectory(path.clone()), config) {
        Err(why) => refused(why),
        Ok(Examined {
            incompatible: None, ..
        }) => vec![Finding::required(WHAT, Ok(line))],
        Ok(Examined {
            incompatible: Some(why),
            ..
        }) => vec![
            Finding::required(WHAT, Ok(line)),
            Finding::optional(WHAT, Err(counters_reset(&path, &why))),
        ],
    }
}
