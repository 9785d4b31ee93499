//! The kernel's BTF, read for one thing: where the fields lie that the programs load. Pure but for
//! [`KERNEL`]'s name.
//!
//! Why no crate: aya keeps members private, and the readers on crates.io copy all 150,000 types (or are
//! LGPL). This walks the raw bytes once, keeps an offset per type, and accepts kinds it has not heard of
//! only where it can still find the next one. Layout: Documentation/bpf/btf.rst.

mod hooks;

use std::{
    fs::File,
    io::{self, Read as _},
};

use agent_ebpf::Offsets;
use memmap2::MmapMut;

pub use self::hooks::{Hook, Hooks};

/// Where the running kernel publishes its BTF.
pub const KERNEL: &str = "/sys/kernel/btf/vmlinux";

/// Why the offsets could not be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not BTF, cut short, or of a form that is not known.
    #[error("malformed BTF: {0}")]
    Malformed(&'static str),
    /// A field that the accounting rests on is not there.
    #[error("struct {structure} has no field {field}")]
    NoField {
        /// The structure looked at.
        structure: &'static str,
        /// The field looked for.
        field: &'static str,
    },
}

/// What the programs must know of the running kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kernel {
    /// Where the fields lie.
    pub offsets: Offsets,
    /// Whether a task can be preempted while it runs a program on a tracepoint, so that another one on the same
    /// CPU finds that program busy and passes it over. Since tracepoints are guarded by SRCU (Linux 7.0).
    pub preemptible_tracepoints: bool,
    /// Whether there are the tracepoints `sock_send_length` and `sock_recv_length` (Linux 6.3).
    pub message_tracepoints: bool,
    /// How many parameters `tcp_recvmsg` has; `None`: there is no such function.
    pub receive_parameters: Option<u32>,
    /// Whether an iterator over socket storage cannot crash the machine.
    ///
    /// Since local storage was reworked (Linux 7.0, and backports) the end of a socket clears `selem->local_storage`
    /// (`bpf_selem_unlink_nofail`, `kernel/bpf/bpf_local_storage.c`) while `__bpf_sk_storage_map_seq_show`
    /// (`net/core/bpf_sk_storage.c`) reads it a second time and follows it. The rework is known by the member `state`
    /// that it gave to `struct bpf_local_storage_elem`.
    pub storage_iterators_are_safe: bool,
}

/// The running kernel's BTF, in memory that goes back to the system at once when it is dropped.
///
/// # Errors
/// Where the kernel publishes none.
pub fn raw() -> io::Result<MmapMut> {
    let mut file = File::open(KERNEL)?;
    let length = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
    let mut raw = MmapMut::map_anon(length)?;
    file.read_exact(&mut raw)?;
    Ok(raw)
}

/// What the kernel's BTF says.
///
/// # Errors
/// Where the BTF is malformed or a field is missing, in which case this kernel cannot be accounted on.
pub fn read(raw: &[u8]) -> Result<Kernel, Error> {
    let btf = Btf::parse(raw)?;
    Ok(Kernel {
        offsets: offsets(&btf)?,
        // The guard that `__DECLARE_TRACE` (include/linux/tracepoint.h) takes, which came with it.
        preemptible_tracepoints: btf.has_typedef("class_srcu_fast_notrace_t")?,
        message_tracepoints: btf.has_typedef("btf_trace_sock_send_length")?
            && btf.has_typedef("btf_trace_sock_recv_length")?,
        receive_parameters: btf.parameters("tcp_recvmsg")?,
        // Where the structure is not described at all, nothing is known to be safe.
        storage_iterators_are_safe: btf.has_structure("bpf_local_storage_elem")?
            && btf.offset("bpf_local_storage_elem", "state").is_err(),
    })
}

fn offsets(btf: &Btf<'_>) -> Result<Offsets, Error> {
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
        // A kernel without IPv6 has no such field and no such socket: the family's place serves, unread.
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

const MAGIC: u16 = 0xeb9f;
const STRUCT: u32 = 4;
const UNION: u32 = 5;
const TYPEDEF: u32 = 8;
const FUNCTION: u32 = 12;
const FUNCTION_TYPE: u32 = 13;

/// BTF with the place of each type's record; index 0 is `void`. Those that are looked for by name are few among
/// them, and have lists of their own.
struct Btf<'a> {
    types: &'a [u8],
    strings: &'a [u8],
    records: Vec<usize>,
    structures: Vec<usize>,
    typedefs: Vec<usize>,
}

