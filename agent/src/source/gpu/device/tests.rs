//! A device that does what it is told, behind the seam.

use std::sync::atomic::{AtomicU32, Ordering};

use super::super::{
    fields::{Field, FieldValue},
    open::FIELDS,
    raw::{Board, ConfCompute, Event, Identity, Instance, Number, Pace, Raw, Versions},
};
use super::*;
use crate::model::gpu;

/// The handles of the device and of another.
const OWN: usize = 1;
const OTHER: usize = 2;

/// What the device does; changed while it is read.
#[derive(Default)]
struct Told {
    /// Read at the next look.
    xids: Vec<Event>,
    /// Told by the call that finds the device lost.
    last_xid: Option<u64>,
    /// The call that rarely is made finds the device lost.
    slow_finds_it_lost: bool,
    instances: usize,
    pcie: u32,
    memory_temperature: Option<u32>,
    links: Option<Code>,
    /// In which start of the library each round was read.
    read_in: Vec<u32>,
}

struct Library {
    told: Arc<Mutex<Told>>,
    number: u32,
    versions: Versions,
}

struct Card {
    told: Arc<Mutex<Told>>,
    number: u32,
}

impl Driver for Library {
    fn versions(&self) -> &Versions {
        &self.versions
    }

    fn count(&self) -> Result<u32, Trouble> {
        Ok(1)
    }

    fn open(&self, _at: &At) -> Result<Box<dyn Board>, Trouble> {
        let told = Arc::clone(&self.told);
        let number = self.number;
        Ok(Box::new(Card { told, number }))
    }

    fn conf_compute(&self, _trouble: &mut dyn FnMut(Trouble)) -> ConfCompute {
        ConfCompute::default()
    }
}

impl Board for Card {
    fn identity(&mut self) -> Result<Identity, Trouble> {
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

    fn xids(&mut self, _patience: Duration, xids: &mut Vec<Event>) -> Result<(), Trouble> {
        xids.append(&mut lock(&self.told).xids);
        Ok(())
    }

    fn paces(&self) -> Vec<Pace> {
        vec![Pace::Slow, Pace::Round]
    }

    fn call(&mut self, index: usize, raw: &mut Raw) -> Result<(), Trouble> {
        let mut told = lock(&self.told);
        if index == 0 && told.slow_finds_it_lost {
            let last = told.last_xid.take().map(|xid| Event { xid, device: OWN });
            told.xids.extend(last);
            return Err(Trouble {
                call: "slow",
                code: Code(15),
            });
        }
        told.read_in.push(self.number);
        raw.instances = Some(vec![Instance::default(); told.instances]);
        Ok(())
    }

    fn fields(&mut self, fields: &mut [FieldValue]) -> Result<(), Trouble> {
        let told = lock(&self.told);
        for field in fields {
            field.value = match field.field {
                Field::PcieTransmit => Ok(Number::U32(told.pcie)),
                Field::MemoryTemperature => told
                    .memory_temperature
                    .map(Number::U32)
                    .ok_or(Code::NOT_SUPPORTED),
                Field::LinkCount => told.links.map_or(Ok(Number::U32(0)), Err),
                _ => Err(Code::NOT_SUPPORTED),
            };
        }
        Ok(())
    }
}

struct Test {
    told: Arc<Mutex<Told>>,
    shared: Arc<Shared>,
    own: Arc<Own>,
    held: Arc<Held>,
    source: GpuSource,
    starts: AtomicU32,
}

impl Test {
    fn new() -> Self {
        let shared = Arc::new(Shared::new(Duration::ZERO, false, gpu::range));
        let own = Arc::new(Own::default());
        let held = Arc::new(Held::default());
        let source = GpuSource::new(0, Arc::clone(&shared), Arc::clone(&own), Arc::clone(&held));
        let test = Self {
            told: Arc::default(),
            shared,
            own,
            held,
            source,
            starts: AtomicU32::new(0),
        };
        test.start_library();
        test
    }

    fn start_library(&self) {
        self.shared.put(Arc::new(Library {
            told: Arc::clone(&self.told),
            number: self.starts.fetch_add(1, Ordering::Relaxed),
            versions: Versions::default(),
        }));
    }

