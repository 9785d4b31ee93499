//! What is checked of a protocol on UDP: the sockets of both ends are here, and each is the party of the other.

use std::{
    io::{ErrorKind, IoSlice},
    net::{IpAddr, Ipv6Addr, SocketAddr, UdpSocket},
    os::fd::AsRawFd as _,
    thread,
    time::Instant,
};

use anyhow::{Context as _, ensure};
use nix::sys::socket::{ControlMessage, MsgFlags, SockaddrStorage, sendmsg, setsockopt, sockopt};

use super::{INTERVAL, MAPPED, PATIENCE, V4, V6, get};

/// On a port that is also one of TCP's.
pub(super) const PROTOCOL: &str =
    "[[protocols]]\nname = \"datagrams\"\ntransport = \"udp\"\nports = [7001]\n";
const PORT: u16 = 7001;

/// Payload and number of datagrams that were sent, and that were read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sums {
    bytes: [u64; 2],
    datagrams: [u64; 2],
}

impl Sums {
    fn add(&mut self, way: usize, bytes: usize, datagrams: usize) {
        self.bytes[way] += bytes as u64;
        self.datagrams[way] += datagrams as u64;
    }
}

/// Datagrams of all kinds, then more of them than the receiver has room for.
pub(super) fn datagrams() -> anyhow::Result<()> {
    let mut sums = Sums::default();
    for address in [V4, V6, MAPPED] {
        for connected in [false, true] {
            exchange(&mut sums, address, connected)?;
        }
    }
    expect(sums).context("exchanged")?;
    for (address, together) in [(V4, false), (V4, true), (V6, false), (V6, true)] {
        segments(&mut sums, address, together)?;
    }
    expect(sums).context("segments of one call")?;
    // IPv6 says it since 6.5, and in releases of 6.1.
    overflow(&mut sums, V4)?;
    overflow(&mut sums, V6)?;
    expect(sums).context("a full receive buffer")
}

fn server() -> anyhow::Result<UdpSocket> {
    let socket = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, PORT))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    Ok(socket)
}

fn client(address: IpAddr) -> anyhow::Result<UdpSocket> {
    let socket = UdpSocket::bind((address, 0))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    Ok(socket)
}

fn exchange(sums: &mut Sums, address: IpAddr, connected: bool) -> anyhow::Result<()> {
    let (server, client) = (server()?, client(address)?);
    let to = SocketAddr::from((address, PORT));
    if connected {
        client.connect(to)?;
    }
    let mut buffer = vec![0; 70_000];
    for length in [0, 1, 1_472, 9_000, 60_000] {
        let data = vec![1; length];
        let sent = if connected {
            client.send(&data)?
        } else {
            client.send_to(&data, to)?
        };
        sums.add(0, sent, 1);
        let (got, from) = server.recv_from(&mut buffer)?;
        sums.add(1, got, 1);
        sums.add(0, server.send_to(&data[..length / 3], from)?, 1);
        sums.add(1, client.recv(&mut buffer)?, 1);
    }
    Ok(())
}

/// `together`: the receiver takes them as they come, several in one call.
fn segments(sums: &mut Sums, address: IpAddr, together: bool) -> anyhow::Result<()> {
    const LENGTH: usize = 10_500;
    const SEGMENT: u16 = 1_000;
    let (server, client) = (server()?, client(address)?);
    setsockopt(&server, sockopt::UdpGroSegment, &together)?;
    let to = SockaddrStorage::from(SocketAddr::from((address, PORT)));
    let sent = sendmsg(
        client.as_raw_fd(),
        &[IoSlice::new(&[1; LENGTH])],
        &[ControlMessage::UdpGsoSegments(&SEGMENT)],
        MsgFlags::empty(),
        Some(&to),
    )?;
    let datagrams = LENGTH.div_ceil(usize::from(SEGMENT));
    sums.add(0, sent, datagrams);
    let (mut got, mut calls) = (0, 0);
    while got < LENGTH {
        got += server.recv(&mut [0; LENGTH])?;
        calls += 1;
    }
    ensure!(
        together == (calls < datagrams),
        "{datagrams} datagrams in {calls} calls"
    );
    sums.add(1, got, datagrams);
    Ok(())
}

fn overflow(sums: &mut Sums, address: IpAddr) -> anyhow::Result<()> {
    const DATAGRAMS: usize = 400;
    let (server, client) = (server()?, client(address)?);
    setsockopt(&server, sockopt::RcvBuf, &20_000)?;
    for _ in 0..DATAGRAMS {
        sums.add(0, client.send_to(&[1; 1_000], (address, PORT))?, 1);
    }
    server.set_nonblocking(true)?;
    let mut read = 0;
    loop {
        match server.recv(&mut [0; 2_000]) {
            Ok(bytes) => sums.add(1, bytes, 1),
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => return Err(error.into()),
        }
        read += 1;
    }
    ensure!(
        read > 0 && read < DATAGRAMS,
        "{read} of {DATAGRAMS} were read"
    );
    Ok(())
}

/// Waits until the page says so.
fn expect(sums: Sums) -> anyhow::Result<()> {
    let end = Instant::now() + PATIENCE / 3;
    loop {
        let page = get("/metrics")?;
        let of = |metric: &str| {
            ["transmit", "receive"].map(|direction| {
                let series = format!(
                    "{metric}{{direction=\"{direction}\",party_id=\"peer\",protocol=\"datagrams\"}} "
                );
                let value = page.lines().find_map(|line| line.strip_prefix(&series));
                value.and_then(|value| value.parse().ok()).unwrap_or(0)
            })
        };
        let counted = Sums {
            bytes: of("network_bytes_total"),
            datagrams: of("mpc_messages_total"),
        };
        if counted == sums {
            return Ok(());
        }
        ensure!(
            Instant::now() < end,
            "the programs say {sums:?}, the page {counted:?}"
        );
        thread::sleep(INTERVAL / 2);
    }
}
