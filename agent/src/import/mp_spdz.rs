//! MP-SPDZ: the file of `-ip`, a line `host[:port]` for each party in the order of their numbers. As
//! `Names::init` in `Networking/Player.cpp` reads it: empty lines and those that begin with `#` are skipped, the
//! host ends at the first colon, the port is 5000 (`--portnumbase`) and the party's number.

use super::{Found, ImportError, Party, counted_port, host, import_error, port};

const BASE: u16 = 5000;

pub(super) fn read(text: &str) -> Result<Found, ImportError> {
    let mut found = Found::default();
    for (number, line) in (1..).zip(text.lines()) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let wrong = |what: String| import_error(number, what, "write a line as host or host:port");
        let (address, given) = match line.split_once(':') {
            None => (line, None),
            Some((address, number)) => (address, Some(port(number).map_err(wrong)?)),
        };
        let index = found.parties.len();
        found.parties.push(Party {
            id: index.to_string(),
            host: Some(host(address.trim()).map_err(wrong)?),
            ports: vec![given.map_or_else(|| counted_port(BASE, index), Ok)?],
            given: given.is_some(),
            line: Some(number),
        });
    }
    if found.parties.is_empty() {
        let help = "give a file as for -ip, a line host[:port] for each party";
        return Err(import_error(None, "has no party", help));
    }
    Ok(found)
}
