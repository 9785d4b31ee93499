//! Datagrams that do not arrive, and many senders.

use super::*;

/// Who sends to where nobody listens has sent: until the answer is there, and then the call fails.
#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn a_refused_port() {
    let lab = Lab::new();
    let agent = Agent::start(&config(&lab));
    let mut sum = Tally::default();
    for to in [lab.v4(2), lab.v6(2)] {
        let own = if to.is_ipv4() {
            IpAddr::from(Ipv4Addr::UNSPECIFIED)
        } else {
            IpAddr::from(Ipv6Addr::UNSPECIFIED)
        };
        let client = bind(&lab.a, (own, 0));
        client.connect((to, lab.port(3))).unwrap();
        // The refusal comes by itself, and the next call after it fails.
        let (mut calls, mut refused) = (0, 0);
        until_true(
            || {
                match client.send(&[1; 50]) {
                    Ok(bytes) => sum.add(bytes),
                    Err(error) if error.kind() == ErrorKind::ConnectionRefused => refused += 1,
                    Err(error) => panic!("{error}"),
                }
                calls += 1;
                calls >= 20 && refused > 0
            },
            || format!("no call to {to} is refused"),
        );
    }
    assert!(sum.datagrams > 0, "every call failed");
    expect(&agent, [sum, Tally::default()], [Tally::default(); 2]);
}

/// What finds no room was sent, and not received.
#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn a_full_receive_buffer() {
    let lab = Lab::new();
    let agent = Agent::start(&config(&lab));
    let server = listen(&lab, 0);
    SockRef::from(&server).set_recv_buffer_size(20_000).unwrap();
    let (mut sent, mut got) = (Tally::default(), Tally::default());
    for to in [lab.v4(2), lab.v6(2)] {
        let client = if to.is_ipv4() {
            bind(&lab.a, (Ipv4Addr::UNSPECIFIED, 0))
        } else {
            bind(&lab.a, (Ipv6Addr::UNSPECIFIED, 0))
        };
        for round in 0..5 {
            for number in 0..200 {
                let data = vec![1; 900 + number + round];
                sent.add(client.send_to(&data, (to, lab.port(0))).unwrap());
            }
            agent.after_rounds(1);
            let more = drain(&server);
            got.bytes += more.bytes;
            got.datagrams += more.datagrams;
        }
    }
    assert!(
        got.datagrams > 0 && got.datagrams < sent.datagrams / 2,
        "{got:?} of {sent:?}"
    );
    expect(&agent, [sent, got], [Tally::default(); 2]);
}

/// Many sockets at the same time, to receivers that cannot keep up.
#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn a_crowd() {
    const SENDERS: usize = 6;
    const DATAGRAMS: usize = 20_000;
    let lab = Lab::new();
    let agent = Agent::start(&config(&lab));
    let servers: Vec<UdpSocket> = (0..3).map(|index| listen(&lab, index)).collect();
    for server in &servers {
        SockRef::from(server).set_recv_buffer_size(50_000).unwrap();
        // On a busy machine some are still on their way when all are sent.
        let patience = Some(Duration::from_secs(1));
        server.set_read_timeout(patience).unwrap();
    }
    let over = AtomicBool::new(false);
    let (sent, got) = std::thread::scope(|scope| {
        let (lab, over) = (&lab, &over);
        let readers: Vec<_> = servers
            .iter()
            .map(|server| {
                scope.spawn(move || {
                    let (mut tally, mut buffer) = (Tally::default(), [0; 2_000]);
                    loop {
                        let over = over.load(Ordering::Relaxed);
                        match server.recv(&mut buffer) {
                            Ok(bytes) => tally.add(bytes),
                            Err(_) if over => break,
                            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
                        }
                    }
                    tally
                })
            })
            .collect();
        let senders: Vec<_> = (0..SENDERS)
            .map(|sender| {
                scope.spawn(move || {
                    let to = if sender % 2 == 0 {
                        lab.v4(2)
                    } else {
                        lab.v6(2)
                    };
                    let own = match to {
                        IpAddr::V4(_) => IpAddr::from(Ipv4Addr::UNSPECIFIED),
                        IpAddr::V6(_) => IpAddr::from(Ipv6Addr::UNSPECIFIED),
                    };
                    let client = bind(&lab.a, (own, 0));
                    let mut tally = Tally::default();
                    for number in 0..DATAGRAMS {
                        let port = lab.port(u16::try_from(number % 3).unwrap());
                        tally.add(
                            client
                                .send_to(&vec![1; number % 1_400], (to, port))
                                .unwrap(),
                        );
                    }
                    tally
                })
            })
            .collect();
        let sum = |threads: Vec<std::thread::ScopedJoinHandle<'_, Tally>>| {
            threads.into_iter().fold(Tally::default(), |sum, thread| {
                let tally = thread.join().unwrap();
                Tally {
                    bytes: sum.bytes + tally.bytes,
                    datagrams: sum.datagrams + tally.datagrams,
                }
            })
        };
        let sent = sum(senders);
        over.store(true, Ordering::Relaxed);
        (sent, sum(readers))
    });
    assert!(
        got.datagrams > 0 && got.datagrams < sent.datagrams,
        "{got:?} of {sent:?}"
    );
    expect(&agent, [sent, got], [Tally::default(); 2]);
}
