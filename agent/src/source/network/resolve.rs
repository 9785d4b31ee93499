//! Host names of parties: what they stand for at the start, and later. An address that comes is taken at once; one that
//! is not among the answers any more is kept for a while, because a resolver may answer with a few of many. `lookup`
//! asks.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::IpAddr,
    time::{Duration, Instant},
};

use super::lookup::{Addresses, OVERDUE, no_answer};
pub use super::{lookup::Resolver, tables::Resolved};
use crate::config::{Config, Endpoint, Host, OnUnresolved};

/// How long new names are waited for where the agent can do without them: a resolver that works answers sooner, and as
/// long as a party has no address its connections are unexpected.
pub const SHORT_PATIENCE: Duration = Duration::from_secs(1);
/// Names that are told one by one at one time.
const TOLD: usize = 100;

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

/// Every host name of a configuration, and the first party that has it.
fn names(config: &Config) -> BTreeMap<&str, &str> {
    let mut names = BTreeMap::new();
    for party in config.parties.iter().filter(|_| config.network.enabled) {
        for endpoint in &party.endpoints {
            if let Host::Name(name) = &endpoint.host {
                names.entry(name.as_str()).or_insert(party.id.as_str());
            }
        }
    }
    names
}

/// Looks all host names of a configuration up, in the background.
pub fn ask(config: &Config, resolver: &Resolver) {
    resolver.ask(&names(config).into_keys().collect());
}

/// The answers that have come since the last time, of the names that a configuration has.
pub fn take(config: &Config, resolver: &Resolver) -> Vec<Answer> {
    answers(&names(config), resolver.take())
}

fn answers(names: &BTreeMap<&str, &str>, found: BTreeMap<String, Addresses>) -> Vec<Answer> {
    let answer = |(name, addresses): (String, Addresses)| {
        Some(Answer {
            party: (*names.get(&*name)?).to_owned(),
            name,
            addresses,
        })
    };
    found.into_iter().filter_map(answer).collect()
}

/// Looks all host names up at the same time, and waits for them together: up to 10 s where the agent does not start
/// without them, else up to 1 s. Those that have not answered by then have failed.
pub fn at_start(config: &Config, resolver: &Resolver) -> Vec<Answer> {
    let patience = match config.network.on_unresolved {
        OnUnresolved::Refuse => OVERDUE,
        OnUnresolved::Retry => SHORT_PATIENCE,
    };
    let names = names(config);
    let wanted: BTreeSet<&str> = names.keys().copied().collect();
    resolver.ask(&wanted);
    let mut found = resolver.wait(&wanted, patience);
    for name in wanted {
        found
            .entry(name.to_owned())
            .or_insert_with(|| Err(no_answer(patience)));
    }
    answers(&names, found)
}

/// Those of the answers that are failures, a line each; of many the first, and how many more.
pub fn unresolved(answers: &[Answer]) -> Vec<String> {
    let line = |answer: &Answer| {
        let unresolved = Unresolved {
            party: answer.party.clone(),
            name: answer.name.clone(),
            why: answer.addresses.as_ref().err()?.clone(),
        };
        Some(unresolved.to_string())
    };
    first(answers.iter().filter_map(line).collect())
}

/// The first of many lines, and how many more there are.
pub fn first(mut lines: Vec<String>) -> Vec<String> {
    let more = lines.len().saturating_sub(TOLD);
    if more > 0 {
        lines.truncate(TOLD);
        lines.push(format!("the same of {more} more host names"));
    }
    lines
}

/// Every name's addresses, and when each was last among the answers.
#[derive(Debug, Default)]
pub struct DnsCache {
    known: BTreeMap<String, BTreeMap<IpAddr, Instant>>,
    failing: BTreeSet<String>,
}

impl DnsCache {
    /// Forgets the names that a configuration does not have.
    pub fn keep(&mut self, config: &Config) {
        let names = names(config);
        self.known.retain(|name, _| names.contains_key(&**name));
        self.failing.retain(|name| names.contains_key(&**name));
    }

