//! Parties and protocols: the options that are lists, from `[[tables]]` of the file or from flags of their own.

use std::ops::RangeInclusive;

use toml::de::{DeTable, DeValue};

use super::{
    Endpoint, Given, Options, Party, Protocol, Transport,
    limits::{ENDPOINTS, Limit, PARTIES, PORTS, PROTOCOLS},
    resolve::Reader,
    value::{self, Fault, Value, fault},
};

impl Reader<'_> {
    /// The parties, each with its place.
    pub(super) fn parties(
        &mut self,
        options: &Options,
        table: &DeTable<'_>,
    ) -> Vec<(String, Party)> {
        let mut parties = Vec::new();
        if let Some(first) = options.parties.first() {
            let endpoints = |given: &Given| given.text.split(',').count();
            let endpoints = options.parties.iter().map(endpoints).sum();
            let place = first.place.clone();
            if self.exceeds(PARTIES, &place, "parties", options.parties.len())
                || self.exceeds(ENDPOINTS, &place, "parties.endpoints", endpoints)
            {
                return parties;
            }
            for given in &options.parties {
                if let Some((id, endpoints)) = self.pair(given, "parties", "1=10.0.0.2,10.0.1.0/24")
                {
                    let id =
                        self.take(&given.place, "parties.id", label(id, &["unknown", "other"]));
                    let endpoints = self.items(
                        "parties.endpoints",
                        &given.place,
                        &Value::Text(endpoints),
                        value::endpoint,
                    );
                    parties.extend(id.map(|id| (given.place.clone(), Party { id, endpoints })));
                }
            }
            return parties;
        }
        let entries = self.entries(table, "parties", PARTIES);
        let written = entries.iter().filter_map(|(_, it)| it.get("endpoints"));
        let endpoints = written.map(|it| Value::Toml(it.get_ref()).length()).sum();
        let first = entries.first().map(|(place, _)| place.clone());
        if self.exceeds(
            ENDPOINTS,
            &first.unwrap_or_default(),
            "parties.endpoints",
            endpoints,
        ) {
            return parties;
        }
        for (place, entry) in entries {
            let id = self.field(&place, entry, "parties.id", |value| {
                label(value.text()?, &["unknown", "other"])
            });
            let endpoints: Option<Vec<Endpoint>> = entry.get("endpoints").map(|value| {
                let place = self.place(value.span().start);
                self.items(
                    "parties.endpoints",
                    &place,
                    &Value::Toml(value.get_ref()),
                    value::endpoint,
                )
            });
            if endpoints.is_none()
                || entry
                    .get("endpoints")
                    .is_some_and(|it| is_empty(it.get_ref()))
            {
                let fault = fault(
                    "a party without endpoints",
                    "give endpoints = [\"10.0.0.2\"]",
                );
                self.report(place.clone(), "parties.endpoints", fault);
            }
            if let (Some(id), Some(endpoints)) = (id, endpoints) {
                parties.push((place, Party { id, endpoints }));
            }
        }
        parties
    }

    /// The protocols, each with its place.
    pub(super) fn protocols(
        &mut self,
        options: &Options,
        table: &DeTable<'_>,
    ) -> Vec<(String, Protocol)> {
        let mut protocols = Vec::new();
        if let Some(first) = options.protocols.first() {
            let (place, have) = (first.place.clone(), options.protocols.len());
            if self.exceeds(PROTOCOLS, &place, "protocols", have) {
                return protocols;
            }
            for given in &options.protocols {
                if let Some((name, ports)) = self.pair(given, "protocols", "aby3=1212-1220,5000") {
                    let (name, transport) = of_transport(name);
                    let name = self.take(&given.place, "protocols.name", label(name, &["other"]));
                    let ports = self.ports(&given.place, &Value::Text(ports));
                    let protocol = name.map(|name| Protocol {
                        name,
                        transport,
                        ports,
                    });
                    protocols.extend(protocol.map(|it| (given.place.clone(), it)));
                }
            }
            return protocols;
        }
        for (place, entry) in self.entries(table, "protocols", PROTOCOLS) {
            let name = self.field(&place, entry, "protocols.name", |value| {
                label(value.text()?, &["other"])
            });
            let transport = match entry.get("transport") {
                None => Some(Transport::Tcp),
                Some(value) => {
                    let place = self.place(value.span().start);
                    let written = Value::Toml(value.get_ref());
                    self.take(&place, "protocols.transport", transport(&written))
                }
            };
            let ports: Option<Vec<RangeInclusive<u16>>> = entry.get("ports").map(|value| {
                let place = self.place(value.span().start);
                self.ports(&place, &Value::Toml(value.get_ref()))
            });
            if ports.is_none() || entry.get("ports").is_some_and(|it| is_empty(it.get_ref())) {
                let fault = fault(
                    "a protocol without ports",
                    "give ports = [5000, \"6000-6009\"]",
                );
                self.report(place.clone(), "protocols.ports", fault);
            }
            if let (Some(name), Some(transport), Some(ports)) = (name, transport, ports) {
                let protocol = Protocol {
                    name,
                    transport,
                    ports,
                };
                protocols.push((place, protocol));
            }
        }
        protocols
    }

    /// The ports of one protocol.
    fn ports(&mut self, place: &str, written: &Value<'_>) -> Vec<RangeInclusive<u16>> {
        let key = "protocols.ports";
        if self.exceeds(PORTS, place, key, written.length()) {
            return Vec::new();
        }
        value::disjoint(self.items(key, place, written, value::ports))
    }

    fn pair<'g>(
        &mut self,
        given: &'g Given,
        key: &str,
        example: &str,
    ) -> Option<(&'g str, &'g str)> {
        let pair = given.text.split_once('=');
        if pair.is_none() {
            let fault = fault(
                format!("{:?} has no =", given.text),
                format!("write it like {example}"),
            );
            self.report(given.place.clone(), key, fault);
        }
        pair
    }

    /// The entries of `[[list]]`, each with its place.
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
            let place = self.place(value.span().start);
            self.report(
                place,
                list,
                fault("is no list of tables", format!("write [[{list}]]")),
            );
            return Vec::new();
        };
        let mut tables = Vec::new();
        let place = self.place(value.span().start);
        if self.exceeds(limit, &place, list, entries.len()) {
            return tables;
        }
        for entry in entries {
            let place = self.place(entry.span().start);
            match entry.get_ref() {
                DeValue::Table(table) => tables.push((place, table)),
                _ => self.report(
                    place,
                    list,
                    fault("is no table", format!("write [[{list}]]")),
                ),
            }
        }
        tables
    }

    /// A key that each entry of a list must have.
    fn field<T>(
        &mut self,
        place: &str,
        entry: &DeTable<'_>,
        key: &str,
        parse: impl FnOnce(&Value<'_>) -> Result<T, Fault>,
    ) -> Option<T> {
        let name = key.rsplit('.').next().unwrap_or(key);
        let Some(value) = entry.get(name) else {
            self.report(
                place.to_owned(),
                key,
                fault("is missing", format!("give {name} = \"…\"")),
            );
            return None;
        };
        let place = self.place(value.span().start);
        self.take(&place, key, parse(&Value::Toml(value.get_ref())))
    }

    /// The items of a list that are well.
    fn items<T>(
        &mut self,
        key: &str,
        place: &str,
        value: &Value<'_>,
        parse: impl Fn(&Value<'_>) -> Result<T, Fault>,
    ) -> Vec<T> {
        let mut items = Vec::new();
        for (at, item) in value.list() {
            let place = at.map_or_else(|| place.to_owned(), |at| self.place(at));
            items.extend(self.take(&place, key, parse(&item)));
        }
        items
    }
}

fn transport(value: &Value<'_>) -> Result<Transport, Fault> {
    match value.text()? {
        "tcp" => Ok(Transport::Tcp),
        "udp" => Ok(Transport::Udp),
        other => Err(fault(
            format!("{other:?} is no transport"),
            "write \"tcp\" or \"udp\"",
        )),
    }
}

/// The name and the transport of `NAME`, `NAME/tcp` or `NAME/udp`, as a flag has them.
fn of_transport(written: &str) -> (&str, Transport) {
    match written.rsplit_once('/') {
        Some((name, "tcp")) => (name, Transport::Tcp),
        Some((name, "udp")) => (name, Transport::Udp),
        _ => (written, Transport::Tcp),
    }
}

fn is_empty(value: &DeValue<'_>) -> bool {
    value.as_array().is_some_and(|items| items.is_empty())
}

/// The value of a label: short, printable, and none of the words that mean something else there.
pub(super) fn label(text: &str, reserved: &[&str]) -> Result<String, Fault> {
    let text = text.trim();
    if text.is_empty() {
        return Err(fault("is empty", "give a name"));
    }
    if text.len() > 128 || text.chars().any(char::is_control) {
        return Err(fault(
            format!("{text:?} is no name"),
            "give up to 128 printable characters",
        ));
    }
    if reserved.contains(&text) {
        return Err(fault(
            format!("{text:?} is reserved for what has no name"),
            "give another",
        ));
    }
    Ok(text.to_owned())
}
