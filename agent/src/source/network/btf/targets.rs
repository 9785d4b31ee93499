//! The types that programs attach to, as a small BTF of their own. aya parses BTF into a tree, which takes 40 MB for a
//! whole kernel. Given one kind of target at a time, with placeholders for all other types, it takes 2 to 8 MB.

use super::parse::{Btf, BtfError, FUNCTION, MAGIC, TYPEDEF};

/// What a program attaches to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetKind {
    /// The function that declares an iterator.
    Iterator,
    /// The type of a tracepoint.
    Tracepoint,
    /// One of the requested functions.
    Function,
}

/// Every target that a kernel has.
#[derive(Debug)]
pub struct AttachTargets(Vec<Target>);

#[derive(Debug)]
struct Target {
    hook: TargetKind,
    number: usize,
    /// `info` of `struct btf_type`.
    info: u32,
    name: Box<[u8]>,
}

/// An unnamed type: a forward declaration is the shortest.
const PLACEHOLDER: [u32; 3] = [0, 7 << 24, 0];

impl AttachTargets {
    /// Finds the iterators, the tracepoints and the given functions.
    ///
    /// # Errors
    /// If the BTF is malformed.
    pub fn find(raw: &[u8], functions: &[&str]) -> Result<Self, BtfError> {
        let btf = Btf::parse(raw)?;
        let mut targets = Vec::new();
        for (number, &at) in btf.records.iter().enumerate().skip(1) {
            let record = btf.record(at)?;
            let name = btf.name(record.name);
            let hook = match record.kind() {
                TYPEDEF if name.starts_with(b"btf_trace_") => TargetKind::Tracepoint,
                FUNCTION if name.starts_with(b"bpf_iter_") => TargetKind::Iterator,
                FUNCTION if functions.iter().any(|it| it.as_bytes() == name) => {
                    TargetKind::Function
                }
                _ => continue,
            };
            targets.push(Target {
                hook,
                number,
                info: record.info,
                name: name.into(),
            });
        }
        Ok(Self(targets))
    }

    /// BTF in which the targets of these kinds keep the numbers by which the kernel knows them.
    ///
    /// # Errors
    /// If it would be too long.
    pub fn only(&self, wanted: &[TargetKind]) -> Result<Vec<u8>, BtfError> {
        let mut types: Vec<[u32; 3]> = Vec::new();
        let mut strings = vec![0];
        for found in self.0.iter().filter(|it| wanted.contains(&it.hook)) {
            // Number 0 is `void` and has no record.
            types.resize(found.number - 1, PLACEHOLDER);
            types.push([length(&strings)?, found.info, 0]);
            strings.extend_from_slice(&found.name);
            strings.push(0);
        }
        let types = types.as_flattened();
        let too_long = BtfError::Malformed("it is too long");
        let bytes = length(types)?.checked_mul(4).ok_or(too_long)?;
        let mut own = Vec::with_capacity(24 + 4 * types.len() + strings.len());
        own.extend_from_slice(&MAGIC.to_ne_bytes());
        own.extend_from_slice(&[1, 0]);
        let header = [24, 0, bytes, bytes, length(&strings)?];
        for word in header.iter().chain(types) {
            own.extend_from_slice(&word.to_ne_bytes());
        }
        own.append(&mut strings);
        Ok(own)
    }
}

fn length<T>(items: &[T]) -> Result<u32, BtfError> {
    u32::try_from(items.len()).map_err(|_too_long| BtfError::Malformed("it is too long"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use aya::Endianness;
    use aya_obj::btf::BtfKind;

    #[test]
    fn targets_keep_their_numbers_and_nothing_else_has_a_name() {
        let raw = super::super::parse::tests::fixture();
        let targets = AttachTargets::find(&raw, &["call"]).unwrap();
        let own = targets.only(&[TargetKind::Function]).unwrap();
        let parsed = aya::Btf::parse(&own, Endianness::default()).unwrap();
        let number = |name, kind| parsed.id_by_type_name_kind(name, kind).ok();
        assert_eq!(number("call", BtfKind::Func), Some(6));
        assert_eq!(number("word", BtfKind::Typedef), None);
        assert_eq!(targets.only(&[TargetKind::Iterator]).unwrap().len(), 24 + 1);
        assert!(AttachTargets::find(&raw, &["cal"]).unwrap().0.is_empty());
        for length in 0..raw.len() {
            assert!(
                AttachTargets::find(&raw[..length], &[]).is_err(),
                "{length} bytes"
            );
        }
    }

    #[test]
    #[ignore = "needs BTF: `cargo xtask test` runs it"]
    fn the_running_kernels_targets_are_those_of_its_whole_btf() {
        let raw = super::super::raw().unwrap_or_else(|error| panic!("needs BTF: {error:?}"));
        let targets = AttachTargets::find(&raw, &["tcp_recvmsg"]).unwrap();
        let parse = |raw: &[u8]| aya::Btf::parse(raw, Endianness::default()).unwrap();
        let whole = parse(&raw);
        for (hook, name, kind) in [
            (TargetKind::Iterator, "bpf_iter_task_file", BtfKind::Func),
            (TargetKind::Iterator, "bpf_iter_tcp", BtfKind::Func),
            (TargetKind::Function, "tcp_recvmsg", BtfKind::Func),
            (
                TargetKind::Tracepoint,
                "btf_trace_inet_sock_set_state",
                BtfKind::Typedef,
            ),
        ] {
            let own = parse(&targets.only(&[hook]).unwrap());
            let numbers = [&own, &whole].map(|btf| btf.id_by_type_name_kind(name, kind).unwrap());
            assert_eq!(numbers[0], numbers[1], "{name}");
        }
    }
}
