//! Host names of parties: looked up before anything starts, and again and again while the agent runs. An address
//! that comes is taken at once; one that is not among the answers any more is kept for a while, because a resolver
//! may answer with a few of many.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::{IpAddr, ToSocketAddrs as _},
    time::{Duration, Instant},
};

pub use super::tables::Resolved;
use crate::config::{Config, Endpoint, Host};

/// A host name that has no address now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("party {party:?}: the host name {name:?} does not resolve: {why}")]
pub struct Unresolved {
    /// The party's id.
    pub party: String,
    /// The host name.
    pub name: String,
    /// What the resolver said.
    pub why: String,
}

/// What the resolver said of a name.
#[derive(Clone, Debug)]
pub struct Answer {
    party: String,
    name: String,
    addresses: Result<BTreeSet<IpAddr>, String>,
}

/// Looks every host name of the configuration up. Blocks as long as the system's resolver does.
pub fn ask(config: &Config) -> Vec<Answer> {
    let mut asked = BTreeSet::new();
    let mut answers = Vec::new();
    for party in &config.parties {
        for endpoint in &party.endpoints {
            let Host::Name(name) = &endpoint.host else {
                continue;
            };
            if !asked.insert(name) {
                continue;
            }
            let addresses = match (name.as_str(), 0).to_socket_addrs() {
                Ok(found) => {
                    let found = found.map(|address| address.ip().to_canonical());
                    Some(found.collect::<BTreeSet<_>>())
                        .filter(|found| !found.is_empty())
                        .ok_or_else(|| "it has no address".to_owned())
                }
                Err(error) => Err(error.to_string()),
            };
            answers.push(Answer {
                party: party.id.clone(),
                name: name.clone(),
                addresses,
            });
        }
    }
    answers
}

/// Those of the answers that are none.
pub fn unresolved(answers: &[Answer]) -> Vec<Unresolved> {
    let without = |answer: &Answer| {
        let why = answer.addresses.as_ref().err()?;
        Some(Unresolved {
            party: answer.party.clone(),
            name: answer.name.clone(),
            why: why.clone(),
        })
    };
    answers.iter().filter_map(without).collect()
}

/// Every name's addresses, and when each was last among the answers.
#[derive(Debug, Default)]
pub struct Book {
    known: BTreeMap<String, BTreeMap<IpAddr, Instant>>,
    failing: BTreeSet<String>,
}

impl Book {
    /// Takes answers in: what is new for a person to know. Names that were not asked for are forgotten.
    pub fn take(&mut self, answers: &[Answer], now: Instant, grace: Duration) -> Vec<News> {
        let asked: BTreeSet<&str> = answers.iter().map(|answer| &*answer.name).collect();
        self.known.retain(|name, _| asked.contains(&**name));
        self.failing.retain(|name| asked.contains(&**name));
        let mut news = Vec::new();
        for Answer {
            party,
            name,
            addresses,
        } in answers
        {
            let mut tell = |what| {
                news.push(News {
                    party: party.clone(),
                    name: name.clone(),
                    what,
                });
            };
            let found = match addresses {
                Err(why) => {
                    // What it had, it keeps: a resolver that is down says nothing about addresses.
                    if self.failing.insert(name.clone()) {
                        tell(What::Fails(why.clone()));
                    }
                    continue;
                }
                Ok(found) => found,
            };
            if self.failing.remove(name) {
                tell(What::Resolves);
            }
            let known = self.known.entry(name.clone()).or_default();
            for address in found {
                if known.insert(*address, now).is_none() {
                    tell(What::Comes(*address));
                }
            }
            known.retain(|address, seen| {
                let stays = now.saturating_duration_since(*seen) <= grace;
                if !stays {
                    tell(What::Goes(*address));
                }
                stays
            });
        }
        news
    }

    /// What every name stands for now.
    pub fn resolved(&self) -> Resolved {
        let addresses = |known: &BTreeMap<IpAddr, Instant>| known.keys().copied().collect();
        self.known
            .iter()
            .map(|(name, known)| (name.clone(), addresses(known)))
            .collect()
    }
}

/// Addresses that two parties have once their names are resolved, a line each. The configuration's own check cannot
/// see them.
pub fn shared(config: &Config, resolved: &Resolved) -> BTreeSet<String> {
    let mut owners = BTreeMap::<(IpAddr, Option<u16>), &str>::new();
    let mut lines = BTreeSet::new();
    for party in &config.parties {
        for Endpoint { host, port } in &party.endpoints {
            let addresses = match host {
                Host::Name(name) => resolved.get(name).cloned().unwrap_or_default(),
                Host::Prefix(net) if net.prefix_len() == net.max_prefix_len() => vec![net.addr()],
                Host::Prefix(_) => Vec::new(),
            };
            for address in addresses {
                let before = owners.insert((address, *port), &party.id);
                if let Some(other) = before.filter(|other| *other != party.id) {
                    let port = port.map(|port| format!(" port {port}")).unwrap_or_default();
                    lines.insert(format!(
                        "{address}{port} is party {other:?}'s and party {:?}'s; it counts for the second",
                        party.id
                    ));
                }
            }
        }
    }
    lines
}

