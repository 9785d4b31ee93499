//! MPyC: the file of `-C` (`demos/.config/party3_0.ini`), or the command line with `-P host:port` for each party.
//! As `setup` in `mpyc/runtime.py` reads them: parties are numbered in order, whatever their sections are called;
//! no host means our own; no port means 11365 (`-B`) and the number; `-M m` alone means all on this host.

use super::{
    Found, ImportError, Party, bounded, command_line::words, counted_port, host, import_error, port,
};

const BASE: u16 = 11_365;

pub(super) fn read(text: &str) -> Result<Found, ImportError> {
    let first = text.lines().map(str::trim).find(|line| is_content(line));
    let found = if first.is_some_and(|line| line.starts_with('[')) {
        ini(text)?
    } else {
        arguments(text)?
    };
    if found.parties.is_empty() {
        let help = "give a file as for -C, or a command line with -P host:port for each party";
        return Err(import_error(None, "has no party", help));
    }
    Ok(found)
}

/// What Python's `configparser` does not take for a comment.
fn is_content(line: &str) -> bool {
    !line.is_empty() && !line.starts_with(['#', ';'])
}

#[derive(Default)]
struct Section<'a> {
    line: usize,
    host: Option<&'a str>,
    port: Option<(usize, &'a str)>,
}

fn ini(text: &str) -> Result<Found, ImportError> {
    let mut sections = Vec::new();
    for (number, line) in (1..).zip(text.lines().map(str::trim)) {
        if !is_content(line) {
            continue;
        }
        if line.starts_with('[') {
            sections.push(Section {
                line: number,
                ..Section::default()
            });
            continue;
        }
        let Some((key, value)) = line.split_once(['=', ':']) else {
            return Err(import_error(
                number,
                format!("{line:?} has no ="),
                "write host = NAME",
            ));
        };
        let Some(section) = sections.last_mut() else {
            continue;
        };
        match key.trim().to_lowercase().as_str() {
            "host" => section.host = Some(value.trim()),
            "port" => section.port = Some((number, value.trim())),
            _ => {}
        }
    }
    let mut found = Found::default();
    for Section { line, host, port } in sections {
        let lacks = |key: &str| {
            let help = format!("write {key} = and its value, which may be empty");
            import_error(line, format!("this party has no {key}"), help)
        };
        let host = host.ok_or_else(|| lacks("host"))?;
        let (at, port) = port.ok_or_else(|| lacks("port"))?;
        add(&mut found, BASE, host, port, at)?;
    }
    Ok(found)
}

fn arguments(text: &str) -> Result<Found, ImportError> {
    let options = ["-P", "-B", "--base-port", "-I", "--index", "-M"];
    let mut words = words(text).peekable();
    let (mut addresses, mut base, mut local, mut own) = (Vec::new(), None, None, None);
    while let Some((line, word)) = words.next() {
        // `-P addr`, `-Paddr`, `--index i` and `--index=i`.
        let Some(option) = options.iter().find(|option| {
            let rest = word.strip_prefix(**option);
            rest.is_some_and(|rest| {
                rest.is_empty() || !option.starts_with("--") || rest.starts_with('=')
            })
        }) else {
            continue;
        };
        let attached = word[option.len()..].trim_start_matches('=');
        let value = if attached.is_empty() {
            words.next().map(|(_, word)| word)
        } else {
            Some(attached)
        };
        let missing = || import_error(line, format!("{option} has no value"), "write it behind");
        let value = value.ok_or_else(missing)?;
        let wrong = |what| import_error(line, what, format!("give {option} a number"));
        let number = |text: &str| {
            text.parse::<u16>()
                .map_err(|_invalid| wrong(format!("{text:?} is not a number")))
        };
        match *option {
            "-P" => addresses.push((line, value)),
            "-M" => {
                let parties = number(value)?;
                bounded(Some(line), parties.into())?;
                local = Some((line, parties));
            }
            "-I" | "--index" => own = Some(number(value)?.to_string()),
            _ => base = Some(port(value).map_err(wrong)?),
        }
    }
    let mut found = Found::default();
    for (line, address) in &addresses {
        let (host, port) = address.rsplit_once(':').unwrap_or((address, ""));
        // A base port goes over the ports of the addresses.
        let port = if base.is_some() { "" } else { port };
        add(&mut found, base.unwrap_or(BASE), host, port, *line)?;
    }
    if let (true, Some((line, parties))) = (addresses.is_empty(), local) {
        for _ in 0..parties {
            add(&mut found, base.unwrap_or(BASE), "localhost", "", line)?;
        }
    }
    found.own = found.own.or(own);
    Ok(found)
}

fn add(
    found: &mut Found,
    base: u16,
    address: &str,
    listens: &str,
    line: usize,
) -> Result<(), ImportError> {
    let wrong = |what| import_error(line, what, "give a host name or address, and a port");
    let index = found.parties.len();
    let at = if address.is_empty() {
        found.own = Some(index.to_string());
        None
    } else {
        Some(host(address).map_err(wrong)?)
    };
    let given = !listens.is_empty();
    let ports = if given {
        vec![port(listens).map_err(wrong)?]
    } else {
        vec![counted_port(base, index)?]
    };
    found.parties.push(Party {
        id: index.to_string(),
        host: at,
        ports,
        given,
        line: Some(line),
    });
    Ok(())
}
