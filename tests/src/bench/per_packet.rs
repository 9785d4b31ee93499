//! The usual way, to compare with: a BPF program of `cgroup_skb` counts every packet by its remote address. The program is
//! `agent-ebpf/src/bin/per-packet.rs`.

use std::{path::Path, str::FromStr as _};

use anyhow::{Context as _, ensure};
use aya::{
    Ebpf, EbpfLoader,
    maps::{LpmTrie, PerCpuArray, lpm_trie::Key},
    programs::{CgroupAttachMode, CgroupSkb, CgroupSkbAttachType},
};
use partymeter::source::network::cgroup;

use super::generator::PARTY_NETWORKS;

/// The programs, attached to every socket of the machine for as long as this lives.
pub(super) struct PerPacket(Ebpf);

impl PerPacket {
    pub(super) fn start(object: &Path) -> anyhow::Result<Self> {
        let mut ebpf = EbpfLoader::new()
            .load_file(object)
            .with_context(|| format!("cannot load {}", object.display()))?;
        let map = ebpf.map_mut("PREFIXES").context("no map PREFIXES")?;
        let mut prefixes: LpmTrie<_, [u8; 4], u32> = map.try_into()?;
        for network in PARTY_NETWORKS {
            let network = ipnet::Ipv4Net::from_str(network)?;
            let key = Key::new(network.prefix_len().into(), network.network().octets());
            prefixes.insert(&key, 0, 0)?;
        }
        let cgroup = cgroup::open(None).map_err(anyhow::Error::msg)?;
        for (name, direction) in [
            ("packets_out", CgroupSkbAttachType::Egress),
            ("packets_in", CgroupSkbAttachType::Ingress),
        ] {
            let program: &mut CgroupSkb = ebpf
                .program_mut(name)
                .with_context(|| format!("no program {name}"))?
                .try_into()?;
            program.load()?;
            program.attach(&cgroup.directory, direction, CgroupAttachMode::Single)?;
        }
        Ok(Self(ebpf))
    }

    /// Detaches them; they must have seen something.
    pub(super) fn stop(self) -> anyhow::Result<()> {
        let map = self.0.map("BYTES").context("no map BYTES")?;
        let bytes: PerCpuArray<_, [u64; 2]> = map.try_into()?;
        let seen = bytes.get(&0, 0)?.iter().flatten().sum::<u64>();
        ensure!(seen > 0, "the programs of cgroup_skb have seen no packet");
        Ok(())
    }
}
