//! The built-in protocols: frameworks of secure computation and their default ports. Used where no protocol is configured.

use std::ops::RangeInclusive;

use super::{Protocol, Transport};

/// Name and TCP ports. Where a framework counts ports up by party, there is room for ten parties.
const FRAMEWORKS: [(&str, &[RangeInclusive<u16>]); 8] = [
    // 5000 + party; `-pn` changes the base.
    ("mp-spdz", &[5000..=5009]),
    // The examples of SPU and SecretFlow: 61330+, 61530+, 61920+.
    ("spu", &[61330..=61339, 61530..=61539, 61920..=61929]),
    // 32000 + sender * n + receiver; Falcon has the same formula with n = 3.
    ("piranha", &[32000..=32099]),
    // 23000 + party.
    ("motion", &[23000..=23009]),
    // 1212 + the smaller party of a pair, and 1313.
    ("aby3", &[1212..=1221, 1313..=1313]),
    ("aby", &[7766..=7766]),
    // SIGMA and Orca.
    ("ezpc", &[42003..=42003, 42006..=42006]),
    // CrypTen and CryptGPU: the rendezvous of torch.distributed; gloo's own ports are ephemeral.
    ("torch", &[29500..=29500, 23456..=23456]),
];

/// The built-in protocols.
pub(super) fn protocols() -> Vec<Protocol> {
    let protocol = |(name, ports): &(&str, &[RangeInclusive<u16>])| Protocol {
        name: (*name).to_owned(),
        transport: Transport::Tcp,
        ports: ports.to_vec(),
    };
    FRAMEWORKS.iter().map(protocol).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn no_port_is_two_frameworks() {
        let ports: Vec<u16> = super::protocols()
            .into_iter()
            .flat_map(|it| it.ports)
            .flatten()
            .collect();
        let mut unique = ports.clone();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(unique.len(), ports.len());
    }
}
