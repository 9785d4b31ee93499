//! Limits on the parts of a configuration, checked before the parts are built: a small file cannot cost much memory or
//! time.

use super::{error::invalid, reader::ConfigReader};

/// A limit and its error.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limit {
    /// The things that are limited, in the plural.
    what: &'static str,
    most: usize,
    help: &'static str,
}

/// As many as there may be automatic parties, and as `partymeter parties import` accepts.
pub(super) const PARTIES: Limit = Limit {
    what: "parties",
    most: agent_ebpf::AUTO_PARTY_CAPACITY as usize,
    help: "make one party of all addresses of one owner: endpoints = [\"10.0.1.0/24\"]",
};
/// Of all parties together; the capacity of the kernel's table.
pub(super) const ENDPOINTS: Limit = Limit {
    what: "endpoints of all parties",
    most: agent_ebpf::PREFIX_CAPACITY as usize,
    help: "write neighbouring addresses as one prefix, such as \"10.0.1.0/24\"",
};
/// Each protocol is a label of every party.
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
/// Each address is a socket.
pub(super) const LISTEN: Limit = Limit {
    what: "addresses",
    most: 64,
    help: "listen at \"0.0.0.0:9464\" or \"[::]:9464\" for all of a machine",
};
/// Each name is compared with the host of every request.
pub(super) const HOSTS: Limit = Limit {
    what: "host names",
    most: 1024,
    help: "name only hosts that requests are made to",
};
/// The capacity of the kernel's table.
pub(super) const ALLOWED: Limit = Limit {
    what: "prefixes",
    most: agent_ebpf::ALLOWED_CAPACITY as usize,
    help: "write neighbouring addresses as one prefix, such as \"10.0.1.0/24\"",
};
/// There are three signals.
pub(super) const SIGNALS: Limit = Limit {
    what: "signals",
    most: 16,
    help: "give each once",
};

impl ConfigReader<'_> {
    /// Whether there are more than the limit, which is then reported.
    pub(super) fn exceeds(&mut self, limit: Limit, location: &str, key: &str, have: usize) -> bool {
        let Limit { what, most, help } = limit;
        let exceeds = have > most;
        if exceeds {
            let error = invalid(format!("{have} {what} are more than {most}"), help);
            self.report(location.to_owned(), key, error);
        }
        exceeds
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{
        Options, RawValue,
        tests::{errors, resolve_with, resolved},
    };

    /// A configuration with a number of something.
    type Text<'a> = &'a dyn Fn(usize) -> String;

    #[test]
    fn each_limit_is_one_error_with_help() {
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
                "parties: 4097 parties are more than 4096; help: make one party of",
            ),
            (
                &endpoints,
                16_384,
                "parties.endpoints: 16385 endpoints of all parties are more than 16384; help: write neighbouring",
            ),
            (
                &protocols,
                1024,
                "protocols: 1025 protocols are more than 1024; help: give one protocol several ports",
            ),
            (
                &ports,
                1024,
                "protocols.ports: 1025 ports and ranges of one protocol are more than 1024; help: write",
            ),
            (
                &allow,
                4096,
                "network.allow: 4097 prefixes are more than 4096; help: write neighbouring",
            ),
        ];
        for (text, most, expected) in cases {
            resolve_with(&text(most), Options::default()).unwrap();
            let errors = errors(&text(most + 1));
            assert_eq!(errors.len(), 1, "{errors:?}");
            let (_, error) = errors[0].split_once(": ").unwrap();
            assert!(error.starts_with(expected), "{error}");
        }
    }

    #[test]
    fn limits_of_flags_are_the_same() {
        let raw = |flag: &str, text: String| RawValue {
            location: flag.to_owned(),
            text,
        };
        let many = |first: &str, count: usize| format!("{first}={}", vec!["h"; count].join(","));
        let parties = Options {
            parties: (0..5000)
                .map(|number| raw("--party", format!("{number}=h{number}")))
                .collect(),
            ..Options::default()
        };
        let endpoints = Options {
            parties: vec![raw("--party", many("1", 20_000))],
            ..Options::default()
        };
        let ports = Options {
            protocols: vec![raw("--protocol", many("p", 2000))],
            ..Options::default()
        };
        for (options, expected) in [
            (
                parties,
                "--party: parties: 5000 parties are more than 4096; help: ",
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
            let errors = resolve_with("", options).unwrap_err();
            assert_eq!(errors.len(), 1, "{errors:?}");
            assert!(errors[0].starts_with(expected), "{errors:?}");
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
