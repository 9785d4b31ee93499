//! How a metric goes out by OTLP: under which name, as which instrument, and what its labels are called there. Names
//! are those of the semantic conventions where they have one (`hw.*`, `system.*`, `process.*`, `network.*`).

use opentelemetry_semantic_conventions::attribute;

use super::{Kind, Metric, Value};

/// What a metric of the catalog is for OpenTelemetry. Several may share a name and then are one metric there, with
/// points told apart by attributes.
#[derive(Clone, Copy, Debug)]
pub struct OpenTelemetry {
    /// Its name.
    pub name: &'static str,
    unit: Option<&'static str>,
    is_sum: bool,
    change: Change,
    /// Attributes with a value that is always the same.
    pub constant: &'static [(&'static str, &'static str)],
    labels: &'static [(&'static str, &'static str)],
    only: Option<(&'static str, &'static str)>,
}

/// An instrument of OpenTelemetry, as far as the data model tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instrument {
    /// A sum that only grows.
    Counter,
    /// A sum that goes up and down: adding it up over attributes has a meaning.
    UpDownCounter,
    /// A value that is what it is.
    Gauge,
    /// Observations by size.
    Histogram,
}

impl Instrument {
    /// As in the semantic conventions.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::UpDownCounter => "updowncounter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    None,
    /// 1 for 0, and 0 for 1.
    Not,
}

/// Under a name, with the unit, kind and labels of the catalog.
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

    /// The opposite of a value that is 0 or 1.
    pub(super) const fn not(self) -> Self {
        Self {
            change: Change::Not,
            ..self
        }
    }

    /// With attributes that are always the same.
    pub(super) const fn with(self, constant: &'static [(&'static str, &'static str)]) -> Self {
        Self { constant, ..self }
    }

    /// With other names for labels than they have elsewhere; a label with an empty name is left out.
    pub(super) const fn labels(self, labels: &'static [(&'static str, &'static str)]) -> Self {
        Self { labels, ..self }
    }

    /// Only the series with this label.
    pub(super) const fn only(self, label: &'static str, value: &'static str) -> Self {
        Self {
            only: Some((label, value)),
            ..self
        }
    }

    /// In the code of UCUM. Shares are of 1 there, not of 100. What is no share and no quantity, as a state or an info,
    /// has none: Prometheus' translation would call a gauge of unit 1 a ratio.
    pub fn unit_of(&self, metric: &Metric) -> &'static str {
        let is_share = metric.unit == "%" || metric.name.ends_with("_ratio");
        match self.unit.unwrap_or(metric.unit) {
            _ if is_share => "1",
            "1" if self.instrument(metric) == Instrument::Gauge => "",
            unit => unit,
        }
    }

    /// What kind of instrument would have recorded it.
    pub const fn instrument(&self, metric: &Metric) -> Instrument {
        match metric.kind {
            Kind::Counter => Instrument::Counter,
            Kind::Histogram => Instrument::Histogram,
            Kind::Gauge if self.is_sum => Instrument::UpDownCounter,
            Kind::Gauge | Kind::Info => Instrument::Gauge,
        }
    }

    /// Whether the series with these labels goes out under this name.
    pub fn takes(&self, names: &[&str], values: &[&str]) -> bool {
        let mut labels = names.iter().zip(values);
        self.only
            .is_none_or(|(label, value)| labels.any(|it| it == (&label, &value)))
    }

    /// The attribute for a label, and what is put before the label's value; `None` where the resource or another
    /// attribute says it already.
    pub fn attribute(&self, label: &str) -> Option<(&'static str, &'static str)> {
        let own = self.labels.iter().find(|(known, _)| *known == label);
        let usual = || LABELS.iter().find(|(known, ..)| *known == label);
        let (name, before) = match own {
            Some((_, name)) => (*name, ""),
            None => usual().map(|(_, name, before)| (*name, *before))?,
        };
        (!name.is_empty()).then_some((name, before))
    }

    /// The value as it goes out.
    #[expect(
        clippy::cast_precision_loss,
        reason = "percentages are small whole numbers"
    )]
    pub fn value<'a>(&self, metric: &Metric, value: Value<'a>) -> Value<'a> {
        match (value, self.change) {
            (Value::Integer(value), Change::Not) => Value::Integer(1_u64.saturating_sub(value)),
            (Value::Integer(value), Change::None) if metric.unit == "%" => {
                Value::Real(value as f64 / 100.0)
            }
            (Value::Real(value), Change::None) if metric.unit == "%" => Value::Real(value / 100.0),
            (value, _) => value,
        }
    }
}

/// What labels are called, and what is put before their values. `gpu_id` is not here: it stands for a whole GPU, and
/// that for several attributes.
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
    // Every point of a GPU has it.
    ("gpu_uuid", "", ""),
    ("kernel", attribute::OS_VERSION, ""),
    ("kind", attribute::ERROR_TYPE, ""),
    ("latency", "partymeter.accounting.latency", ""),
    ("limit", attribute::HW_LIMIT_TYPE, ""),
    ("link", "partymeter.gpu.nvlink", ""),
    ("map", "partymeter.bpf.map", ""),
    ("messages", "partymeter.accounting.messages", ""),
    // Every point of a GPU has it.
    ("model", "", ""),
    // The resource has it.
    ("node", "", ""),
    // The other party; the resource has the own as `mpc.party_id`.
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
