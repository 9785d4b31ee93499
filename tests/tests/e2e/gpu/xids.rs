//! XID errors.

use partymeter_fake_nvml::{Scenario, models::Model};

use super::Fake;

#[test]
fn every_xid_is_counted_once() {
    let mut scenario = Scenario::of(Model::H100, 2);
    // Errors before the start of the agent are not counted.
    scenario.gpus[0].xids = vec![13; 5];
    let mut fake = Fake::start(scenario);
    let count = |xid: u32| format!("gpu_xid_errors_total{{gpu_id=\"0\",xid=\"{xid}\"}}");
    fake.after_rounds(0, 2);
    assert_eq!(fake.series(&count(13)), None);
    for burst in 0..10 {
        fake.change(|scenario| {
            scenario.gpus[0].xids.extend([31; 100]);
            scenario.gpus[0].xids.push(48 + burst % 2);
        });
        fake.after_rounds(0, 1);
    }
    fake.until(&count(31), Some(1000.0));
    fake.until(&count(48), Some(5.0));
    fake.until(&count(49), Some(5.0));
    fake.after_rounds(0, 3);
    assert_eq!(fake.series(&count(31)), Some(1000.0));
    let last = fake
        .series("gpu_xid_last_timestamp_seconds{gpu_id=\"0\",xid=\"31\"}")
        .unwrap();
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    assert!((0.0..30.0).contains(&(now.as_secs_f64() - last)), "{last}");
    assert_eq!(
        fake.series("gpu_xid_errors_total{gpu_id=\"1\",xid=\"31\"}"),
        None
    );
}

#[test]
fn an_xid_counts_for_the_gpu_that_its_event_names() {
    let mut scenario = Scenario::of(Model::H100, 2);
    scenario.gpus[0].events_name = Some(1);
    let mut fake = Fake::start(scenario);
    fake.change(|scenario| scenario.gpus[0].xids.push(63));
    let xid = |gpu: u32| format!("gpu_xid_errors_total{{gpu_id=\"{gpu}\",xid=\"63\"}}");
    fake.until(&xid(1), Some(1.0));
    assert_eq!(fake.series(&xid(0)), None);
}
