//! What the kernel side writes: connections that have ended and that are open, processes that hold them, unexpected peers,
//! histograms and counters. What is decoded is what stands in memory, and never more than that.

#![no_main]

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr},
    time::{Duration, SystemTime},
};

use agent_ebpf::{Counters, Record, Role, SocketOwner, Totals, UnexpectedPeer, latency};
use arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use partymeter::{
    config::{self, Config, HostEnv, Options},
    ledger::{self, Entry},
    sample::ConnectionRecord,
    source::network::fuzz::{Decoder, times, unexpected_peer},
};
use partymeter_fuzz::{bounded, prepare};

const CONFIGURATION: &str = "\
[[parties]]\nid = \"1\"\nendpoints = [\"10.0.0.2\"]\n\
[[parties]]\nid = \"2\"\nendpoints = [\"10.0.0.3:5000\", \"2001:db8::/32\"]\n\
[[protocols]]\nname = \"p\"\nports = [5000]\n\
[[protocols]]\nname = \"q\"\ntransport = \"udp\"\nports = [\"6000-6001\"]\n";

fuzz_target!(init: prepare(), |data: &[u8]| {
    // What there are too few bytes for is not looked at.
    let _ = look(&mut Unstructured::new(data));
});

fn look(u: &mut Unstructured<'_>) -> Result<()> {
    let host = HostEnv {
        node_name: None,
        host_name: None,
    };
    let text = if u.arbitrary()? { CONFIGURATION } else { "" };
    let config = config::read("FILE", text, &Options::default(), &host);
    let config: Config = config.expect("it is valid");
    // A machine was started in this century; where its clock stands is another matter.
    let boot = SystemTime::UNIX_EPOCH + Duration::from_secs(u.arbitrary::<u32>()?.into());
    let mut decoder = Decoder::new(&config, boot);
    match u.int_in_range(0..=4)? {
        0 => connections(&decoder, u),
        1 => socket_owners(&mut decoder, u),
        2 => unexpected_peers(u),
        3 => histogram(u)?,
        _ => counters(&mut decoder, u)?,
    }
    Ok(())
}

/// A record as it lies in the kernel.
///
/// # Safety
/// Any bytes are a valid `T`.
unsafe fn as_it_lies<T>(bytes: &[u8]) -> Option<T> {
    let bytes = bytes.get(..size_of::<T>())?;
    // SAFETY: there are as many bytes as it takes, and the caller says that all are valid.
    Some(unsafe { bytes.as_ptr().cast::<T>().read_unaligned() })
}

/// The rest, with records of `length` bytes of which a word is made small, so that it means something more often.
fn records(u: &mut Unstructured<'_>, length: usize, small: &[(usize, u32)]) -> Vec<u8> {
    let mut bytes = u.bytes(u.len()).unwrap_or_default().to_vec();
    for record in bytes.chunks_exact_mut(length) {
        for (at, below) in small {
            let word = &mut record[*at..*at + 4];
            let value = u32::from_ne_bytes([word[0], word[1], word[2], word[3]]);
            // The upper bit keeps a word as it is.
            if value >> 31 == 0 {
                word.copy_from_slice(&(value % below).to_ne_bytes());
            }
        }
    }
    bytes
}

fn connections(decoder: &Decoder, u: &mut Unstructured<'_>) {
    let bytes = records(
        u,
        size_of::<Record>(),
        &[(20, 64), (84, 3), (88, 5), (92, 2)],
    );
    let limit = 16 * bytes.len() + 4096;
    let open = bounded(limit, || decoder.open(&bytes));
    let mut ended = Vec::new();
    for bytes in bytes.chunks(size_of::<Record>()) {
        // SAFETY: it holds nothing but integers.
        let record = unsafe { as_it_lies::<Record>(bytes) };
        let connection = decoder.ended(bytes);
        let Some((connection, record)) = connection.zip(record) else {
            continue;
        };
        assert_eq!(connection.local.ip(), address(record.local));
        assert_eq!(connection.remote.ip(), address(record.connection.address));
        assert_eq!(connection.local.port(), record.connection.local_port);
        assert_eq!(connection.remote.port(), record.connection.remote_port);
        assert_eq!(connection.transmit, record.transmit);
        assert_eq!(connection.receive, record.receive);
        assert_eq!(connection.retransmit, record.retransmit);
        assert_eq!(connection.role as u32, record.role);
        assert!(connection.end.is_none_or(|end| end as u32 == record.end));
        assert_eq!(connection.smoothed_rtt.is_some(), record.smoothed != 0);
        in_ledger(&connection);
        ended.push(connection);
    }
    assert!(open.len() <= ended.len(), "a connection out of nothing");
    assert!(open.iter().all(|it| ended.contains(it)));
}

/// What is decoded can be written down, and read again.
fn in_ledger(connection: &ConnectionRecord) {
    let line = ledger::line("node", Some("0"), connection).expect("it can be written");
    let entry: Entry = serde_json::from_slice(&line).expect("what is written can be read");
    assert_eq!(entry.transmit, connection.transmit);
    assert_eq!(entry.receive, connection.receive);
    assert_eq!(
        (entry.local, entry.remote),
        (connection.local, connection.remote)
    );
    assert_eq!(entry.role, Role::name(connection.role));
}

