//! The kernel's `struct tcp_sock`, read by direct loads at the offsets that the running kernel's BTF gives.
//! Only integers come out; no file else touches a kernel pointer's insides.

use agent_ebpf::{Address, Offsets, Settings};
use aya_ebpf::helpers::generated::bpf_skc_to_tcp_sock;
use core::ffi::c_void;

/// `TCP_*` of `include/net/tcp_states.h`; unchanged since 2.6, and part of the BPF ABI (`BPF_TCP_*`).
pub(super) mod tcp_state {
    pub(in super::super) const ESTABLISHED: u8 = 1;
    pub(in super::super) const SYN_SENT: u8 = 2;
    pub(in super::super) const SYN_RECV: u8 = 3;
    pub(in super::super) const FIN_WAIT1: u8 = 4;
    pub(in super::super) const FIN_WAIT2: u8 = 5;
    pub(in super::super) const TIME_WAIT: u8 = 6;
    pub(in super::super) const CLOSE: u8 = 7;
    pub(in super::super) const CLOSE_WAIT: u8 = 8;
    pub(in super::super) const LAST_ACK: u8 = 9;
    pub(in super::super) const LISTEN: u8 = 10;
    pub(in super::super) const CLOSING: u8 = 11;
}

const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
const SOCK_STREAM: u16 = 1;
/// `SOCK_DONE` of `enum sock_flags`, `include/net/sock.h`: the second since 2.6.
const SOCK_DONE: u64 = 1 << 1;

/// Filled in by the loader before the verifier sees the object.
#[unsafe(no_mangle)]
static OFFSETS: Offsets = Offsets {
    family: 0,
    state: 0,
    flags: 0,
    remote_port: 0,
    local_port: 0,
    source_port: 0,
    remote_v4: 0,
    local_v4: 0,
    remote_v6: 0,
    local_v6: 0,
    socket_sk: 0,
    bind_bucket: 0,
    bind_fastreuse: 0,
    snd_nxt: 0,
    write_seq: 0,
    bytes_acked: 0,
    bytes_received: 0,
    bytes_sent: 0,
    bytes_retrans: 0,
    data_segs_out: 0,
    data_segs_in: 0,
    srtt_us: 0,
    rack_rtt_us: 0,
    rack_mstamp: 0,
    callback_flags: 0,
    error: 0,
    kind: 0,
    storage: 0,
    process: 0,
};

/// As [`OFFSETS`].
#[unsafe(no_mangle)]
static SETTINGS: Settings = Settings {
    latency: 0,
    watch_end: 0,
    receive_parameters: 0,
    records: 0,
    generation: 0,
};

/// Whether round-trip times are wanted.
#[inline(always)]
pub(super) fn wants_latency() -> bool {
    // SAFETY: a read-only global; volatile, because it is written before the program is loaded.
    unsafe { core::ptr::read_volatile(&raw const SETTINGS.latency) != 0 }
}

/// How many parameters `tcp_recvmsg` has.
#[inline(always)]
pub(super) fn receive_parameters() -> u32 {
    // SAFETY: as above.
    unsafe { core::ptr::read_volatile(&raw const SETTINGS.receive_parameters) }
}

/// Whether connections are recorded.
#[inline(always)]
pub(super) fn records() -> bool {
    // SAFETY: as above.
    unsafe { core::ptr::read_volatile(&raw const SETTINGS.records) != 0 }
}

/// Which load of the programs this is.
#[inline(always)]
pub(super) fn generation() -> u32 {
    // SAFETY: as above.
    unsafe { core::ptr::read_volatile(&raw const SETTINGS.generation) }
}

/// Whether `socket_events` is to watch the end of connections.
#[inline(always)]
pub(super) fn watches_end() -> bool {
    // SAFETY: as above.
    unsafe { core::ptr::read_volatile(&raw const SETTINGS.watch_end) != 0 }
}

