//! Who sends: the attributes of the resource. What is configured goes over what is found out.

use std::{collections::BTreeMap, fs};

use opentelemetry_proto::tonic::resource::v1::Resource;
use uuid::Uuid;

use super::words::text;
use crate::config::Config;

/// The namespace that the semantic conventions give for `service.instance.id`.
const NAMESPACE: Uuid = Uuid::from_u128(0x4d63_009a_8d0f_11ee_aad7_4c79_6ed8_e320);

/// Whether it is an id as machine-id(5) has it: 32 digits. Of an image that was never booted it is "uninitialized".
fn is_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Of this node and agent.
pub(super) fn resource(config: &Config) -> Resource {
    let machine = ["/etc/machine-id", "/var/lib/dbus/machine-id"];
    let read = |path| {
        fs::read_to_string(path)
            .ok()
            .map(|text| text.trim().to_owned())
    };
    let host_id = machine.into_iter().filter_map(read).find(|id| is_id(id));
    // The same after a restart, and another on each machine; without an id of the machine another each time.
    let whose = host_id
        .clone()
        .or_else(|| read("/proc/sys/kernel/random/uuid"));
    let instance = format!("{}/{}", whose.unwrap_or_default(), config.node);
    let instance = Uuid::new_v5(&NAMESPACE, instance.as_bytes());

    let mut attributes = BTreeMap::from([
        ("service.name", env!("CARGO_PKG_NAME").to_owned()),
        ("service.version", env!("CARGO_PKG_VERSION").to_owned()),
        ("service.instance.id", instance.to_string()),
        ("host.name", config.node.clone()),
    ]);
    attributes.extend(host_id.map(|id| ("host.id", id)));
    let kubernetes = std::env::var("NODE_NAME")
        .ok()
        .filter(|name| !name.is_empty());
    attributes.extend(kubernetes.map(|name| ("k8s.node.name", name)));
    attributes.extend(config.party_id.clone().map(|id| ("mpc.party_id", id)));
    let configured = config.otlp.resource.iter();
    attributes.extend(configured.map(|(name, value)| (name.as_str(), value.clone())));
    Resource {
        attributes: attributes
            .into_iter()
            .map(|(name, value)| text(name, value))
            .collect(),
        ..Resource::default()
    }
}

#[cfg(test)]
mod tests {
    use super::is_id;

    #[test]
    fn what_is_no_id_of_a_machine_is_none() {
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