/// `struct btf_type`, and where what follows it begins.
struct Record {
    name: u32,
    info: u32,
    body: usize,
}

impl Record {
    fn kind(&self) -> u32 {
        self.info >> 24 & 0x1f
    }

    fn length(&self) -> usize {
        self.info as usize & 0xffff
    }

    /// Whether members carry a bit-field size in the upper byte of their offset.
    fn has_bit_fields(&self) -> bool {
        self.info >> 31 == 1
    }
}

impl<'a> Btf<'a> {
    fn parse(raw: &'a [u8]) -> Result<Self, Error> {
        let short = Error::Malformed("the header is cut short");
        let header = raw.get(..24).ok_or(short)?;
        if u16::from_ne_bytes([header[0], header[1]]) != MAGIC {
            return Err(Error::Malformed("the magic number is another"));
        }
        let word = |at| word(header, at).ok_or(Error::Malformed("the header is cut short"));
        let start = word(4)? as usize;
        let section = |offset: u32, length: u32| {
            let from = start.checked_add(offset as usize)?;
            raw.get(from..from.checked_add(length as usize)?)
        };
        let cut = Error::Malformed("a section is cut short");
        let types = section(word(8)?, word(12)?).ok_or(cut)?;
        let strings =
            section(word(16)?, word(20)?).ok_or(Error::Malformed("a section is cut short"))?;

        let mut btf = Self {
            types,
            strings,
            records: vec![0],
            structures: Vec::new(),
            typedefs: Vec::new(),
        };
        let mut at = 0;
        while at < types.len() {
            let record = btf.record(at)?;
            btf.records.push(at);
            match record.kind() {
                STRUCT => btf.structures.push(at),
                TYPEDEF => btf.typedefs.push(at),
                _ => {}
            }
            at = record.body
                + match record.kind() {
                    // INT, VAR, DECL_TAG
                    1 | 14 | 17 => 4,
                    // PTR, FWD, TYPEDEF, VOLATILE, CONST, RESTRICT, FUNC, FLOAT, TYPE_TAG
                    2 | 7..=12 | 16 | 18 => 0,
                    // ARRAY
                    3 => 12,
                    // STRUCT, UNION, DATASEC, ENUM64
                    STRUCT | UNION | 15 | 19 => 12 * record.length(),
                    // ENUM, FUNC_PROTO
                    6 | 13 => 8 * record.length(),
                    _ => return Err(Error::Malformed("a kind of type that is not known")),
                };
        }
        Ok(btf)
    }

    fn record(&self, at: usize) -> Result<Record, Error> {
        let cut = || Error::Malformed("a type is cut short");
        let name = word(self.types, at).ok_or_else(cut)?;
        let info = word(self.types, at + 4).ok_or_else(cut)?;
        Ok(Record {
            name,
            info,
            body: at + 12,
        })
    }

