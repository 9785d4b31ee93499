//! `iter/bpf_sk_storage_map`: settles, or reclassifies once the tables have changed, every account; see `walk`.
//!
//! Relies on an account's deletion by the iterator that stands on it
//! (`tools/testing/selftests/bpf/progs/bpf_iter_bpf_sk_storage_helpers.c`, 5.12).

use crate::programs::walk::{self, Accounts};

#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/bpf_sk_storage_map")]
extern "C" fn settle(ctx: &Accounts) -> i32 {
    let _ = ctx.position().and_then(walk::settle);
    0
}

#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/bpf_sk_storage_map")]
extern "C" fn reclassify(ctx: &Accounts) -> i32 {
    let _ = ctx.position().and_then(walk::reclassify);
    0
}
