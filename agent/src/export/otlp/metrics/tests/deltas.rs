//! Delta temporality: what is new, and nothing twice.

use super::*;

#[test]
fn a_delta_has_only_the_increase_and_an_up_down_counter_its_value() {
    let mut snapshot = prometheus::tests::complete();
    let mut encoder = encoder(Temporality::Delta, Histograms::Explicit);
    let first = numbers(&messages(encoder.encode(&snapshot)));
    encoder.accepted(0);
    snapshot.taken += std::time::Duration::from_secs(15);
    let second = messages(encoder.encode(&snapshot));
    let delta: i32 = AggregationTemporality::Delta.into();
    for message in &second {
        match message.data.as_ref().unwrap() {
            Data::Sum(sum) => assert_eq!(
                sum.aggregation_temporality == delta,
                sum.is_monotonic,
                "{}",
                message.name
            ),
            Data::Histogram(histogram) => assert_eq!(histogram.aggregation_temporality, delta),
            _ => {}
        }
    }
    let second = numbers(&second);
    let of = |numbers: &BTreeMap<(String, BTreeMap<String, String>), f64>, name: &str| -> f64 {
        numbers
            .iter()
            .filter(|((it, _), _)| it == name)
            .map(|(_, value)| *value)
            .sum()
    };
    assert!(of(&first, "system.network.io") > 0.0);
    assert!(of(&second, "system.network.io").abs() < 1e-9);
    let used = |numbers| of(numbers, "hw.gpu.memory.usage");
    assert!((used(&first) - used(&second)).abs() < 1e-9 && used(&first) > 0.0);
    // What was counted before the agent started is not new.
    assert!(first.keys().all(|(name, _)| name != "hw.energy"));
    assert!(second.keys().any(|(name, _)| name == "hw.energy"));
}

#[test]
fn no_delta_has_what_an_earlier_agent_counted() {
    let mut snapshot = prometheus::tests::complete();
    let network = std::sync::Arc::make_mut(snapshot.network.as_mut().unwrap());
    network.since = Some(snapshot.started - std::time::Duration::from_hours(1));
    let mut encoder = encoder(Temporality::Delta, Histograms::Explicit);
    let of = |messages: &[Message]| -> f64 {
        let all = numbers(messages).into_iter();
        all.filter(|((name, _), _)| name == "system.network.io")
            .map(|(_, value)| value)
            .sum()
    };
    assert!(of(&messages(encoder.encode(&snapshot))).abs() < 1e-9);
    encoder.accepted(0);
    snapshot.taken += std::time::Duration::from_secs(15);
    let network = std::sync::Arc::make_mut(snapshot.network.as_mut().unwrap());
    network.traffic[0].transmit += 7;
    assert!((of(&messages(encoder.encode(&snapshot))) - 7.0).abs() < 1e-9);
}
