//! UDP payload, by the addresses of the packet itself.
//!
//! The counters mean what TCP's mean: payload handed to the network, and payload that has come to a socket, whether or not
//! the program has read it. Calls would not do: `sendmsg` and `recvmsg` give the peer of an unconnected socket only where
//! the program asks for it (`recv` does not), a corked datagram is several calls, and not every kernel has `fexit`. A
//! packet always has its addresses, and whole datagrams pass here: before they are cut into fragments or segments (GSO) on
//! the way out, after they were put together on the way in. For a socket with `UDP_GRO` one packet is many datagrams.
//!
//! A datagram for which the receive buffer has no room is counted, then taken back. Some losses are not taken back: all of
//! UDP is out of memory (`net.ipv4.udp_mem`), the socket's own filter or another program of the cgroup drops the datagram,
//! or its checksum turns out to be wrong when it is read.

use agent_ebpf::{
    Address, Counters, Role, UnexpectedSender,
    classify::{Flow, v4_mapped},
    protocol,
};
use aya_ebpf::{
    EbpfContext as _,
    bindings::{BPF_NOEXIST, bpf_sock},
    helpers::generated::{bpf_get_socket_cookie, bpf_sk_fullsock},
    programs::SkBuffContext,
};

use crate::programs::{
    atomic::{MapValue, word},
    classify::datagram_slot,
    control::{counts, is_unknown},
    counters::counters,
    maps::{TAKEN, Taken, UNEXPECTED_SENDERS},
    records::report_unexpected_peer,
    socket::SockPtr,
};

const UDP: u8 = 17;
const UDP_HEADER: u32 = 8;

const SENT: usize = 0;
const RECEIVED: usize = 1;

/// This CPU's note. Whoever reads it does so in the softirq that wrote it.
#[inline(always)]
fn taken() -> Option<MapValue<Taken>> {
    // SAFETY: the map's element of this CPU.
    unsafe { MapValue::new(TAKEN.get_ptr_mut(0)?) }
}

/// Counts a packet that is handed to the network.
#[inline(always)]
pub(super) fn count_sent(ctx: &SkBuffContext) -> Option<()> {
    let datagram = Datagram::of(ctx, true)?;
    let slot = datagram_slot(&datagram.flow)?;
    if !counts() {
        return None;
    }
    let (payload, number) = (datagram.payload.into(), datagram.number.into());
    count(counters(slot)?, SENT, payload, number);
    Some(())
}

/// Counts a packet that has come to a socket, and notes it.
#[inline(always)]
pub(super) fn count_received(ctx: &SkBuffContext) -> Option<()> {
    let Datagram {
        flow,
        payload,
        number,
    } = Datagram::of(ctx, false)?;
    let slot = datagram_slot(&flow)?;
    if !counts() {
        return None;
    }
    let counters = counters(slot)?;
    let note = taken()?;
    count(counters, RECEIVED, payload.into(), number.into());
    // SAFETY: the context of the running hook.
    word!(note, socket).set(unsafe { bpf_get_socket_cookie(ctx.as_ptr()) });
    word!(note, payload).set(payload.into());
    word!(note, datagrams).set(number);
    word!(note, slot).set(slot);
    if is_unknown(slot) {
        count_unexpected(&flow, slot, counters);
    }
    Some(())
}

/// Says that this CPU's last packet was not counted.
#[inline(always)]
pub(super) fn forget_received() {
    if let Some(note) = taken() {
        word!(note, socket).set(0);
    }
}

/// Takes back the packet that this CPU has just counted: its socket had no room. The second time it does nothing.
#[inline(always)]
pub(super) fn take_back(sock: SockPtr) -> Option<()> {
    let note = taken()?;
    let socket = word!(note, socket).get();
    // SAFETY: a socket of the running hook.
    let refused = unsafe { bpf_get_socket_cookie(sock.as_ptr()) };
    if socket == 0 || socket != refused {
        return None;
    }
    word!(note, socket).set(0);
    let counters = counters(word!(note, slot).get())?;
    let payload = word!(note, payload).get();
    let datagrams = u64::from(word!(note, datagrams).get());
    count(
        counters,
        RECEIVED,
        payload.wrapping_neg(),
        datagrams.wrapping_neg(),
    );
    Some(())
}

#[inline(always)]
fn count(counters: MapValue<Counters>, direction: usize, payload: u64, datagrams: u64) {
    let bytes = if direction == SENT {
        word!(counters, totals.transmit)
    } else {
        word!(counters, totals.receive)
    };
    bytes.add(payload);
    word!(counters, totals.messages[direction]).add(datagrams);
}

