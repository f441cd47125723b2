//! Frames of a capture to flows and to what was said in them.
//!
//! A frame loses its link headers and tunnels (`link`), fragments are joined (`fragment`), the datagram's transport
//! header is read (`transport`), a frame that a mirror port shows twice is told from the first (`duplicate`), and the
//! rest counts in its flow (`flow`, found in `table`). A flow becomes an event (`event`) when it ends: closed or reset,
//! idle for too long, pushed out by the bound, or at the end of the input; a long one is told in parts.
//! All time is event time, and timeouts come with whole seconds of it, so it does not matter how often the decoder is
//! told what time it is.
//!
//! Sketch: a packet costs one pass over about 60 bytes of headers, one look-up and no allocation; a flow 400 bytes while
//! it is open and one event when it ends.

pub(super) mod community_id;
pub(super) mod conn_state;
mod duplicate;
pub(super) mod event;
mod flow;
mod fragment;
mod gate;
mod inspect;
pub(super) mod link;
mod table;
#[cfg(test)]
mod tests;
pub(super) mod transport;

pub use link::LinkType;

use super::Output;
use crate::domain::{Duration, Timestamp};
use conn_state::{Connection, Phase, Sender, flag};
use duplicate::Duplicates;
use flow::{Flow, FlowKey, Side};
use fragment::{Fragments, Joined, Outcome};
use gate::{HeldFrame, TimeGate, Verdict};
use inspect::{Inspection, Inspector, Said};
use link::{Datagram, Unread};
use std::collections::BTreeMap;
use table::FlowTable;
use transport::{Transport, protocol};

/// Bounds and timeouts of the decoder, all in event time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PacketOptions {
    /// The most flows that are open at once; the one nearest to its end is told early to make room.
    pub flows_max: usize,
    /// The most datagrams that wait for missing fragments.
    pub fragments_max: usize,
    /// A TCP connection without packets for this long has ended.
    pub tcp_idle: Duration,
    /// A TCP connection that was asked for and not answered for this long has ended.
    pub tcp_attempt: Duration,
    /// A TCP connection that is closed or reset has ended after this time, in which its last packets come in.
    pub tcp_linger: Duration,
    /// A UDP or SCTP flow without packets for this long has ended.
    pub udp_idle: Duration,
    /// A flow of ICMP or any other protocol without packets for this long has ended.
    pub icmp_idle: Duration,
    /// A flow that lasts longer than this is told in parts.
    pub active: Duration,
    /// How long a datagram waits for its missing fragments.
    pub fragment_wait: Duration,
    /// Equal datagrams within this time are one that the mirror port has shown twice.
    pub duplicate_window: Duration,
    /// Seed of the flow table's hash. It never shows in a result; a secret one keeps senders from choosing collisions.
    pub hash_seed: u64,
}

impl Default for PacketOptions {
    fn default() -> Self {
        PacketOptions {
            flows_max: 500_000,
            fragments_max: 4096,
            tcp_idle: Duration::from_seconds(300),
            tcp_attempt: Duration::from_seconds(20),
            tcp_linger: Duration::from_seconds(5),
            udp_idle: Duration::from_seconds(60),
            icmp_idle: Duration::from_seconds(30),
            active: Duration::from_seconds(1800),
            fragment_wait: Duration::from_seconds(30),
            duplicate_window: Duration::from_millis(10),
            hash_seed: 0x5eed_0f57_a4e0_0715,
        }
    }
}

/// What the decoder has met, beside the tally of frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PacketCounters {
    /// Datagrams that counted in a flow.
    pub datagrams: u64,
    /// Frames that a mirror port has shown twice; they count as decoded and in nothing else.
    pub duplicates: u64,
    /// Frames that carried a fragment.
    pub fragments: u64,
    /// Datagrams that came in a tunnel.
    pub tunnelled: u64,
    /// Datagrams of which the capture holds only the first bytes.
    pub truncated: u64,
    /// Flows open now.
    pub flows_open: u64,
    /// Flows begun.
    pub flows_begun: u64,
    /// Flow events emitted; a long flow has several.
    pub flows_told: u64,
    /// Flows that were told early because the table was full.
    pub flows_evicted: u64,
    /// Flows of which only one side was seen although there must have been another.
    pub flows_one_way: u64,
    /// Whether the input shows one direction only, as judged now.
    pub is_one_way: bool,
}

