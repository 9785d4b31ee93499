//! The names that requests may be for. Against DNS rebinding: a web page can make its own name resolve to this machine, but
//! its requests still carry that name.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use http::{HeaderMap, Uri, header::HOST, uri::Authority};

/// The names of this machine.
#[derive(Clone, Debug, Default)]
pub struct Hosts(Vec<String>);

impl Hosts {
    /// These names, in addition to the addresses and `localhost`.
    pub fn new(names: impl IntoIterator<Item = String>) -> Self {
        let names = names.into_iter().map(|name| plain(&name));
        Self(names.filter(|name| !name.is_empty()).collect())
    }

    /// Checks that a request that came to that address is for this machine. A request without a name is, since no browser
    /// sends one.
    ///
    /// # Errors
    /// If it is for another machine: the name.
    pub(super) fn check(
        &self,
        uri: &Uri,
        headers: &HeaderMap,
        to: Option<SocketAddr>,
    ) -> Result<(), String> {
        // The authority in the request line takes precedence (RFC 9112, 3.2).
        let named = match uri.authority() {
            Some(authority) => vec![authority.as_str().to_owned()],
            None => headers
                .get_all(HOST)
                .iter()
                .map(|host| String::from_utf8_lossy(host.as_bytes()).into_owned())
                .collect(),
        };
        match named.as_slice() {
            [] => Ok(()),
            [one] if self.is_own(one, to) => Ok(()),
            [one, ..] => Err(one.clone()),
        }
    }

    fn is_own(&self, host: &str, to: Option<SocketAddr>) -> bool {
        let Ok(authority) = host.parse::<Authority>() else {
            return host.is_empty();
        };
        let name = plain(authority.host());
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        if let Ok(address) = bare.parse::<IpAddr>() {
            let address = address.to_canonical();
            let is_here = |to: SocketAddr| to.ip().to_canonical() == address;
            return address.is_loopback() || to.is_some_and(is_here);
        }
        // Always this machine (RFC 6761, 6.3).
        name == "localhost" || name.ends_with(".localhost") || self.0.contains(&name)
    }
}

/// In lower case and without a final dot.
fn plain(name: &str) -> String {
    let name = name.trim();
    let bare: Result<Ipv6Addr, _> = name.parse();
    match bare {
        Ok(address) => format!("[{address}]"),
        Err(_other) => name.strip_suffix('.').unwrap_or(name).to_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(host: &str, to: &str) -> bool {
        let hosts = Hosts::new(["node7".to_owned(), "Metrics.Example.Org.".to_owned()]);
        let headers = [(HOST, host.parse().unwrap())].into_iter().collect();
        let to = to.parse().unwrap();
        hosts
            .check(&Uri::from_static("/metrics"), &headers, Some(to))
            .is_ok()
    }

    #[test]
    fn names_and_addresses_of_this_machine_pass() {
        let to = "10.0.0.7:9464";
        for host in [
            "localhost",
            "LOCALHOST:9464",
            "127.0.0.1:9464",
            "127.8.9.1",
            "[::1]:9464",
            "10.0.0.7:80",
            "[::ffff:10.0.0.7]",
            "node7:9464",
            "NODE7.",
            "metrics.example.org:443",
            "x.localhost",
        ] {
            assert!(allowed(host, to), "{host}");
        }
        assert!(allowed("[2001:db8::7]:9464", "[2001:db8:0::7]:9464"));
    }

    #[test]
    fn names_of_others_are_rejected() {
        let to = "10.0.0.7:9464";
        for host in [
            "evil.example",
            "evil.example:9464",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "node7.evil.example",
            "10.0.0.8",
            "0.0.0.0:9464",
            "[::]:9464",
            "[2001:db8::7]",
            "a b",
        ] {
            assert!(!allowed(host, to), "{host}");
        }
    }

    #[test]
    fn one_name_or_none() {
        let hosts = Hosts::default();
        let to = Some("10.0.0.7:9464".parse().unwrap());
        let path = Uri::from_static("/metrics");
        assert_eq!(hosts.check(&path, &HeaderMap::new(), to), Ok(()));
        let mut two = HeaderMap::new();
        two.append(HOST, "localhost".parse().unwrap());
        two.append(HOST, "evil.example".parse().unwrap());
        assert!(hosts.check(&path, &two, to).is_err());
        let whole = Uri::from_static("http://evil.example/metrics");
        let mut local = HeaderMap::new();
        local.append(HOST, "localhost".parse().unwrap());
        let wrong = Err("evil.example".to_owned());
        assert_eq!(hosts.check(&whole, &local, to), wrong);
    }
}
