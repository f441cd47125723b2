//! Fragments of IPv4 and IPv6 datagrams, joined within a bound.
//!
//! A datagram whose pieces do not all come within its time is given as far as its beginning reaches; one without its
//! beginning is counted as refused, since its ports are unknown. Of bytes that come twice, the first are kept.

use super::link::Datagram;
use std::collections::{BTreeMap, VecDeque};

/// The most pieces of one datagram.
const PIECES_MAX: usize = 256;
/// The most payload bytes that wait in all datagrams together.
const HELD_BYTES_MAX: usize = 16 << 20;
/// The most bytes of one joined datagram.
const DATAGRAM_BYTES_MAX: u32 = 65_535 + 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct FragmentKey {
    source: u128,
    destination: u128,
    identification: u32,
    protocol: u8,
    is_v6: bool,
}

/// A datagram that was joined, or what there was of it.
#[derive(Debug)]
pub(crate) struct Joined {
    /// When its last piece came.
    pub(crate) time: i64,
    /// How many frames it came in.
    pub(crate) frames: u64,
    /// Whether its beginning is there, without which it is of no use.
    pub(crate) has_beginning: bool,
    template: Datagram<'static>,
    payload: Vec<u8>,
}

impl Joined {
    /// The datagram; its length is that of all its fragments together.
    pub(crate) fn datagram(&self) -> Datagram<'_> {
        Datagram {
            payload: &self.payload,
            ..self.template
        }
    }
}

/// What became of a fragment.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It waits for the others.
    Held,
    /// It was there already.
    Duplicate,
    /// It was the last that was missing, or what was held had to be given up.
    Joined(Box<Joined>),
    /// It lies outside of any datagram.
    Refused(&'static str),
}

#[derive(Debug)]
struct Piece {
    offset: u32,
    length: u32,
    bytes: Vec<u8>,
}

#[derive(Debug)]
struct Held {
    template: Datagram<'static>,
    pieces: Vec<Piece>,
    end: Option<u32>,
    frames: u64,
    length: u32,
    begun: i64,
    last: i64,
}

/// Datagrams of which pieces are missing.
pub(crate) struct Fragments {
    held: BTreeMap<FragmentKey, Held>,
    /// In the order of arrival of the first piece; what is joined meanwhile is no longer in `held`, or younger there.
    order: VecDeque<(i64, FragmentKey)>,
    held_bytes: usize,
    datagrams_max: usize,
    wait_nanos: i64,
}

impl Fragments {
    /// At most `datagrams_max` datagrams wait, each for `wait_nanos`.
    pub(crate) fn new(datagrams_max: usize, wait_nanos: i64) -> Self {
        Fragments {
            held: BTreeMap::new(),
            order: VecDeque::new(),
            held_bytes: 0,
            datagrams_max: datagrams_max.max(1),
            wait_nanos,
        }
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Takes in one fragment.
    pub(crate) fn add(&mut self, time: i64, datagram: &Datagram<'_>) -> Outcome {
        let Some(fragment) = datagram.fragment else {
            return Outcome::Refused("bad_fragment");
        };
        let end = fragment.offset_bytes.saturating_add(datagram.payload_length);
        if end > DATAGRAM_BYTES_MAX || (datagram.payload_length == 0 && fragment.more) {
            return Outcome::Refused("bad_fragment");
        }
        let key = FragmentKey {
            source: datagram.source,
            destination: datagram.destination,
            identification: fragment.identification,
            // RFC 8200 section 4.5: later fragments of IPv6 may name another next header; only the first one's counts.
            protocol: if datagram.is_v6 { 0 } else { datagram.protocol },
            is_v6: datagram.is_v6,
        };
        let order = &mut self.order;
        let held = self.held.entry(key).or_insert_with(|| {
            order.push_back((time, key));
            Held {
                template: Datagram {
                    payload: &[],
                    fragment: None,
                    ..*datagram
                },
                pieces: Vec::new(),
                end: None,
                frames: 0,
                length: 0,
                begun: time,
                last: time,
            }
        });
        let piece = (fragment.offset_bytes, datagram.payload_length);
        if held.pieces.iter().any(|other| (other.offset, other.length) == piece) {
            return Outcome::Duplicate;
        }
        if fragment.offset_bytes == 0 {
            held.template = Datagram {
                payload: &[],
                fragment: None,
                ..*datagram
            };
        }
        if !fragment.more {
            held.end = Some(held.end.map_or(end, |known| known.max(end)));
        }
        held.frames += 1;
        held.length = held.length.saturating_add(datagram.length);
        held.last = held.last.max(time);
        let place = held
            .pieces
            .partition_point(|other| other.offset < fragment.offset_bytes);
        self.held_bytes += datagram.payload.len();
        held.pieces.insert(
            place,
            Piece {
                offset: fragment.offset_bytes,
                length: datagram.payload_length,
                bytes: datagram.payload.to_vec(),
            },
        );
        if held.pieces.len() >= PIECES_MAX || held.is_whole() {
            return self.take(&key).map_or(Outcome::Held, Outcome::Joined);
        }
        Outcome::Held
    }

    /// Gives up one datagram whose time is over at `now`, or that the bounds push out.
    pub(crate) fn expire(&mut self, now: i64) -> Option<Box<Joined>> {
        loop {
            let (begun, key) = *self.order.front()?;
            let over_bound = self.held.len() > self.datagrams_max
                || self.held_bytes > HELD_BYTES_MAX
                || self.order.len() > 4 * self.datagrams_max;
            // Those that were joined leave their place in the queue behind; it is cleared as it comes to the front.
            let is_waiting = self.held.get(&key).is_some_and(|held| held.begun == begun);
            if is_waiting && !over_bound && begun.saturating_add(self.wait_nanos) > now {
                return None;
            }
            self.order.pop_front();
            if !is_waiting {
                continue;
            }
            if let Some(joined) = self.take(&key) {
                return Some(joined);
            }
        }
    }

    fn take(&mut self, key: &FragmentKey) -> Option<Box<Joined>> {
        let held = self.held.remove(key)?;
        let bytes: usize = held.pieces.iter().map(|piece| piece.bytes.len()).sum();
        self.held_bytes = self.held_bytes.saturating_sub(bytes);
        Some(Box::new(held.join()))
    }
}

impl Held {
    /// Whether the pieces reach from the beginning to the end.
    fn is_whole(&self) -> bool {
        let Some(end) = self.end else {
            return false;
        };
        let mut reached = 0;
        for piece in &self.pieces {
            if piece.offset > reached {
                return false;
            }
            reached = reached.max(piece.offset.saturating_add(piece.length));
        }
        reached >= end
    }

    /// Puts the pieces together, up to the first byte that is missing.
    fn join(self) -> Joined {
        let mut payload: Vec<u8> = Vec::with_capacity(self.pieces.iter().map(|piece| piece.bytes.len()).sum());
        let mut declared = 0;
        for piece in &self.pieces {
            declared = declared.max(piece.offset.saturating_add(piece.length));
            let Some(known) = payload.len().checked_sub(piece.offset as usize) else {
                continue;
            };
            payload.extend_from_slice(piece.bytes.get(known..).unwrap_or_default());
        }
        let has_beginning = self.pieces.first().is_some_and(|piece| piece.offset == 0);
        Joined {
            time: self.last,
            frames: self.frames,
            has_beginning,
            template: Datagram {
                length: self.length,
                payload_length: self.end.unwrap_or(declared),
                ..self.template
            },
            payload,
        }
    }
}
