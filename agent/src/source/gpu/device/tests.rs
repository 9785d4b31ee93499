//! A device that does what it is told, behind the seam.

use std::sync::atomic::AtomicU32;

use super::super::{
    fields::Field,
    raw::{ConfCompute, Identity, Instance, Number, Versions},
};
use super::*;

/// What the device does; changed while it is read.
#[derive(Default)]
struct Told {
    xids: Vec<u64>,
    /// The call that rarely is made finds the device lost.
    slow_finds_it_lost: bool,
    instances: usize,
    pcie: u32,
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
            bus_id: "00000000:05:00.0".to_owned(),
            ..Identity::default()
        })
    }

    fn xids(&mut self, xids: &mut Vec<u64>) -> Result<(), Trouble> {
        xids.append(&mut lock(&self.told).xids);
        Ok(())
    }

    fn paces(&self) -> Vec<Pace> {
        vec![Pace::Slow, Pace::Round]
    }

    fn call(&mut self, index: usize, raw: &mut Raw) -> Result<(), Trouble> {
        let mut told = lock(&self.told);
        if index == 0 && told.slow_finds_it_lost {
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
    source: GpuSource,
    starts: AtomicU32,
}

impl Test {
    fn new() -> Self {
        let shared = Arc::new(Shared::new(Duration::ZERO, false));
        let own = Arc::new(Own::default());
        let source = GpuSource::new(0, Arc::clone(&shared), Arc::clone(&own));
        let test = Self {
            told: Arc::default(),
            shared,
            own,
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
fn xids_are_read_before_anything_can_find_the_device_lost() {
    let mut test = Test::new();
    test.source.collect().unwrap();
    {
        let mut told = lock(&test.told);
        told.xids = vec![79];
        told.slow_finds_it_lost = true;
    }
    // As if the time for what rarely changes had come.
    lock(&test.own.open).as_mut().unwrap().slow_read = None;
    let failure = test.source.collect().unwrap_err();
    assert_eq!(failure.kind, FailureKind::Lost);
    let xids: Vec<_> = test
        .own
        .xids()
        .iter()
        .map(|xid| (xid.xid, xid.count))
        .collect();
    assert_eq!(xids, [(79, 1)]);
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
    test.own.close(Instant::now());
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