/// As people write it: IPv4 where it is mapped.
fn address(words: [u32; 4]) -> IpAddr {
    let mut octets = [0; 16];
    for (octets, word) in octets.chunks_exact_mut(4).zip(words) {
        octets.copy_from_slice(&word.to_ne_bytes());
    }
    Ipv6Addr::from(octets).to_canonical()
}

fn socket_owners(decoder: &mut Decoder, u: &mut Unstructured<'_>) {
    let bytes = records(u, size_of::<SocketOwner>(), &[(28, 64)]);
    let limit = 16 * bytes.len() + 4096;
    let (found, sessions) = bounded(limit, || {
        let (found, sessions) = decoder.socket_owners(&bytes);
        (found.to_vec(), sessions)
    });
    assert_eq!(found.len(), bytes.len() / size_of::<SocketOwner>());
    for (found, bytes) in found.iter().zip(bytes.chunks(size_of::<SocketOwner>())) {
        // SAFETY: it holds nothing but integers.
        let Some(owner) = (unsafe { as_it_lies::<SocketOwner>(bytes) }) else {
            continue;
        };
        assert_eq!(
            (found.process, found.connection),
            (owner.process, owner.connection)
        );
    }
    for sessions in sessions {
        assert!(sessions.processes <= found.len() as u64, "{sessions:?}");
    }
}

fn unexpected_peers(u: &mut Unstructured<'_>) {
    let bytes = u.bytes(u.len()).unwrap_or_default();
    // SAFETY: it holds nothing but integers.
    let expected = unsafe { as_it_lies::<UnexpectedPeer>(bytes) };
    let found = unexpected_peer(bytes);
    let parts = |it: UnexpectedPeer| (it.connection, it.role, it.process);
    assert_eq!(found.map(parts), expected.map(parts));
}

fn histogram(u: &mut Unstructured<'_>) -> Result<()> {
    let mut histogram = latency::Histogram {
        sum: u.arbitrary()?,
        buckets: [0; latency::BUCKETS],
    };
    let mut samples = 0;
    for _ in 0..u.int_in_range(0..=64)? {
        let bucket = u.choose_index(latency::BUCKETS)?;
        let count = u64::from(u.arbitrary::<u32>()?);
        histogram.buckets[bucket] += count;
        samples += count;
    }
    for fine in [false, true] {
        let times = times(&histogram, fine);
        assert_eq!(
            times.buckets.iter().sum::<u64>(),
            samples,
            "no sample is lost"
        );
        assert!(times.sum.is_finite() && times.sum >= 0.0);
        assert_eq!(times.fine.is_some(), fine);
        if let Some(fine) = times.fine {
            let all = fine.zero + fine.buckets.iter().sum::<u64>();
            assert_eq!(all, samples, "no sample is lost");
        }
    }
    Ok(())
}

/// Counters go on and never back, and nothing is published that was not counted.
fn counters(decoder: &mut Decoder, u: &mut Unstructured<'_>) -> Result<()> {
    let mut waited = BTreeMap::new();
    // What the agent before this one has published.
    let shown = u.arbitrary::<u64>()? >> 2;
    let mut most = (shown, 0);
    for _ in 0..u.int_in_range(1..=6)? {
        let walk: u8 = u.arbitrary()?;
        let mut counted = Counters {
            totals: Totals {
                // No counter comes near 2^63: what seems so is a correction below 0.
                transmit: u.arbitrary::<u64>()? >> 2,
                receive: u.arbitrary::<u64>()? >> 2,
                messages: [u.arbitrary::<u64>()? >> 2; 2],
                waited: u.arbitrary::<u64>()? >> 2,
                ..Totals::default()
            },
            walk: u.arbitrary::<u8>()?.into(),
            smoothed: u.arbitrary()?,
            open: u.arbitrary()?,
            measured: u.arbitrary()?,
            sent: u.arbitrary()?,
            ..Counters::default()
        };
        counted.shown.transmit = shown;
        most.0 = most.0.max(counted.totals.transmit);
        most.1 = most.1.max(counted.totals.receive);
        let clock = u.arbitrary::<u64>()? >> 2;
        let traffic = decoder.traffic((walk.into(), clock), |_| Some(counted));
        for traffic in traffic {
            assert_eq!(traffic.transmit, most.0);
            assert_eq!(traffic.receive, most.1);
            assert!(traffic.open <= u64::from(counted.open));
            let rtt = traffic.smoothed_rtt.unwrap_or_default();
            assert!(rtt.is_finite() && rtt >= 0.0);
            let whose = (traffic.party, traffic.protocol, traffic.datagrams);
            let before = waited.insert(whose, traffic.waited);
            let goes_on = before.is_none_or(|before| before <= traffic.waited);
            assert!(goes_on, "a counter has gone back");
        }
    }
    Ok(())
}
