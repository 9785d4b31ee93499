//! Values as they are written, by whichever way they came, and the parsers of the leaves. Pure.

use std::{net::SocketAddr, ops::RangeInclusive, path::PathBuf, time::Duration};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use toml::Spanned;
use toml::de::DeValue;

use super::{AdminSocket, Endpoint, Host, Pin};

/// A value: text from a flag or variable, or TOML.
#[derive(Clone, Debug)]
pub(super) enum Value<'a> {
    /// As typed; lists with commas.
    Text(&'a str),
    /// From the file.
    Toml(&'a DeValue<'a>),
}

/// What is wrong with a value, and the mend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) what: String,
    pub(super) mend: String,
}

pub(super) fn fault(what: impl Into<String>, mend: impl Into<String>) -> Fault {
    Fault {
        what: what.into(),
        mend: mend.into(),
    }
}

type Parsed<T> = Result<T, Fault>;

impl Value<'_> {
    fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) | Self::Toml(DeValue::String(_)) => "a string",
            Self::Toml(DeValue::Integer(_)) => "an integer",
            Self::Toml(DeValue::Float(_)) => "a float",
            Self::Toml(DeValue::Boolean(_)) => "a boolean",
            Self::Toml(DeValue::Datetime(_)) => "a date",
            Self::Toml(DeValue::Array(_)) => "an array",
            Self::Toml(DeValue::Table(_)) => "a table",
        }
    }

    fn not(&self, wanted: &str, example: &str) -> Fault {
        fault(
            format!("{} is not {wanted}", self.kind()),
            format!("write {example}"),
        )
    }

    pub(super) fn text(&self) -> Parsed<&str> {
        match self {
            Self::Text(text) => Ok(text),
            Self::Toml(DeValue::String(text)) => Ok(text),
            Self::Toml(_) => Err(self.not("a string", "it in quotes")),
        }
    }

    pub(super) fn integer(&self, range: RangeInclusive<u32>) -> Parsed<u32> {
        let mend = format!("give {} to {}", range.start(), range.end());
        let written = match self {
            Self::Text(text) => (*text).to_owned(),
            Self::Toml(DeValue::Integer(value)) => value.to_string(),
            Self::Toml(_) => return Err(self.not("an integer", "it without quotes")),
        };
        match written
            .parse::<i64>()
            .ok()
            .and_then(|value| u32::try_from(value).ok())
        {
            Some(value) if range.contains(&value) => Ok(value),
            _ if written.parse::<i64>().is_ok() => {
                Err(fault(format!("{written} is out of range"), mend))
            }
            _ => Err(fault(format!("{written:?} is no integer"), mend)),
        }
    }

    pub(super) fn duration(&self, range: RangeInclusive<Duration>) -> Parsed<Duration> {
        let mend = format!(
            "give {} to {}",
            humantime::format_duration(*range.start()),
            humantime::format_duration(*range.end())
        );
        let text = match self {
            Self::Toml(value) if !value.is_str() => {
                return Err(self.not("a duration", "\"1s\" or \"200ms\""));
            }
            _ => self.text()?,
        };
        match humantime::parse_duration(text) {
            Ok(duration) if range.contains(&duration) => Ok(duration),
            Ok(_) => Err(fault(format!("{text} is out of range"), mend)),
            Err(_) => Err(fault(
                format!("{text:?} is no duration"),
                "write one like \"1s\" or \"200ms\"",
            )),
        }
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(&self, words: &[(&str, T)]) -> Parsed<T> {
        let text = self.text()?;
        words
            .iter()
            .find(|(word, _)| *word == text)
            .map(|(_, value)| *value)
            .ok_or_else(|| {
                let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
                fault(
                    format!("{text:?} is none of its values"),
                    format!("give {}", words.join(", ")),
                )
            })
    }

    /// The parts of a list, each with its own place in the file; one value is a list of one.
    pub(super) fn list(&self) -> Vec<(Option<usize>, Value<'_>)> {
        match self {
            Self::Text(text) => text
                .split(',')
                .map(|part| (None, Value::Text(part.trim())))
                .collect(),
            Self::Toml(DeValue::Array(items)) => items
                .iter()
                .map(|item: &Spanned<DeValue<'_>>| {
                    (Some(item.span().start), Value::Toml(item.get_ref()))
                })
                .collect(),
            Self::Toml(value) => vec![(None, Value::Toml(value))],
        }
    }
}

