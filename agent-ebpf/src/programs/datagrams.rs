//! `cgroup_skb`: UDP payload, by the packet's own addresses. Attached only where a protocol is on UDP.
//!
//! Counted is what TCP's counters mean too: payload handed to the network, and payload that has come to a socket,
//! whether or not the program has read it. Why not at the calls: `sendmsg` and `recvmsg` tell the peer of an
//! unconnected socket only where the program asks for it (`recv` does not), a corked datagram is several calls, and
//! `fexit` is not to be had on every kernel. The packet always says whose it is, and whole datagrams pass here: before
//! they are cut into fragments or segments (GSO) on the way out, after they were put together on the way in. What
//! software or a card has put together for a socket with `UDP_GRO` is one packet of many datagrams.
//!
//! Relies on, since 4.10: `ip_finish_output` and `ip6_finish_output` (`net/ipv4/ip_output.c`,
//! `net/ipv6/ip6_output.c`), which call with the sending socket; `udp_queue_rcv_one_skb` (`net/ipv4/udp.c`,
//! `net/ipv6/udp.c`), which calls through `sk_filter_trim_cap` for each socket that gets the datagram, in softirq, with
//! the packet from its network header on (`__cgroup_bpf_run_filter_skb`, `kernel/bpf/cgroup.c`), trimmed to the length
//! that UDP gives. `__sk_buff.gso_size` since 5.7.
//!
//! What the receive buffer has no room for comes here as well, and is taken back: right after, on the same CPU, the
//! kernel raises `udp_fail_queue_rcv_skb` { rc, sk }; of IPv6 since 6.5, and before that `__udp_enqueue_schedule_skb(sk,
//! skb)` (`net/ipv4/udp.c`, for both families) tells at its exit. Not taken back is
//! what is dropped because all of UDP is out of memory (`net.ipv4.udp_mem`), by the socket's own filter, or by another
//! program of the cgroup; nor a datagram whose checksum turns out to be wrong when it is read.

use agent_ebpf::{Address, Caller, Counters, Role, Stranger, protocol};
use aya_ebpf::{
    EbpfContext as _,
    bindings::BPF_NOEXIST,
    helpers::generated::{bpf_get_socket_cookie, bpf_sk_fullsock},
    macros::{btf_tracepoint, cgroup_skb, fexit},
    programs::{BtfTracePointContext, FExitContext, SkBuffContext},
};
use core::ffi::c_void;

use super::{
    account::add,
    classify::{Connection, is_unknown},
    maps::{CALLERS, COUNTERS, counts, report_stranger, taken},
    socket::v4_mapped,
};

/// Let it pass, whatever was found.
const PASS: i32 = 1;

const UDP: u8 = 17;
const UDP_HEADER: u32 = 8;

#[cgroup_skb(egress)]
fn datagrams_out(ctx: SkBuffContext) -> i32 {
    let _ = count_out(&ctx);
    PASS
}

#[cgroup_skb(ingress)]
fn datagrams_in(ctx: SkBuffContext) -> i32 {
    if is_udp(&ctx) && count_in(&ctx).is_none() {
        // The note would be of another datagram.
        if let Some(note) = taken() {
            // SAFETY: the array's element of this CPU, valid for the length of the program.
            unsafe { (*note).socket = 0 };
        }
    }
    PASS
}

#[btf_tracepoint(function = "udp_fail_queue_rcv_skb")]
fn datagrams_refused(ctx: BtfTracePointContext) -> i32 {
    let _ = take_back(ctx.arg(1));
    0
}

#[fexit(function = "__udp_enqueue_schedule_skb")]
fn datagrams_refused_at_exit(ctx: FExitContext) -> i32 {
    // What comes after the parameters is the result.
    let result: i32 = ctx.arg(2);
    if result < 0 {
        let _ = take_back(ctx.arg(0));
    }
    0
}

#[inline(always)]
fn count_out(ctx: &SkBuffContext) -> Option<()> {
    if !is_udp(ctx) {
        return None;
    }
    let datagram = Datagram::of(ctx, true)?;
    let slot = datagram.connection.datagram_slot()?;
    if !counts() {
        return None;
    }
    let counters = COUNTERS.get_ptr_mut(slot)?;
    // SAFETY: a map value, valid for the length of the program; the index is below the length.
    unsafe {
        count(
            counters,
            0,
            u64::from(datagram.payload),
            u64::from(datagram.number),
        );
    }
    Some(())
}

