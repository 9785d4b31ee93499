//! A line that takes its time: two TUN devices, one here and one in a network namespace of its own, and a thread that hands
//! each packet from one to the other, late. Not `netem`, which many kernels do not have.

use std::{
    collections::VecDeque,
    fs::{File, OpenOptions},
    io::{self, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::{fd::AsRawFd as _, unix::fs::OpenOptionsExt as _},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, anyhow};
use nix::sched::{CloneFlags, setns, unshare};

use super::{ip, no_time_wait};

/// This end and the other one, of a network of the party's.
const HERE: Ipv4Addr = Ipv4Addr::new(10, 80, 0, 1);
const THERE: Ipv4Addr = Ipv4Addr::new(10, 80, 0, 2);
/// Of both.
pub(super) const NETWORK: &str = "10.80.0.0/16";

/// The longest packet that a TUN device hands over.
const PACKET: usize = 1500;

/// Both ends.
pub(super) struct Line {
    here: File,
    there: File,
    /// The other end's network namespace.
    namespace: File,
}

impl Line {
    /// Lays one from this thread's network namespace to a new one.
    pub(super) fn lay() -> anyhow::Result<Self> {
        let here = device(HERE)?;
        let other = thread::spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).context("cannot make a network namespace")?;
            no_time_wait();
            let namespace = File::open("/proc/thread-self/ns/net")?;
            anyhow::Ok((device(THERE)?, namespace))
        });
        let (there, namespace) = joined(other.join())?;
        Ok(Self {
            here,
            there,
            namespace,
        })
    }

    /// Listens at the other end.
    pub(super) fn listen(&self, port: u16) -> anyhow::Result<(TcpListener, SocketAddr)> {
        let address = SocketAddr::from((THERE, port));
        // A socket belongs to the namespace of the thread that makes it, and those that it accepts to its own.
        let listener = thread::scope(|scope| {
            let listen = scope.spawn(|| {
                setns(&self.namespace, CloneFlags::CLONE_NEWNET)?;
                anyhow::Ok(TcpListener::bind(address)?)
            });
            joined(listen.join())
        });
        let listener = listener.with_context(|| format!("cannot listen on {address}"))?;
        Ok((listener, address))
    }

    /// Carries packets until told to stop, each one this much late.
    pub(super) fn carry(&self, delay: Duration, stop: &AtomicBool) -> io::Result<()> {
        let mut ways = [
            Way::new(&self.here, &self.there),
            Way::new(&self.there, &self.here),
        ];
        // Without a pause: to be woken takes longer than the line.
        while !stop.load(Ordering::Relaxed) {
            for way in &mut ways {
                way.step(delay)?;
            }
        }
        Ok(())
    }
}

/// One way along the line.
struct Way<'a> {
    from: &'a File,
    to: &'a File,
    /// Packets on their way, and when each arrives.
    packets: VecDeque<(Instant, Vec<u8>)>,
}

impl<'a> Way<'a> {
    const fn new(from: &'a File, to: &'a File) -> Self {
        Self {
            from,
            to,
            packets: VecDeque::new(),
        }
    }

    fn step(&mut self, delay: Duration) -> io::Result<()> {
        let mut packet = [0; PACKET];
        match self.from.read(&mut packet) {
            Ok(length) => {
                let arrival = Instant::now() + delay;
                self.packets.push_back((arrival, packet[..length].to_vec()));
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        if let Some((arrival, packet)) = self.packets.front()
            && *arrival <= Instant::now()
        {
            self.to.write_all(packet)?;
            self.packets.pop_front();
        }
        Ok(())
    }
}

/// A TUN device with an address of the line's network, in this thread's namespace.
fn device(address: Ipv4Addr) -> anyhow::Result<File> {
    const NAME: &str = "line";
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK)
        .open("/dev/net/tun")
        .context("cannot open /dev/net/tun")?;
    // SAFETY: numbers and arrays of them, for which 0 is a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (place, byte) in request.ifr_name.iter_mut().zip(NAME.bytes()) {
        *place = byte.cast_signed();
    }
    request.ifr_ifru.ifru_flags = i16::try_from(libc::IFF_TUN | libc::IFF_NO_PI)?;
    // SAFETY: the command reads and writes a structure of this type.
    let made = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut request) };
    if made < 0 {
        return Err(io::Error::last_os_error()).context("cannot make a TUN device");
    }
    ip(&format!("address add {address}/30 dev {NAME}"))?;
    ip(&format!("link set {NAME} up"))?;
    Ok(file)
}

fn joined<T>(outcome: thread::Result<anyhow::Result<T>>) -> anyhow::Result<T> {
    outcome.unwrap_or_else(|_| Err(anyhow!("the thread panicked")))
}
