//! The maps. Their names, keys and values are described in the library beside this binary.

use agent_ebpf::{
    ALLOWED_CAPACITY, AUTO_PARTY_CAPACITY, Account, Address, Begun, CLOSED, Caller, Control,
    Counters, Drop, ENDPOINT_CAPACITY, Endpoint, Histogram, Listener, OPENER_CAPACITY, Opener,
    PREFIX_CAPACITY, PROCESS_CAPACITY, Record, STRANGER_BYTES, Stranger, turn,
};
use aya_ebpf::{
    bindings::{BPF_F_MMAPABLE, BPF_F_NO_PREALLOC, BPF_RB_NO_WAKEUP, BPF_SK_STORAGE_GET_F_CREATE},
    btf_maps::{Array, HashMap, LpmTrie, LruHashMap, PerCpuArray, RingBuf, SkStorage},
    helpers::generated::{bpf_sk_storage_delete, bpf_sk_storage_get},
    macros::btf_map,
};
use core::{
    ffi::c_void,
    intrinsics::{AtomicOrdering, atomic_xadd},
    ptr::{self, NonNull},
};

use super::{account::add, socket::generation};

const MMAPABLE: usize = BPF_F_MMAPABLE as usize;
/// Most tables are a handful of entries; without preallocation they cost what they hold.
const ON_DEMAND: usize = BPF_F_NO_PREALLOC as usize;

#[btf_map]
pub(super) static PORTS: Array<u32, 65_536> = Array::new();

/// Of UDP; the loader gives it its length, and to the next.
#[btf_map]
pub(super) static UDP_PORTS: Array<u32, 1> = Array::new();

#[btf_map]
pub(super) static CALLERS: LruHashMap<Caller, u32, 1> = LruHashMap::new();

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
pub(super) static LISTENERS: HashMap<u32, Listener, { OPENER_CAPACITY as usize }, ON_DEMAND> =
    HashMap::new();

#[btf_map]
pub(super) static OPENERS: HashMap<Opener, u32, { OPENER_CAPACITY as usize }, ON_DEMAND> =
    HashMap::new();

#[btf_map]
pub(super) static AUTO_PARTIES: HashMap<Address, u32, { AUTO_PARTY_CAPACITY as usize }, ON_DEMAND> =
    HashMap::new();

/// As long as the configuration needs: the loader sets it.
#[btf_map]
pub(super) static COUNTERS: Array<Counters, 1, MMAPABLE> = Array::new();

#[btf_map]
pub(super) static CONTROL: Array<Control, 1, MMAPABLE> = Array::new();

#[btf_map]
static SOCKETS: SkStorage<Account> = SkStorage::new();

/// As many as there are slots, up to a limit: the loader sets it. Number 0 is nobody's.
#[btf_map]
pub(super) static HISTOGRAMS: Array<Histogram, 1, MMAPABLE> = Array::new();

#[btf_map]
static STRANGERS: RingBuf<Stranger, { STRANGER_BYTES as usize }> = RingBuf::new();

/// Of one page; the loader makes it larger where connections are recorded.
#[btf_map]
static RECORDS: RingBuf<Record, 4096> = RingBuf::new();

/// Who began a connection about which that matters, until it is established.
#[btf_map]
static BEGUN: SkStorage<Begun> = SkStorage::new();

/// What `set_state` has just done on a CPU, for `set_state_again`.
#[repr(C)]
pub(super) struct Handled {
    /// Address of the socket; 0: nothing.
    pub(super) sock: u64,
    /// The state that it went to.
    pub(super) to: u64,
}

#[btf_map]
static HANDLED: PerCpuArray<Handled, 1> = PerCpuArray::new();

/// The last datagram that a CPU has counted as received, for `datagrams_refused`.
#[repr(C)]
pub(super) struct Taken {
    /// The socket's cookie; 0: the last datagram was not counted.
    pub(super) socket: u64,
    /// Its payload, in bytes.
    pub(super) payload: u64,
    /// How many it was, put together.
    pub(super) datagrams: u32,
    /// Where they were counted.
    pub(super) slot: u32,
}

