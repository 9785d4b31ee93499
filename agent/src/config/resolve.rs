//! From what the user wrote (flags, variables, a file) to the configuration, or to every error in it at once.
//! A flag goes over a variable, a variable over the file, the file over the default.

use std::{collections::HashMap, path::PathBuf, time::Duration};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    Admin, AdminSocket, Config, Gpu, Ledger, Log, LogFormat, Network, Pin, Problem, Unresolved,
    conflicts, frameworks,
    limits::{ALLOWED, HOSTS, LISTEN, Limit},
    lists::label,
    options::{OPTIONS, Opt},
    value::{self, Fault, Value, fault},
};

/// What came from the command line and the environment, as text.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The configuration file.
    pub file: Option<PathBuf>,
    /// Single values by key, with the flag or variable that they came from; flags win already.
    pub values: HashMap<&'static str, Given>,
    /// Variables of OpenTelemetry, by name.
    pub standard: HashMap<String, String>,
    /// `--party ID=ENDPOINT,…`
    pub parties: Vec<Given>,
    /// `--protocol NAME=PORTS,…`
    pub protocols: Vec<Given>,
}

/// A value and the flag or variable that it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// `--interval` or `PARTYMETER_INTERVAL`.
    pub place: String,
    /// As typed.
    pub text: String,
}

/// What is taken from the system where nothing is written.
pub struct Surroundings {
    /// The variable `NODE_NAME`, as Kubernetes manifests set it.
    pub node_name: Option<String>,
    /// The host's name.
    pub host_name: Option<String>,
}

impl Surroundings {
    /// Of the process that asks.
    pub fn of_this_machine() -> Self {
        Self {
            node_name: std::env::var("NODE_NAME").ok(),
            host_name: sysinfo::System::host_name().ok(),
        }
    }
}

pub(super) struct Reader<'a> {
    name: &'a str,
    text: &'a str,
    /// Where the lines end.
    newlines: Vec<usize>,
    problems: Vec<Problem>,
    /// How many more there are than are listed.
    more: usize,
}

/// The most errors that are listed: a file of nothing but errors is no list for people.
const MOST: usize = 100;

impl<'a> Reader<'a> {
    pub(super) fn new(name: &'a str, text: &'a str) -> Self {
        let newlines = text.match_indices('\n').map(|(at, _)| at).collect();
        Self {
            name,
            text,
            newlines,
            problems: Vec::new(),
            more: 0,
        }
    }

    /// Everything that is wrong, up to a limit, and how much more.
    fn all(mut self) -> Vec<Problem> {
        if self.problems.len() > MOST {
            self.more += self.problems.len() - MOST;
            self.problems.truncate(MOST);
        }
        if self.more > 0 {
            let fault = fault(format!("has {} more errors", self.more), "mend these first");
            let last = Problem::new(self.name.to_owned(), "", fault);
            self.problems.push(last);
        }
        self.problems
    }

    pub(super) fn place(&self, at: usize) -> String {
        format!(
            "{}:{}",
            self.name,
            self.newlines.partition_point(|newline| *newline < at) + 1
        )
    }

