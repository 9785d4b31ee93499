//! The kind of a pinned object.

use std::{
    ffi::CString,
    io,
    os::{fd::AsRawFd as _, unix::ffi::OsStrExt as _},
    path::Path,
};

use aya_obj::generated::bpf_cmd;

use super::call::{bpf_fd, empty_attr};

/// A pinned object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Object {
    Map {
        key: u32,
        value: u32,
        entries: u32,
    },
    Link,
    /// A program, or a kind that newer kernels add.
    Other,
}

/// Opens a pinned object (`BPF_OBJ_GET`, Linux 4.4) and reads its kind from `fdinfo`. `BPF_OBJ_GET_INFO_BY_FD` does not
/// tell: it fills in the structure of whatever kind it is (`bpf_obj_get_info_by_fd`, kernel/bpf/syscall.c).
pub(crate) fn pinned_object(path: &Path) -> io::Result<Object> {
    let name = CString::new(path.as_os_str().as_bytes())?;
    let mut attr = empty_attr();
    attr.__bindgen_anon_4.pathname = name.as_ptr().addr() as u64;
    // SAFETY: `pathname` points to `name`, which outlives the call; the command returns a new descriptor.
    let object = unsafe { bpf_fd(bpf_cmd::BPF_OBJ_GET, &mut attr) }?;
    let fdinfo = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", object.as_raw_fd()))?;
    Ok(kind_of(&fdinfo))
}

fn kind_of(fdinfo: &str) -> Object {
    let field = |name: &str| {
        let rest = fdinfo.lines().find_map(|line| line.strip_prefix(name))?;
        rest.strip_prefix(':').map(str::trim)
    };
    let number = |name: &str| field(name).and_then(|text| text.parse().ok());
    let map = || {
        Some(Object::Map {
            key: number("key_size")?,
            value: number("value_size")?,
            entries: number("max_entries")?,
        })
    };
    if field("link_type").is_some() {
        return Object::Link;
    }
    let map = field("map_type").and_then(|_| map());
    map.unwrap_or(Object::Other)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Linux 6.18 writes it.
    #[test]
    fn fdinfo_tells_the_kind_of_an_object() {
        let head = "pos:\t0\nflags:\t02000002\nmnt_id:\t16\nino:\t12\n";
        let map = "map_type:\t2\nkey_size:\t4\nvalue_size:\t48\nmax_entries:\t1\nmap_flags:\t0x0\nmap_extra:\t0x0\n\
                   memlock:\t272\nmap_id:\t5\nfrozen:\t0\n";
        let link =
            "link_type:\traw_tracepoint\nlink_id:\t2\nprog_tag:\t0a1b\nprog_id:\t9\ntp_name:\tx\n";
        let program =
            "prog_type:\t6\nprog_jited:\t1\nprog_tag:\t0a1b\nmemlock:\t4096\nprog_id:\t9\n";
        assert_eq!(
            kind_of(&(head.to_owned() + map)),
            Object::Map {
                key: 4,
                value: 48,
                entries: 1
            }
        );
        assert_eq!(kind_of(&(head.to_owned() + link)), Object::Link);
        assert_eq!(kind_of(&(head.to_owned() + program)), Object::Other);
        assert_eq!(kind_of(head), Object::Other);
    }
}
