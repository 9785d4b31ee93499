//! `partymeter ledger compare A B`: what one party sent and the other did not receive, connection by connection, added
//! up by who sent to whom. `read` reads and checks the two files, `whose` tells which connections are between the two,
//! `matching` puts them together, `verdict` adds up, `print` says it.
//!
//! Only connections that both have seen from their beginning to their end can be compared. The others are told apart,
//! with the reason. One of the two files is not one's own: nothing in it is believed that the other does not say as well.

mod matching;
mod print;
mod read;
mod verdict;
mod whose;

use std::{io::Write, os::unix::ffi::OsStrExt as _, path::Path, time::Duration};

use self::{
    read::{Names, Statement},
    verdict::Outcome,
};
use crate::text::printable;

/// How far apart the clocks of two parties may be.
const APART: Duration = Duration::from_secs(30);

/// Why nothing could be compared: a file that cannot be read or believed, or with nothing in it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Incomparable(String);

/// Reads both files and prints what is different; gives whether all that could be compared agrees, and something could.
///
/// # Errors
/// [`Incomparable`], and what printing has.
pub fn compare(first: &Path, second: &Path, out: &mut impl Write) -> anyhow::Result<bool> {
    let mut names = Names::default();
    let a = read::read(first, &mut names)?;
    let b = read::read(second, &mut names)?;
    let places = [first, second].map(|path| printable(path.as_os_str().as_bytes()));
    settle(&a, &b, &places, &names, out)
}

/// As [`compare`], once both are read; `places` are where they come from.
fn settle(
    a: &Statement,
    b: &Statement,
    places: &[String; 2],
    names: &Names,
    out: &mut impl Write,
) -> anyhow::Result<bool> {
    for (statement, place) in [a, b].into_iter().zip(places) {
        if statement.records.is_empty() {
            let why = format!("nothing could be compared: no connection is in {place}");
            return Err(Incomparable(why).into());
        }
    }
    if a.party.is_some() && a.party == b.party {
        let [first, second] = places;
        let why = format!(
            "nothing could be compared: {first} and {second} are the same party's; give each party's own"
        );
        return Err(Incomparable(why).into());
    }
    let called = |statement: &Statement| {
        let party = statement
            .party
            .map(|id| format!("party {}", printable(names.text(id))));
        party.or_else(|| Some(printable(names.text(statement.node?))))
    };
    let parties = match (called(a), called(b)) {
        // Without a party's name, nodes of two parties may have the same.
        (Some(a), Some(b)) if a != b => [a, b],
        _ => places.clone(),
    };
    let verdict = verdict::judge(a, b, names);
    print::print(&verdict, [a, b], &parties, names, out)?;
    match verdict.outcome() {
        Outcome::Agreed => Ok(true),
        Outcome::Disagreed => Ok(false),
        Outcome::Nothing => {
            let why = "nothing could be compared: no connection is in both files, whole";
            Err(Incomparable(why.to_owned()).into())
        }
    }
}

#[cfg(test)]
mod tests;
