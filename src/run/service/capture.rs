//! Live capture: one thread an interface takes frames out of the kernel's ring, and one or more decode them, each the
//! frames of the pairs of addresses that fall to it, so that both directions of a flow meet in one decoder.

use super::status::Status;
use crate::config::InterfaceInput;
use crate::domain::{CaptureLoss, Event, Timestamp};
use crate::edge::collector::{
    Content, Delivery, Gone, Interface, InterfaceFailure, InterfaceSettings, Origin, Queue, now,
};
use crate::edge::source::Frame;
use crate::engine::decoder::Output;
use crate::engine::decoder::packet::{LinkType, PacketDecoder, PacketOptions};
use etherparse::{EtherType, LaxNetSlice, LaxSlicedPacket};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

/// How long a quiet interface is waited for at once; shutdown takes no longer.
const WAIT: Duration = Duration::from_millis(100);
/// How long frames that are in the ring are still taken when the service ends.
const DRAIN: Duration = Duration::from_millis(500);
/// Frames that are taken from the ring at once.
const FRAMES_MAX: usize = 4096;
/// Bytes from which on a batch is handed on.
const BATCH_BYTES: usize = 256 * 1024;
/// Batches that wait for a decoder; with [`BATCH_BYTES`], 16 MB. Beyond it the ring fills, and then frames are dropped
/// and counted.
const BATCHES_MAX: usize = 64;
/// How often losses are looked at.
const LOSS_EVERY: Duration = Duration::from_secs(1);
/// How often the input's time is handed on when no event has come of its frames.
const TIME_EVERY: Duration = Duration::from_secs(1);
/// An interface that is quiet for so long follows the clock, so far behind it.
const QUIET: Duration = Duration::from_secs(2);

/// An interface that is open and waits to be worked on.
pub(super) struct Capturing {
    interface: Interface,
    workers: usize,
}

/// Opens interfaces, for which privileges are needed.
pub(super) fn open(inputs: &[InterfaceInput]) -> Result<Vec<Capturing>, InterfaceFailure> {
    let open = |input: &InterfaceInput| {
        Ok(Capturing {
            workers: input.workers,
            interface: Interface::open(InterfaceSettings {
                name: input.name.clone(),
                filter: input.filter.clone(),
                snap_bytes: input.snap_bytes,
                buffer_bytes: input.buffer_bytes,
                promiscuous: input.promiscuous,
            })?,
        })
    };
    inputs.iter().map(open).collect()
}

/// What goes from the thread that captures to one that decodes.
enum Piece {
    Batch(Batch),
    /// The share of frames that was lost since the last one.
    Loss(f64),
}

/// Frames behind each other in one buffer.
#[derive(Default)]
struct Batch {
    bytes: Vec<u8>,
    frames: Vec<Head>,
}

/// A frame without its bytes.
struct Head {
    time: Timestamp,
    original_length: u32,
    link_number: u32,
    kept: usize,
}

impl Batch {
    fn push(&mut self, frame: Frame<'_>) {
        self.bytes.extend_from_slice(frame.bytes);
        self.frames.push(Head {
            time: frame.time,
            original_length: frame.original_length,
            link_number: frame.link_number,
            kept: frame.bytes.len(),
        });
    }
}

impl Capturing {
    /// The names of the inputs that the decoders are, in order.
    pub(super) fn input_names(&self) -> Vec<String> {
        let name = self.interface.name();
        (0..self.workers)
            .map(|worker| match worker {
                0 => format!("interface:{name}"),
                worker => format!("interface:{name}#{worker}"),
            })
            .collect()
    }

    /// The threads' work: the capture's first, then one for each decoder. `inputs` are the decoders' numbers, each with
    /// where it goes on.
    pub(super) fn into_work(
        self,
        inputs: &[(u16, Option<Vec<u8>>)],
        flows_max: usize,
        queue: &Queue,
        status: &Arc<Status>,
        stop: &Arc<AtomicBool>,
    ) -> Vec<(String, Box<dyn FnOnce() + Send>)> {
        let name = self.interface.name().to_owned();
        let mut ends = Vec::new();
        let mut work: Vec<(String, Box<dyn FnOnce() + Send>)> = Vec::new();
        // The seed shows in no result; a secret one keeps senders from choosing collisions.
        let hash_seed = RandomState::new().hash_one(now().nanos());
        for (input, position) in inputs {
            let (sender, receiver) = sync_channel(BATCHES_MAX);
            ends.push(sender);
            let decoding = Decoding {
                input: *input,
                lost: flows_open(position.as_deref()),
                decoder: PacketDecoder::new(PacketOptions {
                    flows_max: (flows_max / inputs.len()).max(1),
                    hash_seed,
                    ..PacketOptions::default()
                }),
                output: Output::default(),
                events: Vec::new(),
                interface: name.clone(),
                queue: queue.clone(),
                status: status.clone(),
                told: Instant::now(),
                busy: Instant::now(),
            };
            work.push((format!("decode {name}"), Box::new(move || decoding.run(&receiver))));
        }
        let taking = Taking {
            interface: self.interface,
            ends,
            status: status.clone(),
            stop: stop.clone(),
        };
        work.insert(0, (format!("capture {name}"), Box::new(move || taking.run())));
        work
    }
}

