//! How much of everything a configuration may have. It is looked at before anything is made of it, so that a small file
//! cannot ask for much memory or time.

use toml::de::DeValue;

use super::{
    resolve::Reader,
    value::{Value, fault},
};

/// A limit, and the way out for who reaches it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limit {
    /// What is limited, in the plural.
    what: &'static str,
    most: usize,
    help: &'static str,
}

/// As many as there may be automatic ones, and as `partymeter import` takes.
pub(super) const PARTIES: Limit = Limit {
    what: "parties",
    most: agent_ebpf::AUTO_PARTY_CAPACITY as usize,
    help: "make one party of all addresses of one owner: endpoints = [\"10.0.1.0/24\"]",
};
/// Of all parties together. The kernel's table has room for as many.
pub(super) const ENDPOINTS: Limit = Limit {
    what: "endpoints of all parties",
    most: agent_ebpf::PREFIX_CAPACITY as usize,
    help: "write neighbouring addresses as one prefix, such as \"10.0.1.0/24\"",
};
/// Each is a label of every party.
pub(super) const PROTOCOLS: Limit = Limit {
    what: "protocols",
    most: 1024,
    help: "give one protocol several ports, such as ports = [\"5000-5999\"]",
};
/// Of one protocol.
pub(super) const PORTS: Limit = Limit {
    what: "ports and ranges of one protocol",
    most: 1024,
    help: "write neighbouring ports as one range, such as \"5000-5999\"",
};
/// Each is a socket.
pub(super) const LISTEN: Limit = Limit {
    what: "addresses",
    most: 64,
    help: "listen at \"0.0.0.0:9464\" or \"[::]:9464\" for all of a machine",
};
/// Each is compared with the host of a request.
pub(super) const HOSTS: Limit = Limit {
    what: "host names",
    most: 1024,
    help: "name only hosts that requests are made to",
};
/// The kernel's table has room for as many.
pub(super) const ALLOWED: Limit = Limit {
    what: "prefixes",
    most: agent_ebpf::ALLOWED_CAPACITY as usize,
    help: "write neighbouring addresses as one prefix, such as \"10.0.1.0/24\"",
};
/// There are three.
pub(super) const SIGNALS: Limit = Limit {
    what: "signals",
    most: 16,
    help: "give each once",
};

impl Reader<'_> {
    /// Whether there are more than the limit; then reports it.
    pub(super) fn exceeds(&mut self, limit: Limit, place: &str, key: &str, have: usize) -> bool {
        let Limit { what, most, help } = limit;
        let exceeds = have > most;
        if exceeds {
            let fault = fault(format!("{have} {what} are more than {most}"), help);
            self.report(place.to_owned(), key, fault);
        }
        exceeds
    }
}

impl Value<'_> {
    /// The length of [`Value::list`].
    pub(super) fn length(&self) -> usize {
        match self {
            Self::Text(text) => text.split(',').count(),
            Self::Toml(DeValue::Array(items)) => items.len(),
            Self::Toml(_) => 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{
        Given, Options,
        tests::{problems, resolve_with, resolved},
    };

    /// A configuration with so many of something.
    type Text<'a> = &'a dyn Fn(usize) -> String;

    #[test]
    fn each_limit_is_one_error_with_the_limit_and_the_way_out() {
        let list = |count: usize, item: &dyn Fn(usize) -> String| -> String {
            (0..count).map(|number| item(number) + ",").collect()
        };
        let party = |number: usize| format!("{{ id = \"{number}\", endpoints = [\"h{number}\"] }}");
        let protocol = |number: usize| {
            let port = number + 1;
            format!("{{ name = \"{number}\", ports = [{port}] }}")
        };
        let address = |number: usize| format!("\"10.0.{}.{}\"", number / 256, number % 256);
        let endpoints = |count: usize| {
            let half = list(count / 2, &address);
            let rest = list(count - count / 2, &|number| address(number + count / 2));
            format!(
                "parties = [{{ id = \"a\", endpoints = [{half}] }}, {{ id = \"b\", endpoints = [{rest}] }}]"
            )
        };
        let ports = |count: usize| {
            let ports = list(count, &|number| (number + 1).to_string());
            format!("protocols = [{{ name = \"p\", ports = [{ports}] }}]")
        };
        let parties = |count: usize| format!("parties = [{}]", list(count, &party));
        let protocols = |count: usize| format!("protocols = [{}]", list(count, &protocol));
        let allow = |count: usize| format!("[network]\nallow = [{}]", list(count, &address));
        let cases: [(Text<'_>, usize, &str); 5] = [
            (
                &parties,
                4096,
                "parties: 4097 parties are more than 4096; make one party of",
            ),
            (
                &endpoints,
                16_384,
                "parties.endpoints: 16385 endpoints of all parties are more than 16384; write neighbouring",
            ),
            (
                &protocols,
                1024,
                "protocols: 1025 protocols are more than 1024; give one protocol several ports",
            ),
            (
                &ports,
                1024,
                "protocols.ports: 1025 ports and ranges of one protocol are more than 1024; write",
            ),
            (
                &allow,
                4096,
                "network.allow: 4097 prefixes are more than 4096; write neighbouring",
            ),
        ];
        for (text, most, expected) in cases {
            resolve_with(&text(most), Options::default()).unwrap();
            let problems = problems(&text(most + 1));
            assert_eq!(problems.len(), 1, "{problems:?}");
            let (_, problem) = problems[0].split_once(": ").unwrap();
            assert!(problem.starts_with(expected), "{problem}");
        }
    }

    #[test]
    fn limits_of_flags_are_the_same() {
        let given = |flag: &str, text: String| Given {
            place: flag.to_owned(),
            text,
        };
        let many = |first: &str, count: usize| format!("{first}={}", vec!["h"; count].join(","));
        let parties = Options {
            parties: (0..5000)
                .map(|number| given("--party", format!("{number}=h{number}")))
                .collect(),
            ..Options::default()
        };
        let endpoints = Options {
            parties: vec![given("--party", many("1", 20_000))],
            ..Options::default()
        };
        let ports = Options {
            protocols: vec![given("--protocol", many("p", 2000))],
            ..Options::default()
        };
        for (options, expected) in [
            (
                parties,
                "--party: parties: 5000 parties are more than 4096; ",
            ),
            (
                endpoints,
                "--party: parties.endpoints: 20000 endpoints of all parties are more than 16384; ",
            ),
            (
                ports,
                "--protocol: protocols.ports: 2000 ports and ranges of one protocol are more than 1024; ",
            ),
        ] {
            let problems = resolve_with("", options).unwrap_err();
            assert_eq!(problems.len(), 1, "{problems:?}");
            assert!(problems[0].starts_with(expected), "{problems:?}");
        }
    }

    #[test]
    fn ports_that_are_written_twice_are_taken_once() {
        let all = vec!["\"1-65535\""; 1024].join(",");
        let text = format!("[[protocols]]\nname = \"p\"\nports = [{all}]\n");
        assert_eq!(resolved(&text).protocols[0].ports, [1..=65535]);
        let text = "[[protocols]]\nname = \"p\"\nports = [7, 5, \"6-9\", \"9-12\"]\n";
        assert_eq!(resolved(text).protocols[0].ports, [5..=5, 6..=12]);
        let text = "[[protocols]]\nname = \"p\"\nports = [7, 5]\n";
        assert_eq!(resolved(text).protocols[0].ports, [7..=7, 5..=5]);
    }
}
