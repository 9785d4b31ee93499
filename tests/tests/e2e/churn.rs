//! Many connections: short ones, many at once, and settling in the very moment they end.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use partymeter::{
    config::{self, HostEnv, Options},
    source::{
        Source as _,
        network::NetworkSource,
        network::desired_state::{DesiredState, DesiredStateCell},
        network::pin::Pins,
        network::tables::Resolved,
    },
};

use crate::support::{
    Agent, Lab,
    agent::{Bytes, Scratch},
    until_true,
};

/// B answers each connection with what `answer` makes of its number, and closes it.
fn serve(listener: &TcpListener, connections: u64, answer: impl Fn(u64) -> Vec<u8>) -> u64 {
    let mut sent = 0;
    for number in 0..connections {
        let (mut b, _) = listener.accept().unwrap();
        let data = answer(number);
        sent += data.len() as u64;
        b.write_all(&data).unwrap();
    }
    sent
}

fn read_all(mut stream: TcpStream) -> u64 {
    let mut data = Vec::new();
    stream.read_to_end(&mut data).unwrap();
    data.len() as u64
}

#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn ten_thousand_connections_of_one_byte() {
    ten_thousand("");
}

/// Where `sock_ops` cannot be had, the tracepoint does all of it.
#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn ten_thousand_connections_without_socket_events() {
    ten_thousand("[network]\ncgroup = \"/proc\"\n");
}

fn ten_thousand(config: &str) {
    let lab = Lab::new();
    let agent = Agent::start(&(config.to_owned() + &lab.config()));
    let listener = lab.listen(0);
    let address = listener.local_addr().unwrap();
    thread::scope(|scope| {
        let server = scope.spawn(|| serve(&listener, 10_000, |_| vec![1]));
        let received: u64 = lab.a.enter(|| {
            (0..10_000)
                .map(|_| read_all(TcpStream::connect(address).unwrap()))
                .sum()
        });
        assert_eq!((server.join().unwrap(), received), (10_000, 10_000));
    });
    agent.expect_moved(0, 10_000);
}

#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn a_thousand_at_once() {
    let lab = Lab::new();
    let agent = Agent::start(&lab.config());
    let listener = lab.listen(0);
    let address = listener.local_addr().unwrap();
    let connections: Vec<_> = (0..1000)
        .map(|_| {
            let a = lab.connect_to(address);
            (a, listener.accept().unwrap().0)
        })
        .collect();
    for (index, (a, b)) in (1..).zip(&connections) {
        (&mut &*a).write_all(&vec![1; index]).unwrap();
        (&mut &*b).read_exact(&mut vec![0; index]).unwrap();
    }
    agent.expect_moved_live(&lab, 500_500, 0);
    assert_eq!(
        agent.series("partymeter_bpf_map_entries{map=\"sockets\"}"),
        Some(2000.0)
    );
    drop(connections);
    agent.expect_moved(500_500, 0);
    assert_eq!(
        agent.series("partymeter_bpf_map_entries{map=\"sockets\"}"),
        Some(0.0)
    );
}

/// Settles without a pause on one core while connections of every size begin and end on others. Each end of a
/// connection may be settled before, while and after its last byte, its FIN and its state arrive.
#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn settling_races_with_the_end() {
    let lab = Lab::new();
    let file = Scratch::with("race.toml", &lab.config());
    let options = Options {
        file: Some(file.0.clone()),
        ..Options::default()
    };
    let host = HostEnv {
        node_name: None,
        host_name: None,
    };
    let config = config::resolve(&options, &host).unwrap();
    let listeners = [lab.listen(0), lab.listen(1)];
    let done = AtomicBool::new(false);
    let (attached, wait) = std::sync::mpsc::channel();
    let (expected, rounds, mut source) = thread::scope(|scope| {
        let done = &done;
        // On a thread of its own from the start: once attached, it gives up what the rest of the test needs.
        let settler = scope.spawn(move || {
            let mut source = NetworkSource::new(
                &DesiredStateCell::new(DesiredState::new(&config, Resolved::new())),
                Pins::none(),
                Vec::new(),
            );
            source.collect().unwrap();
            attached.send(()).unwrap();
            let (mut rounds, mut last) = (0_u64, Bytes::default());
            while !done.load(Ordering::Relaxed) {
                let now = read(&mut source);
                assert!(
                    now.transmit >= last.transmit && now.receive >= last.receive,
                    "a counter went back"
                );
                (rounds, last) = (rounds + 1, now);
            }
            (rounds, source)
        });
        wait.recv().unwrap();
        let lanes: Vec<_> = listeners
            .iter()
            .map(|listener| {
                let lab = &lab;
                scope.spawn(move || {
                    let address = listener.local_addr().unwrap();
                    let size =
                        |number: u64| vec![1; usize::try_from(number * 7919 % 3000).unwrap()];
                    thread::scope(|scope| {
                        let server = scope.spawn(move || serve(listener, 10_000, size));
                        lab.a.enter(|| {
                            for _ in 0..10_000 {
                                read_all(TcpStream::connect(address).unwrap());
                            }
                        });
                        server.join().unwrap()
                    })
                })
            })
            .collect();
        let sent: u64 = lanes.into_iter().map(|lane| lane.join().unwrap()).sum();
        done.store(true, Ordering::Relaxed);
        let (rounds, source) = settler.join().unwrap();
        (sent, rounds, source)
    });
    assert!(rounds > 1000, "only {rounds} rounds");
    // What ends in FIN_WAIT2 or LAST_ACK ends a moment later.
    until_true(
        || read(&mut source).receive == expected,
        || format!("of {expected}"),
    );
    assert_eq!(
        read(&mut source),
        Bytes {
            transmit: 0,
            receive: expected
        },
        "after {rounds} rounds"
    );
}

/// What A has exchanged with B.
fn read(source: &mut NetworkSource) -> Bytes {
    let sample = source.collect().unwrap();
    let pair = sample
        .traffic
        .iter()
        .find(|it| &*it.party == "b" && &*it.protocol == "test")
        .unwrap();
    Bytes {
        transmit: pair.transmit,
        receive: pair.receive,
    }
}