/// Takes frames from an interface.
struct Taking {
    interface: Interface,
    ends: Vec<SyncSender<Piece>>,
    status: Arc<Status>,
    stop: Arc<AtomicBool>,
}

impl Taking {
    fn run(mut self) {
        let mut batches: Vec<Batch> = self.ends.iter().map(|_| Batch::default()).collect();
        let mut looked = Instant::now();
        let mut ending: Option<Instant> = None;
        loop {
            let is_last = self.stop.load(Ordering::Relaxed);
            let several = batches.len() > 1;
            let taken = self.interface.take(FRAMES_MAX, |frame| {
                let place = if several { worker_of(&frame, batches.len()) } else { 0 };
                if let Some(batch) = batches.get_mut(place) {
                    batch.push(frame);
                }
            });
            let count = match taken {
                Ok(count) => count,
                Err(failure) => {
                    tracing::warn!(%failure, "the interface is tried again; if it stays lost, start the service anew");
                    0
                }
            };
            // Frames that never stop coming hold up no end.
            let is_done = is_last && (count == 0 || ending.get_or_insert_with(Instant::now).elapsed() >= DRAIN);
            for (batch, end) in batches.iter_mut().zip(&self.ends) {
                let is_due =
                    count == 0 || is_done || batch.bytes.len() >= BATCH_BYTES || batch.frames.len() >= FRAMES_MAX;
                if !batch.frames.is_empty() && is_due && end.send(Piece::Batch(std::mem::take(batch))).is_err() {
                    return;
                }
            }
            if looked.elapsed() >= LOSS_EVERY || is_done {
                looked = Instant::now();
                self.look_at_losses();
            }
            if is_done {
                return;
            }
            if count == 0 {
                self.interface.wait(WAIT);
            }
        }
    }

    fn look_at_losses(&mut self) {
        let loss = self.interface.loss();
        let name = self.interface.name();
        let metrics = &self.status.metrics;
        for (outcome, packets) in [
            ("received", loss.received.saturating_sub(loss.dropped_by_kernel)),
            ("lost_by_kernel", loss.dropped_by_kernel),
            ("lost_by_interface", loss.dropped_by_interface),
        ] {
            metrics.capture_packets.with_label_values(&[outcome]).inc_by(packets);
        }
        let up = metrics.capture_up.with_label_values(&[name]);
        up.set(i64::from(self.interface.is_open()));
        let share = loss.share();
        if share > 0.0 {
            for end in &self.ends {
                // A decoder that has gone has said why.
                let _ = end.send(Piece::Loss(share));
            }
        }
    }
}

/// The decoder that a frame falls to: the same for both directions of everything between two addresses.
fn worker_of(frame: &Frame<'_>, workers: usize) -> usize {
    fn of_type(bytes: &[u8], at: usize, header: usize) -> Option<LaxSlicedPacket<'_>> {
        let number = bytes.get(at..at + 2)?;
        let number = u16::from_be_bytes([*number.first()?, *number.last()?]);
        Some(LaxSlicedPacket::from_ether_type(
            EtherType(number),
            bytes.get(header..)?,
        ))
    }
    let sliced = match LinkType::from_number(frame.link_number) {
        Some(LinkType::Ethernet) => LaxSlicedPacket::from_ethernet(frame.bytes).ok(),
        Some(LinkType::RawIp) => LaxSlicedPacket::from_ip(frame.bytes).ok(),
        // The protocol stands before the datagram: at the end of the first version's header, at the second's beginning.
        Some(LinkType::LinuxCooked) => of_type(frame.bytes, 14, 16),
        Some(LinkType::LinuxCooked2) => of_type(frame.bytes, 0, 20),
        _ => None,
    };
    let sum = |bytes: &[u8]| {
        bytes.iter().fold(0usize, |sum, byte| {
            sum.wrapping_mul(31).wrapping_add(usize::from(*byte))
        })
    };
    let both = match sliced.as_ref().and_then(|sliced| sliced.net.as_ref()) {
        Some(LaxNetSlice::Ipv4(slice)) => {
            sum(&slice.header().source()).wrapping_add(sum(&slice.header().destination()))
        }
        Some(LaxNetSlice::Ipv6(slice)) => {
            sum(&slice.header().source()).wrapping_add(sum(&slice.header().destination()))
        }
        // What is not IP has no flows.
        _ => 0,
    };
    both % workers
}

/// How many flows were open at a position. Packets can't be read again, so a position says no more.
fn flows_open(position: Option<&[u8]>) -> u64 {
    let bytes = position.and_then(|position| position.try_into().ok());
    bytes.map_or(0, u64::from_le_bytes)
}

/// Decodes the frames that fall to it.
struct Decoding {
    input: u16,
    /// Flows that were open when a process before this one was killed.
    lost: u64,
    decoder: PacketDecoder,
    output: Output,
    events: Vec<(Timestamp, Event)>,
    interface: String,
    queue: Queue,
    status: Arc<Status>,
    /// When something was last handed on.
    told: Instant,
    /// When the last frame came.
    busy: Instant,
}

