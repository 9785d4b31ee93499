//! Parsers for addresses, prefixes, host names and ports. Pure.

use std::{net::SocketAddr, ops::RangeInclusive, str::FromStr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use toml::de::DeValue;

use super::{
    Endpoint, Host,
    error::invalid,
    value::{Parsed, Value},
};

pub(super) fn listen(value: &Value<'_>) -> Parsed<SocketAddr> {
    let text = value.text()?;
    let help = "write it like \"127.0.0.1:9464\" or \"[::1]:9464\"";
    text.parse()
        .map_err(|_invalid| invalid(format!("{text:?} is not an address with a port"), help))
}

/// A host name without a port.
pub(super) fn host_name(value: &Value<'_>) -> Parsed<String> {
    let text = value.text()?;
    let help = "write a name without a port, like \"metrics.example.org\"";
    let wrong = || invalid(format!("{text:?} is not a host name"), help);
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
        _ => Err(invalid(
            format!("{text:?} is not a port"),
            "give 1 to 65535, or a range like \"5000-5009\"",
        )),
    };
    let (first, last) = text.split_once('-').unwrap_or((&text, &text));
    let (first, last) = (port(first)?, port(last)?);
    if first > last {
        return Err(invalid(
            format!("the range {text} is reversed"),
            format!("write \"{last}-{first}\""),
        ));
    }
    Ok(first..=last)
}

/// The same ports, each once; in the order in which they were written unless some overlap.
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
    parse(value.text()?)
}

impl FromStr for Endpoint {
    type Err = String;

    /// # Errors
    /// What is wrong and what would be right, in one line.
    fn from_str(text: &str) -> Result<Self, String> {
        parse(text).map_err(|invalid| invalid.to_string())
    }
}

fn parse(text: &str) -> Parsed<Endpoint> {
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
            return Err(invalid(
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
        return Err(invalid(
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

/// An address or a prefix.
pub(super) fn net(value: &Value<'_>) -> Parsed<IpNet> {
    prefix_of(value.text()?, "write one like 10.0.0.2 or 10.0.1.0/24")
}

fn prefix(text: &str) -> Parsed<Host> {
    let example = "write one like 10.0.0.2, 10.0.1.0/24 or [2001:db8::7]:5001";
    prefix_of(text, example).map(Host::Prefix)
}

fn prefix_of(text: &str, example: &str) -> Parsed<IpNet> {
    let malformed = || invalid(format!("{text:?} is not an address or prefix"), example);
    let net = if text.contains('/') {
        text.parse::<IpNet>().map_err(|_invalid| malformed())?
    } else {
        IpNet::from(
            text.parse::<std::net::IpAddr>()
                .map_err(|_invalid| malformed())?,
        )
    };
    if net.addr() != net.network() {
        return Err(invalid(
            format!("{text} has host bits set"),
            format!("write {}", net.trunc()),
        ));
    }
    Ok(unmapped(net))
}

/// `::ffff:10.0.0.0/120` becomes 10.0.0.0/24: the same address has one form.
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

/// A host name in the letters of RFC 1123, and `_`, which resolvers accept.
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
    Err(invalid(
        format!("{text:?} is not an address, prefix or host name"),
        "write one like 10.0.0.2, 10.0.1.0/24, [2001:db8::7]:5001 or party1.example.org:5001",
    ))
}
