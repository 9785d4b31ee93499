//! What the user wrote on the command line and in the environment, before it is parsed.

use std::{collections::HashMap, path::PathBuf};

/// Flags and variables, as text.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The configuration file.
    pub file: Option<PathBuf>,
    /// Single values by key. A flag has already replaced its variable.
    pub values: HashMap<&'static str, RawValue>,
    /// Variables of OpenTelemetry, by name.
    pub otel_variables: HashMap<String, String>,
    /// `--party ID=ENDPOINT,…`
    pub parties: Vec<RawValue>,
    /// `--protocol NAME=PORTS,…`
    pub protocols: Vec<RawValue>,
}

/// A value and the flag or variable that it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawValue {
    /// `--interval` or `PARTYMETER_INTERVAL`.
    pub location: String,
    /// As typed.
    pub text: String,
}

/// Names of this machine, for where the configuration has none.
pub struct HostEnv {
    /// The variable `NODE_NAME`, as Kubernetes manifests set it.
    pub node_name: Option<String>,
    /// The host name.
    pub host_name: Option<String>,
}

impl HostEnv {
    /// This process's.
    pub fn current() -> Self {
        Self {
            node_name: std::env::var("NODE_NAME").ok(),
            host_name: sysinfo::System::host_name().ok(),
        }
    }

    /// What the node is called unless the configuration names it.
    pub(super) fn node(&self) -> String {
        let variable = self.node_name.clone().filter(|name| !name.is_empty());
        let name = variable.or_else(|| self.host_name.clone());
        name.unwrap_or_else(|| "localhost".to_owned())
    }
}
