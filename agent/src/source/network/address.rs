//! Addresses as the kernel side keeps them: IPv6 as four words in network order, IPv4 mapped into it.

use std::net::{IpAddr, Ipv6Addr};

use agent_ebpf::Address;
use ipnet::IpNet;

/// A prefix in the kernel side's address space.
pub(super) fn mapped(prefix: IpNet) -> (Address, u32) {
    match prefix {
        IpNet::V4(net) => (
            words(net.network().to_ipv6_mapped()),
            96 + u32::from(net.prefix_len()),
        ),
        IpNet::V6(net) => (words(net.network()), u32::from(net.prefix_len())),
    }
}

pub(super) fn words(address: Ipv6Addr) -> Address {
    let bytes = address.octets();
    std::array::from_fn(|word| {
        let at = 4 * word;
        u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
    })
}

/// An address as people write it.
pub(super) fn written(address: Address) -> IpAddr {
    let mut bytes = [0; 16];
    for (four, word) in bytes.chunks_exact_mut(4).zip(address) {
        four.copy_from_slice(&word.to_ne_bytes());
    }
    Ipv6Addr::from(bytes).to_canonical()
}