/// Frames of one input to events. One decoder reads one ordered sequence of frames.
pub struct PacketDecoder {
    options: PacketOptions,
    table: FlowTable,
    fragments: Fragments,
    duplicates: Duplicates,
    counters: PacketCounters,
    one_way: OneWay,
    gate: TimeGate,
    inspector: Inspector,
    /// The greatest time that was reached.
    clock: i64,
    due: Vec<u32>,
    /// The flows that are still to be told at the end of the input.
    ending: Option<std::vec::IntoIter<u32>>,
}

impl PacketDecoder {
    /// A decoder that has seen nothing.
    pub fn new(options: PacketOptions) -> Self {
        PacketDecoder {
            table: FlowTable::new(options.flows_max),
            fragments: Fragments::new(options.fragments_max, options.fragment_wait.nanos()),
            duplicates: Duplicates::new(options.duplicate_window.nanos()),
            counters: PacketCounters::default(),
            one_way: OneWay::default(),
            gate: TimeGate::default(),
            inspector: Inspector::new(),
            clock: i64::MIN,
            due: Vec::new(),
            ending: None,
            options,
        }
    }

    /// Takes in one frame: what the capture holds of it, and the length that it had on the wire.
    ///
    /// A frame whose time jumps is kept aside until others agree with it, and refused when none do.
    #[inline]
    pub fn frame(&mut self, link: LinkType, time: Timestamp, original_length: u32, bytes: &[u8], output: &mut Output) {
        output.tally.records += 1;
        if self.gate.admits(time.nanos()) {
            self.admitted(link, time, original_length, bytes, output);
            return;
        }
        let verdict = self.gate.consider(HeldFrame {
            link,
            time: time.nanos(),
            original_length,
            bytes: bytes.to_vec(),
        });
        self.obey(verdict, output);
    }

    /// The greatest time that was reached and believed.
    pub fn reached(&self) -> Timestamp {
        Timestamp::from_nanos(self.clock)
    }

    /// Tells that event time has reached `time`, and ends what has ended by then.
    #[inline]
    pub fn advance(&mut self, time: Timestamp, output: &mut Output) {
        let time = time.nanos();
        if time > self.clock {
            self.clock = time;
            if self.table.is_tick_due(time) {
                self.run_ticks(output);
            }
        }
    }

    /// The input has ended: everything that is open is told, in the order in which it began.
    pub fn finish(&mut self, output: &mut Output) {
        while self.finish_some(usize::MAX, output) {}
    }

    /// The same in steps of at most `flows_max` flows, so that the events of all of them need not exist at once. Gives
    /// whether there is more to tell.
    pub fn finish_some(&mut self, flows_max: usize, output: &mut Output) -> bool {
        if self.ending.is_none() {
            let verdict = self.gate.finish();
            self.obey(verdict, output);
            self.end_fragments(output);
            self.ending = Some(self.table.numbers_by_age().into_iter());
        }
        for _ in 0..flows_max {
            match self.ending.as_mut().and_then(Iterator::next) {
                Some(number) => self.end_flow(number, output),
                None => {
                    self.ending = None;
                    return false;
                }
            }
        }
        true
    }

    /// What was met so far.
    pub fn counters(&self) -> PacketCounters {
        PacketCounters {
            flows_open: self.table.len() as u64,
            is_one_way: self.one_way.is_recognised(),
            ..self.counters
        }
    }

