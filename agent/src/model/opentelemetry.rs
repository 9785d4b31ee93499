//! The name, attributes and instrument of a metric in OpenTelemetry. Names are from the semantic conventions if those have
//! one (`hw.*`, `system.*`, `process.*`, `network.*`).

use opentelemetry_semantic_conventions::attribute;

/// A metric of the catalog in OpenTelemetry. Several with the same name are one metric there, whose points differ in
/// attributes.
#[derive(Clone, Copy, Debug)]
pub struct OpenTelemetry {
    /// Its name.
    pub name: &'static str,
    pub(super) unit: Option<&'static str>,
    pub(super) is_sum: bool,
    pub(super) change: Change,
    /// Attributes with a constant value.
    pub constant: &'static [(&'static str, &'static str)],
    labels: &'static [(&'static str, &'static str)],
    only: Option<(&'static str, &'static str)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    None,
    /// 1 becomes 0, and 0 becomes 1.
    Not,
}

/// A metric with the unit, kind and labels of the catalog.
pub(super) const fn otel(name: &'static str) -> OpenTelemetry {
    OpenTelemetry {
        name,
        unit: None,
        is_sum: false,
        change: Change::None,
        constant: &[],
        labels: &[],
        only: None,
    }
}

impl OpenTelemetry {
    /// With another unit.
    pub(super) const fn unit(self, unit: &'static str) -> Self {
        Self {
            unit: Some(unit),
            ..self
        }
    }

    /// As an `UpDownCounter`.
    pub(super) const fn sum(self) -> Self {
        Self {
            is_sum: true,
            ..self
        }
    }

    /// With the negation of a value that is 0 or 1.
    pub(super) const fn not(self) -> Self {
        Self {
            change: Change::Not,
            ..self
        }
    }

    /// With constant attributes.
    pub(super) const fn with(self, constant: &'static [(&'static str, &'static str)]) -> Self {
        Self { constant, ..self }
    }

    /// With other attributes for labels than [`LABELS`]; a label with an empty attribute is omitted.
    pub(super) const fn labels(self, labels: &'static [(&'static str, &'static str)]) -> Self {
        Self { labels, ..self }
    }

    /// With only the series that have this label.
    pub(super) const fn only(self, label: &'static str, value: &'static str) -> Self {
        Self {
            only: Some((label, value)),
            ..self
        }
    }

    /// Whether it includes the series with these labels.
    pub fn takes(&self, names: &[&str], values: &[&str]) -> bool {
        let mut labels = names.iter().zip(values);
        self.only
            .is_none_or(|(label, value)| labels.any(|it| it == (&label, &value)))
    }

    /// The attribute for a label, and the prefix of its value; `None` if the resource or another attribute has the
    /// information.
    pub fn attribute(&self, label: &str) -> Option<(&'static str, &'static str)> {
        let own = self.labels.iter().find(|(known, _)| *known == label);
        let usual = || LABELS.iter().find(|(known, ..)| *known == label);
        let (name, before) = match own {
            Some((_, name)) => (*name, ""),
            None => usual().map(|(_, name, before)| (*name, *before))?,
        };
        (!name.is_empty()).then_some((name, before))
    }
}

/// Labels, their attributes, and the prefixes of their values. `gpu_id` is not here: it becomes several attributes.
const LABELS: [(&str, &str, &str); 44] = [
    ("bytes", "partymeter.accounting.bytes", ""),
    ("call", "partymeter.nvml.call", ""),
    ("cause", "partymeter.cause", ""),
    ("code", attribute::ERROR_TYPE, ""),
    (
        "compute_instance_id",
        "partymeter.gpu.mig.compute_instance",
        "",
    ),
    ("container", attribute::CONTAINER_ID, ""),
    ("cuda_version", "partymeter.gpu.cuda_version", ""),
    ("direction", attribute::NETWORK_IO_DIRECTION, ""),
    ("domain", "partymeter.gpu.clock.domain", ""),
    ("driver_version", attribute::HW_DRIVER_VERSION, ""),
    ("environment", "partymeter.gpu.cc.environment", ""),
    ("fan", attribute::HW_SENSOR_LOCATION, "fan"),
    ("gpu_instance_id", "partymeter.gpu.mig.gpu_instance", ""),
    // An attribute of every point of a GPU.
    ("gpu_uuid", "", ""),
    ("kernel", attribute::OS_VERSION, ""),
    ("kind", attribute::ERROR_TYPE, ""),
    ("latency", "partymeter.accounting.latency", ""),
    ("limit", attribute::HW_LIMIT_TYPE, ""),
    ("link", "partymeter.gpu.nvlink", ""),
    ("map", "partymeter.bpf.map", ""),
    ("messages", "partymeter.accounting.messages", ""),
    // An attribute of every point of a GPU.
    ("model", "", ""),
    // An attribute of the resource.
    ("node", "", ""),
    // The other party; the resource has the own party as `mpc.party_id`.
    ("party_id", "mpc.peer.party_id", ""),
    ("pci_bus_id", "partymeter.gpu.pci_bus_id", ""),
    ("pid", attribute::PROCESS_PID, ""),
    ("pin", "partymeter.accounting.pin", ""),
    ("pipe", "partymeter.gpu.pipe", ""),
    ("process", attribute::PROCESS_EXECUTABLE_NAME, ""),
    ("profile", "partymeter.gpu.mig.profile", ""),
    ("program", "partymeter.bpf.program", ""),
    ("protocol", "mpc.protocol", ""),
    ("reason", "partymeter.reason", ""),
    ("role", "mpc.role", ""),
    ("scope", "partymeter.ecc.scope", ""),
    ("sensor", attribute::HW_SENSOR_LOCATION, ""),
    ("signal", "partymeter.otlp.signal", ""),
    ("source", "partymeter.source", ""),
    ("type", attribute::ERROR_TYPE, ""),
    ("udp", "partymeter.accounting.udp", ""),
    ("uuid", "partymeter.gpu.mig.uuid", ""),
    ("vbios", attribute::HW_FIRMWARE_VERSION, ""),
    ("version", attribute::SERVICE_VERSION, ""),
    ("xid", attribute::ERROR_TYPE, "xid_"),
];