    pub(super) fn report(&mut self, place: String, key: &str, fault: Fault) {
        if self.problems.len() >= MOST {
            self.more += 1;
            return;
        }
        let problem = Problem::new(place, key, fault);
        // One value may be used in several places.
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    pub(super) fn resolve(
        mut self,
        options: &Options,
        around: &Surroundings,
    ) -> Result<Config, Vec<Problem>> {
        let (table, errors) = DeTable::parse_recoverable(self.text);
        let table = table.into_inner();
        for error in errors {
            let place = self.place(error.span().map_or(0, |span| span.start));
            let what = format!("is not TOML: {}", error.message().trim());
            self.report(place, "", fault(what, "see https://toml.io"));
        }
        if !self.problems.is_empty() {
            return Err(self.all());
        }
        self.unknown_keys(&table);
        let mut values = Values {
            reader: &mut self,
            options,
            table: &table,
        };

        let node = values.get("node", |value| match value.text()? {
            "" => Err(fault("is empty", "leave it out or give a name")),
            name => Ok(name.to_owned()),
        });
        let interval = values.get("interval", |value| {
            value.duration(Duration::from_millis(200)..=Duration::from_hours(1))
        });
        let party_id = values.get("party_id", |value| {
            label(value.text()?, &["unknown", "other"])
        });
        let network = values.network();
        let gpu = values.gpu();
        let host_enabled = values.get("host.enabled", value::boolean);
        let prometheus_listen = values.list("prometheus.listen", LISTEN, value::listen);
        let prometheus_hosts = values.list("prometheus.allowed_hosts", HOSTS, value::host_name);
        let log_format = values.get("log.format", |value| {
            value.choice(&[("text", LogFormat::Text), ("json", LogFormat::Json)])
        });
        let admin = values.admin();
        let otlp = values.otlp();
        let (log_level, log_kernel) = (
            values.get("log.level", level),
            values.get("log.kernel", level),
        );

        let parties = self.parties(options, &table);
        let mut protocols = self.protocols(options, &table);
        if protocols.is_empty() {
            protocols = frameworks::protocols()
                .into_iter()
                .map(|it| (String::new(), it))
                .collect();
        }
        self.problems.extend(conflicts::find(&parties, &protocols));
        if prometheus_listen.is_empty() && self.problems.is_empty() {
            let fault = fault("is empty", "give at least one address");
            self.report(self.name.to_owned(), "prometheus.listen", fault);
        }
        let node = node
            .or_else(|| around.node_name.clone().filter(|name| !name.is_empty()))
            .or_else(|| around.host_name.clone())
            .unwrap_or_else(|| "localhost".to_owned());
        // What is `None` here has been reported.
        let config = || {
            Some(Config {
                node,
                interval: interval?,
                party_id,
                parties: parties.into_iter().map(|(_, party)| party).collect(),
                protocols: protocols
                    .into_iter()
                    .map(|(_, protocol)| protocol)
                    .collect(),
                network: network?,
                gpu: gpu?,
                host_enabled: host_enabled?,
                prometheus_listen,
                prometheus_hosts,
                admin: admin?,
                otlp: otlp?,
                log: Log {
                    format: log_format?,
                    level: log_level?,
                    kernel: log_kernel?,
                },
            })
        };
        match config() {
            Some(config) if self.problems.is_empty() => Ok(config),
            _ => Err(self.all()),
        }
    }

    /// Every key that means nothing here, with the one that may have been meant.
    fn unknown_keys(&mut self, table: &DeTable<'_>) {
        for (key, value) in table {
            let name: &str = key.get_ref();
            if let (DeValue::Array(entries), Some((_, known))) = (
                value.get_ref(),
                LISTS.iter().find(|(list, _)| *list == name),
            ) {
                for (key, _) in entries
                    .iter()
                    .filter_map(|entry| entry.get_ref().as_table())
                    .flatten()
                {
                    self.unless_known(key, &format!("{name}."), known.iter().copied());
                }
                continue;
            }
            let section = format!("{name}.");
            let inside = OPTIONS
                .iter()
                .filter_map(|option| option.key.strip_prefix(&*section));
            match value.get_ref() {
                DeValue::Table(keys) if inside.clone().next().is_some() => {
                    for (key, _) in keys {
                        self.unless_known(key, &section, inside.clone());
                    }
                }
                _ => {
                    let top = OPTIONS
                        .iter()
                        .map(|option| option.key.split('.').next().unwrap_or_default());
                    self.unless_known(key, "", top.chain(LISTS.iter().map(|(list, _)| *list)));
                }
            }
        }
    }

    fn unless_known<'k>(
        &mut self,
        key: &Spanned<std::borrow::Cow<'_, str>>,
        section: &str,
        known: impl Iterator<Item = &'k str> + Clone,
    ) {
        let name: &str = key.get_ref();
        if known.clone().any(|known| known == name) {
            return;
        }
        // To look for what was meant takes time for each.
        if self.problems.len() >= MOST {
            self.more += 1;
            return;
        }
        let near = known
            .map(|known| (strsim::damerau_levenshtein(known, name), known))
            .filter(|(distance, _)| *distance <= 3)
            .min();
        let mend = near.map_or_else(
            || "remove it".to_owned(),
            |(_, known)| format!("did you mean {section}{known}?"),
        );
        let place = self.place(key.span().start);
        self.report(
            place,
            &format!("{section}{name}"),
            fault("is an unknown key", mend),
        );
    }

