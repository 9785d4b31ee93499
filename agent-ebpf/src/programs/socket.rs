//! The kernel's `struct tcp_sock`, read by direct loads at the offsets that the running kernel's BTF gives.
//! Only integers come out; no other file touches a kernel pointer's insides.

use agent_ebpf::{Address, Offsets, classify::v4_mapped};
use aya_ebpf::helpers::generated::{bpf_get_current_task_btf, bpf_skc_to_tcp_sock};
use core::{ffi::c_void, ptr::NonNull};

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

/// Reads `$type` at `$base + OFFSETS.$field`. The offset is read by itself and volatile: a plain read would be folded to
/// the 0 above, and of a copy of the whole table the verifier would not know the values.
macro_rules! load {
    ($base:expr, $field:ident as $type:ty) => {{
        // SAFETY: a read-only global of the right type.
        let offset = unsafe { core::ptr::read_volatile(&raw const OFFSETS.$field) };
        // SAFETY: the verifier admits the load only if BTF has a field of this size there; a stale pointer reads as 0
        // (`BPF_PROBE_MEM`).
        unsafe { core::ptr::read_volatile($base.cast::<u8>().add(offset as usize).cast::<$type>()) }
    }};
}

/// A `struct sock *` from the context of the running hook: the verifier knows its type, so helpers take it. Only `hooks`
/// and `walk` make one.
#[derive(Clone, Copy)]
pub(super) struct SockPtr(NonNull<c_void>);

impl SockPtr {
    /// `None` of null.
    ///
    /// # Safety
    /// `sock` must be a `struct sock *` from the context of the running hook, as the kernel has passed it.
    #[inline(always)]
    pub(super) unsafe fn new(sock: *mut c_void) -> Option<Self> {
        NonNull::new(sock).map(Self)
    }

    /// Without a check, for hooks that always pass a socket.
    ///
    /// # Safety
    /// As for [`SockPtr::new`], and `sock` must not be null.
    #[inline(always)]
    pub(super) unsafe fn never_null(sock: *mut c_void) -> Self {
        // SAFETY: not null, as the hook passes it.
        Self(unsafe { NonNull::new_unchecked(sock) })
    }

    #[inline(always)]
    pub(super) fn as_ptr(self) -> *mut c_void {
        self.0.as_ptr()
    }

    /// Whether any map may have something in this socket's storage. Most sockets have none, and what every call of every
    /// socket runs through asks this before it asks the helper.
    #[inline(always)]
    pub(super) fn has_storage(self) -> bool {
        !load!(self.as_ptr(), storage as *mut c_void).is_null()
    }
}

/// The process of a task, as the machine's first PID namespace numbers it; `None` of null.
///
/// # Safety
/// `task` must be a `struct task_struct *` from the context of the running hook.
#[inline(always)]
pub(super) unsafe fn process_of(task: *mut c_void) -> Option<u32> {
    if task.is_null() {
        return None;
    }
    Some(load!(task, process as u32))
}

/// The process that calls. It means something only where a process connects or listens: all else may run in softirq.
#[inline(always)]
pub(super) fn this_process() -> u32 {
    // SAFETY: the helper has no conditions; there always is a task.
    let task = unsafe { bpf_get_current_task_btf() };
    load!(task, process as u32)
}

/// A full TCP socket (not a request, not in time-wait).
pub(super) struct TcpSock(NonNull<c_void>);

impl TcpSock {
    /// `None` if it is not a full TCP socket.
    #[inline(always)]
    pub(super) fn of(sock: SockPtr) -> Option<Self> {
        // SAFETY: a socket; the helper checks of which kind (net/core/filter.c, 5.9).
        let tcp = unsafe { bpf_skc_to_tcp_sock(sock.as_ptr()) };
        NonNull::new(tcp.cast()).map(Self)
    }

    /// Of a `struct socket *`, as `bpf_sock_from_file` gives it.
    ///
    /// Checks the type of the socket first: up to 6.18 the helper compares the protocol number alone
    /// (`bpf_skc_to_tcp_sock`, `net/core/filter.c`), and raw TCP sockets, `NETLINK_XFRM` and `CAN_ISOTP` share it. Their
    /// structures are shorter than a `tcp_sock`, so that loads would read beyond them.
    ///
    /// # Safety
    /// The helper must have given it to this run of the program; it may be null.
    #[inline(always)]
    pub(super) unsafe fn of_socket(socket: *mut c_void) -> Option<Self> {
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
        // SAFETY: what the hook's socket points to; the verifier knows its type from BTF.
        Self::of(unsafe { SockPtr::new(sock) }?)
    }

    #[inline(always)]
    pub(super) fn sock(&self) -> SockPtr {
        SockPtr(self.0)
    }

    #[inline(always)]
    pub(super) fn state(&self) -> u8 {
        load!(self.0.as_ptr(), state as u8)
    }