    /// What was recognised as an application protocol and could not be read as it, by reason.
    pub fn application_refusals(&self) -> &BTreeMap<&'static str, u64> {
        &self.inspector.refused
    }

    #[cold]
    fn obey(&mut self, verdict: Verdict, output: &mut Output) {
        for _ in 0..verdict.refused {
            output.tally.refuse("implausible_time");
        }
        if verdict.is_behind {
            self.end_all(output);
            self.clock = i64::MIN;
            self.table.forget_time();
        }
        for frame in verdict.confirmed {
            let time = Timestamp::from_nanos(frame.time);
            self.admitted(frame.link, time, frame.original_length, &frame.bytes, output);
        }
    }

    #[inline]
    fn admitted(&mut self, link: LinkType, time: Timestamp, original_length: u32, bytes: &[u8], output: &mut Output) {
        self.advance(time, output);
        let time = time.nanos();
        match link::unwrap(link, original_length, bytes) {
            Ok(datagram) if datagram.fragment.is_none() => self.datagram(time, &datagram, 1, output),
            Ok(datagram) => self.fragment(time, &datagram, output),
            Err(unread) => account(unread, 1, output),
        }
    }

    fn end_fragments(&mut self, output: &mut Output) {
        while let Some(joined) = self.fragments.expire(i64::MAX) {
            self.joined(&joined, output);
        }
    }

    fn end_all(&mut self, output: &mut Output) {
        self.end_fragments(output);
        for number in self.table.numbers_by_age() {
            self.end_flow(number, output);
        }
    }

    #[cold]
    fn run_ticks(&mut self, output: &mut Output) {
        let mut due = std::mem::take(&mut self.due);
        loop {
            let is_idle = self.table.len() == 0 && self.fragments.is_empty() && self.inspector.is_idle();
            let Some(now) = self.table.tick(self.clock, is_idle, &mut due) else {
                break;
            };
            while let Some(joined) = self.fragments.expire(now) {
                self.joined(&joined, output);
            }
            for (number, flow_number) in self.inspector.due(now) {
                match self.table.get_mut(number) {
                    Some(flow) if flow.number == flow_number => self.inspector.wake(flow, number, now, output),
                    _ => {}
                }
            }
            self.end_due(now, &mut due, output);
        }
        self.due = due;
    }

    /// Ends those of the flows that the wheel has come to which are over by `now`; the others get a later place in it.
    fn end_due(&mut self, now: i64, due: &mut [u32], output: &mut Output) {
        // Flows that end in one second are told in the order of their deadlines, then of their beginnings.
        due.sort_by_cached_key(|number| match self.table.get_mut(*number) {
            Some(flow) => (deadline(&self.options, flow), flow.number),
            None => (i64::MAX, u64::MAX),
        });
        for number in due {
            let Some(flow) = self.table.get_mut(*number) else {
                continue;
            };
            let deadline = deadline(&self.options, flow);
            if deadline <= now {
                self.end_flow(*number, output);
            } else {
                self.table.rearm(*number, deadline);
            }
        }
    }

    /// Tells a flow and what was left of what was said in it, and takes it out of the table.
    fn end_flow(&mut self, number: u32, output: &mut Output) {
        let Some(flow) = self.table.get_mut(number) else {
            return;
        };
        self.inspector.finish(flow, output);
        let is_one_way = self.one_way.observe(flow);
        self.counters.flows_one_way += u64::from(is_one_way);
        self.counters.flows_told += 1;
        output.events.push(event::of_flow(flow, is_one_way));
        self.table.remove(number);
    }

    fn fragment(&mut self, time: i64, datagram: &Datagram<'_>, output: &mut Output) {
        self.counters.fragments += 1;
        match self.fragments.add(time, datagram) {
            Outcome::Held => {}
            Outcome::Duplicate => {
                self.counters.duplicates += 1;
                output.tally.decoded += 1;
            }
            Outcome::Joined(joined) => self.joined(&joined, output),
            Outcome::Refused(reason) => output.tally.refuse(reason),
        }
        // The bounds may push others out.
        while let Some(joined) = self.fragments.expire(i64::MIN) {
            self.joined(&joined, output);
        }
    }

    fn joined(&mut self, joined: &Joined, output: &mut Output) {
        if !joined.has_beginning {
            account(Unread::Refused("fragment_without_beginning"), joined.frames, output);
            return;
        }
        match link::enter(joined.datagram()) {
            // A fragment inside of a fragmented tunnel is not joined again: it would nest without end.
            Ok(inner) if inner.fragment.is_some() => {
                account(Unread::Refused("nested_fragment"), joined.frames, output);
            }
            Ok(inner) => self.datagram(joined.time, &inner, joined.frames, output),
            Err(unread) => account(unread, joined.frames, output),
        }
    }

    /// Counts a datagram that came in `frames` frames.
    #[inline]
    fn datagram(&mut self, time: i64, datagram: &Datagram<'_>, frames: u64, output: &mut Output) {
        let transport = match transport::read(datagram) {
            Ok(transport) => transport,
            Err(unread) => return account(unread, frames, output),
        };
        output.tally.decoded += frames;
        let (key, from_low) = FlowKey::of(datagram, &transport);
        let hash = key.hash(self.options.hash_seed);
        let is_duplicate = self.duplicates.is_duplicate(hash, from_low, time, datagram, &transport);
        let mut found = self.table.find(hash, &key);
        if is_duplicate {
            self.counters.duplicates += frames;
            if let Some(flow) = found.and_then(|number| self.table.get_mut(number)) {
                flow.duplicates += frames;
            }
            return;
        }
        self.counters.datagrams += 1;
        self.counters.truncated += u64::from(transport.payload.len() < transport.payload_length as usize);
        self.counters.tunnelled += u64::from(datagram.layers.tunnel != link::Tunnel::None);
        if let (Some(number), Some(header)) = (found, transport.tcp)
            && header.flags & (flag::SYN | flag::ACK) == flag::SYN
            && self.is_reused(number, from_low, header.sequence)
        {
            self.end_flow(number, output);
            found = None;
        }
        let number = match found {
            Some(number) => number,
            None => {
                let first = First {
                    key,
                    hash,
                    from_low,
                    time,
                };
                self.begin(first, datagram, transport, output)
            }
        };
        self.count(number, from_low, time, frames, datagram, transport, output);
    }

    fn is_reused(&mut self, number: u32, from_low: bool, sequence: u32) -> bool {
        self.table
            .get_mut(number)
            .is_some_and(|flow| flow.connection.is_reuse(flow.sender(from_low), sequence))
    }

    #[allow(clippy::too_many_arguments, reason = "one call, in the hot path")]
    #[inline]
    fn count(
        &mut self,
        number: u32,
        from_low: bool,
        time: i64,
        frames: u64,
        datagram: &Datagram<'_>,
        transport: Transport<'_>,
        output: &mut Output,
    ) {
        let active_nanos = self.options.active.nanos();
        let Some(flow) = self.table.get_mut(number) else {
            return;
        };
        if time.saturating_sub(flow.first) >= active_nanos && flow.packets() > 0 {
            let is_one_way = self.one_way.observe(flow);
            self.counters.flows_one_way += u64::from(is_one_way);
            self.counters.flows_told += 1;
            output.events.push(event::of_flow(flow, is_one_way));
            flow.begin_part(time);
        }
        let (length, payload) = (u64::from(datagram.length), transport.payload);
        let mut sender = flow.sender(from_low);
        let Some(header) = transport.tcp else {
            flow.count(sender, time, frames, length, transport.payload_length);
            if flow.key.protocol == protocol::UDP && !payload.is_empty() && !flow.inspection.is_over() {
                let said = Said {
                    sender,
                    time,
                    payload,
                    cut_bytes: 0,
                };
                self.inspector.datagram(flow, number, said, output);
            }
            return;
        };
        let is_late_syn = sender == Sender::Responder
            && header.flags & (flag::SYN | flag::ACK) == flag::SYN
            && flow.connection.began_with_answer();
        if is_late_syn {
            flow.flip();
            sender = Sender::Originator;
        }
        flow.count(sender, time, frames, length, transport.payload_length);
        flow.acknowledged |= header.has(flag::ACK) && header.acknowledged != 0;
        let before = flow.connection.phase();
        flow.connection.observe(sender, header, transport.payload_length);
        if !flow.inspection.is_over() && (!payload.is_empty() || flow.inspection.wants_acknowledgements()) {
            let said = Said {
                sender,
                time,
                payload,
                cut_bytes: transport.payload_length.saturating_sub(payload.len() as u32),
            };
            self.inspector.segment(flow, number, said, header, output);
        }
        if before != Phase::Over && flow.connection.phase() == Phase::Over {
            let deadline = deadline(&self.options, flow);
            self.table.rearm(number, deadline);
        }
    }

    /// Begins a flow with its first packet, and gives its number.
    #[inline(never)]
    fn begin(&mut self, first: First, datagram: &Datagram<'_>, transport: Transport<'_>, output: &mut Output) -> u32 {
        let First {
            key,
            hash,
            from_low,
            time,
        } = first;
        self.make_room(output);
        self.counters.flows_begun += 1;
        let (from_originator, is_guess) = sent_by_originator(datagram, &transport);
        let mut connection = Connection::default();
        if is_guess && !from_originator {
            connection.note_flipped();
        }
        let icmp = transport.icmp.map(|(kind, code)| {
            // The originator of an echo asked, so its kind is the request's.
            if from_originator {
                (kind, code)
            } else {
                (transport.destination_port as u8, 0)
            }
        });
        let flow = Flow {
            key,
            hash,
            number: self.counters.flows_begun,
            first: time,
            last: time,
            originator: Side::default(),
            responder: Side::default(),
            size_squares: 0,
            gap_squares: 0,
            connection,
            layers: datagram.layers,
            icmp,
            originator_is_low: from_low == from_originator,
            layers_from_originator: from_originator,
            acknowledged: false,
            duplicates: 0,
            retransmits_told: 0,
            inspection: Inspection::default(),
        };
        let deadline = deadline(&self.options, &flow);
        self.table.insert(flow, deadline)
    }

    fn make_room(&mut self, output: &mut Output) {
        // Flows that had packets since they were put into the wheel get a later place first, a few at a time.
        const LOOKS_MAX: u32 = 32;
        let mut looks = 0;
        while self.table.is_full() {
            let Some(number) = self.table.nearest_to_end() else {
                return;
            };
            looks += 1;
            if let Some(flow) = self.table.get_mut(number) {
                let deadline = deadline(&self.options, flow);
                if looks < LOOKS_MAX && self.table.is_later(number, deadline) {
                    self.table.rearm(number, deadline);
                    continue;
                }
            }
            self.counters.flows_evicted += 1;
            self.end_flow(number, output);
        }
    }
}