/// Reads `$type` at `$base + OFFSETS.$field`. The offset is read by itself and volatile: a plain read would
/// be folded to the 0 above, and a copy of the whole table would lose the verifier's knowledge of it.
macro_rules! load {
    ($base:expr, $field:ident as $type:ty) => {{
        // SAFETY: a read-only global of the right type.
        let offset = unsafe { core::ptr::read_volatile(&raw const OFFSETS.$field) };
        // SAFETY: the verifier admits the load only if BTF has a field of this size there; a pointer that
        // went stale reads as 0 (`BPF_PROBE_MEM`).
        unsafe { core::ptr::read_volatile($base.cast::<u8>().add(offset as usize).cast::<$type>()) }
    }};
}

/// A full TCP socket (not a request, not in time-wait).
pub(super) struct TcpSock(*mut c_void);

impl TcpSock {
    /// From any `struct sock *` that the verifier knows as one; `None` if it is not a full TCP socket.
    #[inline(always)]
    pub(super) fn from_sock(sock: *mut c_void) -> Option<Self> {
        if sock.is_null() {
            return None;
        }
        // SAFETY: the helper checks what the pointer is (net/core/filter.c, 5.9).
        let tcp = unsafe { bpf_skc_to_tcp_sock(sock) };
        if tcp.is_null() {
            None
        } else {
            Some(Self(tcp.cast()))
        }
    }

    /// From `struct socket *`, as `bpf_sock_from_file` gives it, of whatever kind.
    ///
    /// Looks at its kind first: up to 6.18 the helper asks for the protocol's number alone (`bpf_skc_to_tcp_sock`,
    /// `net/core/filter.c`; in 7.3 for the kind, too), and raw sockets of TCP, `NETLINK_XFRM` and `CAN_ISOTP` have that as
    /// well. They are shorter than a `tcp_sock`: what would be read behind their ends is something else's.
    #[inline(always)]
    pub(super) fn from_socket(socket: *mut c_void) -> Option<Self> {
        if socket.is_null() {
            return None;
        }
        let sock = load!(socket, socket_sk as *mut c_void);
        if sock.is_null()
            || load!(sock, kind as u16) != SOCK_STREAM
            || !matches!(load!(sock, family as u16), AF_INET | AF_INET6)
        {
            return None;
        }
        Self::from_sock(sock)
    }

    /// For `bpf_sk_storage_get` and its like.
    #[inline(always)]
    pub(super) fn as_ptr(&self) -> *mut c_void {
        self.0
    }

    #[inline(always)]
    pub(super) fn state(&self) -> u8 {
        load!(self.0, state as u8)
    }

    #[inline(always)]
    pub(super) fn snd_nxt(&self) -> u32 {
        load!(self.0, snd_nxt as u32)
    }

    #[inline(always)]
    pub(super) fn write_seq(&self) -> u32 {
        load!(self.0, write_seq as u32)
    }

    #[inline(always)]
    pub(super) fn bytes_acked(&self) -> u64 {
        load!(self.0, bytes_acked as u64)
    }

    #[inline(always)]
    pub(super) fn bytes_received(&self) -> u64 {
        load!(self.0, bytes_received as u64)
    }

    #[inline(always)]
    pub(super) fn bytes_sent(&self) -> u64 {
        load!(self.0, bytes_sent as u64)
    }

    #[inline(always)]
    pub(super) fn bytes_retrans(&self) -> u64 {
        load!(self.0, bytes_retrans as u64)
    }

    #[inline(always)]
    pub(super) fn data_segs_out(&self) -> u32 {
        load!(self.0, data_segs_out as u32)
    }

    #[inline(always)]
    pub(super) fn data_segs_in(&self) -> u32 {
        load!(self.0, data_segs_in as u32)
    }

    /// The smoothed round-trip time in 1/8 microseconds; 0: none was measured yet.
    #[inline(always)]
    pub(super) fn smoothed_rtt(&self) -> u32 {
        load!(self.0, srtt_us as u32)
    }

    /// The round-trip time of the newest segment that was delivered, in microseconds (`tcp_rack_advance`,
    /// `net/ipv4/tcp_recovery.c`): it passes over those that were sent again and may be the first one's.
    #[inline(always)]
    pub(super) fn newest_rtt(&self) -> u32 {
        load!(self.0, rack_rtt_us as u32)
    }