    fn transmit(&mut self) -> Option<u64> {
        self.source.collect().unwrap().pcie.transmit
    }
}

#[test]
fn xids_are_read_before_and_after_a_device_is_found_lost() {
    let mut test = Test::new();
    test.source.collect().unwrap();
    {
        let mut told = lock(&test.told);
        told.xids = vec![Event {
            xid: 48,
            device: OWN,
        }];
        told.last_xid = Some(79);
        told.slow_finds_it_lost = true;
    }
    // As if the time for what rarely changes had come.
    lock(&test.held.0).as_mut().unwrap().slow_read = None;
    let failure = test.source.collect().unwrap_err();
    assert_eq!(failure.kind, FailureKind::Lost);
    let xids: Vec<_> = test
        .own
        .xids()
        .iter()
        .map(|xid| (xid.xid, xid.count))
        .collect();
    assert_eq!(xids, [(48, 1), (79, 1)]);
    assert_eq!(test.own.state(), State::Lost);
}

#[test]
fn an_xid_goes_to_the_device_that_its_event_names() {
    let mut test = Test::new();
    let other = Arc::new(Own::default());
    test.source.collect().unwrap();
    let (_, generation) = test.shared.driver().unwrap();
    test.shared.name(generation, OTHER, &other);
    let event = |xid, device| Event { xid, device };
    // The last one names a device that nobody has.
    lock(&test.told).xids = vec![event(13, OTHER), event(31, OWN), event(43, 7)];
    test.source.collect().unwrap();
    let numbers = |own: &Own| own.xids().iter().map(|it| it.xid).collect::<Vec<_>>();
    assert_eq!(numbers(&other), [13]);
    assert_eq!(numbers(&test.own), [31, 43]);
    // Handles of another start of the library are others'.
    test.start_library();
    lock(&test.told).xids = vec![event(14, OTHER)];
    test.source.collect().unwrap();
    assert_eq!(numbers(&other), [13]);
}

#[test]
fn numbers_of_xids_are_bounded() {
    let mut test = Test::new();
    let numbers = (0..2000).map(|xid| Event { xid, device: OWN });
    lock(&test.told).xids = numbers.collect();
    test.source.collect().unwrap();
    let kept = test.own.xids().len();
    assert!(kept < 1000);
    let lost = 2000 - kept as u64;
    let errors = [("nvmlEventSetWait_v2", "implausible", lost)];
    assert_eq!(test.shared.errors(), errors);
}

#[test]
fn a_call_that_fails_is_no_reason_to_start_the_library_anew() {
    let mut test = Test::new();
    lock(&test.told).links = Some(Code(999));
    assert!(test.source.collect().is_err());
    assert_eq!(test.own.state(), State::Failed);
    lock(&test.told).links = None;
    test.source.collect().unwrap();
    assert_eq!(test.own.state(), State::Up);
}

#[test]
fn it_is_known_which_gpu_is_down() {
    let mut test = Test::new();
    assert_eq!(test.source.about(), None, "before it was ever open");
    test.source.collect().unwrap();
    lock(&test.told).slow_finds_it_lost = true;
    lock(&test.held.0).as_mut().unwrap().slow_read = None;
    assert!(test.source.collect().is_err());
    let about = test.source.about().unwrap();
    assert_eq!(&*about, "a card, GPU-1, 00000000:05:00.0");
}

#[test]
fn figures_that_cannot_be_are_counted_and_absent() {
    let mut test = Test::new();
    lock(&test.told).memory_temperature = Some(0xff00_0000);
    assert_eq!(test.source.collect().unwrap().temperatures, []);
    let errors = test.shared.errors();
    assert_eq!(errors, [(FIELDS, "implausible", 1)]);
    // Below zero is no nonsense, though the type is unsigned.
    lock(&test.told).memory_temperature = Some((-5_i32).cast_unsigned());
    assert_eq!(
        test.source.collect().unwrap().temperatures,
        [("memory", -5.0)]
    );
    assert_eq!(test.shared.errors(), errors);
}

#[test]
fn nothing_is_missing_from_the_round_in_which_a_mode_changes() {
    let mut test = Test::new();
    lock(&test.told).pcie = 7;
    lock(&test.told).instances = 2;
    assert_eq!(test.transmit(), Some(7), "with instances from the start");
    lock(&test.told).instances = 0;
    assert_eq!(test.transmit(), Some(7), "without them now");
    assert_eq!(test.transmit(), Some(7));
}

#[test]
fn a_counter_that_went_round_goes_on_when_the_device_is_opened_again() {
    let mut test = Test::new();
    lock(&test.told).pcie = u32::MAX;
    assert_eq!(test.transmit(), Some(u32::MAX.into()));
    lock(&test.told).pcie = 9;
    assert_eq!(test.transmit(), Some((1 << 32) + 9));
    test.held.close(Instant::now());
    assert_eq!(test.transmit(), Some((1 << 32) + 9));
}

#[test]
fn no_device_stays_open_in_a_library_that_was_started_anew() {
    let mut test = Test::new();
    test.source.collect().unwrap();
    lock(&test.told).read_in.clear();
    // Nobody could close it, as while one of its calls hung.
    test.start_library();
    test.source.collect().unwrap();
    assert!(lock(&test.told).read_in.iter().all(|start| *start == 1));
}

#[test]
fn while_it_is_given_up_nothing_else_takes_its_place() {
    let mut test = Test::new();
    test.shared.release(Instant::now() + Duration::from_mins(1));
    test.shared
        .close(Failure::new(FailureKind::Lost, "the driver has gone"));
    test.start_library();
    let failure = test.source.collect().unwrap_err();
    assert!(
        failure.reason.starts_with("given up on request"),
        "{failure}"
    );
    assert!(test.shared.is_released());
}

#[test]
fn links_that_cannot_be_counted_are_a_failure_and_not_none() {
    let mut test = Test::new();
    lock(&test.told).links = Some(Code(999));
    assert_eq!(test.source.collect().unwrap_err().kind, FailureKind::Read);
    assert_eq!(test.shared.errors()[0].1, "unknown");
    lock(&test.told).links = None;
    test.source.collect().unwrap();
}