impl Decoding {
    fn run(mut self, pieces: &Receiver<Piece>) {
        if self.count_lost().is_err() {
            return;
        }
        loop {
            match pieces.recv_timeout(WAIT) {
                Ok(Piece::Batch(batch)) => {
                    self.busy = Instant::now();
                    self.decode(&batch);
                }
                Ok(Piece::Loss(share)) => self.lost(share),
                Err(RecvTimeoutError::Timeout) => self.follow_clock(),
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if self.hand_on().is_err() {
                return;
            }
        }
        // The service ends: flows that are open are told as far as they were seen.
        self.decoder.finish(&mut self.output);
        self.gather();
        self.told = Instant::now() - TIME_EVERY;
        // When nobody takes them any more there is nothing left to do.
        let _ = self.hand_on();
    }

    /// Counts the flows that a process before this one had open and could not tell, once.
    fn count_lost(&mut self) -> Result<(), Gone> {
        let lost = std::mem::take(&mut self.lost);
        if lost == 0 {
            return Ok(());
        }
        let interface = &self.interface;
        tracing::warn!(
            interface,
            flows = lost,
            "flows that were open when the process before this one ended are lost: packets can't be read again"
        );
        self.status.metrics.capture_flows_lost.inc_by(lost);
        self.deliver(Content::Nothing)
    }

    fn deliver(&self, content: Content) -> Result<(), Gone> {
        self.queue.deliver(Delivery {
            input: self.input,
            origin: Origin::Interface,
            received: now(),
            content,
            position: Some(self.decoder.counters().flows_open.to_le_bytes().to_vec()),
            receipt: None,
        })
    }

    fn decode(&mut self, batch: &Batch) {
        let mut rest = batch.bytes.as_slice();
        for head in &batch.frames {
            let Some((bytes, behind)) = rest.split_at_checked(head.kept) else {
                return;
            };
            rest = behind;
            match LinkType::from_number(head.link_number) {
                Some(link) => {
                    self.decoder
                        .frame(link, head.time, head.original_length, bytes, &mut self.output);
                }
                None => {
                    self.output.tally.records += 1;
                    self.output.tally.refuse("unread_link_type");
                }
            }
            if !self.output.events.is_empty() {
                self.gather();
            }
        }
    }

    /// Takes what came out of the decoder, with the time that it has reached.
    fn gather(&mut self) {
        let known_at = self.decoder.reached();
        self.events
            .extend(self.output.events.drain(..).map(|event| (known_at, event)));
    }

    /// Capture loss is an event of the time in which it was noticed.
    fn lost(&mut self, share: f64) {
        let reached = self.decoder.reached();
        let end = if reached > Timestamp::MIN { reached } else { now() };
        let report = CaptureLoss {
            sensor: String::new(),
            interface: self.interface.to_string(),
            share,
            begin: end,
            end,
        };
        self.events.push((reached, report.event()));
    }

    /// Nothing comes: what waits for a time-out follows the clock.
    fn follow_clock(&mut self) {
        if self.busy.elapsed() >= QUIET && self.decoder.reached() > Timestamp::MIN {
            let behind = crate::domain::Duration::from_seconds(QUIET.as_secs() as i64);
            self.decoder.advance(now().minus(behind), &mut self.output);
            self.gather();
        }
    }

    /// Hands on events at once, and the input's time now and then.
    fn hand_on(&mut self) -> Result<(), Gone> {
        if self.events.is_empty() && self.told.elapsed() < TIME_EVERY {
            return Ok(());
        }
        self.told = Instant::now();
        self.status.decoded(&std::mem::take(&mut self.output.tally));
        let known_at = self.decoder.reached();
        if known_at == Timestamp::MIN {
            return Ok(());
        }
        let events = std::mem::take(&mut self.events);
        self.deliver(Content::Events { known_at, events })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_directions_fall_to_one_decoder_and_all_decoders_have_work() {
        let mut seen = [0; 4];
        for host in 0..200u8 {
            let frame = |source: [u8; 4], destination: [u8; 4]| {
                let builder = etherparse::PacketBuilder::ethernet2([2; 6], [4; 6])
                    .ipv4(source, destination, 64)
                    .udp(1000, 53);
                let mut bytes = Vec::new();
                builder.write(&mut bytes, b"a question").expect("a frame");
                bytes
            };
            let place = |bytes: &[u8]| {
                let frame = Frame {
                    time: Timestamp::from_seconds(1),
                    original_length: bytes.len() as u32,
                    link_number: 1,
                    bytes,
                };
                worker_of(&frame, seen.len())
            };
            let (there, back) = ([10, 0, 0, host], [192, 0, 2, 7]);
            let one = place(&frame(there, back));
            assert_eq!(one, place(&frame(back, there)));
            seen[one] += 1;
        }
        assert!(seen.iter().all(|count| *count > 20), "{seen:?}");
    }
}