    /// When that segment was sent, in microseconds; 0: none was delivered yet.
    #[inline(always)]
    pub(super) fn newest_rtt_sent(&self) -> u64 {
        load!(self.0, rack_mstamp as u64)
    }

    /// Which `sock_ops` callbacks are armed, `BPF_SOCK_OPS_*_CB_FLAG`.
    #[inline(always)]
    pub(super) fn callback_flags(&self) -> u8 {
        load!(self.0, callback_flags as u8)
    }

    /// The error that ended the connection, or 0.
    #[inline(always)]
    pub(super) fn error(&self) -> i32 {
        load!(self.0, error as i32)
    }

    /// Whether `bytes_received` counts the peer's FIN: `tcp_fin` (`net/ipv4/tcp_input.c`) sets `SOCK_DONE`
    /// first of all, in the same softirq that has just added it. The state cannot tell: an orphan leaves
    /// `FIN_WAIT2` for CLOSE with and without a FIN.
    #[inline(always)]
    pub(super) fn finished_receiving(&self) -> bool {
        load!(self.0, flags as u64) & SOCK_DONE != 0
    }

    /// Whether `connect` chose the local port: such a port's bucket has `fastreuse` -1
    /// (`__inet_hash_connect`, `net/ipv4/inet_hashtables.c`), one that was bound or is inherited from a
    /// listener has not.
    #[inline(always)]
    pub(super) fn connected_out(&self) -> bool {
        let bucket = load!(self.0, bind_bucket as *mut c_void);
        !bucket.is_null() && load!(bucket, bind_fastreuse as i8) < 0
    }

    #[inline(always)]
    pub(super) fn remote_port(&self) -> u16 {
        u16::from_be(load!(self.0, remote_port as u16))
    }

    #[inline(always)]
    pub(super) fn local_port(&self) -> u16 {
        load!(self.0, local_port as u16)
    }

    /// The local port of a socket that may be closed: by then it may have given it back, and `local_port` is 0
    /// (`inet_put_port`, called by `tcp_set_state` before it tells of the change).
    #[inline(always)]
    pub(super) fn source_port(&self) -> u16 {
        u16::from_be(load!(self.0, source_port as u16))
    }

    /// Remote and local address; `None` for a family that is neither IPv4 nor IPv6.
    #[inline(always)]
    pub(super) fn addresses(&self) -> Option<(Address, Address)> {
        match load!(self.0, family as u16) {
            AF_INET => Some((
                v4_mapped(load!(self.0, remote_v4 as u32)),
                v4_mapped(load!(self.0, local_v4 as u32)),
            )),
            // A v4 peer of a v6 socket is v4-mapped here already (`ipv6_addr_set_v4mapped`).
            AF_INET6 => Some((
                load!(self.0, remote_v6 as Address),
                load!(self.0, local_v6 as Address),
            )),
            _ => None,
        }
    }
}

/// Whether a `struct sock *` may have something in the socket storage of any map, as few have: asked before the helper
/// is, in what every call of every socket runs through.
#[inline(always)]
pub(super) fn has_storage(sock: *mut c_void) -> bool {
    !load!(sock, storage as *mut c_void).is_null()
}

/// The process of a `struct task_struct *`, by its number in the machine's first PID namespace.
#[inline(always)]
pub(super) fn process_of(task: *mut c_void) -> u32 {
    load!(task, process as u32)
}

/// Whether `snd_nxt` counts our FIN: queued (`tcp_send_fin` advances `write_seq`, after `tcp_close_state`
/// has set the state), and no data waits before it.
#[inline(always)]
pub(super) fn finished_sending(state: u8, snd_nxt: u32, write_seq: u32) -> bool {
    use tcp_state::{CLOSING, FIN_WAIT1, FIN_WAIT2, LAST_ACK, TIME_WAIT};
    snd_nxt == write_seq
        && matches!(
            state,
            FIN_WAIT1 | FIN_WAIT2 | CLOSING | LAST_ACK | TIME_WAIT
        )
}

/// `::ffff:a.b.c.d` of an address in network order.
#[inline(always)]
pub(super) fn v4_mapped(address: u32) -> Address {
    [0, 0, u32::to_be(0xffff), address]
}