/// 1: the load before this one has counted what this CPU is just told of.
#[btf_map]
static COUNTED: PerCpuArray<u64, 1> = PerCpuArray::new();

#[btf_map]
static TAKEN: PerCpuArray<Taken, 1> = PerCpuArray::new();

/// This CPU's note.
#[inline(always)]
pub(super) fn taken() -> Option<*mut Taken> {
    TAKEN.get_ptr_mut(0)
}

/// This CPU's note.
#[inline(always)]
pub(super) fn handled() -> Option<*mut Handled> {
    HANDLED.get_ptr_mut(0)
}

/// The map itself, as the helpers want it; aya's own methods take one kind of context only.
#[inline(always)]
fn sockets() -> *mut c_void {
    (&raw const SOCKETS).cast_mut().cast()
}

/// The account of a socket, if it has one.
///
/// # Safety
/// `sock` must be a socket that the verifier knows as one.
#[inline(always)]
pub(super) unsafe fn account_of(sock: *mut c_void) -> Option<NonNull<Account>> {
    // SAFETY: the caller's; without a flag the helper makes nothing.
    NonNull::new(unsafe { bpf_sk_storage_get(sockets(), sock, ptr::null_mut(), 0) }.cast())
}

/// Whether an account has been settled for the last time; it stays as long as the socket.
///
/// # Safety
/// `account` must be a value of the socket storage.
#[inline(always)]
pub(super) unsafe fn is_closed(account: *const Account) -> bool {
    // SAFETY: the caller's.
    unsafe { (&raw const (*account).transmit).read_volatile() & CLOSED != 0 }
}

/// The account of a socket, made from `account` if it has none that is open. A failure is counted.
///
/// # Safety
/// `sock` must be a full socket that the verifier knows as one.
#[inline(always)]
pub(super) unsafe fn open_account(
    sock: *mut c_void,
    account: &mut Account,
) -> Option<NonNull<Account>> {
    let create = u64::from(BPF_SK_STORAGE_GET_F_CREATE);
    // SAFETY: the caller's.
    let store = |account: &mut Account| unsafe {
        bpf_sk_storage_get(sockets(), sock, ptr::from_mut(account).cast(), create)
    };
    let mut stored = NonNull::<Account>::new(store(account).cast());
    if let Some(before) = stored
        // SAFETY: a map value, valid for the length of the program.
        && unsafe { is_closed(before.as_ptr()) }
    {
        // Of what the socket was connected to before; nobody has told that it was used again.
        // SAFETY: the caller's.
        unsafe { drop_account(sock) };
        // Where it could not be taken away (7.0 and later give up a lock that they do not get), it is still the old one.
        stored = NonNull::new(store(account).cast())
            // SAFETY: as above.
            .filter(|now: &NonNull<Account>| !unsafe { is_closed(now.as_ptr()) });
    }
    if stored.is_none() {
        count_drop(Drop::SocketStorage);
    }
    stored
}

/// Takes a socket's account away; it stays readable until the programs that hold it have returned.
///
/// # Safety
/// `sock` must be a socket that the verifier knows as one.
#[inline(always)]
pub(super) unsafe fn drop_account(sock: *mut c_void) {
    // SAFETY: the caller's. It fails where there is none, and where the kernel gives up a lock that it does not get.
    let _ = unsafe { bpf_sk_storage_delete(sockets(), sock) };
}

#[inline(always)]
fn begun() -> *mut c_void {
    (&raw const BEGUN).cast_mut().cast()
}

/// Notes who has begun a connection.
///
/// # Safety
/// `sock` must be a full socket that the verifier knows as one.
#[inline(always)]
pub(super) unsafe fn note_begun(sock: *mut c_void, begun_by: &mut Begun) {
    let create = u64::from(BPF_SK_STORAGE_GET_F_CREATE);
    // SAFETY: the caller's.
    let stored: *mut Begun =
        unsafe { bpf_sk_storage_get(begun(), sock, ptr::from_mut(begun_by).cast(), create) }.cast();
    match NonNull::new(stored) {
        // One that was not established may have left it.
        // SAFETY: a map value, valid for the length of the program.
        Some(stored) => unsafe { stored.as_ptr().write_volatile(*begun_by) },
        None => count_drop(Drop::SocketStorage),
    }
}

