//! What the programs must know about a kernel.

use agent_ebpf::Offsets;

use super::parse::{Btf, BtfError};

/// What the programs must know about the running kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kernel {
    /// Offsets of the fields that they load.
    pub offsets: Offsets,
    /// Whether a task can be preempted inside a tracepoint program, so that another task on the same CPU skips that
    /// program. True since SRCU guards tracepoints (Linux 7.0).
    pub preemptible_tracepoints: bool,
    /// Whether the tracepoints `sock_send_length` and `sock_recv_length` exist (Linux 6.3).
    pub message_tracepoints: bool,
    /// How many parameters `tcp_recvmsg` has; `None` if the function does not exist.
    pub receive_parameters: Option<u32>,
    /// Whether an iterator over socket storage cannot crash the machine.
    ///
    /// Since local storage was reworked (Linux 7.0, and backports) the end of a socket clears `selem->local_storage`
    /// (`bpf_selem_unlink_nofail`, `kernel/bpf/bpf_local_storage.c`) while `__bpf_sk_storage_map_seq_show`
    /// (`net/core/bpf_sk_storage.c`) reads it a second time and follows it. The rework is known by the member `state`
    /// that it gave to `struct bpf_local_storage_elem`.
    pub storage_iterators_are_safe: bool,
}

/// Reads a kernel's BTF.
///
/// # Errors
/// If the BTF is malformed or lacks a field: bytes cannot be counted on this kernel.
pub fn read(raw: &[u8]) -> Result<Kernel, BtfError> {
    let btf = Btf::parse(raw)?;
    Ok(Kernel {
        offsets: offsets(&btf)?,
        // The type of the guard that `__DECLARE_TRACE` (include/linux/tracepoint.h) takes there.
        preemptible_tracepoints: btf.has_typedef("class_srcu_fast_notrace_t")?,
        message_tracepoints: btf.has_typedef("btf_trace_sock_send_length")?
            && btf.has_typedef("btf_trace_sock_recv_length")?,
        receive_parameters: btf.parameters("tcp_recvmsg")?,
        // A kernel that does not describe the structure is not known to be safe.
        storage_iterators_are_safe: btf.has_structure("bpf_local_storage_elem")?
            && btf.offset("bpf_local_storage_elem", "state").is_err(),
    })
}

fn offsets(btf: &Btf<'_>) -> Result<Offsets, BtfError> {
    let common = |field| btf.offset("sock_common", field);
    let tcp = |field| btf.offset("tcp_sock", field);
    let rack = |field| Ok(tcp("rack")? + btf.offset("tcp_rack", field)?);
    Ok(Offsets {
        family: common("skc_family")?,
        state: common("skc_state")?,
        flags: common("skc_flags")?,
        remote_port: common("skc_dport")?,
        local_port: common("skc_num")?,
        source_port: btf.offset("inet_sock", "inet_sport")?,
        remote_v4: common("skc_daddr")?,
        local_v4: common("skc_rcv_saddr")?,
        // A kernel without IPv6 lacks the field and has no IPv6 sockets: the IPv4 field stands in and is never read.
        remote_v6: common("skc_v6_daddr").or_else(|_| common("skc_daddr"))?,
        local_v6: common("skc_v6_rcv_saddr").or_else(|_| common("skc_daddr"))?,
        socket_sk: btf.offset("socket", "sk")?,
        bind_bucket: btf.offset("inet_connection_sock", "icsk_bind_hash")?,
        bind_fastreuse: btf.offset("inet_bind_bucket", "fastreuse")?,
        snd_nxt: tcp("snd_nxt")?,
        write_seq: tcp("write_seq")?,
        bytes_acked: tcp("bytes_acked")?,
        bytes_received: tcp("bytes_received")?,
        bytes_sent: tcp("bytes_sent")?,
        bytes_retrans: tcp("bytes_retrans")?,
        data_segs_out: tcp("data_segs_out")?,
        data_segs_in: tcp("data_segs_in")?,
        srtt_us: tcp("srtt_us")?,
        rack_rtt_us: rack("rtt_us")?,
        rack_mstamp: rack("mstamp")?,
        callback_flags: tcp("bpf_sock_ops_cb_flags")?,
        error: btf.offset("sock", "sk_err")?,
        kind: btf.offset("sock", "sk_type")?,
        storage: btf.offset("sock", "sk_bpf_storage")?,
        process: btf.offset("task_struct", "tgid")?,
    })
}

#[cfg(test)]
mod tests {
    use super::{
        super::{KERNEL, parse::tests::fixture},
        *,
    };

    #[test]
    fn refuses_what_is_cut_short_at_every_length() {
        let raw = fixture();
        for length in 0..raw.len() {
            let cut = &raw[..length];
            assert!(
                matches!(read(cut), Err(BtfError::Malformed(_))),
                "{length} bytes"
            );
        }
        assert_eq!(
            read(&raw),
            Err(BtfError::NoField {
                structure: "sock_common",
                field: "skc_family"
            })
        );
    }

    #[test]
    #[ignore = "needs BTF: `cargo xtask test` runs it"]
    fn reads_the_running_kernel() {
        let raw = std::fs::read(KERNEL)
            .unwrap_or_else(|error| panic!("needs BTF: {KERNEL} of this kernel: {error}"));
        let Kernel { offsets, .. } = read(&raw).unwrap();
        // `struct sock_common` has begun the same way since 3.x; the rest moves between versions.
        assert_eq!(
            (offsets.remote_v4, offsets.local_v4, offsets.family),
            (0, 4, 16)
        );
        assert!(offsets.bytes_received > offsets.bind_bucket);
    }
}
