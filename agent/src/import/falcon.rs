//! Falcon: its file of three addresses, a line each. As `initializeCommunication` in `src/connect.cpp` reads it:
//! the first word of each of the first three lines, and of an empty one the word before it (so `files/IP_localhost`,
//! which has an empty line after each address, works). Ports are 32000 + sender * 3 + receiver.

use super::{Found, ImportError, Party, host, import_error, piranha::ports};

const PARTIES: usize = 3;

pub(super) fn read(text: &str) -> Result<Found, ImportError> {
    let mut found = Found::default();
    let mut last = None;
    for (number, line) in (1..).zip(text.lines()).take(PARTIES) {
        last = line.split_whitespace().next().or(last);
        let Some(word) = last else {
            let help = "give the three addresses first, a line each";
            return Err(import_error(number, "is empty", help));
        };
        let index = found.parties.len();
        let wrong = |what| import_error(number, what, "write one address a line");
        found.parties.push(Party {
            id: index.to_string(),
            host: Some(host(word).map_err(wrong)?),
            ports: ports(index, PARTIES)?,
            given: false,
            line: Some(number),
        });
    }
    if found.parties.len() < PARTIES {
        let what = format!("has {} lines", found.parties.len());
        return Err(import_error(None, what, "give three, an address each"));
    }
    Ok(found)
}
