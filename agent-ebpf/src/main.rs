//! The BPF object: maps, programs and licence. Built for the bpf target only; `agent/build.rs` embeds it.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]
#![cfg_attr(target_arch = "bpf", feature(core_intrinsics))]
#![cfg_attr(
    target_arch = "bpf",
    expect(
        internal_features,
        reason = "BPF's compare-and-swap and exchange have no stable form"
    ),
    expect(
        clippy::inline_always,
        reason = "a program is one function to the verifier, which keeps what it knows only there"
    ),
    expect(
        clippy::cast_ptr_alignment,
        reason = "the kernel's structures are aligned; their offsets are known at load time only"
    ),
    expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "sequence numbers are 32 bits of a sum, and states are bytes that come as int"
    ),
    expect(
        clippy::needless_pass_by_value,
        reason = "the entry points' signatures are aya's"
    )
)]

#[cfg(target_arch = "bpf")]
mod programs;

/// The kernel's GPL-only helpers (`bpf_skc_to_tcp_sock`, `bpf_sock_from_file`) need a GPL-compatible licence.
#[cfg(target_arch = "bpf")]
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // Nothing here panics; the verifier would refuse the endless loop if anything could reach it.
    loop {}
}

/// Cargo builds every binary of the workspace for the host as well, where there is nothing to run.
#[cfg(not(target_arch = "bpf"))]
fn main() {}
