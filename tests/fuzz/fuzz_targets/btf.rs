//! A kernel's BTF: any bytes, and BTF that is well but for some of its words. Of BTF that is well, every field is found
//! where it was put.

#![no_main]

use agent_ebpf::Offsets;
use arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use partymeter::source::network::btf::{self, AttachTargets, Kernel, TargetKind};
use partymeter_fuzz::{assert_plain, bounded, prepare};

fuzz_target!(init: prepare(), |data: &[u8]| {
    // What there are too few bytes for is not looked at.
    let _ = look(&mut Unstructured::new(data));
});

fn look(u: &mut Unstructured<'_>) -> Result<()> {
    match u.int_in_range(0..=2)? {
        0 => check(u.bytes(u.len())?),
        1 => {
            let (raw, kernel) = built(u, false)?;
            assert_eq!(btf::read(&raw), Ok(kernel));
            check(&raw);
        }
        _ => {
            let (mut raw, _) = built(u, true)?;
            for _ in 0..u.int_in_range(0..=8)? {
                let at = u.choose_index(raw.len() / 4)? * 4;
                raw[at..at + 4].copy_from_slice(&u.arbitrary::<[u8; 4]>()?);
            }
            check(&raw);
        }
    }
    Ok(())
}

fn check(raw: &[u8]) {
    let functions = ["tcp_recvmsg", "tcp_sendmsg"];
    // The place of each type, which has 12 bytes or more, in a list that grows by doubling; and its name.
    let limit = 16 * raw.len() + 4096;
    if let Err(error) = bounded(limit, || btf::read(raw)) {
        assert_plain(&error.to_string());
    }
    let Ok(hooks) = AttachTargets::find(raw, &functions) else {
        return;
    };
    let all = [
        TargetKind::Iterator,
        TargetKind::Tracepoint,
        TargetKind::Function,
    ];
    let own = hooks.only(&all).expect("what is short stays short");
    let again = AttachTargets::find(&own, &functions).expect("what is written can be read");
    assert_eq!(again.only(&all), Ok(own), "hooks keep their numbers");
}

#[derive(Default)]
struct Builder {
    types: Vec<u32>,
    strings: Vec<u8>,
    count: u32,
}

const STRUCT: u32 = 4;
const UNION: u32 = 5;
const TYPEDEF: u32 = 8;
const FUNCTION: u32 = 12;
const FUNCTION_TYPE: u32 = 13;

impl Builder {
    fn name(&mut self, name: &str) -> u32 {
        if self.strings.is_empty() {
            self.strings.push(0);
        }
        let at = length(&self.strings);
        self.strings.extend_from_slice(name.as_bytes());
        self.strings.push(0);
        at
    }

    /// Adds a type and gives its number.
    fn add(&mut self, words: &[u32]) -> u32 {
        self.types.extend_from_slice(words);
        self.count += 1;
        self.count
    }

    fn member(&mut self, u: &mut Unstructured<'_>, field: &str, byte: u32) -> Result<[u32; 3]> {
        let name = self.name(field);
        let mut member = [name, 1, 8 * byte];
        // In structures and unions without a name, as deep as they are looked for.
        for _ in 0..u.int_in_range(0..=3)? {
            let kind = if u.arbitrary()? { STRUCT } else { UNION };
            let outside = u.int_in_range(0..=member[2] / 8)?;
            member[2] -= 8 * outside;
            let [name, kind_of, bits] = member;
            let inner = self.add(&[0, kind << 24 | 1, 0, name, kind_of, bits]);
            member = [0, inner, 8 * outside];
        }
        Ok(member)
    }

    fn structure(
        &mut self,
        u: &mut Unstructured<'_>,
        name: &str,
        fields: &[&str],
    ) -> Result<Vec<u32>> {
        let mut members = Vec::new();
        let mut bytes = Vec::new();
        let flagged: bool = u.arbitrary()?;
        for field in fields {
            let byte = u32::from(u.arbitrary::<u16>()?);
            let mut member = self.member(u, field, byte)?;
            if flagged {
                // The size of a bit field.
                member[2] |= u32::from(u.arbitrary::<u8>()?) << 24;
            }
            members.extend(member);
            bytes.push(byte);
        }
        let info = u32::from(flagged) << 31 | STRUCT << 24 | length(fields);
        let name = self.name(name);
        let head = [name, info, 0];
        self.add(&[&head[..], &members].concat());
        Ok(bytes)
    }

    fn finish(self) -> Vec<u8> {
        let types = 4 * length(&self.types);
        let mut raw = 0xeb9f_u16.to_ne_bytes().to_vec();
        raw.extend([1, 0]);
        for word in [24, 0, types, types, length(&self.strings)]
            .iter()
            .chain(&self.types)
        {
            raw.extend(word.to_ne_bytes());
        }
        raw.extend(self.strings);
        raw
    }
}

