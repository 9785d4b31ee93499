//! The page of dcgm-exporter 4.8: its names, units and labels for the same values, so that dashboards made for it work.

use std::sync::LazyLock;

use super::{
    list::metrics,
    metric::{Dcgm, GpuMetric, Scale},
    series::gpus,
};
use crate::{
    model::metric::{Kind, MetricValue},
    sample::{
        Snapshot,
        gpu::{Gpu, VgpuLicense, Xid},
    },
};

/// One metric family of the page.
pub struct Family {
    /// `DCGM_FI_…`.
    pub name: &'static str,
    /// The type that dcgm-exporter gives it.
    pub kind: Kind,
    /// The help text.
    pub help: &'static str,
    sources: Vec<(&'static GpuMetric, &'static Dcgm)>,
}

/// Receives the names of the labels, their values, and the value of a series.
pub type EmitLabelled<'a> = &'a mut dyn FnMut(&[&str], &[&str], MetricValue<'_>);

/// The labels of every series; those of MIG follow.
const LABELS: [&str; 7] = [
    "gpu",
    "UUID",
    "pci_bus_id",
    "device",
    "modelName",
    "Hostname",
    "DCGM_FI_DRIVER_VERSION",
];

/// The number of the last XID error; 0 before the first.
const XID: &str = "DCGM_FI_DEV_XID_ERRORS";

/// Whether a virtual GPU has its license; 0 also if it needs none.
const LICENSE: &str = "DCGM_FI_DEV_VGPU_LICENSE_STATUS";

/// Every family, in the order of the agent's own page.
pub fn families() -> &'static [Family] {
    static FAMILIES: LazyLock<Vec<Family>> = LazyLock::new(|| {
        let mut families: Vec<Family> = Vec::new();
        for metric in metrics() {
            for dcgm in metric.dcgm {
                match families.iter_mut().find(|family| family.name == dcgm.name) {
                    Some(family) => family.sources.push((metric, dcgm)),
                    None => families.push(Family {
                        name: dcgm.name,
                        kind: dcgm.kind,
                        help: dcgm.help,
                        sources: vec![(metric, dcgm)],
                    }),
                }
            }
        }
        for (name, help) in [
            (XID, "Value of the last XID error encountered."),
            (LICENSE, "vGPU License status"),
        ] {
            families.push(Family {
                name,
                kind: Kind::Gauge,
                help,
                sources: Vec::new(),
            });
        }
        families
    });
    &FAMILIES
}

impl Family {
    /// Emits every series of the family.
    pub fn read(&self, snapshot: &Snapshot, emit: EmitLabelled<'_>) {
        for gpu in gpus(snapshot) {
            let value = match self.name {
                XID => Some(last_xid(gpu)),
                LICENSE => license(gpu),
                _ => None,
            };
            if let Some(value) = value {
                labelled(snapshot, &gpu.id, None, MetricValue::Integer(value), emit);
            }
        }
        for (GpuMetric { metric, .. }, dcgm) in &self.sources {
            (metric.read)(snapshot, &mut |values, value| {
                let label = |name: &str| {
                    let at = metric.labels.iter().position(|label| *label == name)?;
                    values.get(at).copied()
                };
                if dcgm
                    .only
                    .iter()
                    .all(|(name, value)| label(name) == Some(value))
                    && let Some(id) = label("gpu_id")
                {
                    labelled(
                        snapshot,
                        id,
                        label("gpu_instance_id"),
                        scaled(value, dcgm.scale),
                        emit,
                    );
                }
            });
        }
    }
}

fn last_xid(gpu: &Gpu) -> u64 {
    let by_time = |one: &&Xid, other: &&Xid| one.last.total_cmp(&other.last);
    gpu.xids.iter().max_by(by_time).map_or(0, |xid| xid.xid)
}

fn license(gpu: &Gpu) -> Option<u64> {
    let license = gpu.reading.as_ref()?.vgpu_license?;
    Some((license == VgpuLicense::Licensed).into())
}

fn labelled(
    snapshot: &Snapshot,
    id: &str,
    instance: Option<&str>,
    value: MetricValue<'_>,
    emit: EmitLabelled<'_>,
) {
    let gpu = gpus(snapshot).iter().find(|gpu| *gpu.id == *id);
    // A GPU that is down keeps its properties; one that was never open has none.
    let Some((gpu, info)) = gpu.and_then(|gpu| Some((gpu, gpu.info.as_deref()?))) else {
        return;
    };
    let values = [
        id,
        &info.uuid,
        &info.pci_bus_id,
        &info.device,
        &info.model,
        &snapshot.node,
        &info.driver_version,
    ];
    let Some(instance) = instance else {
        emit(&LABELS, &values, value);
        return;
    };
    let mut instances = gpu.reading.iter().flat_map(|reading| &reading.instances);
    let of = instances.find(|known| known.gpu_instance == instance);
    let profile = of.map_or("", |instance| instance.profile.as_str());
    emit(
        &[&LABELS[..], &["GPU_I_PROFILE", "GPU_I_ID"]].concat(),
        &[&values[..], &[profile, instance]].concat(),
        value,
    );
}

#[expect(
    clippy::cast_precision_loss,
    reason = "exact up to 9e15, in any of its units"
)]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "checked to be whole and in range"
)]
fn scaled(value: MetricValue<'_>, scale: Scale) -> MetricValue<'_> {
    let real = match value {
        MetricValue::Integer(value) => value as f64,
        MetricValue::Real(value) => value,
        MetricValue::Histogram(..) => return value,
    };
    let real = match scale {
        Scale::Same => return value,
        Scale::Times(factor) => real * factor,
        Scale::Over(factor) => real / factor,
    };
    // dcgm-exporter has whole numbers of MiB, MHz, mJ and ns.
    let whole = real.round();
    if (0.0..9e15).contains(&whole) {
        MetricValue::Integer(whole as u64)
    } else {
        MetricValue::Real(real)
    }
}
