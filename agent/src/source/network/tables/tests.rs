//! Of `tables`.

use agent_ebpf::protocol;

use super::{
    super::{address::words, slot_names::SlotNames},
    *,
};
use crate::config::{Endpoint as Place, Party, tests::minimal};

/// One protocol, room for eight, and "other".
const STRIDE: u32 = 10;
const FIRST: u32 = block::first(STRIDE);

fn tables(config: &Config) -> Tables {
    Tables::new(config, &Resolved::new(), &Layout::new(config))
}

fn names(config: &Config) -> SlotNames {
    SlotNames::new(config, &Layout::new(config), true)
}

fn party(id: &str, endpoints: &[(&str, Option<u16>)]) -> Party {
    let place = |(host, port): &(&str, Option<u16>)| Place {
        host: host
            .parse()
            .map_or_else(|_| Host::Name((*host).to_owned()), Host::Prefix),
        port: *port,
    };
    Party {
        id: id.to_owned(),
        endpoints: endpoints.iter().map(place).collect(),
    }
}

fn address(text: &str) -> Address {
    match text.parse().unwrap() {
        IpAddr::V4(v4) => words(v4.to_ipv6_mapped()),
        IpAddr::V6(v6) => words(v6),
    }
}

fn endpoint(text: &str, port: u16) -> Endpoint {
    Endpoint {
        address: address(text),
        port,
        padding: 0,
    }
}

#[test]
fn an_address_is_shared_where_several_parties_have_it() {
    let mut config = minimal();
    let mut exactness = |parties: Vec<Party>| {
        config.parties = parties;
        tables(&config).exactness
    };
    let a = |port| party("a", &[("10.0.0.1/32", port)]);
    let same = [("10.0.0.1/32", Some(1)), ("10.0.0.1/32", Some(2))];
    assert_eq!(exactness(vec![a(None)]), endpoints::NONE);
    assert_eq!(exactness(vec![party("a", &same)]), endpoints::EXACT);
    let apart = party("b", &[("10.0.0.2/32", Some(1))]);
    assert_eq!(exactness(vec![a(Some(1)), apart]), endpoints::EXACT);
    let shared = party("b", &[("10.0.0.1/32", Some(2))]);
    assert_eq!(exactness(vec![a(Some(1)), shared]), endpoints::SHARED);
    // A name may still resolve to a shared address.
    let named = party("c", &[("c.test", Some(1))]);
    assert_eq!(exactness(vec![named]), endpoints::EXACT);
}

#[test]
fn puts_both_families_into_one_address_space() {
    let mut config = minimal();
    config.parties = vec![party(
        "1",
        &[("10.0.1.0/24", None), ("2001:db8::/32", None)],
    )];
    let tables = tables(&config);
    let expected = [(address("10.0.1.0"), 120), (address("2001:db8::"), 32)];
    assert_eq!(tables.prefixes, expected.map(|prefix| (prefix, FIRST)));
    assert_eq!(
        tables.ports,
        [(7000, protocol::FIRST), (7001, protocol::FIRST)]
    );
}

#[test]
fn an_address_known_by_its_ports_tells_whose_an_accepted_connection_is_or_that_it_is_one_of_those()
{
    let mut config = minimal();
    config.parties = vec![
        party(
            "1",
            &[("10.0.0.1/32", Some(7000)), ("10.0.0.1/32", Some(7001))],
        ),
        party("2", &[("10.0.0.9/32", Some(7000))]),
        party("3", &[("10.0.0.9/32", Some(7001))]),
    ];
    let tables = tables(&config);
    assert_eq!(
        tables.endpoints,
        [
            (endpoint("10.0.0.1", 7000), FIRST),
            (endpoint("10.0.0.1", 7001), FIRST),
            (endpoint("10.0.0.9", 7000), FIRST + STRIDE),
            (endpoint("10.0.0.9", 7001), FIRST + 2 * STRIDE),
            (endpoint("10.0.0.1", 0), FIRST),
            (endpoint("10.0.0.9", 0), block::other(STRIDE)),
        ]
    );
    assert_eq!(tables.prefixes, []);
    let names = names(&config);
    let shared = block::other(STRIDE) + protocol::FIRST;
    assert!(pairs(&names).contains(&(shared, "other", "test")));
    assert!(names.is_hidden_while_zero(shared));
}