    /// Whether a configuration has names that neither resolved nor failed yet.
    pub fn lacks(&self, config: &Config) -> bool {
        let seen = |name: &&str| self.known.contains_key(*name) || self.failing.contains(*name);
        !names(config).keys().all(seen)
    }

    /// Takes answers in: what is new for a person to know.
    pub fn take(&mut self, answers: &[Answer], now: Instant, grace: Duration) -> Vec<News> {
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
        let (mut cache, start) = (DnsCache::default(), Instant::now());
        let news = cache.take(&[answer("h", Ok(&["10.0.0.1"]))], start, GRACE);
        assert_eq!(
            lines(&news),
            ["party \"1\": the host name \"h\" has the address 10.0.0.1 now"]
        );
        let moved = [answer("h", Ok(&["10.0.0.2"]))];
        let news = cache.take(&moved, start + GRACE, GRACE);
        assert_eq!(
            lines(&news),
            ["party \"1\": the host name \"h\" has the address 10.0.0.2 now"]
        );
        assert_eq!(cache.resolved()["h"].len(), 2);
        let news = cache.take(&moved, start + 2 * GRACE, GRACE);
        assert_eq!(
            lines(&news),
            ["party \"1\": the host name \"h\" has the address 10.0.0.1 no more"]
        );
        assert_eq!(
            cache.resolved()["h"],
            ["10.0.0.2".parse::<IpAddr>().unwrap()]
        );
    }

    #[test]
    fn a_resolver_that_is_down_takes_no_address_away_and_is_told_once() {
        let (mut cache, start) = (DnsCache::default(), Instant::now());
        cache.take(&[answer("h", Ok(&["10.0.0.1"]))], start, GRACE);
        let down = [answer("h", Err("no answer"))];
        let news = cache.take(&down, start + 2 * GRACE, GRACE);
        assert!(news.len() == 1 && news[0].is_bad(), "{news:?}");
        assert_eq!(cache.take(&down, start + 3 * GRACE, GRACE), []);
        assert_eq!(cache.resolved()["h"].len(), 1);
        let back = [answer("h", Ok(&["10.0.0.1"]))];
        let news = cache.take(&back, start + 4 * GRACE, GRACE);
        assert_eq!(
            lines(&news),
            ["party \"1\": the host name \"h\" resolves now"]
        );
    }

    #[test]
    fn an_address_of_two_parties_is_told() {
        let text = "[[parties]]\nid = \"a\"\nendpoints = [\"h\", \"10.0.0.9\"]\n\
                    [[parties]]\nid = \"b\"\nendpoints = [\"i\", \"j:7\"]\n";
        let config = config(text);
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

    fn config(text: &str) -> Config {
        let host = crate::config::HostEnv {
            node_name: None,
            host_name: None,
        };
        crate::config::read("f", text, &crate::config::Options::default(), &host).unwrap()
    }

    #[test]
    fn a_name_that_is_not_configured_any_more_is_forgotten() {
        let (mut cache, start) = (DnsCache::default(), Instant::now());
        let next = config("[[parties]]\nid = \"a\"\nendpoints = [\"i\", \"j\"]\n");
        cache.take(&[answer("h", Ok(&["10.0.0.1"]))], start, GRACE);
        cache.take(&[answer("i", Ok(&["10.0.0.1"]))], start, GRACE);
        cache.keep(&next);
        assert_eq!(cache.resolved().keys().collect::<Vec<_>>(), ["i"]);
        assert!(cache.lacks(&next), "nothing is known of j");
        cache.take(&[answer("j", Err("no answer"))], start, GRACE);
        assert!(!cache.lacks(&next));
    }

    #[test]
    fn of_many_names_the_first_are_told() {
        let answers: Vec<Answer> = (0..150)
            .map(|number| answer(&format!("h{number}"), Err("no answer")))
            .collect();
        let lines = unresolved(&answers);
        assert_eq!(lines.len(), 101);
        assert_eq!(lines[100], "the same of 50 more host names");
        assert_eq!(unresolved(&answers[..100]).len(), 100);
    }
}
