//! Names of the programs, as the loader looks them up. Each is in the file of its hook under `programs/hooks/`.

/// `tp_btf/inet_sock_set_state`: gives an MPC connection an account when it is established, and settles it for the last
/// time when it is closed.
pub const SET_STATE: &str = "set_state";
/// The same once more, for when the first was interrupted by itself.
pub const SET_STATE_AGAIN: &str = "set_state_again";
/// `sock_ops`: round-trip times; and, where it is attached to the root of the cgroups, what `set_state` does for all
/// other sockets.
pub const SOCKET_EVENTS: &str = "socket_events";
/// `tp_btf/sock_send_length`: messages sent.
pub const SENT: &str = "sent";
/// `tp_btf/sock_recv_length`: messages received, rounds, and how long this node waited for the party.
pub const RECEIVED: &str = "received";
/// `fexit/tcp_sendmsg`: as `sent`, where there is no such tracepoint.
pub const SENT_AT_EXIT: &str = "sent_at_exit";
/// `fexit/tcp_recvmsg`: as `received`, likewise.
pub const RECEIVED_AT_EXIT: &str = "received_at_exit";
/// `cgroup_skb/egress`: datagrams handed to the network.
pub const DATAGRAMS_OUT: &str = "datagrams_out";
/// `cgroup_skb/ingress`: datagrams that have come to a socket.
pub const DATAGRAMS_IN: &str = "datagrams_in";
/// `tp_btf/udp_fail_queue_rcv_skb`: of those, the ones that its buffer had no room for.
pub const DATAGRAMS_REFUSED: &str = "datagrams_refused";
/// `fexit/__udp_enqueue_schedule_skb`: as `datagrams_refused`, where that is not raised for IPv6.
pub const DATAGRAMS_REFUSED_AT_EXIT: &str = "datagrams_refused_at_exit";
/// `iter/task_file`: gives accounts to MPC connections that are older than the agent.
pub const ADOPT: &str = "adopt";
/// `iter/tcp`: arms the callbacks of [`SOCKET_EVENTS`] for what was adopted, where that is possible.
pub const ARM: &str = "arm";
/// `iter/task_file`: finds out who listens on protocols' ports, and, the next time, whose connections those have opened.
/// For parties that share an address.
pub const LOCAL_INITIATORS: &str = "local_initiators";
/// `iter/task_file`: says which process owns which MPC connection.
pub const SOCKET_OWNERS: &str = "socket_owners";
/// `iter/task_file`: writes every MPC connection of a process as a [`Record`](crate::Record).
pub const CONNECTIONS: &str = "connections";
/// `iter/bpf_sk_storage_map`: brings the counters of every open account up to date.
pub const SETTLE: &str = "settle";
/// `iter/task_file`: the same for every account of a process, where the kernel refuses the other.
pub const SETTLE_BY_FILE: &str = "settle_by_file";
/// `iter/bpf_sk_storage_map`: moves accounts to other slots once the tables have changed.
pub const RECLASSIFY: &str = "reclassify";
/// `iter/task_file`: as `settle_by_file`.
pub const RECLASSIFY_BY_FILE: &str = "reclassify_by_file";
/// All of them.
pub const ALL: [&str; 20] = [
    SET_STATE,
    SET_STATE_AGAIN,
    SOCKET_EVENTS,
    SENT,
    RECEIVED,
    SENT_AT_EXIT,
    RECEIVED_AT_EXIT,
    DATAGRAMS_OUT,
    DATAGRAMS_IN,
    DATAGRAMS_REFUSED,
    DATAGRAMS_REFUSED_AT_EXIT,
    ADOPT,
    ARM,
    LOCAL_INITIATORS,
    SOCKET_OWNERS,
    CONNECTIONS,
    SETTLE,
    SETTLE_BY_FILE,
    RECLASSIFY,
    RECLASSIFY_BY_FILE,
];