fn length<T>(items: &[T]) -> u32 {
    u32::try_from(items.len()).expect("it is short")
}

/// BTF with all that is looked for, and what is to be found in it. With `noise` there are structures in which anything may
/// be, under the same names.
#[expect(clippy::too_many_lines, reason = "one list of structures and fields")]
fn built(u: &mut Unstructured<'_>, noise: bool) -> Result<(Vec<u8>, Kernel)> {
    let mut b = Builder::default();
    let int = b.name("int");
    b.add(&[int, 1 << 24, 4, 32]);
    if noise {
        for _ in 0..u.int_in_range(0..=3)? {
            let name = *u.choose(&["tcp_sock", "sock_common", "sock", ""])?;
            let name = if name.is_empty() { 0 } else { b.name(name) };
            let count = u.int_in_range(0..=40)?;
            let mut words = vec![name, STRUCT << 24 | count, 0];
            for _ in 0..count {
                words.extend([0, u.int_in_range(0..=5)?, u.arbitrary()?]);
            }
            b.add(&words);
        }
    }
    let addresses = [
        "skc_daddr",
        "skc_rcv_saddr",
        "skc_v6_daddr",
        "skc_v6_rcv_saddr",
    ];
    let v6: bool = u.arbitrary()?;
    let fields = [
        "skc_family",
        "skc_state",
        "skc_flags",
        "skc_dport",
        "skc_num",
    ];
    let common = [&fields[..], &addresses[..if v6 { 4 } else { 2 }]].concat();
    let common = b.structure(u, "sock_common", &common)?;
    let fields = [
        "snd_nxt",
        "write_seq",
        "bytes_acked",
        "bytes_received",
        "bytes_sent",
        "bytes_retrans",
        "data_segs_out",
        "data_segs_in",
        "srtt_us",
        "rack",
        "bpf_sock_ops_cb_flags",
    ];
    let tcp = b.structure(u, "tcp_sock", &fields)?;
    let rack = b.structure(u, "tcp_rack", &["rtt_us", "mstamp"])?;
    let sock = b.structure(u, "sock", &["sk_err", "sk_bpf_storage", "sk_type"])?;
    let mut one = |structure: &str, field: &str| -> Result<u32> {
        Ok(b.structure(u, structure, &[field])?[0])
    };
    let offsets = Offsets {
        family: common[0],
        state: common[1],
        flags: common[2],
        remote_port: common[3],
        local_port: common[4],
        source_port: one("inet_sock", "inet_sport")?,
        remote_v4: common[5],
        local_v4: common[6],
        remote_v6: common[if v6 { 7 } else { 5 }],
        local_v6: common[if v6 { 8 } else { 5 }],
        socket_sk: one("socket", "sk")?,
        bind_bucket: one("inet_connection_sock", "icsk_bind_hash")?,
        bind_fastreuse: one("inet_bind_bucket", "fastreuse")?,
        snd_nxt: tcp[0],
        write_seq: tcp[1],
        bytes_acked: tcp[2],
        bytes_received: tcp[3],
        bytes_sent: tcp[4],
        bytes_retrans: tcp[5],
        data_segs_out: tcp[6],
        data_segs_in: tcp[7],
        srtt_us: tcp[8],
        rack_rtt_us: tcp[9] + rack[0],
        rack_mstamp: tcp[9] + rack[1],
        callback_flags: tcp[10],
        error: sock[0],
        kind: sock[2],
        storage: sock[1],
        process: one("task_struct", "tgid")?,
    };
    let mut typedef = |name: &str| -> Result<bool> {
        let wanted = u.arbitrary()?;
        if wanted {
            let name = b.name(name);
            b.add(&[name, TYPEDEF << 24, 1]);
        }
        Ok(wanted)
    };
    let preemptible_tracepoints = typedef("class_srcu_fast_notrace_t")?;
    let message_tracepoints =
        typedef("btf_trace_sock_send_length")? & typedef("btf_trace_sock_recv_length")?;
    let receive_parameters = match u.int_in_range(0..=7)? {
        0 => None,
        count => {
            let parameters = [0, 1].repeat(count as usize);
            let head = [0, FUNCTION_TYPE << 24 | count, 1];
            let kind = b.add(&[&head[..], &parameters].concat());
            let name = b.name("tcp_recvmsg");
            b.add(&[name, FUNCTION << 24, kind]);
            Some(count)
        }
    };
    let storage: &[&str] = u.choose(&[&["node"][..], &["node", "state"], &[]])?;
    if !storage.is_empty() {
        b.structure(u, "bpf_local_storage_elem", storage)?;
    }
    let kernel = Kernel {
        offsets,
        preemptible_tracepoints,
        message_tracepoints,
        receive_parameters,
        storage_iterators_are_safe: storage.len() == 1,
    };
    Ok((b.finish(), kernel))
}