/// Something has changed about a name; one line for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct News {
    party: String,
    name: String,
    what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    Comes(IpAddr),
    Goes(IpAddr),
    Fails(String),
    Resolves,
}

impl News {
    /// Whether it is a reason to worry.
    pub fn is_bad(&self) -> bool {
        matches!(self.what, What::Fails(_))
    }
}

impl fmt::Display for News {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "party {:?}: the host name {:?} ", self.party, self.name)?;
        match &self.what {
            What::Comes(address) => write!(f, "has the address {address} now"),
            What::Goes(address) => write!(f, "has the address {address} no more"),
            What::Fails(why) => write!(f, "does not resolve: {why}; looking it up again and again"),
            What::Resolves => write!(f, "resolves now"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_mins(5);

    fn answer(name: &str, addresses: Result<&[&str], &str>) -> Answer {
        let parse = |list: &[&str]| list.iter().map(|text| text.parse().unwrap()).collect();
        Answer {
            party: "1".to_owned(),
            name: name.to_owned(),
            addresses: addresses.map(parse).map_err(str::to_owned),
        }
    }

    fn lines(news: &[News]) -> Vec<String> {
        news.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_address_comes_at_once_and_goes_after_the_grace() {
        let (mut book, start) = (Book::default(), Instant::now());
        let news = book.take(&[answer("h", Ok(&["10.0.0.1"]))], start, GRACE);
        assert_eq!(
            lines(&news),
            ["party \"1\": the host name \"h\" has the address 10.0.0.1 now"]
        );
        let moved = [answer("h", Ok(&["10.0.0.2"]))];
        let news = book.take(&moved, start + GRACE, GRACE);
        assert_eq!(
            lines(&news),
            ["party \"1\": the host name \"h\" has the address 10.0.0.2 now"]
        );
        assert_eq!(book.resolved()["h"].len(), 2);
        let news = book.take(&moved, start + 2 * GRACE, GRACE);
        assert_eq!(
            lines(&news),
            ["party \"1\": the host name \"h\" has the address 10.0.0.1 no more"]
        );
        assert_eq!(
            book.resolved()["h"],
            ["10.0.0.2".parse::<IpAddr>().unwrap()]
        );
    }

    #[test]
    fn a_resolver_that_is_down_takes_no_address_away_and_is_told_once() {
        let (mut book, start) = (Book::default(), Instant::now());
        book.take(&[answer("h", Ok(&["10.0.0.1"]))], start, GRACE);
        let down = [answer("h", Err("no answer"))];
        let news = book.take(&down, start + 2 * GRACE, GRACE);
        assert!(news.len() == 1 && news[0].is_bad(), "{news:?}");
        assert_eq!(book.take(&down, start + 3 * GRACE, GRACE), []);
        assert_eq!(book.resolved()["h"].len(), 1);
        let back = [answer("h", Ok(&["10.0.0.1"]))];
        let news = book.take(&back, start + 4 * GRACE, GRACE);
        assert_eq!(
            lines(&news),
            ["party \"1\": the host name \"h\" resolves now"]
        );
    }

    #[test]
    fn an_address_of_two_parties_is_told() {
        let text = "[[parties]]\nid = \"a\"\nendpoints = [\"h\", \"10.0.0.9\"]\n\
                    [[parties]]\nid = \"b\"\nendpoints = [\"i\", \"j:7\"]\n";
        let around = crate::config::Surroundings {
            node_name: None,
            host_name: None,
        };
        let config =
            crate::config::read("f", text, &crate::config::Options::default(), &around).unwrap();
        let address = |text: &str| vec![text.parse().unwrap()];
        let mut resolved = Resolved::from([
            ("h".to_owned(), address("10.0.0.1")),
            ("i".to_owned(), address("10.0.0.2")),
            ("j".to_owned(), address("10.0.0.1")),
        ]);
        assert!(shared(&config, &resolved).is_empty());
        resolved.insert("i".to_owned(), address("10.0.0.9"));
        let lines: Vec<String> = shared(&config, &resolved).into_iter().collect();
        assert_eq!(
            lines,
            ["10.0.0.9 is party \"a\"'s and party \"b\"'s; it counts for the second"]
        );
    }

    #[test]
    fn a_name_that_is_not_configured_any_more_is_forgotten() {
        let (mut book, start) = (Book::default(), Instant::now());
        book.take(&[answer("h", Ok(&["10.0.0.1"]))], start, GRACE);
        book.take(&[answer("i", Ok(&["10.0.0.1"]))], start, GRACE);
        assert_eq!(book.resolved().keys().collect::<Vec<_>>(), ["i"]);
    }
}