#[test]
fn a_host_name_stands_for_all_its_addresses_once_it_resolves() {
    let mut config = minimal();
    config.parties = vec![party("1", &[("party1.example.org", None)])];
    let mut resolved = Resolved::new();
    assert_eq!(
        Tables::new(&config, &resolved, &Layout::new(&config)).prefixes,
        []
    );
    let both = ["192.0.2.1", "2001:db8::1"];
    let addresses = both.iter().map(|text| text.parse().unwrap()).collect();
    resolved.insert("party1.example.org".to_owned(), addresses);
    let expected = both.map(|text| ((address(text), 128), FIRST));
    assert_eq!(
        Tables::new(&config, &resolved, &Layout::new(&config)).prefixes,
        expected
    );
}

fn pairs(names: &SlotNames) -> Vec<(u32, &str, &str)> {
    names
        .slots
        .iter()
        .map(|(slot, it)| (*slot, &*it.party, &*it.protocol))
        .collect()
}

#[test]
fn every_slot_of_the_configuration_has_its_pair() {
    let mut config = minimal();
    config.parties = vec![party("1", &[("10.0.0.2/32", None)])];
    let names = names(&config);
    assert_eq!(
        pairs(&names),
        [
            (0, "unknown", "other"),
            (1, "unknown", "test"),
            (FIRST, "1", "other"),
            (FIRST + 1, "1", "test"),
        ]
    );
    assert!(names.is_hidden_while_zero(FIRST) && !names.is_hidden_while_zero(FIRST + 1));
}

#[test]
fn what_comes_later_has_names_of_its_own_and_what_goes_keeps_its() {
    let mut config = minimal();
    config.parties = vec![party("1", &[("10.0.0.2/32", None)])];
    let mut layout = Layout::new(&config);
    let mut names = SlotNames::new(&config, &layout, true);
    config.parties[0].id = "2".to_owned();
    config.protocols[0].name = "new".to_owned();
    layout.extend(&config).unwrap();
    names.extend(&config, &layout);
    let second = FIRST + STRIDE;
    let expected = [
        (0, "unknown", "other"),
        (1, "unknown", "test"),
        (2, "unknown", "new"),
        (FIRST, "1", "other"),
        (FIRST + 1, "1", "test"),
        (second, "2", "other"),
        (second + 2, "2", "new"),
    ];
    assert_eq!(pairs(&names), expected);
    let tables = Tables::new(&config, &Resolved::new(), &layout);
    assert_eq!(tables.prefixes, [((address("10.0.0.2"), 128), second)]);
    assert_eq!(tables.ports, [(7000, 2), (7001, 2)]);

    config.parties.clear();
    names.extend(&config, &layout);
    names.add_automatic(&[(address("10.0.0.2"), FIRST + 9 * STRIDE)]);
    let later = names.slots.len();
    config.protocols[0].name = "test".to_owned();
    names.extend(&config, &layout);
    assert_eq!(
        names.slots.len(),
        later + 2,
        "of `other` and of the automatic party"
    );
}

#[test]
fn without_parties_the_kernel_makes_them() {
    let layout = Layout::new(&minimal());
    let tables = tables(&minimal());
    let first_auto = layout.party_capacity;
    assert_eq!(
        (tables.first_auto, tables.auto_limit),
        (first_auto, first_auto + 64)
    );
    let mut names = names(&minimal());
    assert_eq!(
        pairs(&names),
        [(STRIDE, "other", "other"), (STRIDE + 1, "other", "test")]
    );
    assert!(!names.is_hidden_while_zero(STRIDE + 1));
    let block = FIRST + first_auto * STRIDE;
    names.add_automatic(&[(address("10.0.0.2"), block)]);
    names.add_automatic(&[
        (address("2001:db8::1"), block + STRIDE),
        (address("10.0.0.2"), block),
    ]);
    assert_eq!(
        pairs(&names)[2..],
        [
            (block, "10.0.0.2", "other"),
            (block + 1, "10.0.0.2", "test"),
            (block + STRIDE, "2001:db8::1", "other"),
            (block + STRIDE + 1, "2001:db8::1", "test"),
        ]
    );
}
