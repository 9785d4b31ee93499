//! `partymeter ledger compare A B`: compares what one party sent with what the other received, per connection, and sums it
//! up per direction. `read` reads and checks the two files, `peers` decides which connections are between the two parties,
//! `matching` pairs them, `verdict` sums up, `print` prints.
//!
//! Only connections that both parties saw from beginning to end can be compared; the others are listed with the reason.
//! One file comes from the other party and is not trusted: nothing in it counts that one's own file does not confirm.

mod matching;
mod peers;
mod print;
mod read;
mod verdict;

use std::{io::Write, os::unix::ffi::OsStrExt as _, path::Path, time::Duration};

use self::{
    read::{Names, Statement},
    verdict::Outcome,
};
use crate::text::printable;

/// The largest difference between the clocks of two parties.
const MAX_CLOCK_SKEW: Duration = Duration::from_secs(30);

/// Why nothing could be compared: a file is unreadable, impossible or empty.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Incomparable(String);

/// Reads both files and prints the differences. Returns whether something was compared and all of it agrees.
///
/// # Errors
/// [`Incomparable`], or a failure to print.
pub fn compare(first: &Path, second: &Path, out: &mut impl Write) -> anyhow::Result<bool> {
    let mut names = Names::default();
    let a = read::read(first, &mut names)?;
    let b = read::read(second, &mut names)?;
    let places = [first, second].map(|path| printable(path.as_os_str().as_bytes()));
    compare_statements(&a, &b, &places, &names, out)
}

/// As [`compare`], of two texts that are called `A` and `B`.
///
/// # Errors
/// As [`compare`].
#[cfg(feature = "fuzz")]
pub fn compare_texts(a: &[u8], b: &[u8], out: &mut impl Write) -> anyhow::Result<bool> {
    let mut names = Names::default();
    let places = ["A", "B"].map(str::to_owned);
    let a = read::parse(a, &places[0], &mut names)?;
    let b = read::parse(b, &places[1], &mut names)?;
    compare_statements(&a, &b, &places, &names, out)
}

/// As [`compare`], for files that are read; `places` are their names.
fn compare_statements(
    a: &Statement,
    b: &Statement,
    places: &[String; 2],
    names: &Names,
    out: &mut impl Write,
) -> anyhow::Result<bool> {
    for (statement, place) in [a, b].into_iter().zip(places) {
        if statement.records.is_empty() {
            let why = format!("nothing could be compared: {place} has no connection");
            return Err(Incomparable(why).into());
        }
    }
    if a.party.is_some() && a.party == b.party {
        let [first, second] = places;
        let why = format!(
            "nothing could be compared: {first} and {second} are from the same party; help: give one file of each party"
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
        // Without party ids, nodes of two parties may have the same name.
        (Some(a), Some(b)) if a != b => [a, b],
        _ => places.clone(),
    };
    let verdict = verdict::judge(a, b, names);
    print::print(&verdict, [a, b], &parties, names, out)?;
    match verdict.outcome() {
        Outcome::Agreed => Ok(true),
        Outcome::Disagreed => Ok(false),
        Outcome::Nothing => {
            let why = "nothing could be compared: no connection is complete in both files";
            Err(Incomparable(why.to_owned()).into())
        }
    }
}

#[cfg(test)]
mod tests;
