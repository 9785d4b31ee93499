//! Upper bounds of how long GPUs were idle while this node waited for a party, from the samples of the network and GPU
//! sources.
//!
//! In an interval, the time of waiting and the share of idleness are known, but not how much they overlap: at most the
//! smaller of the two, which is what is counted. Simultaneous waits for several parties are all charged.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::{Failure, LatestSample, Source, clock, gpu::LatestGpus};
use crate::sample::{Idle, IdleWait, Network, gpu::Gpu};

/// Reads the samples of both.
pub struct IdleSource {
    network: Arc<LatestSample<Network>>,
    gpus: Arc<LatestGpus>,
    waits: IdleWaits,
}

impl IdleSource {
    /// Of those sources.
    pub fn new(network: &Arc<LatestSample<Network>>, gpus: &Arc<LatestGpus>) -> Self {
        Self {
            network: Arc::clone(network),
            gpus: Arc::clone(gpus),
            waits: IdleWaits::default(),
        }
    }
}

impl Source for IdleSource {
    type Sample = Idle;

    fn name(&self) -> Arc<str> {
        "idle".into()
    }

    fn collect(&mut self) -> Result<Idle, Failure> {
        let now = clock::now();
        let (network, _) = self.network.look(&now);
        let gpus = self.gpus.look(&now, &mut Vec::new());
        let waits = self.waits.next(network.as_deref(), &gpus.gpus);
        Ok(Idle { waits })
    }
}

/// Party and protocol.
type Pair = (Arc<str>, Arc<str>);

/// The sums so far.
#[derive(Debug, Default)]
struct IdleWaits {
    /// The time of the last sample of the network, and the total wait of each pair then.
    last: Option<(Duration, BTreeMap<Pair, Duration>)>,
    /// In seconds, by GPU and pair. Kept while a GPU is down.
    seconds: BTreeMap<(Arc<str>, Pair), f64>,
}

impl IdleWaits {
    /// Adds the interval since the last sample of the network. GPUs without a reading add nothing.
    fn next(&mut self, network: Option<&Network>, gpus: &[Gpu]) -> Vec<IdleWait> {
        let Some(network) = network.filter(|network| network.counts_messages()) else {
            // The next reading of a GPU says nothing about the waits until then.
            self.last = None;
            return Vec::new();
        };
        let readable = || gpus.iter().filter_map(|gpu| Some((&gpu.id, idle(gpu)?)));
        let mut waited = BTreeMap::new();
        for traffic in &network.traffic {
            if traffic.rounds > 0 || !traffic.waited.is_zero() {
                let pair = (Arc::clone(&traffic.party), Arc::clone(&traffic.protocol));
                waited.insert(pair, traffic.waited);
            }
        }
        for (id, idle) in readable() {
            for (pair, sum) in &waited {
                let total = self.seconds.entry((Arc::clone(id), pair.clone()));
                let total = total.or_default();
                if let Some((then, before)) = &self.last {
                    let before = before.get(pair).copied().unwrap_or_default();
                    let waited = sum.saturating_sub(before).as_secs_f64();
                    let idle = idle * network.read.saturating_sub(*then).as_secs_f64();
                    *total += waited.min(idle);
                }
            }
        }
        self.last = Some((network.read, waited));
        let here = |id: &Arc<str>| readable().any(|(it, _)| it == id);
        let all = self.seconds.iter().filter(|((gpu, _), _)| here(gpu));
        all.map(|((gpu, (party, protocol)), seconds)| IdleWait {
            gpu: Arc::clone(gpu),
            party: Arc::clone(party),
            protocol: Arc::clone(protocol),
            seconds: *seconds,
        })
        .collect()
    }
}