/// What is known of a flow's first packet.
struct First {
    key: FlowKey,
    hash: u64,
    from_low: bool,
    time: i64,
}

/// When a flow will have ended if nothing more comes.
#[inline]
fn deadline(options: &PacketOptions, flow: &Flow) -> i64 {
    let idle = match flow.key.protocol {
        protocol::TCP => match flow.connection.phase() {
            Phase::Over => options.tcp_linger,
            Phase::Attempt if !flow.acknowledged => options.tcp_attempt,
            Phase::Attempt | Phase::Open => options.tcp_idle,
        },
        protocol::UDP | protocol::SCTP => options.udp_idle,
        _ => options.icmp_idle,
    };
    flow.last.saturating_add(idle.nanos())
}

/// Whether the first packet of a flow was sent by who began it, and whether that is a guess from the ports.
fn sent_by_originator(datagram: &Datagram<'_>, transport: &Transport<'_>) -> (bool, bool) {
    if let Some(header) = &transport.tcp {
        match (header.has(flag::SYN), header.has(flag::ACK)) {
            (true, false) => return (true, false),
            (true, true) => return (false, true),
            _ => {}
        }
    }
    if let Some((kind, _)) = transport.icmp {
        let is_reply = if datagram.is_v6 {
            matches!(kind, 129 | 131 | 134 | 136 | 140 | 145)
        } else {
            matches!(kind, 0 | 9 | 14 | 16 | 18)
        };
        // A reply whose request was seen stands in the request's flow; advertisements come unasked.
        let is_unasked = matches!((datagram.is_v6, kind), (true, 134 | 136) | (false, 9));
        return (!is_reply || is_unasked, false);
    }
    if datagram.protocol != protocol::TCP && datagram.protocol != protocol::UDP {
        return (true, false);
    }
    let is_answer =
        transport::is_server_port(transport.source_port) && !transport::is_server_port(transport.destination_port);
    (!is_answer, is_answer)
}