/// Counts and reports an unexpected peer, once as long as the kernel remembers it.
#[inline(always)]
fn count_unexpected(flow: &Flow, slot: u32, counters: MapValue<Counters>) {
    let sender = UnexpectedSender {
        address: flow.remote,
        local_port: flow.local_port,
        padding: 0,
    };
    // SAFETY: nothing is read of it; looking it up keeps it among the last.
    if unsafe { UNEXPECTED_SENDERS.get(sender) }.is_some() {
        return;
    }
    // Another CPU was faster.
    if UNEXPECTED_SENDERS
        .insert(sender, protocol::FIRST, u64::from(BPF_NOEXIST))
        .is_err()
    {
        return;
    }
    word!(counters, totals.opened[Role::Acceptor as usize]).add(1);
    report_unexpected_peer(flow, slot, Role::Acceptor, 0);
}

/// Whether it is a UDP socket's: a raw socket gets copies.
#[inline(always)]
pub(super) fn is_udp(ctx: &SkBuffContext) -> bool {
    const DATAGRAMS: u32 = 2;
    // SAFETY: the context of the running hook; `sk` is the only member of the union.
    unsafe {
        let sock = (&raw const (*ctx.skb.skb).__bindgen_anon_2)
            .cast::<*mut bpf_sock>()
            .read_volatile();
        if sock.is_null() {
            return false;
        }
        let sock = bpf_sk_fullsock(sock);
        !sock.is_null()
            && (&raw const (*sock).protocol).read_volatile() == u32::from(UDP)
            && (&raw const (*sock).type_).read_volatile() == DATAGRAMS
    }
}

/// A packet of a UDP socket: one datagram, or many between the same ports.
struct Datagram {
    flow: Flow,
    /// Sum of the payloads. Unit: bytes.
    payload: u32,
    /// How many datagrams.
    number: u32,
}

impl Datagram {
    #[inline(always)]
    fn of(ctx: &SkBuffContext, sent: bool) -> Option<Self> {
        // SAFETY: the context of the running hook.
        let (length, protocol, segment) = unsafe {
            let skb = ctx.skb.skb;
            (
                (&raw const (*skb).len).read_volatile(),
                (&raw const (*skb).protocol).read_volatile(),
                (&raw const (*skb).gso_size).read_volatile(),
            )
        };
        let (source, destination, header) = match u16::from_be(protocol as u16) {
            0x0800 => v4(ctx)?,
            0x86dd => v6(ctx)?,
            _ => return None,
        };
        let [source_port, destination_port]: [u16; 2] = ctx.load(header as usize).ok()?;
        let (source_port, destination_port) =
            (u16::from_be(source_port), u16::from_be(destination_port));
        let payload = length.checked_sub(header + UDP_HEADER)?;
        let number = if segment == 0 || payload <= segment {
            1
        } else {
            payload.div_ceil(segment)
        };
        let (remote, local, remote_port, local_port) = if sent {
            (destination, source, destination_port, source_port)
        } else {
            (source, destination, source_port, destination_port)
        };
        let flow = Flow {
            remote,
            local,
            remote_port,
            local_port,
            initiator: sent,
        };
        Some(Self {
            flow,
            payload,
            number,
        })
    }
}

/// Source, destination and where the UDP header begins; `None` for a multicast or broadcast.
#[inline(always)]
fn v4(ctx: &SkBuffContext) -> Option<(Address, Address, u32)> {
    #[repr(C)]
    struct Header {
        version_and_length: u8,
        before: [u8; 8],
        protocol: u8,
        checksum: u16,
        source: u32,
        destination: u32,
    }
    let header: Header = ctx.load(0).ok()?;
    let many = u32::from_be(header.destination) >= 0xe000_0000;
    if header.protocol != UDP || many {
        return None;
    }
    let length = u32::from(header.version_and_length & 0xf) * 4;
    Some((
        v4_mapped(header.source),
        v4_mapped(header.destination),
        length,
    ))
}

/// As [`v4`], of IPv6.
#[inline(always)]
fn v6(ctx: &SkBuffContext) -> Option<(Address, Address, u32)> {
    #[repr(C)]
    struct Header {
        flow: u32,
        length: u16,
        next: u8,
        hops: u8,
        source: Address,
        destination: Address,
    }
    const HOP_BY_HOP: u8 = 0;
    const ROUTING: u8 = 43;
    const DESTINATION: u8 = 60;
    let header: Header = ctx.load(0).ok()?;
    if u32::from_be(header.destination[0]) >= 0xff00_0000 {
        return None;
    }
    let (mut next, mut at) = (header.next, size_of::<Header>() as u32);
    // Each of them at most once, and options for the destination twice (RFC 8200, 4.1).
    for _ in 0..4 {
        if !matches!(next, HOP_BY_HOP | ROUTING | DESTINATION) {
            break;
        }
        let [after, length]: [u8; 2] = ctx.load(at as usize).ok()?;
        next = after;
        at += (u32::from(length) + 1) * 8;
    }
    (next == UDP).then_some((header.source, header.destination, at))
}
