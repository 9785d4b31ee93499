//! The source against a fake NVML library, in memory.

use std::sync::atomic::{AtomicU32, Ordering};

use super::super::{
    api::{DeviceHandle, Schedule},
    field::{Field, FieldValue},
    open_device::FIELDS,
    raw::{ConfCompute, Identity, Instance, Number, RawReading, Versions, XidEvent},
};
use super::*;
use crate::model::gpu;

/// The handle of the device, and one of another device.
const OWN: usize = 1;
const OTHER: usize = 2;

/// What the device answers; tests change it between rounds.
#[derive(Default)]
struct Behaviour {
    /// Events for the next read.
    xids: Vec<XidEvent>,
    /// The event that comes with the call that finds the device lost.
    last_xid: Option<u64>,
    /// Whether the call on the slow schedule finds the device lost.
    is_lost: bool,
    instances: usize,
    pcie: u32,
    memory_temperature: Option<u32>,
    links: Option<NvmlReturn>,
    /// The generation of the library in each round.
    rounds: Vec<u32>,
}

struct Library {
    behaviour: Arc<Mutex<Behaviour>>,
    number: u32,
    versions: Versions,
}

struct Card {
    behaviour: Arc<Mutex<Behaviour>>,
    number: u32,
}

impl NvmlApi for Library {
    fn versions(&self) -> &Versions {
        &self.versions
    }

    fn count(&self) -> Result<u32, NvmlError> {
        Ok(1)
    }

    fn open(&self, _selector: &DeviceSelector) -> Result<Box<dyn DeviceHandle>, NvmlError> {
        let behaviour = Arc::clone(&self.behaviour);
        let number = self.number;
        Ok(Box::new(Card { behaviour, number }))
    }

    fn conf_compute(&self, _failed: &mut dyn FnMut(NvmlError)) -> ConfCompute {
        ConfCompute::default()
    }
}

impl DeviceHandle for Card {
    fn identity(&mut self) -> Result<Identity, NvmlError> {
        Ok(Identity {
            uuid: "GPU-1".to_owned(),
            name: "a card".to_owned(),
            bus_id: "00000000:05:00.0".to_owned(),
            ..Identity::default()
        })
    }

    fn handle(&self) -> usize {
        OWN
    }

    fn xids(&mut self, _timeout: Duration, xids: &mut Vec<XidEvent>) -> Result<(), NvmlError> {
        xids.append(&mut lock(&self.behaviour).xids);
        Ok(())
    }

    fn schedules(&self) -> Vec<Schedule> {
        vec![Schedule::Slow, Schedule::EveryRound]
    }

    fn call(&mut self, index: usize, raw: &mut RawReading) -> Result<(), NvmlError> {
        let mut behaviour = lock(&self.behaviour);
        if index == 0 && behaviour.is_lost {
            let last = behaviour
                .last_xid
                .take()
                .map(|xid| XidEvent { xid, device: OWN });
            behaviour.xids.extend(last);
            return Err(NvmlError {
                call: "slow",
                code: NvmlReturn(15),
            });
        }
        behaviour.rounds.push(self.number);
        raw.instances = Some(vec![Instance::default(); behaviour.instances]);
        Ok(())
    }

    fn fields(&mut self, fields: &mut [FieldValue]) -> Result<(), NvmlError> {
        let behaviour = lock(&self.behaviour);
        for field in fields {
            field.value = match field.field {
                Field::PcieTransmit => Ok(Number::U32(behaviour.pcie)),
                Field::Temperature("memory") => behaviour
                    .memory_temperature
                    .map(Number::U32)
                    .ok_or(NvmlReturn::NOT_SUPPORTED),
                Field::LinkCount => behaviour.links.map_or(Ok(Number::U32(0)), Err),
                _ => Err(NvmlReturn::NOT_SUPPORTED),
            };
        }
        Ok(())
    }
}

struct Test {
    behaviour: Arc<Mutex<Behaviour>>,
    session: Arc<NvmlSession>,
    status: Arc<GpuStatus>,
    cell: Arc<DeviceCell>,
    source: GpuSource,
    loads: AtomicU32,
}

impl Test {
    fn new() -> Self {
        let session = Arc::new(NvmlSession::new(Duration::ZERO, false, gpu::range));
        let status = Arc::new(GpuStatus::default());
        let cell = Arc::new(DeviceCell::default());
        let source = GpuSource::new(
            0,
            Arc::clone(&session),
            Arc::clone(&status),
            Arc::clone(&cell),
        );
        let test = Self {
            behaviour: Arc::default(),
            session,
            status,
            cell,
            source,
            loads: AtomicU32::new(0),
        };
        test.load_library();
        test
    }

    fn load_library(&self) {
        self.session.set_library(Arc::new(Library {
            behaviour: Arc::clone(&self.behaviour),
            number: self.loads.fetch_add(1, Ordering::Relaxed),
            versions: Versions::default(),
        }));
    }

    fn transmit(&mut self) -> Option<u64> {
        self.source.collect().unwrap().pcie.transmit
    }
}

#[test]
fn xids_are_read_before_and_after_a_device_is_lost() {
    let mut test = Test::new();
    test.source.collect().unwrap();
    {
        let mut behaviour = lock(&test.behaviour);
        behaviour.xids = vec![XidEvent {
            xid: 48,
            device: OWN,
        }];
        behaviour.last_xid = Some(79);
        behaviour.is_lost = true;
    }
    // The slow schedule is due.
    lock(&test.cell.0).as_mut().unwrap().slow_read = None;
    let failure = test.source.collect().unwrap_err();
    assert_eq!(failure.kind, FailureKind::Lost);
    let xids: Vec<_> = test
        .status
        .xids()
        .iter()
        .map(|xid| (xid.xid, xid.count))
        .collect();
    assert_eq!(xids, [(48, 1), (79, 1)]);
    assert_eq!(test.status.health(), Health::Lost);
}

