//! The addresses of the parties' host names, at the start and later. A new address is used at once. One that is missing
//! from an answer is kept for a while, because a resolver may return a few of many. `lookup` does the asking.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::IpAddr,
    time::{Duration, Instant},
};

use super::lookup::{Addresses, OVERDUE, no_answer};
pub use super::{lookup::Resolver, tables::Resolved};
use crate::config::{Config, Endpoint, Host, OnUnresolved};

/// How long to wait for new names that the agent can start without. Until a party has an address, its connections are
/// unexpected.
pub const RETRY_START_TIMEOUT: Duration = Duration::from_secs(1);
/// The most names that are reported one by one.
const MAX_LINES: usize = 100;

/// A host name without an address.
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

/// The resolver's answer for a name.
#[derive(Clone, Debug)]
pub struct Answer {
    party: String,
    name: String,
    addresses: Result<BTreeSet<IpAddr>, String>,
}

/// Every host name of a configuration, and the first party that uses it.
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

/// Looks up all host names of a configuration in the background.
pub fn ask(config: &Config, resolver: &Resolver) {
    resolver.ask(&names(config).into_keys().collect());
}

/// The answers since the last call for names of the configuration.
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

/// Looks up all host names concurrently and waits for the answers: up to 10 s if the agent does not start without them,
/// else up to 1 s. A name without an answer has failed.
pub fn at_start(config: &Config, resolver: &Resolver) -> Vec<Answer> {
    let patience = match config.network.on_unresolved {
        OnUnresolved::Refuse => OVERDUE,
        OnUnresolved::Retry => RETRY_START_TIMEOUT,
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

/// The failures among the answers, one line each, truncated.
pub fn unresolved(answers: &[Answer]) -> Vec<String> {
    let line = |answer: &Answer| {
        let unresolved = Unresolved {
            party: answer.party.clone(),
            name: answer.name.clone(),
            why: answer.addresses.as_ref().err()?.clone(),
        };
        Some(unresolved.to_string())
    };
    truncated(answers.iter().filter_map(line).collect())
}

/// The first lines of many, and how many more there are.
pub fn truncated(mut lines: Vec<String>) -> Vec<String> {
    let more = lines.len().saturating_sub(MAX_LINES);
    if more > 0 {
        lines.truncate(MAX_LINES);
        lines.push(format!("{more} more host names have the same problem"));
    }
    lines
}

/// Every name's addresses, and when an answer last had each.
#[derive(Debug, Default)]
pub struct DnsCache {
    known: BTreeMap<String, BTreeMap<IpAddr, Instant>>,
    failing: BTreeSet<String>,
}

impl DnsCache {
    /// Forgets names that are not in the configuration.
    pub fn retain(&mut self, config: &Config) {
        let names = names(config);
        self.known.retain(|name, _| names.contains_key(&**name));
        self.failing.retain(|name| names.contains_key(&**name));
    }

    /// Whether a configuration has names that have neither resolved nor failed.
    pub fn has_unseen_names(&self, config: &Config) -> bool {
        let seen = |name: &&str| self.known.contains_key(*name) || self.failing.contains(*name);
        !names(config).keys().all(seen)
    }

    /// Takes in answers and returns what has changed.
    pub fn take(&mut self, answers: &[Answer], now: Instant, grace: Duration) -> Vec<DnsEvent> {
        let mut events = Vec::new();
        for Answer {
            party,
            name,
            addresses,
        } in answers
        {
            let mut push = |change| {
                events.push(DnsEvent {
                    party: party.clone(),
                    name: name.clone(),
                    change,
                });
            };
            let found = match addresses {
                Err(why) => {
                    // The addresses stay: a resolver that is down says nothing about them.
                    if self.failing.insert(name.clone()) {
                        push(DnsChange::Failed(why.clone()));
                    }
                    continue;
                }
                Ok(found) => found,
            };
            if self.failing.remove(name) {
                push(DnsChange::Recovered);
            }
            let known = self.known.entry(name.clone()).or_default();
            for address in found {
                if known.insert(*address, now).is_none() {
                    push(DnsChange::Added(*address));
                }
            }
            known.retain(|address, seen| {
                let stays = now.saturating_duration_since(*seen) <= grace;
                if !stays {
                    push(DnsChange::Removed(*address));
                }
                stays
            });
        }
        events
    }

    /// The current addresses of every name.
    pub fn resolved(&self) -> Resolved {
        let addresses = |known: &BTreeMap<IpAddr, Instant>| known.keys().copied().collect();
        self.known
            .iter()
            .map(|(name, known)| (name.clone(), addresses(known)))
            .collect()
    }
}

/// Addresses that two parties share after resolution, one line each. The check of the configuration cannot see them.
pub fn shared_addresses(config: &Config, resolved: &Resolved) -> BTreeSet<String> {
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

/// A change of a name; one line for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsEvent {
    party: String,
    name: String,
    change: DnsChange,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum DnsChange {
    Added(IpAddr),
    Removed(IpAddr),
    Failed(String),
    Recovered,
}

impl DnsEvent {
    /// Whether the name has failed.
    pub fn is_failure(&self) -> bool {
        matches!(self.change, DnsChange::Failed(_))
    }
}

impl fmt::Display for DnsEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "party {:?}: the host name {:?} ", self.party, self.name)?;
        match &self.change {
            DnsChange::Added(address) => write!(f, "now has the address {address}"),
            DnsChange::Removed(address) => write!(f, "no longer has the address {address}"),
            DnsChange::Failed(why) => {
                write!(f, "does not resolve: {why}; retrying")
            }
            DnsChange::Recovered => write!(f, "resolves now"),
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

    fn lines(events: &[DnsEvent]) -> Vec<String> {
        events.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_address_comes_at_once_and_goes_after_the_grace() {
        let (mut cache, start) = (DnsCache::default(), Instant::now());
        let events = cache.take(&[answer("h", Ok(&["10.0.0.1"]))], start, GRACE);
        assert_eq!(
            lines(&events),
            ["party \"1\": the host name \"h\" now has the address 10.0.0.1"]
        );
        let moved = [answer("h", Ok(&["10.0.0.2"]))];
        let events = cache.take(&moved, start + GRACE, GRACE);
        assert_eq!(
            lines(&events),
            ["party \"1\": the host name \"h\" now has the address 10.0.0.2"]
        );
        assert_eq!(cache.resolved()["h"].len(), 2);
        let events = cache.take(&moved, start + 2 * GRACE, GRACE);
        assert_eq!(
            lines(&events),
            ["party \"1\": the host name \"h\" no longer has the address 10.0.0.1"]
        );
        assert_eq!(
            cache.resolved()["h"],
            ["10.0.0.2".parse::<IpAddr>().unwrap()]
        );
    }

    #[test]
    fn a_resolver_that_is_down_removes_no_address_and_is_reported_once() {
        let (mut cache, start) = (DnsCache::default(), Instant::now());
        cache.take(&[answer("h", Ok(&["10.0.0.1"]))], start, GRACE);
        let down = [answer("h", Err("no answer"))];
        let events = cache.take(&down, start + 2 * GRACE, GRACE);
        assert!(events.len() == 1 && events[0].is_failure(), "{events:?}");
        assert_eq!(cache.take(&down, start + 3 * GRACE, GRACE), []);
        assert_eq!(cache.resolved()["h"].len(), 1);
        let back = [answer("h", Ok(&["10.0.0.1"]))];
        let events = cache.take(&back, start + 4 * GRACE, GRACE);
        assert_eq!(
            lines(&events),
            ["party \"1\": the host name \"h\" resolves now"]
        );
    }

    #[test]
    fn an_address_of_two_parties_is_reported() {
        let text = "[[parties]]\nid = \"a\"\nendpoints = [\"h\", \"10.0.0.9\"]\n\
                    [[parties]]\nid = \"b\"\nendpoints = [\"i\", \"j:7\"]\n";
        let config = config(text);
        let address = |text: &str| vec![text.parse().unwrap()];
        let mut resolved = Resolved::from([
            ("h".to_owned(), address("10.0.0.1")),
            ("i".to_owned(), address("10.0.0.2")),
            ("j".to_owned(), address("10.0.0.1")),
        ]);
        assert!(shared_addresses(&config, &resolved).is_empty());
        resolved.insert("i".to_owned(), address("10.0.0.9"));
        let lines: Vec<String> = shared_addresses(&config, &resolved).into_iter().collect();
        assert_eq!(
            lines,
            ["10.0.0.9 is party \"a\"'s and party \"b\"'s; it counts for the second"]
        );
    }

    fn config(text: &str) -> Config {
        let around = crate::config::HostEnv {
            node_name: None,
            host_name: None,
        };
        crate::config::read("f", text, &crate::config::Options::default(), &around).unwrap()
    }

    #[test]
    fn a_name_that_is_not_configured_any_more_is_forgotten() {
        let (mut cache, start) = (DnsCache::default(), Instant::now());
        let next = config("[[parties]]\nid = \"a\"\nendpoints = [\"i\", \"j\"]\n");
        cache.take(&[answer("h", Ok(&["10.0.0.1"]))], start, GRACE);
        cache.take(&[answer("i", Ok(&["10.0.0.1"]))], start, GRACE);
        cache.retain(&next);
        assert_eq!(cache.resolved().keys().collect::<Vec<_>>(), ["i"]);
        assert!(cache.has_unseen_names(&next), "nothing is known of j");
        cache.take(&[answer("j", Err("no answer"))], start, GRACE);
        assert!(!cache.has_unseen_names(&next));
    }

    #[test]
    fn only_the_first_of_many_names_are_reported() {
        let answers: Vec<Answer> = (0..150)
            .map(|number| answer(&format!("h{number}"), Err("no answer")))
            .collect();
        let lines = unresolved(&answers);
        assert_eq!(lines.len(), 101);
        assert_eq!(lines[100], "50 more host names have the same problem");
        assert_eq!(unresolved(&answers[..100]).len(), 100);
    }
}