    /// What stands at a place among the strings; empty where nothing does.
    fn name(&self, offset: u32) -> &'a [u8] {
        let rest = self.strings.get(offset as usize..).unwrap_or_default();
        let end = rest.iter().position(|byte| *byte == 0);
        &rest[..end.unwrap_or(0)]
    }

    fn is_named(&self, offset: u32, name: &str) -> bool {
        let Some(rest) = self.strings.get(offset as usize..) else {
            return false;
        };
        rest.strip_prefix(name.as_bytes())
            .is_some_and(|rest| rest.first() == Some(&0))
    }

    fn has_typedef(&self, name: &str) -> Result<bool, Error> {
        for &at in &self.typedefs {
            if self.is_named(self.record(at)?.name, name) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn has_structure(&self, name: &str) -> Result<bool, Error> {
        for &at in &self.structures {
            if self.is_named(self.record(at)?.name, name) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// How many parameters a function has; `None` if there is none of this name.
    fn parameters(&self, name: &str) -> Result<Option<u32>, Error> {
        for &at in &self.records[1..] {
            let record = self.record(at)?;
            if record.kind() != FUNCTION || !self.is_named(record.name, name) {
                continue;
            }
            let cut = || Error::Malformed("a function is cut short");
            // What is the size of a structure, is the type of a function.
            let type_id = word(self.types, at + 8).ok_or_else(cut)?;
            let place = self.records.get(type_id as usize).ok_or_else(cut)?;
            let kind = self.record(*place)?;
            if kind.kind() == FUNCTION_TYPE {
                return Ok(u32::try_from(kind.length()).ok());
            }
        }
        Ok(None)
    }

    /// Byte offset of a member, also one of an anonymous structure or union inside.
    fn offset(&self, structure: &'static str, field: &'static str) -> Result<u32, Error> {
        // Each member is looked at about once; in bad data a structure may be inside itself, many times.
        let mut looks = self.types.len();
        for &at in &self.structures {
            let record = self.record(at)?;
            if self.is_named(record.name, structure)
                && let Some(bits) = self.bits_of(&record, field, 0, &mut looks)?
            {
                return Ok(bits / 8);
            }
        }
        Err(Error::NoField { structure, field })
    }

    fn bits_of(
        &self,
        record: &Record,
        field: &str,
        depth: u32,
        looks: &mut usize,
    ) -> Result<Option<u32>, Error> {
        let cut = || Error::Malformed("a member is cut short");
        for index in 0..record.length() {
            let endless = Error::Malformed("a structure is inside itself");
            *looks = looks.checked_sub(1).ok_or(endless)?;
            let member = record.body + 12 * index;
            let name = word(self.types, member).ok_or_else(cut)?;
            let type_id = word(self.types, member + 4).ok_or_else(cut)?;
            let mut bits = word(self.types, member + 8).ok_or_else(cut)?;
            if record.has_bit_fields() {
                bits &= 0x00ff_ffff;
            }
            if self.is_named(name, field) {
                return Ok(Some(bits));
            }
            // Anonymous members nest a few levels in the kernel; the bound is against a loop in bad data.
            if name == 0 && depth < 8 {
                let at = self.records.get(type_id as usize).ok_or_else(cut)?;
                let inner = self.record(*at)?;
                if matches!(inner.kind(), STRUCT | UNION)
                    && let Some(inner_bits) = self.bits_of(&inner, field, depth + 1, looks)?
                {
                    let far = Error::Malformed("a member lies too far");
                    return bits.checked_add(inner_bits).map(Some).ok_or(far);
                }
            }
        }
        Ok(None)
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_ne_bytes(four.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn length(bytes: &[u8]) -> u32 {
        u32::try_from(bytes.len()).unwrap()
    }

    /// BTF of `struct outer { int a; struct { int : 0 bits…; int b; }; }` in the kernel's encoding.
    pub(super) fn fixture() -> Vec<u8> {
        let strings = b"\0outer\0a\0b\0int\0word\0call\0";
        let name = |text: &str| {
            let needle = [b"\0", text.as_bytes(), b"\0"].concat();
            strings
                .windows(needle.len())
                .position(|window| window == needle)
                .map(|at| u32::try_from(at).unwrap())
                .unwrap()
                + 1
        };
        let mut types = Vec::new();
        let mut push = |words: &[u32]| {
            for word in words {
                types.extend(word.to_ne_bytes());
            }
        };
        push(&[name("int"), 1 << 24, 4, 32]); // 1: int
        push(&[0, 4 << 24 | 1, 4, name("b"), 1, 32]); // 2: struct { b at bit 32 }
        push(&[
            name("outer"),
            1 << 31 | 4 << 24 | 2,
            12,
            name("a"),
            1,
            8 << 24,
            0,
            2,
            64,
        ]); // 3
        push(&[name("word"), TYPEDEF << 24, 1]); // 4: typedef int word
        push(&[0, FUNCTION_TYPE << 24 | 2, 1, name("a"), 1, name("b"), 4]); // 5: int (int a, word b)
        push(&[name("call"), FUNCTION << 24, 5]); // 6: call, of type 5
        let mut raw = Vec::new();
        raw.extend(MAGIC.to_ne_bytes());
        raw.extend([1, 0]);
        for word in [24, 0, length(&types), length(&types), length(strings)] {
            raw.extend(word.to_ne_bytes());
        }
        raw.extend(types);
        raw.extend(strings);
        raw
    }

    #[test]
    fn finds_members_also_in_anonymous_structures_and_past_bit_fields() {
        let raw = fixture();
        let btf = Btf::parse(&raw).unwrap();
        assert_eq!(btf.offset("outer", "a"), Ok(0));
        assert_eq!(btf.offset("outer", "b"), Ok(12));
        assert_eq!(
            btf.offset("outer", "c"),
            Err(Error::NoField {
                structure: "outer",
                field: "c"
            })
        );
    }

    #[test]
    fn finds_typedefs_and_functions_and_takes_nothing_else_for_one() {
        let raw = fixture();
        let btf = Btf::parse(&raw).unwrap();
        let found = ["word", "outer", "wor"].map(|name| btf.has_typedef(name));
        assert_eq!(found, [Ok(true), Ok(false), Ok(false)]);
        let found = ["outer", "word", "oute"].map(|name| btf.has_structure(name));
        assert_eq!(found, [Ok(true), Ok(false), Ok(false)]);
        let parameters = ["call", "word"].map(|name| btf.parameters(name));
        assert_eq!(parameters, [Ok(Some(2)), Ok(None)]);
    }

    #[test]
    fn refuses_what_is_cut_short_at_every_length() {
        let raw = fixture();
        for length in 0..raw.len() {
            let cut = &raw[..length];
            assert!(
                matches!(read(cut), Err(Error::Malformed(_))),
                "{length} bytes"
            );
        }
        assert_eq!(
            read(&raw),
            Err(Error::NoField {
                structure: "sock_common",
                field: "skc_family"
            })
        );
    }

    /// BTF of one structure `a` of so many members without a name, which are of the type `of` and lie at `bits`.
    fn nested(members: u32, of: u32, bits: u32) -> Vec<u8> {
        let strings = b"\0a\0b\0";
        let mut types = vec![1, STRUCT << 24 | members, 0];
        types.extend([0, of, bits].repeat(members as usize));
        types.extend([0, STRUCT << 24 | 1, 0, 3, 1, bits]);
        let size = 4 * u32::try_from(types.len()).unwrap();
        let mut raw = MAGIC.to_ne_bytes().to_vec();
        raw.extend([1, 0]);
        for word in [24, 0, size, size, length(strings)].iter().chain(&types) {
            raw.extend(word.to_ne_bytes());
        }
        raw.extend(strings);
        raw
    }

    #[test]
    fn a_structure_inside_itself_is_refused_and_not_followed_for_ever() {
        // Eight levels of 500 members each would take years.
        let raw = nested(500, 1, 0);
        let found = Btf::parse(&raw).unwrap().offset("a", "b");
        assert_eq!(found, Err(Error::Malformed("a structure is inside itself")));
    }

    #[test]
    fn a_member_beyond_all_memory_is_refused() {
        let raw = nested(1, 2, 1 << 31);
        let found = Btf::parse(&raw).unwrap().offset("a", "b");
        assert_eq!(found, Err(Error::Malformed("a member lies too far")));
        let raw = nested(1, 2, 64);
        assert_eq!(Btf::parse(&raw).unwrap().offset("a", "b"), Ok(16));
    }

    #[test]
    #[ignore = "needs BTF: `cargo xtask test` runs it"]
    fn reads_the_running_kernel() {
        let raw = std::fs::read(KERNEL)
            .unwrap_or_else(|error| panic!("needs BTF: {KERNEL} of this kernel: {error}"));
        let Kernel { offsets, .. } = read(&raw).unwrap();
        // `struct sock_common` begins the same since 3.x; the rest moves from version to version.
        assert_eq!(
            (offsets.remote_v4, offsets.local_v4, offsets.family),
            (0, 4, 16)
        );
        assert!(offsets.bytes_received > offsets.bind_bucket);
    }
}
