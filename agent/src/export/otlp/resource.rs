//! The resource: what sends. Configured attributes override detected ones.

use std::{collections::BTreeMap, fs};

use opentelemetry::KeyValue;
use opentelemetry_sdk::Resource;
use opentelemetry_semantic_conventions::{
    SCHEMA_URL,
    attribute::{
        HOST_ID, HOST_NAME, K8S_NODE_NAME, SERVICE_INSTANCE_ID, SERVICE_NAME, SERVICE_VERSION,
    },
};
use uuid::Uuid;

use crate::config::Config;

/// The resource's attributes by name, in an order that stays.
pub(super) type Attributes = BTreeMap<String, String>;

/// The resource of spans and log records.
pub(super) fn for_exporters(attributes: &Attributes) -> Resource {
    let attributes = attributes
        .iter()
        .map(|(name, value)| KeyValue::new(name.clone(), value.clone()));
    Resource::builder_empty()
        .with_schema_url(attributes, SCHEMA_URL)
        .build()
}

/// The namespace that the semantic conventions give for `service.instance.id`.
const NAMESPACE: Uuid = Uuid::from_u128(0x4d63_009a_8d0f_11ee_aad7_4c79_6ed8_e320);

/// Whether it is a machine-id(5): 32 digits. An image that was never booted has "uninitialized".
fn is_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The attributes of this node and agent.
pub(super) fn attributes(config: &Config) -> Attributes {
    let files = ["/etc/machine-id", "/var/lib/dbus/machine-id"];
    let read = |path| {
        fs::read_to_string(path)
            .ok()
            .map(|text| text.trim().to_owned())
    };
    let host_id = files.into_iter().filter_map(read).find(|id| is_id(id));
    // Stays the same across restarts. Without a machine id it is random.
    let machine = host_id
        .clone()
        .or_else(|| read("/proc/sys/kernel/random/uuid"));
    let instance = format!("{}/{}", machine.unwrap_or_default(), config.node);
    let instance = Uuid::new_v5(&NAMESPACE, instance.as_bytes());

    let mut attributes = BTreeMap::from([
        (SERVICE_NAME, env!("CARGO_PKG_NAME").to_owned()),
        (SERVICE_VERSION, env!("CARGO_PKG_VERSION").to_owned()),
        (SERVICE_INSTANCE_ID, instance.to_string()),
        (HOST_NAME, config.node.clone()),
    ]);
    attributes.extend(host_id.map(|id| (HOST_ID, id)));
    let kubernetes = std::env::var("NODE_NAME")
        .ok()
        .filter(|name| !name.is_empty());
    attributes.extend(kubernetes.map(|name| (K8S_NODE_NAME, name)));
    attributes.extend(config.party_id.clone().map(|id| ("mpc.party_id", id)));
    let configured = config.otlp.resource.iter();
    attributes.extend(configured.map(|(name, value)| (name.as_str(), value.clone())));
    attributes
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::is_id;

    #[test]
    fn only_32_hexadecimal_digits_are_a_machine_id() {
        assert!(is_id("3d1219c7c4c5404aaa1f6d2a48adfda4"));
        for text in [
            "",
            "uninitialized",
            "3d1219c7",
            "zz1219c7c4c5404aaa1f6d2a48adfda4",
        ] {
            assert!(!is_id(text), "{text}");
        }
    }
}