#[test]
fn an_xid_counts_for_the_device_that_its_event_names() {
    let mut test = Test::new();
    let other = Arc::new(GpuStatus::default());
    test.source.collect().unwrap();
    let (_, generation) = test.session.library().unwrap();
    test.session.register_handle(generation, OTHER, &other);
    let event = |xid, device| XidEvent { xid, device };
    // No GPU has the last handle.
    lock(&test.behaviour).xids = vec![event(13, OTHER), event(31, OWN), event(43, 7)];
    test.source.collect().unwrap();
    let numbers = |status: &GpuStatus| status.xids().iter().map(|it| it.xid).collect::<Vec<_>>();
    assert_eq!(numbers(&other), [13]);
    assert_eq!(numbers(&test.status), [31, 43]);
    // After a reload the handle may be another device's.
    test.load_library();
    lock(&test.behaviour).xids = vec![event(14, OTHER)];
    test.source.collect().unwrap();
    assert_eq!(numbers(&other), [13]);
}

#[test]
fn the_number_of_different_xids_is_bounded() {
    let mut test = Test::new();
    let numbers = (0..2000).map(|xid| XidEvent { xid, device: OWN });
    lock(&test.behaviour).xids = numbers.collect();
    test.source.collect().unwrap();
    let kept = test.status.xids().len();
    assert!(kept < 1000);
    let lost = 2000 - kept as u64;
    let errors = [("nvmlEventSetWait_v2", "implausible", lost)];
    assert_eq!(test.session.errors(), errors);
}

#[test]
fn a_failed_call_does_not_make_a_gpu_lost() {
    let mut test = Test::new();
    lock(&test.behaviour).links = Some(NvmlReturn(999));
    assert!(test.source.collect().is_err());
    assert_eq!(test.status.health(), Health::Failed);
    lock(&test.behaviour).links = None;
    test.source.collect().unwrap();
    assert_eq!(test.status.health(), Health::Up);
}

#[test]
fn a_source_says_which_gpu_it_reads() {
    let mut test = Test::new();
    assert_eq!(test.source.about(), None, "before the first open");
    test.source.collect().unwrap();
    lock(&test.behaviour).is_lost = true;
    lock(&test.cell.0).as_mut().unwrap().slow_read = None;
    assert!(test.source.collect().is_err());
    let about = test.source.about().unwrap();
    assert_eq!(&*about, "a card, GPU-1, 00000000:05:00.0");
}

#[test]
fn implausible_values_are_counted_and_absent() {
    let mut test = Test::new();
    lock(&test.behaviour).memory_temperature = Some(0xff00_0000);
    assert_eq!(test.source.collect().unwrap().temperatures, []);
    let errors = test.session.errors();
    assert_eq!(errors, [(FIELDS, "implausible", 1)]);
    // Negative temperatures are plausible, although the type is unsigned.
    lock(&test.behaviour).memory_temperature = Some((-5_i32).cast_unsigned());
    assert_eq!(
        test.source.collect().unwrap().temperatures,
        [("memory", -5.0)]
    );
    assert_eq!(test.session.errors(), errors);
}

#[test]
fn the_round_in_which_mig_changes_is_complete() {
    let mut test = Test::new();
    lock(&test.behaviour).pcie = 7;
    lock(&test.behaviour).instances = 2;
    assert_eq!(test.transmit(), Some(7), "with instances");
    lock(&test.behaviour).instances = 0;
    assert_eq!(test.transmit(), Some(7), "without instances");
    assert_eq!(test.transmit(), Some(7));
}

#[test]
fn a_wrapped_counter_continues_when_the_device_is_reopened() {
    let mut test = Test::new();
    lock(&test.behaviour).pcie = u32::MAX;
    assert_eq!(test.transmit(), Some(u32::MAX.into()));
    lock(&test.behaviour).pcie = 9;
    assert_eq!(test.transmit(), Some((1 << 32) + 9));
    test.cell.close(Instant::now());
    assert_eq!(test.transmit(), Some((1 << 32) + 9));
}

#[test]
fn a_device_of_an_earlier_generation_is_reopened() {
    let mut test = Test::new();
    test.source.collect().unwrap();
    lock(&test.behaviour).rounds.clear();
    // Without closing the device, as when one of its calls hangs.
    test.load_library();
    test.source.collect().unwrap();
    assert!(
        lock(&test.behaviour)
            .rounds
            .iter()
            .all(|generation| *generation == 1)
    );
}

#[test]
fn a_release_outlasts_failures_and_reloads() {
    let mut test = Test::new();
    test.session
        .release(Instant::now() + Duration::from_mins(1));
    test.session
        .close(Failure::new(FailureKind::Lost, "the driver has gone"));
    test.load_library();
    let failure = test.source.collect().unwrap_err();
    assert!(
        failure.reason.starts_with("released on request"),
        "{failure}"
    );
    assert!(test.session.is_released());
}

#[test]
fn a_failure_to_count_links_is_not_zero_links() {
    let mut test = Test::new();
    lock(&test.behaviour).links = Some(NvmlReturn(999));
    assert_eq!(test.source.collect().unwrap_err().kind, FailureKind::Read);
    assert_eq!(test.session.errors()[0].1, "unknown");
    lock(&test.behaviour).links = None;
    test.source.collect().unwrap();
}
