//! What `cargo xtask bench` compares the agent with: bytes by remote address, counted packet by packet in `cgroup_skb`, as
//! most tools do it that attribute traffic. It does no more than such a tool must, and is no part of the agent.
#![no_std]
#![no_main]
#![expect(
    clippy::needless_pass_by_value,
    reason = "the entry points' signatures are aya's"
)]

use aya_ebpf::{
    btf_maps::{LpmTrie, PerCpuArray, lpm_trie::Key},
    macros::{btf_map, cgroup_skb},
    programs::SkBuffContext,
};

/// IPv4 prefix -> place in `BYTES`.
#[btf_map]
static PREFIXES: LpmTrie<[u8; 4], u32, 64> = LpmTrie::new();

/// Bytes sent and received, headers and all.
#[btf_map]
static BYTES: PerCpuArray<[u64; 2], 64> = PerCpuArray::new();

/// Where an IPv4 header has the address that a packet goes to, and the one that it comes from.
const TO: usize = 16;
const FROM: usize = 12;

#[cgroup_skb(egress)]
fn packets_out(ctx: SkBuffContext) -> i32 {
    let _ = count(&ctx, TO, 0);
    1
}

#[cgroup_skb(ingress)]
fn packets_in(ctx: SkBuffContext) -> i32 {
    let _ = count(&ctx, FROM, 1);
    1
}

fn count(ctx: &SkBuffContext, address: usize, direction: usize) -> Option<()> {
    let address: [u8; 4] = ctx.load(address).ok()?;
    let place = PREFIXES.get(&Key::new(32, address))?;
    let bytes = BYTES.get_ptr_mut(*place)?;
    // SAFETY: this CPU's element, valid for the length of the program; the index is below the length.
    unsafe { (*bytes)[direction] += u64::from(ctx.len()) };
    Some(())
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // Nothing here panics; the verifier would refuse the endless loop if anything could reach it.
    loop {}
}
