//! `partymeter parties import`: from a framework's own party file to `[[parties]]` and `[[protocols]]` of the
//! configuration. One file for each framework, a pure function from its text to `Found`; `print` writes what was
//! found. What is printed has been read back by the configuration's own code.

mod falcon;
mod json;
mod motion;
mod mp_spdz;
mod mpyc;
mod piranha;
mod print;
mod spu;
mod torch_env;
mod words;

use std::{collections::BTreeSet, fmt, io, path::Path, time::Duration};

use crate::{
    Misconfigured,
    config::{Endpoint, Host},
    input::{self, Unreadable},
    text::printable_to,
};

/// A framework whose party file is known.
#[derive(Clone, Copy, Debug)]
pub struct Framework {
    /// As it is named on the command line.
    pub name: &'static str,
    /// What it is called in the configuration.
    protocol: &'static str,
    read: fn(&str) -> Result<Found, Mistake>,
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
    read: fn(&str) -> Result<Found, Mistake>,
) -> Framework {
    Framework {
        name,
        protocol,
        read,
    }
}

/// More parties than this are a mistake, or somebody's way to take all memory: a file of a few bytes can ask for billions.
const MOST_PARTIES: u64 = 4096;

/// That there are not too many parties, before anything is made of their number.
fn bounded(line: Option<usize>, parties: u64) -> Result<u64, Mistake> {
    if parties <= MOST_PARTIES {
        return Ok(parties);
    }
    let what = format!("{parties} parties are more than {MOST_PARTIES}");
    Err(mistake(line, what, "give the file of one computation"))
}

/// How long a pipe may take that is given as the file.
const PATIENCE: Duration = Duration::from_secs(10);

/// The most that is shown of what is wrong. Unit: characters.
const LONGEST: usize = 1024;

/// Reads a party file, `-` for standard input, and gives the text for the configuration.
///
/// # Errors
/// The first thing that is wrong with it, with its line.
pub fn import(framework: Framework, file: &Path) -> Result<String, Misconfigured> {
    let name = if file == Path::new("-") {
        "standard input".to_owned()
    } else {
        file.display().to_string()
    };
    let text = text_of(file).map_err(|error| {
        Misconfigured(format!(
            "{name}: {error}; give a readable text file, or - for standard input"
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
    let mistake = |Mistake { line, what, mend }: Mistake| {
        let line = line.map(|line| format!(":{line}")).unwrap_or_default();
        let [name, what] = [name, &*what].map(|text| printable_to(text, LONGEST));
        Misconfigured(format!("{name}{line}: {what}; {mend}"))
    };
    let found = (framework.read)(text).map_err(mistake)?;
    bounded(None, found.parties.len() as u64).map_err(mistake)?;
    let origin = format!("{} ({})", name.escape_debug(), framework.name);
    print::print(&found, framework.protocol, &origin).map_err(mistake)
}

/// What a framework's file says.
#[derive(Debug, Default, PartialEq, Eq)]
struct Found {
    /// This node's own party, where the file tells.
    own: Option<String>,
    /// The parties, in the order of the file.
    parties: Vec<Party>,
    /// Ports that a party listens on, which no party below has.
    ports: BTreeSet<u16>,
    /// What the user must know, a line each.
    notes: Vec<String>,
}

/// One party.
#[derive(Debug, PartialEq, Eq)]
struct Party {
    id: String,
    /// Where it is; `None`: the file does not tell.
    host: Option<Host>,
    /// Ports that it listens on.
    ports: Vec<u16>,
    /// Whether the file gives these ports; else they are the framework's own.
    given: bool,
    /// Its line in the file, where that is known.
    line: Option<usize>,
}

/// What is wrong with a file.
#[derive(Debug, PartialEq, Eq)]
struct Mistake {
    line: Option<usize>,
    what: String,
    mend: String,
}

fn mistake(
    line: impl Into<Option<usize>>,
    what: impl fmt::Display,
    mend: impl fmt::Display,
) -> Mistake {
    Mistake {
        line: line.into(),
        what: what.to_string(),
        mend: mend.to_string(),
    }
}

/// A single address or host name, as programs connect to.
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
        _ => Err(format!("{text:?} is no address and no host name")),
    }
}

/// `host:port`, and brackets around an IPv6 address.
fn host_and_port(text: &str) -> Result<(Host, u16), String> {
    let invalid = || format!("{text:?} is no address with a port");
    let (address, number) = text.rsplit_once(':').ok_or_else(invalid)?;
    Ok((
        host(address).map_err(|_what| invalid())?,
        port(number).map_err(|_what| invalid())?,
    ))
}

fn port(text: &str) -> Result<u16, String> {
    match text.trim().parse() {
        Ok(port) if port != 0 => Ok(port),
        _ => Err(format!("{text:?} is no port")),
    }
}

/// A party's port by a framework's formula.
fn counted_port(base: u16, offset: usize) -> Result<u16, Mistake> {
    let port = u16::try_from(offset)
        .ok()
        .and_then(|offset| base.checked_add(offset));
    port.ok_or_else(|| {
        mistake(
            None,
            "there are more parties than there are ports",
            "give fewer",
        )
    })
}

#[cfg(test)]
mod tests;
