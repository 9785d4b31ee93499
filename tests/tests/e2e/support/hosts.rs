//! Hosts on a switch, for programs of more than two parties; gone when dropped.

use std::{
    net::{IpAddr, SocketAddr, TcpListener, TcpStream},
    sync::atomic::{AtomicU8, Ordering},
};

use super::lab::{Namespace, run};

/// Hosts, each in a namespace of its own. They are in two networks: an agent that is told of their addresses in one
/// does not know those in the other, so that one agent for the whole machine can see what one host alone would.
pub struct Hosts {
    all: Vec<Namespace>,
    /// Dropped with the rest; nothing runs there.
    _switch: Namespace,
    number: u8,
}

static SWITCHES: AtomicU8 = AtomicU8::new(1);

impl Hosts {
    pub fn new(count: u8) -> Self {
        let number = SWITCHES.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("pm{}s{number}", std::process::id());
        let middle = Namespace::new(prefix.clone());
        let switch = &middle.name;
        run(&format!("ip -n {switch} link add switch type bridge"));
        run(&format!("ip -n {switch} link set switch up"));
        let all = (0..count).map(|host| {
            let namespace = Namespace::new(format!("{prefix}h{host}"));
            let name = &namespace.name;
            run(&format!(
                "ip link add eth netns {name} type veth peer name p{host} netns {switch}"
            ));
            run(&format!("ip -n {switch} link set p{host} master switch up"));
            for network in [72, 73] {
                let address = IpAddr::from([10, network, number, host + 1]);
                run(&format!("ip -n {name} addr add {address}/24 dev eth"));
            }
            run(&format!("ip -n {name} link set eth up"));
            namespace
        });
        Self {
            all: all.collect(),
            _switch: middle,
            number,
        }
    }

    pub fn host(&self, host: u8) -> &Namespace {
        &self.all[usize::from(host)]
    }

    /// A host's address.
    pub fn address(&self, host: u8) -> IpAddr {
        IpAddr::from([10, 72, self.number, host + 1])
    }

    /// Its address in the other network.
    pub fn aside(&self, host: u8) -> IpAddr {
        IpAddr::from([10, 73, self.number, host + 1])
    }

    /// One of the twenty ports of these hosts alone.
    pub fn port(&self, index: u16) -> u16 {
        assert!(index < 20);
        16_000 + 20 * u16::from(self.number) + index
    }

    /// A party of the configuration.
    pub fn party(id: u8, endpoint: impl std::fmt::Display) -> String {
        format!("[[parties]]\nid = \"{id}\"\nendpoints = [\"{endpoint}\"]\n")
    }

    /// A new connection: the ends of `from`, which has opened it, and of `to`.
    pub fn line(&self, from: u8, to: u8, address: SocketAddr) -> (TcpStream, TcpStream) {
        let listener = self.host(to).enter(|| TcpListener::bind(address).unwrap());
        let opened = self
            .host(from)
            .enter(|| TcpStream::connect(address).unwrap());
        (opened, listener.accept().unwrap().0)
    }
}