pub(super) fn boolean(value: &Value<'_>) -> Parsed<bool> {
    match value {
        Value::Toml(DeValue::Boolean(boolean)) => Ok(*boolean),
        Value::Text("true") => Ok(true),
        Value::Text("false") => Ok(false),
        Value::Text(text) => Err(fault(
            format!("{text:?} is no boolean"),
            "write true or false",
        )),
        Value::Toml(_) => Err(value.not("a boolean", "true or false, without quotes")),
    }
}

pub(super) fn directory(value: &Value<'_>) -> Parsed<PathBuf> {
    match value.text()? {
        "" => Err(fault("is empty", "leave it out or name a directory")),
        path => Ok(PathBuf::from(path)),
    }
}

pub(super) fn listen(value: &Value<'_>) -> Parsed<SocketAddr> {
    let text = value.text()?;
    let mend = "write it like \"127.0.0.1:9464\" or \"[::1]:9464\"";
    text.parse()
        .map_err(|_invalid| fault(format!("{text:?} is no address with a port"), mend))
}

/// A name that a request may be for, without a port.
pub(super) fn host_name(value: &Value<'_>) -> Parsed<String> {
    let text = value.text()?;
    let mend = "write a name without a port, like \"metrics.example.org\"";
    let wrong = || fault(format!("{text:?} is no name of a host"), mend);
    let authority: http::uri::Authority = text.parse().map_err(|_invalid| wrong())?;
    if authority.as_str() == authority.host() {
        Ok(text.to_owned())
    } else {
        Err(wrong())
    }
}

/// A port or a range of ports.
pub(super) fn ports(value: &Value<'_>) -> Parsed<RangeInclusive<u16>> {
    let text = match value {
        Value::Toml(DeValue::Integer(port)) => port.to_string(),
        Value::Toml(toml) if !toml.is_str() => {
            return Err(value.not("a port", "5000 or \"5000-5009\""));
        }
        _ => value.text()?.to_owned(),
    };
    let port = |text: &str| match text.trim().parse::<u16>() {
        Ok(port) if port != 0 => Ok(port),
        _ => Err(fault(
            format!("{text:?} is no port"),
            "give 1 to 65535, or a range like \"5000-5009\"",
        )),
    };
    let (first, last) = text.split_once('-').unwrap_or((&text, &text));
    let (first, last) = (port(first)?, port(last)?);
    if first > last {
        return Err(fault(
            format!("the range {text} is reversed"),
            format!("write \"{last}-{first}\""),
        ));
    }
    Ok(first..=last)
}

/// The same ports, none of them twice; as they were written where that is so already.
pub(super) fn disjoint(ports: Vec<RangeInclusive<u16>>) -> Vec<RangeInclusive<u16>> {
    let mut sorted = ports.clone();
    sorted.sort_unstable_by_key(|range| (*range.start(), *range.end()));
    let is_disjoint = |pair: &[RangeInclusive<u16>]| pair[0].end() < pair[1].start();
    if sorted.windows(2).all(is_disjoint) {
        return ports;
    }
    let mut joined: Vec<RangeInclusive<u16>> = Vec::new();
    for range in sorted {
        match joined.last_mut() {
            Some(last) if range.start() <= last.end() => {
                *last = *last.start()..=*last.end().max(range.end());
            }
            _ => joined.push(range),
        }
    }
    joined
}

pub(super) fn endpoint(value: &Value<'_>) -> Parsed<Endpoint> {
    place(value.text()?)
}

