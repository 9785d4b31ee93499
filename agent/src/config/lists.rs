//! Parties and protocols, which are lists: from `[[tables]]` of the file, or from flags of their own that replace them.

use std::ops::RangeInclusive;

use toml::de::{DeTable, DeValue};

use super::{
    Endpoint, Party, Protocol, Transport, address,
    error::{InvalidValue, invalid},
    limits::{ENDPOINTS, Limit, PARTIES, PORTS, PROTOCOLS},
    raw::{Options, RawValue},
    reader::ConfigReader,
    value::{Value, label},
};

impl ConfigReader<'_> {
    /// The parties, each with its location.
    pub(super) fn parties(
        &mut self,
        options: &Options,
        table: &DeTable<'_>,
    ) -> Vec<(String, Party)> {
        let mut parties = Vec::new();
        if let Some(first) = options.parties.first() {
            let endpoints = |raw: &RawValue| raw.text.split(',').count();
            let endpoints = options.parties.iter().map(endpoints).sum();
            let location = first.location.clone();
            if self.exceeds(PARTIES, &location, "parties", options.parties.len())
                || self.exceeds(ENDPOINTS, &location, "parties.endpoints", endpoints)
            {
                return parties;
            }
            for raw in &options.parties {
                if let Some((id, endpoints)) = self.pair(raw, "parties", "1=10.0.0.2,10.0.1.0/24") {
                    let id = self.take(
                        &raw.location,
                        "parties.id",
                        label(id, &["unknown", "other"]),
                    );
                    let endpoints = self.items(
                        "parties.endpoints",
                        &raw.location,
                        &Value::Text(endpoints),
                        address::endpoint,
                    );
                    parties.extend(id.map(|id| (raw.location.clone(), Party { id, endpoints })));
                }
            }
            return parties;
        }
        let entries = self.entries(table, "parties", PARTIES);
        let written = entries.iter().filter_map(|(_, it)| it.get("endpoints"));
        let endpoints = written.map(|it| Value::Toml(it.get_ref()).length()).sum();
        let first = entries.first().map(|(location, _)| location.clone());
        if self.exceeds(
            ENDPOINTS,
            &first.unwrap_or_default(),
            "parties.endpoints",
            endpoints,
        ) {
            return parties;
        }
        for (location, entry) in entries {
            let id = self.field(&location, entry, "parties.id", |value| {
                label(value.text()?, &["unknown", "other"])
            });
            let endpoints: Option<Vec<Endpoint>> = entry.get("endpoints").map(|value| {
                let location = self.location(value.span().start);
                self.items(
                    "parties.endpoints",
                    &location,
                    &Value::Toml(value.get_ref()),
                    address::endpoint,
                )
            });
            if endpoints.is_none()
                || entry
                    .get("endpoints")
                    .is_some_and(|it| is_empty(it.get_ref()))
            {
                let error = invalid(
                    "a party without endpoints",
                    "give endpoints = [\"10.0.0.2\"]",
                );
                self.report(location.clone(), "parties.endpoints", error);
            }
            if let (Some(id), Some(endpoints)) = (id, endpoints) {
                parties.push((location, Party { id, endpoints }));
            }
        }
        parties
    }

    /// The protocols, each with its location.
    pub(super) fn protocols(
        &mut self,
        options: &Options,
        table: &DeTable<'_>,
    ) -> Vec<(String, Protocol)> {
        let mut protocols = Vec::new();
        if let Some(first) = options.protocols.first() {
            let (location, have) = (first.location.clone(), options.protocols.len());
            if self.exceeds(PROTOCOLS, &location, "protocols", have) {
                return protocols;
            }
            for raw in &options.protocols {
                if let Some((name, ports)) = self.pair(raw, "protocols", "aby3=1212-1220,5000") {
                    let (name, transport) = name_and_transport(name);
                    let name = self.take(&raw.location, "protocols.name", label(name, &["other"]));
                    let ports = self.ports(&raw.location, &Value::Text(ports));
                    let protocol = name.map(|name| Protocol {
                        name,
                        transport,
                        ports,
                    });
                    protocols.extend(protocol.map(|it| (raw.location.clone(), it)));
                }
            }
            return protocols;
        }
        for (location, entry) in self.entries(table, "protocols", PROTOCOLS) {
            let name = self.field(&location, entry, "protocols.name", |value| {
                label(value.text()?, &["other"])
            });
            let transport = match entry.get("transport") {
                None => Some(Transport::Tcp),
                Some(value) => {
                    let location = self.location(value.span().start);
                    let written = Value::Toml(value.get_ref());
                    self.take(&location, "protocols.transport", transport(&written))
                }
            };
            let ports: Option<Vec<RangeInclusive<u16>>> = entry.get("ports").map(|value| {
                let location = self.location(value.span().start);
                self.ports(&location, &Value::Toml(value.get_ref()))
            });
            if ports.is_none() || entry.get("ports").is_some_and(|it| is_empty(it.get_ref())) {
                let error = invalid(
                    "a protocol without ports",
                    "give ports = [5000, \"6000-6009\"]",
                );
                self.report(location.clone(), "protocols.ports", error);
            }
            if let (Some(name), Some(transport), Some(ports)) = (name, transport, ports) {
                let protocol = Protocol {
                    name,
                    transport,
                    ports,
                };
                protocols.push((location, protocol));
            }
        }
        protocols
    }

    /// The ports of one protocol.
    fn ports(&mut self, location: &str, written: &Value<'_>) -> Vec<RangeInclusive<u16>> {
        let key = "protocols.ports";
        if self.exceeds(PORTS, location, key, written.length()) {
            return Vec::new();
        }
        address::disjoint(self.items(key, location, written, address::ports))
    }

    fn pair<'r>(
        &mut self,
        raw: &'r RawValue,
        key: &str,
        example: &str,
    ) -> Option<(&'r str, &'r str)> {
        let pair = raw.text.split_once('=');
        if pair.is_none() {
            let error = invalid(
                format!("{:?} has no =", raw.text),
                format!("write it like {example}"),
            );
            self.report(raw.location.clone(), key, error);
        }
        pair
    }

    /// The entries of `[[list]]`, each with its location.
    fn entries<'t>(
        &mut self,
        table: &'t DeTable<'_>,
        list: &str,
        limit: Limit,
    ) -> Vec<(String, &'t DeTable<'t>)> {
        let Some(value) = table.get(list) else {
            return Vec::new();
        };
        let DeValue::Array(entries) = value.get_ref() else {
            let location = self.location(value.span().start);
            self.report(
                location,
                list,
                invalid("is not a list of tables", format!("write [[{list}]]")),
            );
            return Vec::new();
        };
        let mut tables = Vec::new();
        let location = self.location(value.span().start);
        if self.exceeds(limit, &location, list, entries.len()) {
            return tables;
        }
        for entry in entries {
            let location = self.location(entry.span().start);
            match entry.get_ref() {
                DeValue::Table(table) => tables.push((location, table)),
                _ => self.report(
                    location,
                    list,
                    invalid("is not a table", format!("write [[{list}]]")),
                ),
            }
        }
        tables
    }

    /// A key that every entry of a list must have.
    fn field<T>(
        &mut self,
        location: &str,
        entry: &DeTable<'_>,
        key: &str,
        parse: impl FnOnce(&Value<'_>) -> Result<T, InvalidValue>,
    ) -> Option<T> {
        let name = key.rsplit('.').next().unwrap_or(key);
        let Some(value) = entry.get(name) else {
            self.report(
                location.to_owned(),
                key,
                invalid("is missing", format!("give {name} = \"…\"")),
            );
            return None;
        };
        let location = self.location(value.span().start);
        self.take(&location, key, parse(&Value::Toml(value.get_ref())))
    }

    /// The valid items of a list.
    fn items<T>(
        &mut self,
        key: &str,
        location: &str,
        value: &Value<'_>,
        parse: impl Fn(&Value<'_>) -> Result<T, InvalidValue>,
    ) -> Vec<T> {
        let mut items = Vec::new();
        for (at, item) in value.list() {
            let location = at.map_or_else(|| location.to_owned(), |at| self.location(at));
            items.extend(self.take(&location, key, parse(&item)));
        }
        items
    }
}

fn transport(value: &Value<'_>) -> Result<Transport, InvalidValue> {
    match value.text()? {
        "tcp" => Ok(Transport::Tcp),
        "udp" => Ok(Transport::Udp),
        other => Err(invalid(
            format!("{other:?} is not a transport"),
            "write \"tcp\" or \"udp\"",
        )),
    }
}

/// The name and the transport in `NAME`, `NAME/tcp` or `NAME/udp`, the form of flags.
fn name_and_transport(written: &str) -> (&str, Transport) {
    match written.rsplit_once('/') {
        Some((name, "tcp")) => (name, Transport::Tcp),
        Some((name, "udp")) => (name, Transport::Udp),
        _ => (written, Transport::Tcp),
    }
}

fn is_empty(value: &DeValue<'_>) -> bool {
    value.as_array().is_some_and(|items| items.is_empty())
}
