//! The configuration: a file, and after NULs what stands in flags and variables, as `KEY=VALUE`, `party VALUE` and
//! `protocol VALUE`.

#![no_main]

use std::{collections::BTreeMap, fmt::Write as _};

use agent_ebpf::SLOT_CAPACITY;
use libfuzzer_sys::fuzz_target;
use partymeter::{
    config::{
        self, Config, ConfigError, HostEnv, Options, RawValue, Transport, options::OPTIONS, otlp,
    },
    source::network::{layout::Layout, tables::Tables},
};
use partymeter_fuzz::{assert_line_exists, assert_plain, bounded, prepare};

const MEMORY: usize = 32 << 20;

fuzz_target!(init: prepare(), |data: &[u8]| {
    let Ok(text) = str::from_utf8(data) else { return };
    let mut parts = text.split('\0');
    let file = parts.next().unwrap_or_default();
    let options = options(parts);
    let outcome = bounded(MEMORY, || read(file, &options));
    assert_eq!(outcome, read(file, &options), "the same text gives the same");
    match outcome {
        Ok(config) => accepted(&config),
        Err(errors) => refused(file, &errors),
    }
});

fn read(file: &str, options: &Options) -> Result<Config, Vec<ConfigError>> {
    let host = HostEnv {
        node_name: None,
        host_name: Some("host".to_owned()),
    };
    config::read("FILE", file, options, &host)
}

fn options<'t>(parts: impl Iterator<Item = &'t str>) -> Options {
    let mut options = Options::default();
    for part in parts.take(64) {
        let raw = |text: &str| RawValue {
            location: "--flag".to_owned(),
            text: text.to_owned(),
        };
        if let Some(text) = part.strip_prefix("party ") {
            options.parties.push(raw(text));
        } else if let Some(text) = part.strip_prefix("protocol ") {
            options.protocols.push(raw(text));
        } else if let Some((key, text)) = part.split_once('=') {
            if let Some(option) = OPTIONS.iter().find(|option| option.key == key) {
                options.values.insert(option.key, raw(text));
            } else if let Some(name) = otlp::variables().find(|name| name == key) {
                options.otel_variables.insert(name, text.to_owned());
            }
        }
    }
    options
}

fn refused(file: &str, errors: &[ConfigError]) {
    assert!((1..=101).contains(&errors.len()), "{} errors", errors.len());
    for error in errors {
        let message = error.to_string();
        assert_plain(&message);
        assert_line_exists(&message, "FILE", file.as_bytes());
        assert!(!error.help.is_empty(), "no help: {message}");
    }
}

fn accepted(config: &Config) {
    let text = written(config);
    let again = match read(&text, &Options::default()) {
        Ok(again) => again,
        Err(errors) => panic!("{} in:\n{text}", errors[0]),
    };
    assert_eq!(again.node, config.node);
    assert_eq!(again.party_id, config.party_id);
    assert_eq!(again.interval, config.interval);
    assert_eq!(again.parties, config.parties);
    assert_eq!(again.protocols, config.protocols);
    assert_eq!(again.network.allow, config.network.allow);
    assert_eq!(again.prometheus_listen, config.prometheus_listen);
    assert_eq!(again.prometheus_hosts, config.prometheus_hosts);

    let layout = Layout::new(config);
    assert!(layout.slots() <= SLOT_CAPACITY, "{} slots", layout.slots());
    let names = layout.names().into_iter();
    let names = names.map(|(kind, number, name)| (kind, number, name.into()));
    assert_eq!(
        Layout::restore(layout.dimensions(), names),
        Some(layout.clone())
    );
    let tables = Tables::new(config, &BTreeMap::new(), &layout);
    let ports = tables.ports.len() + tables.udp_ports.len();
    let configured = config.protocols.iter().flat_map(|it| &it.ports);
    let configured: usize = configured.map(ExactSizeIterator::len).sum();
    assert_eq!(ports, configured, "each port has one protocol");
}

/// The configuration as a file, written by who does not know how it is read.
fn written(config: &Config) -> String {
    let quoted = |text: &dyn ToString| toml::Value::from(text.to_string()).to_string();
    let list = |items: Vec<String>| format!("[{}]", items.join(", "));
    let mut text = format!("node = {}\n", quoted(&config.node));
    let interval = humantime::format_duration(config.interval).to_string();
    let _ = writeln!(text, "interval = {}", quoted(&interval));
    if let Some(id) = &config.party_id {
        let _ = writeln!(text, "party_id = {}", quoted(id));
    }
    let allow = config.network.allow.iter().map(|net| quoted(net)).collect();
    let _ = writeln!(text, "[network]\nallow = {}", list(allow));
    let listen = config
        .prometheus_listen
        .iter()
        .map(|it| quoted(it))
        .collect();
    let hosts = config
        .prometheus_hosts
        .iter()
        .map(|it| quoted(it))
        .collect();
    let _ = writeln!(
        text,
        "[prometheus]\nlisten = {}\nallowed_hosts = {}",
        list(listen),
        list(hosts)
    );
    for party in &config.parties {
        let endpoints = party.endpoints.iter().map(|it| quoted(it)).collect();
        let _ = writeln!(
            text,
            "[[parties]]\nid = {}\nendpoints = {}",
            quoted(&party.id),
            list(endpoints)
        );
    }
    for protocol in &config.protocols {
        let transport = match protocol.transport {
            Transport::Tcp => "tcp",
            Transport::Udp => "udp",
        };
        let ports = protocol.ports.iter();
        let ports = ports.map(|range| quoted(&format!("{}-{}", range.start(), range.end())));
        let _ = writeln!(
            text,
            "[[protocols]]\nname = {}\ntransport = \"{transport}\"\nports = {}",
            quoted(&protocol.name),
            list(ports.collect())
        );
    }
    text
}