pub(super) fn place(text: &str) -> Parsed<Endpoint> {
    if text.matches(':').count() > 1 && !text.starts_with('[') {
        return Ok(Endpoint {
            host: prefix(text)?,
            port: None,
        });
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let port = match port.map(str::parse::<u16>) {
        None => None,
        Some(Ok(port)) if port != 0 => Some(port),
        Some(_) => {
            return Err(fault(
                format!("{text:?} has no valid port"),
                "give 1 to 65535 after the colon",
            ));
        }
    };
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let host = match bare {
        Some(v6) => prefix(v6)?,
        None if host.contains('/') || looks_like_v4(host) => prefix(host)?,
        None => name(host)?,
    };
    if let (Host::Prefix(net), Some(_)) = (&host, port)
        && net.prefix_len() != net.max_prefix_len()
    {
        let what = format!("{text:?} is a prefix with a port");
        return Err(fault(
            what,
            "give single addresses their ports, or the prefix none",
        ));
    }
    Ok(Endpoint { host, port })
}

fn looks_like_v4(host: &str) -> bool {
    host.starts_with(|c: char| c.is_ascii_digit())
        && host.chars().all(|c| c.is_ascii_digit() || c == '.')
}

/// A directory to pin in; empty: none.
pub(super) fn pin(value: &Value<'_>) -> Parsed<Pin> {
    match value.text()? {
        "" => Ok(Pin::Nothing),
        path if path.starts_with('/') => Ok(Pin::At(PathBuf::from(path))),
        path => Err(fault(
            format!("{path:?} is no absolute path"),
            "name a directory in a BPF file system, such as /sys/fs/bpf/partymeter",
        )),
    }
}

/// Longest path of a Unix socket: `sockaddr_un.sun_path` without its last zero.
const SOCKET_PATH: usize = 107;

/// A Unix socket to listen on; empty: none.
pub(super) fn admin_socket(value: &Value<'_>) -> Parsed<AdminSocket> {
    let text = value.text()?;
    let path = PathBuf::from(text);
    let mend = "name a socket in a directory that only root can write to, such as /run/partymeter/admin.sock";
    if text.is_empty() {
        return Ok(AdminSocket::Off);
    }
    if !path.is_absolute() {
        return Err(fault(format!("{text:?} is no absolute path"), mend));
    }
    if text.ends_with('/') || path.file_name().is_none() {
        return Err(fault(format!("{text:?} names no file"), mend));
    }
    if text.len() > SOCKET_PATH {
        let what = format!("is longer than the {SOCKET_PATH} bytes that a socket's path may have");
        return Err(fault(what, mend));
    }
    Ok(AdminSocket::At(path))
}

/// A group's name or number.
pub(super) fn group(value: &Value<'_>) -> Parsed<String> {
    let text = match value {
        Value::Toml(DeValue::Integer(number)) => number.to_string(),
        Value::Toml(toml) if !toml.is_str() => {
            return Err(value.not("a group", "\"wheel\" or 10"));
        }
        _ => value.text()?.to_owned(),
    };
    if text.is_empty() {
        return Err(fault("is empty", "leave it out or name a group"));
    }
    Ok(text)
}

/// An address or a prefix.
pub(super) fn net(value: &Value<'_>) -> Parsed<IpNet> {
    prefix_of(value.text()?, "write one like 10.0.0.2 or 10.0.1.0/24")
}

fn prefix(text: &str) -> Parsed<Host> {
    let example = "write one like 10.0.0.2, 10.0.1.0/24 or [2001:db8::7]:5001";
    prefix_of(text, example).map(Host::Prefix)
}

fn prefix_of(text: &str, example: &str) -> Parsed<IpNet> {
    let invalid = || fault(format!("{text:?} is no address or prefix"), example);
    let net = if text.contains('/') {
        text.parse::<IpNet>().map_err(|_invalid| invalid())?
    } else {
        IpNet::from(
            text.parse::<std::net::IpAddr>()
                .map_err(|_invalid| invalid())?,
        )
    };
    if net.addr() != net.network() {
        return Err(fault(
            format!("{text} has host bits set"),
            format!("write {}", net.trunc()),
        ));
    }
    Ok(unmapped(net))
}

/// `::ffff:10.0.0.0/120` is 10.0.0.0/24, for one address has one name here.
fn unmapped(net: IpNet) -> IpNet {
    let v4 = |net: Ipv6Net| {
        let bits = net.prefix_len().checked_sub(96)?;
        Ipv4Net::new(net.addr().to_ipv4_mapped()?, bits).ok()
    };
    match net {
        IpNet::V6(v6) => v4(v6).map_or(net, IpNet::V4),
        IpNet::V4(_) => net,
    }
}

/// A host name by the letters of RFC 1123, and `_`, which resolvers take.
fn name(text: &str) -> Parsed<Host> {
    let label = |label: &str| {
        let legal = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && label.chars().all(legal)
    };
    let bare = text.strip_suffix('.').unwrap_or(text);
    if text.len() <= 253 && bare.split('.').all(label) {
        return Ok(Host::Name(text.to_owned()));
    }
    Err(fault(
        format!("{text:?} is no address, prefix or host name"),
        "write one like 10.0.0.2, 10.0.1.0/24, [2001:db8::7]:5001 or party1.example.org:5001",
    ))
}
