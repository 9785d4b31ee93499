//! The programs' read-only data, which the loader fills in before the verifier looks.

/// Name of the read-only [`Offsets`] in the object's `.rodata`.
pub const OFFSETS: &str = "OFFSETS";
/// Name of the read-only [`Settings`] in the object's `.rodata`.
pub const SETTINGS: &str = "SETTINGS";

/// Byte offsets of the kernel's own fields, from the running kernel's BTF. The verifier takes read-only data for
/// constants, so it lets them through as direct loads.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offsets {
    /// `sock_common.skc_family`, `unsigned short`.
    pub family: u32,
    /// `sock_common.skc_state`, `volatile unsigned char`.
    pub state: u32,
    /// `sock_common.skc_flags`, `unsigned long` with a bit per `enum sock_flags`.
    pub flags: u32,
    /// `sock_common.skc_dport`, `__be16`.
    pub remote_port: u32,
    /// `sock_common.skc_num`, `__u16`, host order.
    pub local_port: u32,
    /// `inet_sock.inet_sport`, `__be16`: as `local_port`, and stays when the port is given back.
    pub source_port: u32,
    /// `sock_common.skc_daddr`, `__be32`.
    pub remote_v4: u32,
    /// `sock_common.skc_rcv_saddr`, `__be32`.
    pub local_v4: u32,
    /// `sock_common.skc_v6_daddr`, `struct in6_addr`.
    pub remote_v6: u32,
    /// `sock_common.skc_v6_rcv_saddr`, `struct in6_addr`.
    pub local_v6: u32,
    /// `socket.sk`, `struct sock *`.
    pub socket_sk: u32,
    /// `inet_connection_sock.icsk_bind_hash`, `struct inet_bind_bucket *`.
    pub bind_bucket: u32,
    /// `inet_bind_bucket.fastreuse`, `signed char`.
    pub bind_fastreuse: u32,
    /// `tcp_sock.snd_nxt`, `u32`.
    pub snd_nxt: u32,
    /// `tcp_sock.write_seq`, `u32`.
    pub write_seq: u32,
    /// `tcp_sock.bytes_acked`, `u64`.
    pub bytes_acked: u32,
    /// `tcp_sock.bytes_received`, `u64`.
    pub bytes_received: u32,
    /// `tcp_sock.bytes_sent`, `u64`.
    pub bytes_sent: u32,
    /// `tcp_sock.bytes_retrans`, `u64`.
    pub bytes_retrans: u32,
    /// `tcp_sock.data_segs_out`, `u32`.
    pub data_segs_out: u32,
    /// `tcp_sock.data_segs_in`, `u32`.
    pub data_segs_in: u32,
    /// `tcp_sock.srtt_us`, `u32`, in 1/8 microseconds.
    pub srtt_us: u32,
    /// `tcp_sock.rack.rtt_us`, `u32`.
    pub rack_rtt_us: u32,
    /// `tcp_sock.rack.mstamp`, `u64`.
    pub rack_mstamp: u32,
    /// `tcp_sock.bpf_sock_ops_cb_flags`, `u8`.
    pub callback_flags: u32,
    /// `sock.sk_err`, `int`.
    pub error: u32,
    /// `sock.sk_type`, `u16`.
    pub kind: u32,
    /// `sock.sk_bpf_storage`, `struct bpf_local_storage *`.
    pub storage: u32,
    /// `task_struct.tgid`, `pid_t`.
    pub process: u32,
}

/// What the programs do, constant to the verifier.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Not 0: take round-trip times.
    pub latency: u32,
    /// Not 0: let [`program::SOCKET_EVENTS`](crate::program::SOCKET_EVENTS) watch the end of connections also where it
    /// does not see every socket.
    pub watch_end: u32,
    /// How many parameters `tcp_recvmsg` has: 5 since Linux 5.19, 6 before.
    pub receive_parameters: u32,
    /// Not 0: record connections.
    pub records: u32,
    /// Which load of the programs this is, from 1; see [`handover`](crate::handover).
    pub generation: u32,
}
