//! Frames that a mirror port shows twice: the same datagram within milliseconds, perhaps with another VLAN, MAC or TTL.
//!
//! A retransmission is not a duplicate: its IP identification or its time differs. The memory is a table of fixed size
//! in which a newer datagram takes the place of an older one, so a burst beyond it goes unrecognised, never wrong.

use super::conn_state::flag;
use super::flow::fold;
use super::link::Datagram;
use super::transport::Transport;

const ENTRIES: usize = 8192;
/// Without an IP identification (IPv6; 0 in IPv4), equal datagrams are only taken for one within this time.
const UNNUMBERED_NANOS: i64 = 1_000_000;

/// What was seen in the last milliseconds.
pub(crate) struct Duplicates {
    entries: Vec<(u64, i64)>,
    window_nanos: i64,
}

impl Duplicates {
    /// Datagrams are remembered for `window_nanos`.
    pub(crate) fn new(window_nanos: i64) -> Self {
        Duplicates {
            entries: vec![(0, i64::MIN); ENTRIES],
            window_nanos,
        }
    }

    /// Whether the datagram was seen just before; remembers it if not. `flow_hash` tells its flow.
    #[inline]
    pub(crate) fn is_duplicate(
        &mut self,
        flow_hash: u64,
        from_low: bool,
        time: i64,
        datagram: &Datagram<'_>,
        transport: &Transport<'_>,
    ) -> bool {
        let numbered = datagram.identification != 0;
        if !numbered && is_repeatable(transport) {
            return false;
        }
        let bytes = datagram.payload;
        let (a, b, middle) = (word(bytes, 0), word(bytes, 8), word(bytes, 16));
        let tail = bytes.last_chunk::<8>().map_or(0, |tail| u64::from_le_bytes(*tail));
        let mut print = fold(flow_hash ^ u64::from(from_low), a ^ 0x9e37_79b9_7f4a_7c15);
        print = fold(print ^ b, tail ^ 0xa076_1d64_78bd_642f);
        print = fold(
            print ^ middle,
            (u64::from(datagram.identification) << 32 | u64::from(datagram.length)) ^ 0xe703_7ed1_a0b4_28db,
        );
        let Some(entry) = self.entries.get_mut(print as usize % ENTRIES) else {
            return false;
        };
        let window = if numbered { self.window_nanos } else { UNNUMBERED_NANOS };
        let age = time.saturating_sub(entry.1);
        if entry.0 == print && (0..=window).contains(&age) {
            return true;
        }
        *entry = (print, time);
        false
    }
}

/// Whether a sender may mean to say this twice in a row: a pure acknowledgement that asks for a lost segment, or a reset
/// for each segment that came too late.
#[inline]
fn is_repeatable(transport: &Transport<'_>) -> bool {
    transport
        .tcp
        .is_some_and(|header| transport.payload_length == 0 && !header.has(flag::SYN | flag::FIN))
}

#[inline]
fn word(bytes: &[u8], at: usize) -> u64 {
    bytes
        .get(at..)
        .and_then(|rest| rest.first_chunk::<8>())
        .map_or(0, |word| u64::from_le_bytes(*word))
}