#[inline(always)]
fn count_in(ctx: &SkBuffContext) -> Option<()> {
    let Datagram {
        connection,
        payload,
        number,
    } = Datagram::of(ctx, false)?;
    let slot = connection.datagram_slot()?;
    if !counts() {
        return None;
    }
    let counters = COUNTERS.get_ptr_mut(slot)?;
    let note = taken()?;
    // SAFETY: map values, valid for the length of the program; the index is below the length. The note is this CPU's,
    // and whoever reads it does so in the same softirq.
    unsafe {
        count(counters, 1, u64::from(payload), u64::from(number));
        (*note).socket = bpf_get_socket_cookie(ctx.as_ptr());
        (*note).payload = u64::from(payload);
        (*note).datagrams = number;
        (*note).slot = slot;
    }
    if is_unknown(slot) {
        meet(&connection, slot, counters);
    }
    Some(())
}

/// The datagram that this CPU has just counted found no room. Told twice, it is taken back once.
#[inline(always)]
fn take_back(sock: *mut c_void) -> Option<()> {
    let note = taken()?;
    // SAFETY: this CPU's element, and the hook's socket.
    let (socket, refused) = unsafe { ((*note).socket, bpf_get_socket_cookie(sock)) };
    if socket == 0 || socket != refused {
        return None;
    }
    // SAFETY: as above; the counters are a map value.
    unsafe {
        (*note).socket = 0;
        let counters = COUNTERS.get_ptr_mut((*note).slot)?;
        let datagrams = u64::from((*note).datagrams);
        count(
            counters,
            1,
            (*note).payload.wrapping_neg(),
            datagrams.wrapping_neg(),
        );
    }
    Some(())
}

/// # Safety
/// `counters` must be valid for the length of the program.
#[inline(always)]
unsafe fn count(counters: *mut Counters, direction: usize, payload: u64, datagrams: u64) {
    // SAFETY: the caller's.
    unsafe {
        let totals = &raw mut (*counters).totals;
        let bytes = if direction == 0 {
            &raw mut (*totals).transmit
        } else {
            &raw mut (*totals).receive
        };
        add(bytes, payload);
        add(&raw mut (*totals).messages[direction], datagrams);
    }
}

/// Counts and reports somebody who is no party, once as long as the kernel remembers.
#[inline(always)]
fn meet(connection: &Connection, slot: u32, counters: *mut Counters) {
    let caller = Caller {
        address: connection.remote,
        local_port: connection.local_port,
        padding: 0,
    };
    // SAFETY: nothing is read of it; looking it up keeps it among the last.
    if unsafe { CALLERS.get(caller) }.is_some() {
        return;
    }
    // Not the first: another CPU was faster.
    if CALLERS
        .insert(caller, protocol::FIRST, u64::from(BPF_NOEXIST))
        .is_err()
    {
        return;
    }
    // SAFETY: a map value, valid for the length of the program.
    unsafe {
        add(
            &raw mut (*counters).totals.opened[Role::Acceptor as usize],
            1,
        );
    }
    report_stranger(&Stranger {
        connection: agent_ebpf::Connection {
            address: connection.remote,
            remote_port: connection.remote_port,
            local_port: connection.local_port,
            slot,
        },
        role: Role::Acceptor as u32,
        process: 0,
    });
}

/// Whether it is a UDP socket's: a raw socket gets copies.
#[inline(always)]
fn is_udp(ctx: &SkBuffContext) -> bool {
    const DATAGRAMS: u32 = 2;
    // SAFETY: the kernel's context; `sk` is the member of the union that there is. The helper takes null.
    unsafe {
        let sock = (&raw const (*ctx.skb.skb).__bindgen_anon_2)
            .cast::<*mut aya_ebpf::bindings::bpf_sock>()
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
    connection: Connection,
    /// Sum of the payloads. Unit: bytes.
    payload: u32,
    /// How many datagrams.
    number: u32,
}

impl Datagram {
    #[inline(always)]
    fn of(ctx: &SkBuffContext, sent: bool) -> Option<Self> {
        // SAFETY: the kernel's context.
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
        let connection = if sent {
            Connection {
                remote: destination,
                local: source,
                remote_port: destination_port,
                local_port: source_port,
                initiator: true,
            }
        } else {
            Connection {
                remote: source,
                local: destination,
                remote_port: source_port,
                local_port: destination_port,
                initiator: false,
            }
        };
        Some(Self {
            connection,
            payload,
            number,
        })
    }
}

/// Source, destination and where the UDP header begins; `None` for what goes to many.
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

/// As [`v4`].
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
