//! What sockets have in their storage: accounts, and pending connects until the connection is established.

use agent_ebpf::{Account, CLOSED, DropReason, PendingConnect};
use aya_ebpf::{
    bindings::BPF_SK_STORAGE_GET_F_CREATE,
    btf_maps::SkStorage,
    helpers::generated::{bpf_sk_storage_delete, bpf_sk_storage_get},
};
use core::{ffi::c_void, ptr};

use crate::programs::{
    atomic::{MapValue, word},
    control::count_drop,
    maps::{PENDING_CONNECTS, SOCKETS},
    socket::SockPtr,
};

/// The map itself, as the helpers want it; aya's own methods take one kind of context only.
#[inline(always)]
fn map<T>(storage: &'static SkStorage<T>) -> *mut c_void {
    ptr::from_ref(storage).cast_mut().cast()
}

#[inline(always)]
fn find<T>(storage: &'static SkStorage<T>, sock: SockPtr) -> Option<MapValue<T>> {
    // SAFETY: a socket and a map of such values; without a flag the helper makes nothing.
    unsafe {
        let value = bpf_sk_storage_get(map(storage), sock.as_ptr(), ptr::null_mut(), 0);
        MapValue::new(value.cast())
    }
}

/// The value that is there already, else `value`.
#[inline(always)]
fn find_or_store<T>(
    storage: &'static SkStorage<T>,
    sock: SockPtr,
    value: &mut T,
) -> Option<MapValue<T>> {
    let create = u64::from(BPF_SK_STORAGE_GET_F_CREATE);
    let value = ptr::from_mut(value).cast();
    // SAFETY: a socket, a map of such values, and one of them.
    unsafe { MapValue::new(bpf_sk_storage_get(map(storage), sock.as_ptr(), value, create).cast()) }
}

#[inline(always)]
fn remove<T>(storage: &'static SkStorage<T>, sock: SockPtr) {
    // SAFETY: a socket and a map. It fails only where there is nothing.
    let _ = unsafe { bpf_sk_storage_delete(map(storage), sock.as_ptr()) };
}

/// The account of a socket, if it has one.
#[inline(always)]
pub(super) fn account_of(sock: SockPtr) -> Option<MapValue<Account>> {
    find(&SOCKETS, sock)
}

/// Whether an account has been settled for the last time; it stays as long as the socket.
#[inline(always)]
pub(super) fn is_closed(account: MapValue<Account>) -> bool {
    word!(account, transmit).get() & CLOSED != 0
}

/// The account of a socket, made from `account` if it has none that is open. A failure is counted.
#[inline(always)]
pub(super) fn open_account(sock: SockPtr, account: &mut Account) -> Option<MapValue<Account>> {
    let mut stored = find_or_store(&SOCKETS, sock, account);
    if let Some(before) = stored
        && is_closed(before)
    {
        // Of an earlier connection of the same socket, whose next connect no program has seen.
        drop_account(sock);
        // If it could not be deleted (a kernel from 7.0 on gives up a contended lock), this is still the old one.
        stored = find_or_store(&SOCKETS, sock, account).filter(|now| !is_closed(*now));
    }
    if stored.is_none() {
        count_drop(DropReason::SocketStorage);
    }
    stored
}

/// Takes a socket's account away; programs that hold it can read it until they return.
#[inline(always)]
pub(super) fn drop_account(sock: SockPtr) {
    remove(&SOCKETS, sock);
}

/// Notes who is opening a connection.
#[inline(always)]
pub(super) fn store_pending_connect(sock: SockPtr, pending: &mut PendingConnect) {
    match find_or_store(&PENDING_CONNECTS, sock, pending) {
        // An attempt that failed may have left its own.
        Some(stored) => {
            word!(stored, process).set(pending.process);
            word!(stored, unexpected).set(pending.unexpected);
        }
        None => count_drop(DropReason::SocketStorage),
    }
}

/// Forgets it: the same socket may connect elsewhere next time.
#[inline(always)]
pub(super) fn drop_pending_connect(sock: SockPtr) {
    remove(&PENDING_CONNECTS, sock);
}

/// Who is opening this connection, if that matters.
#[inline(always)]
pub(super) fn pending_connect(sock: SockPtr) -> Option<PendingConnect> {
    let pending = find(&PENDING_CONNECTS, sock)?;
    Some(PendingConnect {
        process: word!(pending, process).get(),
        unexpected: word!(pending, unexpected).get(),
    })
}