    pub(super) fn take<T>(
        &mut self,
        place: &str,
        key: &str,
        result: Result<T, Fault>,
    ) -> Option<T> {
        result
            .map_err(|fault| self.report(place.to_owned(), key, fault))
            .ok()
    }
}

/// The lists of tables and their keys.
const LISTS: [(&str, &[&str]); 2] = [
    ("parties", &["id", "endpoints"]),
    ("protocols", &["name", "transport", "ports"]),
];

/// Looks single values up, wherever they are given.
pub(super) struct Values<'r, 'a, 't> {
    reader: &'r mut Reader<'a>,
    options: &'r Options,
    table: &'r DeTable<'t>,
}

impl Values<'_, '_, '_> {
    /// The section `[network]`.
    fn network(&mut self) -> Option<Network> {
        let enabled = self.get("network.enabled", value::boolean);
        let latency = self.get("network.latency", value::boolean);
        let rhythm = self.get("network.rhythm", value::boolean);
        let cgroup = self.get("network.cgroup", value::directory);
        let pin = match self.find("network.pin") {
            None => Some(Pin::Mounted),
            Some(_) => self.get("network.pin", value::pin),
        };
        let allow = self.list("network.allow", ALLOWED, value::net);
        let max_auto_parties = self.get("network.max_auto_parties", |value| {
            value.integer(1..=agent_ebpf::AUTO_PARTY_CAPACITY)
        });
        let unresolved = self.get("network.unresolved", |value| {
            value.choice(&[("refuse", Unresolved::Refuse), ("retry", Unresolved::Retry)])
        });
        let resolve_interval = self.get("network.resolve_interval", |value| {
            value.duration(Duration::from_secs(1)..=Duration::from_hours(1))
        });
        let directory = self.get("network.ledger", value::directory);
        let mebibytes = self.get("network.ledger_mib", |value| value.integer(1..=65_536));
        let age = self.get("network.ledger_age", |value| {
            value.duration(Duration::from_hours(1)..=Duration::from_hours(24 * 366))
        });
        let (mebibytes, age) = (mebibytes?, age?);
        Some(Network {
            enabled: enabled?,
            latency: latency?,
            rhythm: rhythm?,
            cgroup,
            pin: pin?,
            allow,
            max_auto_parties: max_auto_parties?,
            unresolved: unresolved?,
            resolve_interval: resolve_interval?,
            ledger: directory.map(|directory| Ledger {
                directory,
                mebibytes,
                age,
            }),
        })
    }

    /// The section `gpu`.
    fn gpu(&mut self) -> Option<Gpu> {
        let enabled = self.get("gpu.enabled", value::boolean);
        let library = self.get("gpu.library", |value| match value.text()? {
            "" => Err(fault("is empty", "give a file, or set gpu.enabled = false")),
            library => Ok(library.to_owned()),
        });
        let processes = self.get("gpu.processes", value::boolean);
        let dcgm_names = self.get("gpu.dcgm_names", value::boolean);
        Some(Gpu {
            enabled: enabled?,
            library: library?,
            processes: processes?,
            dcgm_names: dcgm_names?,
        })
    }

    /// The section `admin`.
    fn admin(&mut self) -> Option<Admin> {
        let socket = match self.find("admin.socket") {
            None => Some(AdminSocket::Standard),
            Some(_) => self.get("admin.socket", value::admin_socket),
        };
        let group = self.get("admin.group", value::group);
        Some(Admin {
            socket: socket?,
            group,
        })
    }

    /// Whether a key is given, and not as empty.
    pub(super) fn is_written(&self, key: &str) -> bool {
        self.find(key)
            .is_some_and(|(_, value)| !matches!(value.text(), Ok("")))
    }

    /// A variable of OpenTelemetry: its name, which is its place, and its text.
    pub(super) fn standard(&self, name: &str) -> Option<(String, String)> {
        let text = self.options.standard.get(name)?;
        Some((name.to_owned(), text.clone()))
    }

    pub(super) fn take<T>(
        &mut self,
        place: &str,
        key: &str,
        result: Result<T, Fault>,
    ) -> Option<T> {
        self.reader.take(place, key, result)
    }

    /// Where a key is given, if anywhere.
    pub(super) fn find(&self, key: &str) -> Option<(String, Value<'_>)> {
        if let Some(given) = self.options.values.get(key) {
            return Some((given.place.clone(), Value::Text(&given.text)));
        }
        let value = match key.split_once('.') {
            None => self.table.get(key)?,
            Some((section, key)) => self.table.get(section)?.get_ref().as_table()?.get(key)?,
        };
        Some((
            self.reader.place(value.span().start),
            Value::Toml(value.get_ref()),
        ))
    }

    /// A value, or its default; `None` after a problem, and where the default is worked out.
    pub(super) fn get<T>(
        &mut self,
        key: &str,
        parse: impl Fn(&Value<'_>) -> Result<T, Fault>,
    ) -> Option<T> {
        let given = self.find(key).map(|(place, value)| (place, parse(&value)));
        match given {
            Some((place, result)) => self.reader.take(&place, key, result),
            None => parse(&Value::Text(default(key))).ok(),
        }
    }

    pub(super) fn list<T>(
        &mut self,
        key: &str,
        limit: Limit,
        parse: impl Fn(&Value<'_>) -> Result<T, Fault> + Copy,
    ) -> Vec<T> {
        let found = self.find(key).map(|(place, value)| (place, value.length()));
        if let Some((place, length)) = found
            && self.reader.exceeds(limit, &place, key, length)
        {
            return Vec::new();
        }
        let owned = self.find(key).map(|(place, value)| {
            let items: Vec<_> = value
                .list()
                .iter()
                .map(|(at, item)| (*at, parse(item)))
                .collect();
            (place, items)
        });
        let Some((place, items)) = owned else {
            return Value::Text(default(key))
                .list()
                .iter()
                .filter_map(|(_, item)| parse(item).ok())
                .collect();
        };
        let mut values = Vec::new();
        for (at, item) in items {
            let place = at.map_or_else(|| place.clone(), |at| self.reader.place(at));
            values.extend(self.reader.take(&place, key, item));
        }
        values
    }
}

fn default(key: &str) -> &'static str {
    OPTIONS
        .iter()
        .find(|option: &&Opt| option.key == key)
        .map_or("", |option| option.default)
}

/// What the levels of the log are called.
pub const LEVELS: [(&str, Option<tracing::Level>); 6] = [
    ("off", None),
    ("error", Some(tracing::Level::ERROR)),
    ("warn", Some(tracing::Level::WARN)),
    ("info", Some(tracing::Level::INFO)),
    ("debug", Some(tracing::Level::DEBUG)),
    ("trace", Some(tracing::Level::TRACE)),
];

fn level(value: &Value<'_>) -> Result<Option<tracing::Level>, Fault> {
    value.choice(&LEVELS)
}

/// The level of the log that has that name.
///
/// # Errors
/// That there is none, and which there are, in one line.
pub fn level_named(name: &str) -> Result<Option<tracing::Level>, String> {
    level(&Value::Text(name)).map_err(|Fault { what, mend }| format!("{what}; {mend}"))
}

/// What a level is called.
pub fn level_name(level: Option<tracing::Level>) -> &'static str {
    let of = LEVELS.iter().find(|(_, it)| *it == level);
    of.map_or("", |(name, _)| name)
}
