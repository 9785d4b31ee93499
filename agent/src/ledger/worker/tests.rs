//! A ledger in a directory of its own: what is kept, what is counted, and what goes on after a failure.

use std::{fs::FileTimes, path::PathBuf, sync::mpsc::sync_channel};

use agent_ebpf::{End, Role};

use super::{super::files::tests::Directory, *};

fn connection() -> ConnectionRecord {
    ConnectionRecord {
        party: "1".into(),
        protocol: "test".into(),
        role: Role::Initiator,
        local: ([10, 0, 0, 1], 40_000).into(),
        remote: ([10, 0, 0, 2], 7000).into(),
        began: SystemTime::now(),
        ended: SystemTime::now(),
        end: Some(End::Fin),
        adopted: false,
        transmit: 1,
        receive: 2,
        retransmit: 0,
        smoothed_rtt: None,
    }
}

fn worker(directory: &Directory) -> LedgerWorker {
    let limits = Limits {
        path: directory.0.clone(),
        max_size: 1 << 20,
        retention: Duration::from_hours(1),
    };
    let owner = Owner {
        node: "node".to_owned(),
        party_id: None,
    };
    LedgerWorker::open(limits, owner, Arc::default()).unwrap()
}

impl LedgerWorker {
    /// As the other end does it.
    fn end(&mut self, connection: &ConnectionRecord) {
        self.counts.accept();
        self.append(connection);
    }

    fn paths(&self) -> Vec<PathBuf> {
        let all = files::list(&self.limits.path).unwrap().ended;
        all.into_iter().map(|file| file.path).collect()
    }
}

fn text(paths: &[PathBuf]) -> String {
    let all = paths.iter().map(|path| fs::read_to_string(path).unwrap());
    all.collect()
}

#[test]
fn a_burst_leaves_the_newest_and_no_more_than_may_be() {
    let directory = Directory::new("burst");
    let mut worker = worker(&directory);
    let mut connection = connection();
    // Some 6 MiB within one round.
    for number in 0..20_000 {
        connection.transmit = number;
        worker.end(&connection);
    }
    worker.flush();
    let now = worker.counts.get();
    assert_eq!((now.written, now.failed, now.pending), (20_000, 0, 0));
    let all = text(&worker.paths());
    let whole = 1 << 20;
    assert!(
        all.len() > whole * 7 / 8 && all.len() <= whole,
        "{} bytes in {} files",
        all.len(),
        worker.paths().len()
    );
    // The newest, in order, and none missing between.
    let numbers = all.lines().map(|line| {
        let entry: super::super::Entry = serde_json::from_str(line).unwrap();
        entry.transmit
    });
    let numbers: Vec<u64> = numbers.collect();
    let first = numbers[0];
    assert_eq!(numbers, (first..20_000).collect::<Vec<_>>());
}

#[test]
fn what_is_not_in_a_file_is_not_written() {
    let directory = Directory::new("counts");
    let mut worker = worker(&directory);
    let connection = connection();
    worker.end(&connection);
    assert_eq!(
        (worker.counts.get().written, worker.counts.get().pending),
        (0, 1)
    );
    worker.flush();
    assert_eq!(
        (worker.counts.get().written, worker.counts.get().pending),
        (1, 0)
    );
}

/// A directory that is none stands for every failure: nothing can be created there.
#[test]
fn a_failure_loses_what_does_not_fit_and_ends_without_a_restart() {
    let directory = Directory::new("failure");
    let mut worker = worker(&directory);
    let line = {
        let mut line = Vec::new();
        worker.owner.write(&connection(), &mut line).unwrap();
        line.len()
    };
    fs::remove_dir_all(&directory.0).unwrap();
    fs::write(&directory.0, "").unwrap();
    let many = 2 * MAX_PENDING / line;
    for _ in 0..many {
        worker.end(&connection());
        worker.rotate(Instant::now());
    }
    let now = worker.counts.get();
    assert!(!now.is_writable);
    assert!(
        now.problems[0].starts_with("cannot write connections in"),
        "{:?}",
        now.problems
    );
    assert_eq!(now.written, 0);
    assert_eq!(now.failed + now.pending, many as u64);
    assert!(now.failed > 0 && now.pending > 0, "{now:?}");

    fs::remove_file(&directory.0).unwrap();
    worker.rotate(Instant::now());
    worker.flush();
    let after = worker.counts.get();
    assert!(after.is_writable && after.problems.is_empty(), "{after:?}");
    assert_eq!((after.written, after.pending), (now.pending, 0));
    assert_eq!(text(&worker.paths()).lines().count() as u64, after.written);
}

#[test]
fn a_file_that_somebody_removes_is_begun_anew() {
    let directory = Directory::new("removed");
    let mut worker = worker(&directory);
    fs::remove_file(&worker.paths()[0]).unwrap();
    worker.rotate(Instant::now());
    worker.end(&connection());
    worker.flush();
    assert_eq!(text(&worker.paths()).lines().count(), 1);
}

#[test]
fn only_own_files_that_are_too_old_go() {
    let directory = Directory::new("age");
    let at = |name: &str| directory.0.join(name);
    let (old, new) = (
        "ended-2026-01-31T120000.000001Z.jsonl",
        "ended-2026-01-31T120000.000002Z.jsonl",
    );
    for name in [old, new, "ended-mine.jsonl", "notes"] {
        fs::write(at(name), "{}\n").unwrap();
        if name != new {
            let file = fs::File::options().write(true).open(at(name)).unwrap();
            let long_ago = SystemTime::now() - Duration::from_hours(2);
            file.set_times(FileTimes::new().set_modified(long_ago))
                .unwrap();
        }
    }
    // As an agent leaves it that was killed before anything ended.
    fs::write(at("ended-2026-01-31T120000.000003Z.jsonl"), "").unwrap();
    let mut worker = worker(&directory);
    worker.rotate(Instant::now());
    assert!(at("ended-mine.jsonl").exists() && at("notes").exists());
    assert!(!at(old).exists() && at(new).exists());
    assert_eq!(worker.paths().len(), 2, "the newer, and what is written to");
}

#[test]
fn the_clock_for_ages_does_not_jump_ahead() {
    let year = Duration::from_hours(24 * 365);
    let jumped = Clock {
        wall: SystemTime::now() - year,
        at: Instant::now(),
    };
    let ago = SystemTime::now().duration_since(jumped.now()).unwrap();
    assert!(ago > year / 2, "as when the clock was set a year ahead");
    let back = Clock {
        wall: SystemTime::now() + year,
        at: Instant::now(),
    };
    assert!(back.now() < SystemTime::now() + year / 2);
}

#[test]
fn all_that_ended_is_there_before_what_is_open() {
    let directory = Directory::new("order");
    let mut worker = worker(&directory);
    let (to, from) = sync_channel(8);
    let mut open = connection();
    open.end = None;
    worker.counts.accept();
    to.send(Item::Ended(Box::new(connection()))).unwrap();
    to.send(Item::Open(vec![open])).unwrap();
    drop(to);
    worker.run(&from, &AtomicBool::default());
    assert_eq!(text(&worker.paths()).lines().count(), 1);
    let list = fs::read_to_string(directory.0.join(OPEN)).unwrap();
    assert!(list.contains("\"end\":\"open\"") && list.lines().count() == 1);
    assert_eq!(worker.counts.get().written, 1);
}
