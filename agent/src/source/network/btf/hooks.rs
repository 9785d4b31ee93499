//! The part of the kernel's BTF that loading wants: the number of each type that a program can be attached by. aya
//! looks for it in a tree of types, which takes 40 MB of a whole kernel's. Given one kind of them at a time, with
//! nothing in the places of all others, it takes 2 to 8.

use super::{Btf, Error, FUNCTION, MAGIC, TYPEDEF};

/// What a program is attached by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// The function that tells of an iterator.
    Iterator,
    /// The type of a tracepoint.
    Tracepoint,
    /// One of the functions that were asked for.
    Function,
}

/// All of them that a kernel has.
#[derive(Debug)]
pub struct Hooks(Vec<Found>);

#[derive(Debug)]
struct Found {
    hook: Hook,
    number: usize,
    /// `info` of `struct btf_type`.
    info: u32,
    name: Box<[u8]>,
}

/// A type without a name: a forward declaration is the shortest there is.
const NOTHING: [u32; 3] = [0, 7 << 24, 0];

impl Hooks {
    /// The iterators, the tracepoints and these functions.
    ///
    /// # Errors
    /// Where the BTF is malformed.
    pub fn find(raw: &[u8], functions: &[&str]) -> Result<Self, Error> {
        let btf = Btf::parse(raw)?;
        let mut hooks = Vec::new();
        for (number, &at) in btf.records.iter().enumerate().skip(1) {
            let record = btf.record(at)?;
            let name = btf.name(record.name);
            let hook = match record.kind() {
                TYPEDEF if name.starts_with(b"btf_trace_") => Hook::Tracepoint,
                FUNCTION if name.starts_with(b"bpf_iter_") => Hook::Iterator,
                FUNCTION if functions.iter().any(|it| it.as_bytes() == name) => Hook::Function,
                _ => continue,
            };
            hooks.push(Found {
                hook,
                number,
                info: record.info,
                name: name.into(),
            });
        }
        Ok(Self(hooks))
    }

    /// BTF of its own in which these have the numbers that the kernel knows them by.
    ///
    /// # Errors
    /// Where it would be too long.
    pub fn only(&self, wanted: &[Hook]) -> Result<Vec<u8>, Error> {
        let mut types: Vec<[u32; 3]> = Vec::new();
        let mut strings = vec![0];
        for found in self.0.iter().filter(|it| wanted.contains(&it.hook)) {
            // Number 0 is `void`, which has no record.
            types.resize(found.number - 1, NOTHING);
            types.push([length(&strings)?, found.info, 0]);
            strings.extend_from_slice(&found.name);
            strings.push(0);
        }
        let types = types.as_flattened();
        let too_long = Error::Malformed("it is too long");
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

fn length<T>(items: &[T]) -> Result<u32, Error> {
    u32::try_from(items.len()).map_err(|_too_long| Error::Malformed("it is too long"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use aya::Endianness;
    use aya_obj::btf::BtfKind;

    #[test]
    fn hooks_keep_their_numbers_and_nothing_else_has_a_name() {
        let raw = super::super::tests::fixture();
        let hooks = Hooks::find(&raw, &["call"]).unwrap();
        let own = hooks.only(&[Hook::Function]).unwrap();
        let parsed = aya::Btf::parse(&own, Endianness::default()).unwrap();
        let number = |name, kind| parsed.id_by_type_name_kind(name, kind).ok();
        assert_eq!(number("call", BtfKind::Func), Some(6));
        assert_eq!(number("word", BtfKind::Typedef), None);
        assert_eq!(hooks.only(&[Hook::Iterator]).unwrap().len(), 24 + 1);
        assert!(Hooks::find(&raw, &["cal"]).unwrap().0.is_empty());
        for length in 0..raw.len() {
            assert!(Hooks::find(&raw[..length], &[]).is_err(), "{length} bytes");
        }
    }

    #[test]
    #[ignore = "needs BTF: `cargo xtask test` runs it"]
    fn the_running_kernels_hooks_are_those_of_its_whole_btf() {
        let raw = super::super::raw().unwrap_or_else(|error| panic!("needs BTF: {error:?}"));
        let hooks = Hooks::find(&raw, &["tcp_recvmsg"]).unwrap();
        let parse = |raw: &[u8]| aya::Btf::parse(raw, Endianness::default()).unwrap();
        let whole = parse(&raw);
        for (hook, name, kind) in [
            (Hook::Iterator, "bpf_iter_task_file", BtfKind::Func),
            (Hook::Iterator, "bpf_iter_tcp", BtfKind::Func),
            (Hook::Function, "tcp_recvmsg", BtfKind::Func),
            (
                Hook::Tracepoint,
                "btf_trace_inet_sock_set_state",
                BtfKind::Typedef,
            ),
        ] {
            let own = parse(&hooks.only(&[hook]).unwrap());
            let numbers = [&own, &whole].map(|btf| btf.id_by_type_name_kind(name, kind).unwrap());
            assert_eq!(numbers[0], numbers[1], "{name}");
        }
    }
}
