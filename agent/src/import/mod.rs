//! `partymeter parties import`: converts a framework's own party file to `[[parties]]` and `[[protocols]]` of the
//! configuration. Each framework has a module with a pure function from the file's text to [`Found`]; `print` writes the
//! result after the configuration's own parser has accepted it.

mod command_line;
mod falcon;
mod json;
mod motion;
mod mp_spdz;
mod mpyc;
mod piranha;
mod print;
mod spu;
mod torch_env;

use std::{collections::BTreeSet, fmt, io, path::Path, time::Duration};

use crate::{
    Misconfigured,
    config::{Endpoint, Host},
    finding::HELP,
    input::{self, Unreadable},
    text::printable_to,
};

/// A framework whose party file can be imported.
#[derive(Clone, Copy, Debug)]
pub struct Framework {
    /// Its name on the command line.
    pub name: &'static str,
    /// The protocol's name in the configuration.
    protocol: &'static str,
    read: fn(&str) -> Result<Found, ImportError>,
}

/// All of them.
pub const FRAMEWORKS: [Framework; 7] = [
    framework("mp-spdz", "mp-spdz", mp_spdz::read),
    framework("spu", "spu", spu::read),
    framework("piranha", "piranha", piranha::read),
    framework("falcon", "falcon", falcon::read),
    framework("motion", "motion", motion::read),
    framework("mpyc", "mpyc", mpyc::read),
    framework("torch-env", "torch", torch_env::read),
];

const fn framework(
    name: &'static str,
    protocol: &'static str,
    read: fn(&str) -> Result<Found, ImportError>,
) -> Framework {
    Framework {
        name,
        protocol,
        read,
    }
}

/// The most parties of one file: a few bytes can ask for billions, and take all memory.
const MOST_PARTIES: u64 = 4096;

/// The number of parties, checked before anything is allocated for them.
fn bounded(line: Option<usize>, parties: u64) -> Result<u64, ImportError> {
    if parties <= MOST_PARTIES {
        return Ok(parties);
    }
    let what = format!("{parties} parties are more than {MOST_PARTIES}");
    Err(import_error(line, what, "give the file of one computation"))
}

/// How long the writer of a pipe may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The longest part of an error that is shown. Unit: characters.
const LONGEST: usize = 1024;

/// Reads a party file, `-` for standard input, and returns the text for the configuration.
///
/// # Errors
/// The first error in the file, with its line.
pub fn import(framework: Framework, file: &Path) -> Result<String, Misconfigured> {
    let name = if file == Path::new("-") {
        "standard input".to_owned()
    } else {
        file.display().to_string()
    };
    let text = text_of(file).map_err(|error| {
        Misconfigured(format!(
            "{name}: {error}{HELP}name a readable text file, or - for standard input"
        ))
    })?;
    convert(framework, &name, &text)
}

fn text_of(file: &Path) -> Result<String, Unreadable> {
    let bytes = if file == Path::new("-") {
        input::bounded(io::stdin().lock(), input::LARGEST)
    } else {
        input::file_or_pipe(file, input::LARGEST, PATIENCE)
    };
    bytes.and_then(input::text)
}

/// As [`import`], of a text that is called `name`.
///
/// # Errors
/// As [`import`].
pub fn convert(framework: Framework, name: &str, text: &str) -> Result<String, Misconfigured> {
    let error = |ImportError { line, what, help }: ImportError| {
        let line = line.map(|line| format!(":{line}")).unwrap_or_default();
        let [name, what] = [name, &*what].map(|text| printable_to(text, LONGEST));
        Misconfigured(format!("{name}{line}: {what}{HELP}{help}"))
    };
    let found = (framework.read)(text).map_err(error)?;
    bounded(None, found.parties.len() as u64).map_err(error)?;
    let origin = format!("{} ({})", name.escape_debug(), framework.name);
    print::print(&found, framework.protocol, &origin).map_err(error)
}

/// What a framework's file says.
#[derive(Debug, Default, PartialEq, Eq)]
struct Found {
    /// This node's own party, if the file says which.
    own: Option<String>,
    /// The parties, in the order of the file.
    parties: Vec<Party>,
    /// Ports that parties listen on, beside those of `parties`.
    ports: BTreeSet<u16>,
    /// Comments for the user, a line each.
    notes: Vec<String>,
}

/// One party.
#[derive(Debug, PartialEq, Eq)]
struct Party {
    id: String,
    /// Its address; `None` if the file has none.
    host: Option<Host>,
    /// Ports that it listens on.
    ports: Vec<u16>,
    /// Whether the ports are from the file, rather than the framework's default.
    given: bool,
    /// Its line in the file, if known.
    line: Option<usize>,
}

/// An error in a file.
#[derive(Debug, PartialEq, Eq)]
struct ImportError {
    line: Option<usize>,
    what: String,
    help: String,
}

fn import_error(
    line: impl Into<Option<usize>>,
    what: impl fmt::Display,
    help: impl fmt::Display,
) -> ImportError {
    ImportError {
        line: line.into(),
        what: what.to_string(),
        help: help.to_string(),
    }
}

/// A single address or a host name.
fn host(text: &str) -> Result<Host, String> {
    let bracketed = text.starts_with('[') && text.ends_with(']');
    match text.parse::<Endpoint>() {
        Ok(Endpoint {
            host: Host::Prefix(net),
            port: None,
        }) if net.prefix_len() == net.max_prefix_len() && !text.contains('/') => {
            Ok(Host::Prefix(net))
        }
        Ok(Endpoint {
            host: host @ Host::Name(_),
            port: None,
        }) if !bracketed => Ok(host),
        _ => Err(format!("{text:?} is neither an address nor a host name")),
    }
}

/// `host:port`, with brackets around an IPv6 address.
fn host_and_port(text: &str) -> Result<(Host, u16), String> {
    let invalid = || format!("{text:?} is not an address with a port");
    let (address, number) = text.rsplit_once(':').ok_or_else(invalid)?;
    Ok((
        host(address).map_err(|_what| invalid())?,
        port(number).map_err(|_what| invalid())?,
    ))
}

fn port(text: &str) -> Result<u16, String> {
    match text.trim().parse() {
        Ok(port) if port != 0 => Ok(port),
        _ => Err(format!("{text:?} is not a port")),
    }
}

/// A party's port by a framework's formula.
fn counted_port(base: u16, offset: usize) -> Result<u16, ImportError> {
    let port = u16::try_from(offset)
        .ok()
        .and_then(|offset| base.checked_add(offset));
    port.ok_or_else(|| {
        import_error(
            None,
            "there are more parties than ports",
            "give the file of one computation",
        )
    })
}

#[cfg(test)]
mod tests;
