//! Reloads while bytes move.

use super::*;

/// Bytes that move while the parties change are one party's or the other's: none is lost, and none is there twice.
#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn nothing_is_lost_and_nothing_counted_twice_under_traffic() {
    let lab = Lab::new();
    let (at_a, at_b) = (lab.v4(1).to_string(), lab.v4(2).to_string());
    let named = |a: &str, b: &str| party(a, &at_a) + &party(b, &at_b) + &lab.protocol();
    let agent = Agent::start(&named("a0", "b0"));
    let connections: Vec<_> = (0..4).map(|_| lab.connection()).collect();
    let stop = AtomicBool::new(false);
    let listener = lab.listen(1);
    let address = listener.local_addr().unwrap();
    let moved: u64 = std::thread::scope(|scope| {
        let (stop, lab) = (&stop, &lab);
        // Connections that begin and end while the tables change.
        let short = scope.spawn(move || {
            let mut sent = 0;
            while !stop.load(Ordering::Relaxed) {
                let a = lab.connect_to(address);
                let (b, _) = listener.accept().unwrap();
                exchange(&a, &b, 100);
                sent += 100;
            }
            sent
        });
        let writers: Vec<_> = connections
            .iter()
            .map(|(a, b)| {
                scope.spawn(|| std::io::copy(&mut &*b, &mut std::io::sink()).unwrap());
                scope.spawn(|| {
                    let mut sent = 0_u64;
                    while !stop.load(Ordering::Relaxed) {
                        sent += (&mut &*a).write(&[1; 3000]).unwrap() as u64;
                    }
                    a.shutdown(std::net::Shutdown::Write).unwrap();
                    sent
                })
            })
            .collect();
        for round in 1..=10 {
            reload(
                &agent,
                &named(&format!("a{}", round % 3), &format!("b{}", round % 4)),
            );
        }
        stop.store(true, Ordering::Relaxed);
        let long: u64 = writers.into_iter().map(|it| it.join().unwrap()).sum();
        long + short.join().unwrap()
    });
    drop(connections);
    agent.after_rounds(2);
    let sum = |side: &str, parties: u32| {
        let each = (0..parties).map(|number| agent.bytes(&format!("{side}{number}"), "test"));
        each.fold(Bytes::default(), |sum, next| Bytes {
            transmit: sum.transmit + next.transmit,
            receive: sum.receive + next.receive,
        })
    };
    assert!(agent.bytes("b1", "test").transmit > 0 && agent.bytes("a2", "test").receive > 0);
    assert_eq!((sum("b", 4), sum("a", 3)), (sent(moved), received(moved)));
    assert_eq!(agent.bytes("unknown", "test"), Bytes::default());
}

/// Ends what goes on as long as it is not set.
struct Guard<'a>(&'a AtomicBool);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A party whose entry takes other forms while it connects is that party at any moment, and no stranger.
#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn a_party_is_never_a_stranger_while_its_entry_changes() {
    const RELOADS: usize = 24;
    let lab = Lab::new();
    let (at_a, at_b) = (lab.v4(1).to_string(), lab.v4(2).to_string());
    let prefix = at_a.rsplit_once('.').unwrap().0.to_owned() + ".0/31";
    let (other_a, other_b) = (
        format!("{at_a}:{}", lab.port(3)),
        format!("{at_b}:{}", lab.port(0)),
    );
    // With b beside it; and where there are others, at the same address.
    let forms = [
        party("a", &at_a) + &party("b", &at_b),
        party("a", &prefix) + &party("b", &other_b),
        party("a", &other_a) + &party("b", &at_b),
        party("a", &at_a) + &party("b", &other_b) + &party("c", &format!("{at_b}:{}", lab.port(7))),
    ];
    let config = |form: usize| forms[form % forms.len()].clone() + &lab.protocol();
    let agent = Agent::start(&config(0));
    let listener = lab.listen(0);
    let address = listener.local_addr().unwrap();
    let done = AtomicBool::new(false);
    let connections = std::thread::scope(|scope| {
        let connect = scope.spawn(|| {
            let mut connections = 0_u64;
            lab.a.enter(|| {
                while !done.load(Ordering::Relaxed) {
                    let a = TcpStream::connect(address).unwrap();
                    let (b, _) = listener.accept().unwrap();
                    exchange(&a, &b, 10);
                    connections += 1;
                }
            });
            connections
        });
        // However this ends, so does the other thread.
        let _guard = Guard(&done);
        for form in 1..=RELOADS {
            let before = agent.series(TIMESTAMP).unwrap();
            fs::write(agent.config(), agent.whole(&config(form))).unwrap();
            agent.signal(libc::SIGHUP);
            until_true(
                || agent.series(TIMESTAMP).unwrap() > before,
                || format!("not taken in\n{}", agent.log()),
            );
        }
        done.store(true, Ordering::Relaxed);
        connect.join().unwrap()
    });
    agent.expect_moved(10 * connections, 0);
    let page = agent.get("/metrics");
    let strange = page
        .lines()
        .filter(|line| line.contains("\"unknown\"") || line.contains("mpc_unexpected"));
    for line in strange {
        let value = line.rsplit(' ').next().unwrap();
        assert!(line.starts_with('#') || value.parse() == Ok(0.0), "{line}");
    }
    assert!(
        !agent.log().contains("unexpected connection"),
        "{}",
        agent.log()
    );
}
