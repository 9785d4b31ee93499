//! From what the user wrote to the configuration, or to every error in it at once.

use std::time::Duration;

use toml::de::DeTable;

use super::{
    Config, ConfigError, address, conflicts,
    error::invalid,
    frameworks,
    limits::{HOSTS, LISTEN},
    raw::{HostEnv, Options},
    reader::ConfigReader,
    value::{self, label},
    values::Values,
};

impl ConfigReader<'_> {
    pub(super) fn resolve(
        mut self,
        options: &Options,
        host: &HostEnv,
    ) -> Result<Config, Vec<ConfigError>> {
        let (table, errors) = DeTable::parse_recoverable(self.text);
        let table = table.into_inner();
        for error in errors {
            let location = self.location(error.span().map_or(0, |span| span.start));
            let what = format!("is not TOML: {}", error.message().trim());
            self.report(location, "", invalid(what, "see https://toml.io"));
        }
        if self.has_errors() {
            return Err(self.into_errors());
        }
        self.unknown_keys(&table);
        let mut values = Values {
            reader: &mut self,
            options,
            table: &table,
        };
        let node = values.get("node", |value| match value.text()? {
            "" => Err(invalid("is empty", "leave it out or give a name")),
            name => Ok(name.to_owned()),
        });
        let interval = values.get("interval", |value| {
            value.duration(Duration::from_millis(200)..=Duration::from_hours(1))
        });
        let party_id = values.get("party_id", |value| {
            label(value.text()?, &["unknown", "other"])
        });
        let network = values.network();
        let ledger = values.ledger();
        let gpu = values.gpu();
        let host_enabled = values.get("host.enabled", value::boolean);
        let prometheus_listen = values.list("prometheus.listen", LISTEN, address::listen);
        let prometheus_hosts = values.list("prometheus.allowed_hosts", HOSTS, address::host_name);
        let admin = values.admin();
        let otlp = values.otlp();
        let log = values.log();

        let parties = self.parties(options, &table);
        let mut protocols = self.protocols(options, &table);
        if protocols.is_empty() {
            let built_in = frameworks::protocols().into_iter();
            protocols = built_in.map(|it| (String::new(), it)).collect();
        }
        for error in conflicts::find(&parties, &protocols) {
            self.add(error);
        }
        if prometheus_listen.is_empty() && !self.has_errors() {
            let empty = invalid("is empty", "give at least one address");
            self.report(self.name.to_owned(), "prometheus.listen", empty);
        }
        // What is `None` here has been reported.
        let config = || {
            Some(Config {
                node: node.unwrap_or_else(|| host.node()),
                interval: interval?,
                party_id,
                parties: parties.into_iter().map(|(_, it)| it).collect(),
                protocols: protocols.into_iter().map(|(_, it)| it).collect(),
                network: network?,
                ledger: ledger?,
                gpu: gpu?,
                host_enabled: host_enabled?,
                prometheus_listen,
                prometheus_hosts,
                admin: admin?,
                otlp: otlp?,
                log: log?,
            })
        };
        match config() {
            Some(config) if !self.has_errors() => Ok(config),
            _ => Err(self.into_errors()),
        }
    }
}
