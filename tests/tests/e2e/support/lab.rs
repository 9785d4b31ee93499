//! Two network namespaces and a cable between them; gone when dropped.

use std::{
    fs::File,
    io::ErrorKind,
    net::{IpAddr, SocketAddr, TcpListener, TcpStream},
    os::fd::AsRawFd,
    process::{Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU8, Ordering},
    },
};

use super::until;

/// A network namespace by its name under /run/netns.
pub struct Namespace {
    pub name: String,
}

impl Namespace {
    pub(super) fn new(name: String) -> Self {
        // SAFETY: it only reads who runs this process.
        let is_root = unsafe { libc::geteuid() } == 0;
        assert!(
            is_root,
            "needs root: `cargo xtask test` has it, or gets it by sudo"
        );
        alone();
        run(&format!("ip netns add {name}"));
        run(&format!("ip -n {name} link set lo up"));
        Self { name }
    }

    /// Runs `work` on a thread that is in the namespace; sockets made there stay there.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let file = File::open(format!("/run/netns/{}", self.name)).unwrap();
        std::thread::scope(|scope| {
            let inside = scope.spawn(move || {
                // SAFETY: moves only this thread, into a namespace that is open.
                let result = unsafe { libc::setns(file.as_raw_fd(), libc::CLONE_NEWNET) };
                assert_eq!(result, 0, "setns: {}", std::io::Error::last_os_error());
                work()
            });
            inside
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Runs a command line in the namespace.
    pub fn run(&self, command: &str) {
        run(&format!("ip netns exec {} {command}", self.name));
    }
}

/// Waits until no other run of the tests is under way on this machine: an agent sees the connections of all of them, and
/// their labs have the same addresses.
fn alone() {
    static LOCK: OnceLock<File> = OnceLock::new();
    LOCK.get_or_init(|| {
        let lock = File::create("/run/partymeter-tests.lock").unwrap();
        if lock.try_lock().is_err() {
            eprintln!("waiting for another run of the tests to end");
            lock.lock().unwrap();
        }
        lock
    });
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip")
            .args(["netns", "del", &self.name])
            .status();
    }
}

/// Runs a command line, which must succeed.
pub fn run(command: &str) {
    let mut words = command.split_whitespace();
    let output = Command::new(words.next().unwrap())
        .args(words)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{command}: {error}"));
    assert!(
        output.status.success(),
        "{command}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Namespaces A and B, joined by a cable. Each lab has addresses and ports of its own, so that tests that run at
/// the same time do not see each other.
pub struct Lab {
    pub a: Namespace,
    pub b: Namespace,
    router: Option<Namespace>,
    number: u8,
}

static LABS: AtomicU8 = AtomicU8::new(1);

impl Lab {
    pub fn new() -> Self {
        let lab = Self::bare();
        run(&format!(
            "ip link add eth netns {} type veth peer name eth netns {}",
            lab.a.name, lab.b.name
        ));
        for (namespace, host) in [(&lab.a, 1), (&lab.b, 2)] {
            let name = &namespace.name;
            run(&format!(
                "ip -n {name} addr add {}/24 dev eth",
                lab.v4(host)
            ));
            run(&format!(
                "ip -n {name} addr add {}/64 dev eth nodad",
                lab.v6(host)
            ));
            run(&format!("ip -n {name} link set eth up"));
        }
        lab
    }

    /// A lab with a router in the middle, which is to B by its device `to-b`. IPv4 only.
    pub fn routed() -> Self {
        let mut lab = Self::bare();
        let router = Namespace::new(lab.a.name.replace('a', "r"));
        router.run("sysctl -qw net.ipv4.ip_forward=1");
        for (namespace, host, device) in [(&lab.a, 1, "to-a"), (&lab.b, 2, "to-b")] {
            let (name, middle, other) = (&namespace.name, &router.name, 3 - host);
            run(&format!(
                "ip link add eth netns {name} type veth peer name {device} netns {middle}"
            ));
            run(&format!(
                "ip -n {name} addr add {}/32 dev eth",
                lab.v4(host)
            ));
            run(&format!("ip -n {name} link set eth up"));
            run(&format!("ip -n {middle} link set {device} up"));
            run(&format!("ip -n {name} route add 169.254.1.1 dev eth"));
            run(&format!(
                "ip -n {name} route add {} via 169.254.1.1",
                lab.v4(other)
            ));
            run(&format!(
                "ip -n {middle} addr add 169.254.1.1/32 dev {device}"
            ));
            run(&format!(
                "ip -n {middle} route add {} dev {device}",
                lab.v4(host)
            ));
        }
        lab.router = Some(router);
        lab
    }

    /// Two namespaces with nothing between them.
    fn bare() -> Self {
        let number = LABS.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("pm{}n{number}", std::process::id());
        let (a, b) = (
            Namespace::new(format!("{prefix}a")),
            Namespace::new(format!("{prefix}b")),
        );
        Self {
            a,
            b,
            router: None,
            number,
        }
    }

    pub fn router(&self) -> &Namespace {
        self.router.as_ref().unwrap()
    }

    /// Address of a host on the cable: A is 1, B is 2.
    pub fn v4(&self, host: u8) -> IpAddr {
        IpAddr::from([10, 71, self.number, host])
    }

    pub fn v6(&self, host: u8) -> IpAddr {
        format!("fd71:{}::{host}", self.number).parse().unwrap()
    }

    /// One of the lab's twenty ports.
    pub fn port(&self, index: u16) -> u16 {
        assert!(index < 20);
        10_000 + 20 * u16::from(self.number) + index
    }

    /// The protocol `test` on the lab's ports.
    pub fn protocol(&self) -> String {
        format!(
            "[[protocols]]\nname = \"test\"\nports = [\"{}-{}\"]\n",
            self.port(0),
            self.port(19)
        )
    }

    /// The parties `a` and `b`, by their addresses.
    pub fn config(&self) -> String {
        let party = |id: &str, host: u8| {
            format!(
                "[[parties]]\nid = \"{id}\"\nendpoints = [\"{}\", \"{}\"]\n",
                self.v4(host),
                self.v6(host)
            )
        };
        party("a", 1) + &party("b", 2) + &self.protocol()
    }

    /// Listens at B's IPv4 address. A listener before it on the same port is gone only once no child that another
    /// test is just starting holds a copy of it.
    pub fn listen(&self, index: u16) -> TcpListener {
        let address = SocketAddr::from((self.v4(2), self.port(index)));
        let bind = || match self.b.enter(|| TcpListener::bind(address)) {
            Err(error) if error.kind() == ErrorKind::AddrInUse => None,
            result => Some(result.unwrap()),
        };
        until(bind, || format!("{address} is in use"))
    }

    /// Connects A to an address of B's.
    pub fn connect_to(&self, address: SocketAddr) -> TcpStream {
        self.a.enter(|| TcpStream::connect(address).unwrap())
    }

    /// A connection from A to B: both its ends.
    pub fn connection(&self) -> (TcpStream, TcpStream) {
        let listener = self.listen(0);
        let a = self.connect_to(listener.local_addr().unwrap());
        let (b, _) = listener.accept().unwrap();
        (a, b)
    }
}