fn account(unread: Unread, frames: u64, output: &mut Output) {
    for _ in 0..frames {
        match unread {
            Unread::Ignored(kind) => output.tally.ignore(kind),
            Unread::Refused(reason) => output.tally.refuse(reason),
        }
    }
}

/// Whether the input shows one direction only: of the connections that must have two sides, nearly all show one.
#[derive(Clone, Copy, Debug, Default)]
struct OneWay {
    one_sided: u64,
    two_sided: u64,
}

impl OneWay {
    const ENOUGH: u64 = 32;
    const REMEMBERED: u64 = 4096;

    /// Learns from a flow that is told, and says whether it is one-way: a side that must be there was not seen.
    fn observe(&mut self, flow: &Flow) -> bool {
        let is_one_sided = flow.originator.packets == 0 || flow.responder.packets == 0;
        if flow.acknowledged {
            if is_one_sided {
                self.one_sided += 1;
            } else {
                self.two_sided += 1;
            }
            if self.one_sided + self.two_sided > Self::REMEMBERED {
                self.one_sided /= 2;
                self.two_sided /= 2;
            }
        }
        is_one_sided && (flow.acknowledged || self.is_recognised())
    }

    fn is_recognised(&self) -> bool {
        self.one_sided >= Self::ENOUGH && self.one_sided / 9 >= self.two_sided
    }
}
