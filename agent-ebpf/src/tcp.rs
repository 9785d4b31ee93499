//! What the state of a TCP socket says: which payload may still move, whether a FIN is counted, how a connection ended.

use crate::connection::End;

/// `TCP_*` of `include/net/tcp_states.h`; unchanged since 2.6, and part of the BPF ABI (`BPF_TCP_*`).
#[expect(missing_docs, reason = "the kernel's names")]
pub mod state {
    pub const ESTABLISHED: u8 = 1;
    pub const SYN_SENT: u8 = 2;
    pub const SYN_RECV: u8 = 3;
    pub const FIN_WAIT1: u8 = 4;
    pub const FIN_WAIT2: u8 = 5;
    pub const TIME_WAIT: u8 = 6;
    pub const CLOSE: u8 = 7;
    pub const CLOSE_WAIT: u8 = 8;
    pub const LAST_ACK: u8 = 9;
    pub const LISTEN: u8 = 10;
    pub const CLOSING: u8 = 11;
}

use state::{
    CLOSE_WAIT, CLOSING, ESTABLISHED, FIN_WAIT1, FIN_WAIT2, LAST_ACK, SYN_RECV, TIME_WAIT,
};

/// Whether payload may still move. A connection in an earlier state is claimed when it gets there.
#[inline]
#[must_use]
pub const fn may_move_payload(state: u8) -> bool {
    matches!(
        state,
        ESTABLISHED | FIN_WAIT1 | FIN_WAIT2 | CLOSE_WAIT | LAST_ACK | CLOSING
    )
}

/// Whether `snd_nxt` counts this side's FIN: it is queued (`tcp_send_fin` advances `write_seq`, after `tcp_close_state`
/// has set the state), and no data waits before it.
#[inline]
#[must_use]
pub const fn has_sent_fin(state: u8, snd_nxt: u32, write_seq: u32) -> bool {
    snd_nxt == write_seq
        && matches!(
            state,
            FIN_WAIT1 | FIN_WAIT2 | CLOSING | LAST_ACK | TIME_WAIT
        )
}

/// How a connection ended that leaves this state with this error: `tcp_reset` and `tcp_write_err` (a timeout, or what a
/// router said about it) set the error before they change the state, everything else leaves it 0.
#[inline]
#[must_use]
pub const fn end(error: i32, last_state: u8) -> End {
    const EPIPE: i32 = 32;
    const ECONNABORTED: i32 = 103;
    const ECONNRESET: i32 = 104;
    const ECONNREFUSED: i32 = 111;
    match error {
        // A process that closes with unread data, or without lingering, goes straight to CLOSE.
        0 if matches!(last_state, ESTABLISHED | CLOSE_WAIT | SYN_RECV) => End::Reset,
        0 => End::Fin,
        EPIPE | ECONNABORTED | ECONNRESET | ECONNREFUSED => End::Reset,
        _ => End::Timeout,
    }
}

#[cfg(test)]
mod tests {
    use super::{state::*, *};

    #[test]
    fn a_fin_counts_once_it_is_sent() {
        assert!(has_sent_fin(FIN_WAIT1, 100, 100));
        assert!(!has_sent_fin(FIN_WAIT1, 99, 100), "data waits before it");
        assert!(!has_sent_fin(ESTABLISHED, 100, 100), "none is queued");
        assert!(!has_sent_fin(CLOSE_WAIT, 100, 100), "only the peer's");
    }

    #[test]
    fn the_error_and_the_last_state_say_how_a_connection_ended() {
        const ETIMEDOUT: i32 = 110;
        const EHOSTUNREACH: i32 = 113;
        for (error, last, expected) in [
            (0, LAST_ACK, End::Fin),
            (0, FIN_WAIT2, End::Fin),
            (0, ESTABLISHED, End::Reset),
            (0, CLOSE_WAIT, End::Reset),
            (104, ESTABLISHED, End::Reset),
            (32, CLOSE_WAIT, End::Reset),
            (ETIMEDOUT, ESTABLISHED, End::Timeout),
            (EHOSTUNREACH, FIN_WAIT1, End::Timeout),
        ] {
            assert_eq!(end(error, last), expected, "{error} {last}");
        }
    }

    #[test]
    fn a_connection_is_adopted_while_payload_may_move() {
        let adopted: Vec<u8> = (0..=12).filter(|state| may_move_payload(*state)).collect();
        let states = [
            ESTABLISHED,
            FIN_WAIT1,
            FIN_WAIT2,
            CLOSE_WAIT,
            LAST_ACK,
            CLOSING,
        ];
        assert_eq!(adopted, states);
    }
}
