//! The maps. Their names, keys and values are described in the library beside this binary.

use agent_ebpf::{
    ALLOWED_CAPACITY, AUTO_PARTY_CAPACITY, Account, Address, Control, Counters, ENDPOINT_CAPACITY,
    Endpoint, Histogram, LOCAL_INITIATOR_CAPACITY, Listener, LocalInitiator, PREFIX_CAPACITY,
    PROCESS_CAPACITY, PendingConnect, Record, UNEXPECTED_PEER_BYTES, UnexpectedPeer,
    UnexpectedSender,
};
use aya_ebpf::{
    bindings::{BPF_F_MMAPABLE, BPF_F_NO_PREALLOC},
    btf_maps::{Array, HashMap, LpmTrie, LruHashMap, PerCpuArray, RingBuf, SkStorage},
    macros::btf_map,
};

const MMAPABLE: usize = BPF_F_MMAPABLE as usize;
/// Most tables have a handful of entries; without preallocation they cost what they hold.
const ON_DEMAND: usize = BPF_F_NO_PREALLOC as usize;

#[btf_map]
pub(super) static PORTS: Array<u32, 65_536> = Array::new();

/// Of length 1 here, as `UNEXPECTED_SENDERS`, `COUNTERS` and `HISTOGRAMS` are: the loader sets the length that the
/// configuration needs, also that of `RECORDS`.
#[btf_map]
pub(super) static UDP_PORTS: Array<u32, 1> = Array::new();

#[btf_map]
pub(super) static UNEXPECTED_SENDERS: LruHashMap<UnexpectedSender, u32, 1> = LruHashMap::new();

#[btf_map]
pub(super) static PREFIXES: LpmTrie<Address, u32, { PREFIX_CAPACITY as usize }> = LpmTrie::new();

#[btf_map]
pub(super) static ALLOWED: LpmTrie<Address, u32, { ALLOWED_CAPACITY as usize }> = LpmTrie::new();

#[btf_map]
pub(super) static PROCESSES: HashMap<u32, u32, { PROCESS_CAPACITY as usize }, ON_DEMAND> =
    HashMap::new();

#[btf_map]
pub(super) static ENDPOINTS: HashMap<Endpoint, u32, { ENDPOINT_CAPACITY as usize }, ON_DEMAND> =
    HashMap::new();

#[btf_map]
pub(super) static LISTENERS: HashMap<
    u32,
    Listener,
    { LOCAL_INITIATOR_CAPACITY as usize },
    ON_DEMAND,
> = HashMap::new();

#[btf_map]
pub(super) static LOCAL_INITIATORS: HashMap<
    LocalInitiator,
    u32,
    { LOCAL_INITIATOR_CAPACITY as usize },
    ON_DEMAND,
> = HashMap::new();

#[btf_map]
pub(super) static AUTO_PARTIES: HashMap<Address, u32, { AUTO_PARTY_CAPACITY as usize }, ON_DEMAND> =
    HashMap::new();

#[btf_map]
pub(super) static COUNTERS: Array<Counters, 1, MMAPABLE> = Array::new();

#[btf_map]
pub(super) static CONTROL: Array<Control, 1, MMAPABLE> = Array::new();

#[btf_map]
pub(super) static SOCKETS: SkStorage<Account> = SkStorage::new();

#[btf_map]
pub(super) static HISTOGRAMS: Array<Histogram, 1, MMAPABLE> = Array::new();

#[btf_map]
pub(super) static UNEXPECTED_PEERS: RingBuf<UnexpectedPeer, { UNEXPECTED_PEER_BYTES as usize }> =
    RingBuf::new();

#[btf_map]
pub(super) static RECORDS: RingBuf<Record, 4096> = RingBuf::new();

#[btf_map]
pub(super) static PENDING_CONNECTS: SkStorage<PendingConnect> = SkStorage::new();

/// 1: the load before this one has counted the event that this CPU is at.
#[btf_map]
pub(super) static COUNTED: PerCpuArray<u64, 1> = PerCpuArray::new();

/// What `set_state` has just done on a CPU, for `set_state_again`.
#[repr(C)]
pub(super) struct Handled {
    /// Address of the socket; 0: nothing.
    pub(super) sock: u64,
    /// The state that it went to.
    pub(super) to: u64,
}

#[btf_map]
pub(super) static HANDLED: PerCpuArray<Handled, 1> = PerCpuArray::new();

/// The last datagram that a CPU has counted as received, for `datagrams_refused`.
#[repr(C)]
pub(super) struct Taken {
    /// The socket's cookie; 0: the last datagram was not counted.
    pub(super) socket: u64,
    /// Its payload, in bytes.
    pub(super) payload: u64,
    /// How many datagrams it was, put together.
    pub(super) datagrams: u32,
    /// The slot that counted them.
    pub(super) slot: u32,
}

#[btf_map]
pub(super) static TAKEN: PerCpuArray<Taken, 1> = PerCpuArray::new();