/// Forgets it, as where the same socket goes elsewhere next time.
///
/// # Safety
/// As for `note_begun`.
#[inline(always)]
pub(super) unsafe fn forget_begun(sock: *mut c_void) {
    // SAFETY: the caller's. It fails only where there is none.
    let _ = unsafe { bpf_sk_storage_delete(begun(), sock) };
}

/// Who has begun this connection, if that matters.
///
/// # Safety
/// As for `note_begun`.
#[inline(always)]
pub(super) unsafe fn begun_by(sock: *mut c_void) -> Option<Begun> {
    // SAFETY: the caller's; without a flag the helper makes nothing.
    let stored: *mut Begun =
        unsafe { bpf_sk_storage_get(begun(), sock, ptr::null_mut(), 0) }.cast();
    // SAFETY: a map value, valid for the length of the program.
    NonNull::new(stored).map(|begun| unsafe { *begun.as_ptr() })
}

/// Tells the agent of a stranger.
#[inline(always)]
pub(super) fn report_stranger(stranger: &Stranger) {
    // Without waking anybody: the agent looks every round.
    if STRANGERS
        .output(stranger, u64::from(BPF_RB_NO_WAKEUP))
        .is_err()
    {
        count_drop(Drop::Strangers);
    }
}

/// Tells the agent of a connection that has ended; `write` puts it where the agent reads it.
#[inline(always)]
pub(super) fn report_record(write: impl FnOnce(*mut Record)) {
    match RECORDS.reserve(0) {
        Some(mut place) => {
            write(place.as_mut_ptr());
            place.submit(u64::from(BPF_RB_NO_WAKEUP));
        }
        None => count_drop(Drop::Records),
    }
}

/// The next number of those that `place` counts, if it is below `limit`.
///
/// # Safety
/// `place` must be valid for the length of the program.
#[inline(always)]
pub(super) unsafe fn take_number(place: *mut u32, limit: u32) -> Option<u32> {
    // SAFETY: the caller's.
    if unsafe { place.read_volatile() } >= limit {
        return None;
    }
    // Not relaxed: LLVM 22 then forgets that the old value is wanted, and gives 1 each time.
    // SAFETY: the caller's.
    let number = unsafe { atomic_xadd::<u32, u32, { AtomicOrdering::SeqCst }>(place, 1) };
    (number < limit).then_some(number)
}

/// Whether this load of the programs is the one that counts what this CPU is just told of. Asked where doing a thing
/// twice is not the same as doing it once; to claim, to settle and to close is.
#[inline(always)]
pub(super) fn counts() -> bool {
    let Some(control) = CONTROL.get_ptr_mut(0) else {
        return false;
    };
    // SAFETY: the array's only element, valid for the length of the program.
    let now = unsafe { (&raw const (*control).turn).read_volatile() };
    let mine = turn::generation(now) == generation();
    if turn::phase(now) == turn::ALONE {
        return mine;
    }
    let Some(note) = COUNTED.get_ptr_mut(0) else {
        return mine;
    };
    // SAFETY: this CPU's element, valid for the length of the program.
    unsafe {
        if turn::phase(now) == turn::NOTING {
            note.write_volatile(u64::from(mine));
            return mine;
        }
        let counted = note.read_volatile();
        note.write_volatile(0);
        mine && counted == 0
    }
}

/// Counts what could not be done.
#[inline(always)]
pub(super) fn count_drop(reason: Drop) {
    if let Some(control) = CONTROL.get_ptr_mut(0) {
        // SAFETY: the array's only element lives as long as the map, and the index is below the length.
        unsafe { add(&raw mut (*control).dropped[reason as usize], 1) };
    }
}