    #[inline(always)]
    pub(super) fn snd_nxt(&self) -> u32 {
        load!(self.0.as_ptr(), snd_nxt as u32)
    }

    #[inline(always)]
    pub(super) fn write_seq(&self) -> u32 {
        load!(self.0.as_ptr(), write_seq as u32)
    }

    #[inline(always)]
    pub(super) fn bytes_acked(&self) -> u64 {
        load!(self.0.as_ptr(), bytes_acked as u64)
    }

    #[inline(always)]
    pub(super) fn bytes_received(&self) -> u64 {
        load!(self.0.as_ptr(), bytes_received as u64)
    }

    #[inline(always)]
    pub(super) fn bytes_sent(&self) -> u64 {
        load!(self.0.as_ptr(), bytes_sent as u64)
    }

    #[inline(always)]
    pub(super) fn bytes_retrans(&self) -> u64 {
        load!(self.0.as_ptr(), bytes_retrans as u64)
    }

    #[inline(always)]
    pub(super) fn data_segs_out(&self) -> u32 {
        load!(self.0.as_ptr(), data_segs_out as u32)
    }

    #[inline(always)]
    pub(super) fn data_segs_in(&self) -> u32 {
        load!(self.0.as_ptr(), data_segs_in as u32)
    }

    /// The smoothed round-trip time in 1/8 microseconds; 0: none was measured yet.
    #[inline(always)]
    pub(super) fn smoothed_rtt(&self) -> u32 {
        load!(self.0.as_ptr(), srtt_us as u32)
    }

    /// The round-trip time of the newest segment that was delivered, in microseconds (`tcp_rack_advance`,
    /// `net/ipv4/tcp_recovery.c`): it passes over those that were sent again and may be the first one's.
    #[inline(always)]
    pub(super) fn newest_rtt(&self) -> u32 {
        load!(self.0.as_ptr(), rack_rtt_us as u32)
    }

    /// When that segment was sent, in microseconds; 0: none was delivered yet.
    #[inline(always)]
    pub(super) fn newest_rtt_sent(&self) -> u64 {
        load!(self.0.as_ptr(), rack_mstamp as u64)
    }

    /// Which `sock_ops` callbacks are armed, `BPF_SOCK_OPS_*_CB_FLAG`.
    #[inline(always)]
    pub(super) fn callback_flags(&self) -> u8 {
        load!(self.0.as_ptr(), callback_flags as u8)
    }

    /// The error that ended the connection, or 0.
    #[inline(always)]
    pub(super) fn error(&self) -> i32 {
        load!(self.0.as_ptr(), error as i32)
    }

    /// Whether `bytes_received` counts the peer's FIN: `tcp_fin` (`net/ipv4/tcp_input.c`) sets `SOCK_DONE`
    /// first of all, in the same softirq that has just added it. The state cannot tell: an orphan leaves
    /// `FIN_WAIT2` for CLOSE with and without a FIN.
    #[inline(always)]
    pub(super) fn finished_receiving(&self) -> bool {
        load!(self.0.as_ptr(), flags as u64) & SOCK_DONE != 0
    }

    /// Whether `connect` chose the local port: such a port's bucket has `fastreuse` -1
    /// (`__inet_hash_connect`, `net/ipv4/inet_hashtables.c`), one that was bound or is inherited from a
    /// listener has not.
    #[inline(always)]
    pub(super) fn connected_out(&self) -> bool {
        let bucket = load!(self.0.as_ptr(), bind_bucket as *mut c_void);
        !bucket.is_null() && load!(bucket, bind_fastreuse as i8) < 0
    }

    #[inline(always)]
    pub(super) fn remote_port(&self) -> u16 {
        u16::from_be(load!(self.0.as_ptr(), remote_port as u16))
    }

    #[inline(always)]
    pub(super) fn local_port(&self) -> u16 {
        load!(self.0.as_ptr(), local_port as u16)
    }

    /// The local port of a socket that may be closed: by then it may have given it back, and `local_port` is 0
    /// (`inet_put_port`, called by `tcp_set_state` before it reports the change).
    #[inline(always)]
    pub(super) fn source_port(&self) -> u16 {
        u16::from_be(load!(self.0.as_ptr(), source_port as u16))
    }

    /// Remote and local address; `None` for a family that is neither IPv4 nor IPv6.
    #[inline(always)]
    pub(super) fn addresses(&self) -> Option<(Address, Address)> {
        match load!(self.0.as_ptr(), family as u16) {
            AF_INET => Some((
                v4_mapped(load!(self.0.as_ptr(), remote_v4 as u32)),
                v4_mapped(load!(self.0.as_ptr(), local_v4 as u32)),
            )),
            // A v4 peer of a v6 socket is v4-mapped here already (`ipv6_addr_set_v4mapped`).
            AF_INET6 => Some((
                load!(self.0.as_ptr(), remote_v6 as Address),
                load!(self.0.as_ptr(), local_v6 as Address),
            )),
            _ => None,
        }
    }
}