/// The share of time in which the GPU was idle, 0 to 1: by the profiling counters, which cover the whole interval, or else
/// by the utilization, which covers NVML's sampling period.
#[expect(clippy::cast_precision_loss, reason = "percent")]
fn idle(gpu: &Gpu) -> Option<f64> {
    let reading = gpu.reading.as_ref()?;
    let sampled = reading.utilization.map(|percent| percent as f64 / 100.0);
    let busy = reading.activity.graphics.or(sampled)?;
    Some((1.0 - busy).clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{
        Accounting, Traffic,
        gpu::{Activity, Reading},
    };

    fn gpu(id: &str, utilization: Option<u64>) -> Gpu {
        let reading = utilization.map(|percent| {
            Arc::new(Reading {
                utilization: Some(percent),
                ..Reading::default()
            })
        });
        Gpu {
            id: id.into(),
            info: None,
            reading,
            down: None,
            xids: Vec::new(),
        }
    }

    /// A sample with the total wait for each party, in milliseconds.
    fn network(second: u64, waited: &[(&str, u64)]) -> Network {
        let traffic = waited.iter().map(|(party, milliseconds)| Traffic {
            party: (*party).into(),
            protocol: "test".into(),
            waited: Duration::from_millis(*milliseconds),
            ..Traffic::default()
        });
        Network {
            traffic: traffic.collect(),
            accounting: Accounting {
                messages: "sock_send_length",
                ..Accounting::default()
            },
            read: Duration::from_secs(second),
            ..Network::default()
        }
    }

    fn written(waits: Vec<IdleWait>) -> Vec<(String, f64)> {
        let all = waits.into_iter();
        all.map(|it| (format!("{} {}", it.gpu, it.party), it.seconds))
            .collect()
    }

    #[test]
    fn the_smaller_of_waiting_and_idleness_counts() {
        let mut waits = IdleWaits::default();
        let gpus = [gpu("0", Some(25)), gpu("1", Some(90)), gpu("2", None)];
        // Waits before the first sample do not count.
        let mut next =
            |second, waited: &[_]| written(waits.next(Some(&network(second, waited)), &gpus));
        assert_eq!(
            next(10, &[("a", 5000)]),
            [("0 a".to_owned(), 0.0), ("1 a".to_owned(), 0.0)]
        );
        let found = next(12, &[("a", 6000), ("b", 1900)]);
        let expected = [("0 a", 1.0), ("0 b", 1.5), ("1 a", 0.2), ("1 b", 0.2)];
        assert_eq!(
            found.len(),
            expected.len(),
            "the GPU without a reading is absent"
        );
        for ((name, seconds), (wanted, value)) in found.iter().zip(expected) {
            assert!(
                name == wanted && (seconds - value).abs() < 1e-9,
                "{found:?}"
            );
        }
        // The same sample adds nothing.
        assert_eq!(next(12, &[("a", 6000), ("b", 1900)]), found);
    }

    #[test]
    fn unknown_intervals_add_nothing_and_sums_stay() {
        let mut waits = IdleWaits::default();
        let idle = [gpu("0", Some(0))];
        let read = |waits: &mut IdleWaits, second, waited: u64, gpus: &[Gpu]| {
            written(waits.next(Some(&network(second, &[("a", waited)])), gpus))
        };
        let one = |seconds| vec![("0 a".to_owned(), seconds)];
        read(&mut waits, 10, 0, &idle);
        assert_eq!(read(&mut waits, 11, 1000, &idle), one(1.0));
        assert_eq!(read(&mut waits, 12, 2000, &[gpu("0", None)]), []);
        assert_eq!(read(&mut waits, 13, 2500, &idle), one(1.5));
        assert_eq!(written(waits.next(None, &idle)), []);
        assert_eq!(read(&mut waits, 50, 30_000, &idle), one(1.5));
        let mut off = network(51, &[("a", 31_000)]);
        off.accounting.messages = "off";
        assert_eq!(written(waits.next(Some(&off), &idle)), []);
    }

    #[test]
    fn profiling_counters_are_preferred_to_utilization() {
        let mut both = gpu("0", Some(0));
        both.reading = Some(Arc::new(Reading {
            utilization: Some(0),
            activity: Activity {
                graphics: Some(0.75),
                ..Activity::default()
            },
            ..Reading::default()
        }));
        assert_eq!(idle(&both), Some(0.25));
        assert_eq!(idle(&gpu("0", Some(40))), Some(0.6));
        let none = Gpu {
            reading: Some(Arc::default()),
            ..both
        };
        assert_eq!(idle(&none), None);
    }
}
