//! The entry points, one file for each hook of the kernel. Each says what it relies on.

mod cgroup_skb;
mod inet_sock_set_state;
mod iter_bpf_sk_storage_map;
mod iter_task_file;
mod iter_tcp;
mod sock_ops;
mod sock_recv_length;
mod sock_send_length;
mod tcp_recvmsg;
mod tcp_sendmsg;
mod udp_enqueue_schedule_skb;
mod udp_fail_queue_rcv_skb;
