//! One two-way flow: what is counted about it while it lasts.
//!
//! Sketch: about 400 bytes a flow, nothing allocated for a packet; sums are whole numbers, so mean and variance come
//! out the same on every machine and lose nothing on long flows.

use super::conn_state::{Connection, Sender};
use super::inspect::Inspection;
use super::link::{Datagram, Layers};
use super::transport::Transport;

/// What a flow is found by: both ends, the smaller first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FlowKey {
    pub(crate) low: u128,
    pub(crate) high: u128,
    pub(crate) low_port: u16,
    pub(crate) high_port: u16,
    pub(crate) protocol: u8,
    pub(crate) is_v6: bool,
}

impl FlowKey {
    /// The key of a packet, and whether its sender is the smaller end.
    #[inline]
    pub(crate) fn of(datagram: &Datagram<'_>, transport: &Transport<'_>) -> (FlowKey, bool) {
        let from = (datagram.source, transport.source_port);
        let to = (datagram.destination, transport.destination_port);
        let from_low = from <= to;
        let (low, high) = if from_low { (from, to) } else { (to, from) };
        let key = FlowKey {
            low: low.0,
            high: high.0,
            low_port: low.1,
            high_port: high.1,
            protocol: datagram.protocol,
            is_v6: datagram.is_v6,
        };
        (key, from_low)
    }

    /// A hash under `seed`. It decides where a flow is looked for, never what is told about it.
    #[inline]
    pub(crate) fn hash(&self, seed: u64) -> u64 {
        let ports = u64::from(self.low_port) << 32
            | u64::from(self.high_port) << 16
            | u64::from(self.protocol) << 1
            | u64::from(self.is_v6);
        let mut hash = fold(self.low as u64 ^ seed, ports ^ 0x9e37_79b9_7f4a_7c15);
        hash = fold(self.high as u64 ^ hash, 0xe703_7ed1_a0b4_28db);
        if self.is_v6 {
            hash = fold((self.low >> 64) as u64 ^ hash, 0x8ebc_6af0_9c88_c6e3);
            hash = fold((self.high >> 64) as u64 ^ hash, 0x5899_65cc_7537_4cc3);
        }
        fold(hash ^ seed.rotate_left(32), 0x1d8e_4e27_c47d_124f)
    }
}

/// Multiplies to 128 bits and folds the halves together, the mixing step of wyhash.
#[inline]
pub(crate) fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

/// What one side of a flow has sent in the part of the flow that is not told yet.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Side {
    pub(crate) packets: u64,
    /// IP-layer bytes with headers.
    pub(crate) bytes: u64,
    /// Payload of TCP or UDP.
    pub(crate) payload_bytes: u64,
}

/// One flow.
#[derive(Debug)]
pub(crate) struct Flow {
    pub(crate) key: FlowKey,
    pub(crate) hash: u64,
    /// The how-manieth flow this is; orders flows that end in one moment.
    pub(crate) number: u64,
    /// First and last packet of the part that is not told yet, in nanoseconds since the Unix epoch.
    pub(crate) first: i64,
    pub(crate) last: i64,
    /// What the originator and the responder have sent.
    pub(crate) originator: Side,
    pub(crate) responder: Side,
    pub(crate) size_squares: u128,
    pub(crate) gap_squares: u128,
    pub(crate) connection: Connection,
    pub(crate) layers: Layers,
    pub(crate) icmp: Option<(u8, u8)>,
    /// Whether the smaller end of the key is the originator.
    pub(crate) originator_is_low: bool,
    /// Whether the packet that `layers` is from went from originator to responder.
    pub(crate) layers_from_originator: bool,
    /// Whether a segment acknowledged something, so that there is another side even if it is not seen.
    pub(crate) acknowledged: bool,
    pub(crate) duplicates: u64,
    /// Retransmissions that earlier parts have told.
    pub(crate) retransmits_told: u64,
    pub(crate) inspection: Inspection,
}

impl Flow {
    /// Who sent a packet of this flow.
    #[inline]
    pub(crate) fn sender(&self, from_low: bool) -> Sender {
        if from_low == self.originator_is_low {
            Sender::Originator
        } else {
            Sender::Responder
        }
    }

    /// Counts one datagram of `length` IP-layer bytes that came in `packets` frames.
    #[inline]
    pub(crate) fn count(&mut self, sender: Sender, time: i64, packets: u64, length: u64, payload_length: u32) {
        let gap = time.saturating_sub(self.last).max(0);
        if self.packets() > 0 {
            let gap = u128::from(gap.unsigned_abs());
            self.gap_squares = self.gap_squares.saturating_add(gap * gap);
        }
        self.last = self.last.max(time);
        self.first = self.first.min(time);
        self.size_squares = self
            .size_squares
            .saturating_add(u128::from(length) * u128::from(length));
        let side = match sender {
            Sender::Originator => &mut self.originator,
            Sender::Responder => &mut self.responder,
        };
        side.packets += packets;
        side.bytes = side.bytes.saturating_add(length);
        side.payload_bytes = side.payload_bytes.saturating_add(u64::from(payload_length));
    }

    /// Packets of both sides.
    #[inline]
    pub(crate) fn packets(&self) -> u64 {
        self.originator.packets + self.responder.packets
    }

    /// Begins the next part of a flow that is told in parts.
    pub(crate) fn begin_part(&mut self, time: i64) {
        self.first = time;
        self.last = time;
        self.originator = Side::default();
        self.responder = Side::default();
        self.size_squares = 0;
        self.gap_squares = 0;
        self.duplicates = 0;
        self.retransmits_told = self.connection.retransmits();
    }

    /// Makes the responder the originator.
    pub(crate) fn flip(&mut self) {
        self.originator_is_low = !self.originator_is_low;
        self.layers_from_originator = !self.layers_from_originator;
        std::mem::swap(&mut self.originator, &mut self.responder);
        self.connection.flip();
    }

    /// Mean and standard deviation of the sizes of datagrams, in bytes.
    pub(crate) fn size_statistics(&self) -> (f64, f64) {
        let bytes = self.originator.bytes.saturating_add(self.responder.bytes);
        statistics(self.packets(), u128::from(bytes), self.size_squares)
    }

    /// Mean and standard deviation of the time between packets, in seconds; `None` for a single packet.
    pub(crate) fn gap_statistics(&self) -> Option<(f64, f64)> {
        let gaps = self.packets().checked_sub(1).filter(|gaps| *gaps > 0)?;
        let whole = self.last.saturating_sub(self.first).max(0).unsigned_abs();
        let (mean, deviation) = statistics(gaps, u128::from(whole), self.gap_squares);
        Some((mean / 1e9, deviation / 1e9))
    }
}

/// Mean and standard deviation (of the population) from count, sum and sum of squares, without cancellation.
fn statistics(count: u64, sum: u128, squares: u128) -> (f64, f64) {
    if count == 0 {
        return (0.0, 0.0);
    }
    let n = u128::from(count);
    let mean = sum as f64 / count as f64;
    // n * squares - sum^2 is exact in 128 bits for all but absurd flows.
    let spread = match (n.checked_mul(squares), sum.checked_mul(sum)) {
        (Some(left), Some(right)) => left.saturating_sub(right) as f64 / (count as f64 * count as f64),
        _ => (squares as f64 / count as f64 - mean * mean).max(0.0),
    };
    (mean, spread.sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mean_and_deviation_come_from_whole_sums() {
        assert_eq!(statistics(0, 0, 0), (0.0, 0.0));
        assert_eq!(statistics(4, 20, 4 + 16 + 36 + 64), (5.0, 5.0f64.sqrt()));
        assert_eq!(statistics(2, 2_000_000_000_000, 2 * 10u128.pow(24)), (1e12, 0.0));
    }
}
