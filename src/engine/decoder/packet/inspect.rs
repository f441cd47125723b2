//! What is said inside of a flow: which protocol it speaks, and that protocol's own events.
//!
//! The first payload of each side decides; a protocol that is only named costs nothing after that. TCP payload goes
//! through a stream for each side, in order; what waits there behind holes has a bound over all flows. Events carry the
//! flow's ends and identifiers, so that they can be joined with the flow's own event.

use super::conn_state::{Sender, TcpHeader, flag};
use super::event;
use super::flow::Flow;
use super::transport::protocol;
use crate::domain::{Event, Timestamp};
use crate::engine::decoder::Output;
use crate::engine::decoder::application::{
    Opening, Piece, Protocol, Side, Stream, Transport, dhcp, dns, http, recognise, ssh, tls,
};
use std::collections::BTreeMap;

/// The most first bytes of a side that are kept while its protocol is not known.
const OPENING_BYTES_MAX: usize = 2048;
/// How often the protocol is asked for.
const ASKS_MAX: u8 = 6;
/// How many segments with payload are looked at for the beginning of TLS.
const SEGMENTS_BEFORE_TLS_MAX: u8 = 64;
/// The most payload that waits behind holes, over all flows.
const HELD_BYTES_MAX: usize = 256 << 20;
/// Seconds of the wheel of DNS questions; more than an answer is waited for.
const WAKE_SLOTS: usize = 16;
const TICK_NANOS: i64 = 1_000_000_000;

/// What a flow has to do with application protocols.
#[derive(Debug, Default)]
pub(crate) struct Inspection {
    stage: Stage,
    protocol: Option<Protocol>,
}

#[derive(Debug, Default)]
enum Stage {
    /// Nothing was said yet.
    #[default]
    Fresh,
    /// What was said so far has not told the protocol.
    Opening(Box<Beginning>),
    /// A protocol that is only named, and may go over to TLS after this many segments with payload at most.
    BeforeTls(u8),
    /// A protocol that is read.
    Talk(Box<Talk>),
    /// There is nothing more to read.
    Over,
}

#[derive(Debug, Default)]
struct Beginning {
    originator: FirstBytes,
    responder: FirstBytes,
    asks: u8,
    /// Whether another protocol has opened this as a tunnel, so that the connection's own beginning is past.
    is_inside: bool,
}

#[derive(Debug, Default)]
struct FirstBytes {
    sequence: u32,
    bytes: Vec<u8>,
}

#[derive(Debug)]
struct Talk {
    parser: Parser,
    originator: Stream,
    responder: Stream,
    /// When the first byte was said.
    began: i64,
    /// Whether the flow stands in the wheel of questions.
    is_armed: bool,
    held_bytes: usize,
}

#[derive(Debug)]
enum Parser {
    Dns(dns::Conversation),
    Dhcp,
    Http(Box<http::Conversation>),
    Ssh(ssh::Banners),
    Tls(Box<tls::Handshake>),
}

/// What all flows share: questions that wait for answers, the bound on waiting payload, what was refused.
pub(crate) struct Inspector {
    wakes: Vec<Vec<(u32, u64)>>,
    waiting: usize,
    held_bytes: usize,
    /// What was recognised as a protocol and could not be read as it, by reason.
    pub(crate) refused: BTreeMap<&'static str, u64>,
}

/// One packet of a flow, as inspection sees it.
#[derive(Clone, Copy)]
pub(crate) struct Said<'a> {
    pub(crate) sender: Sender,
    pub(crate) time: i64,
    /// What was captured of the payload.
    pub(crate) payload: &'a [u8],
    /// How much of the payload's end was not captured.
    pub(crate) cut_bytes: u32,
}

impl Inspection {
    /// The name of the protocol that was recognised by its content.
    pub(crate) fn protocol(&self) -> Option<&'static str> {
        self.protocol.map(Protocol::name)
    }

    /// Whether there is nothing more to read in this flow.
    #[inline]
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Over)
    }

    /// Whether a segment without payload may matter: it can tell that a hole will not be filled.
    #[inline]
    pub(crate) fn wants_acknowledgements(&self) -> bool {
        matches!(&self.stage, Stage::Talk(talk) if talk.held_bytes > 0)
    }
}

impl Inspector {
    /// An inspector that has seen nothing.
    pub(crate) fn new() -> Self {
        Inspector {
            wakes: vec![Vec::new(); WAKE_SLOTS],
            waiting: 0,
            held_bytes: 0,
            refused: BTreeMap::new(),
        }
    }

    /// Whether no flow waits for an answer.
    pub(crate) fn is_idle(&self) -> bool {
        self.waiting == 0
    }

    /// A TCP segment. `number` is the flow's place in the table.
    pub(crate) fn segment(
        &mut self,
        flow: &mut Flow,
        number: u32,
        said: Said<'_>,
        header: TcpHeader,
        output: &mut Output,
    ) {
        let mut inspection = std::mem::take(&mut flow.inspection);
        let sequence = header.sequence.wrapping_add(u32::from(header.has(flag::SYN)));
        inspection.stage = match inspection.stage {
            Stage::Over => Stage::Over,
            Stage::Fresh if said.payload.is_empty() => Stage::Fresh,
            Stage::Fresh => self.open(flow, &mut inspection.protocol, Box::default(), said, sequence, output),
            Stage::Opening(beginning) if said.payload.is_empty() => Stage::Opening(beginning),
            Stage::Opening(beginning) => self.open(flow, &mut inspection.protocol, beginning, said, sequence, output),
            Stage::BeforeTls(left) if said.payload.is_empty() => Stage::BeforeTls(left),
            Stage::BeforeTls(_) if is_client_hello(said.payload) => {
                let mut talk = Box::new(Talk::new(Parser::Tls(Box::default()), said.time));
                self.feed(flow, &mut talk, said, sequence, output);
                self.settle(flow, talk, said.time, output)
            }
            Stage::BeforeTls(0) => Stage::Over,
            Stage::BeforeTls(left) => Stage::BeforeTls(left - 1),
            Stage::Talk(mut talk) => {
                self.feed(flow, &mut talk, said, sequence, output);
                if header.has(flag::ACK) && talk.held_bytes > 0 {
                    self.acknowledge(flow, &mut talk, said, header.acknowledged, output);
                }
                self.settle(flow, talk, said.time, output)
            }
        };
        flow.inspection = inspection;
        self.arm(flow, number);
    }

    /// The payload of a datagram.
    pub(crate) fn datagram(&mut self, flow: &mut Flow, number: u32, said: Said<'_>, output: &mut Output) {
        let mut inspection = std::mem::take(&mut flow.inspection);
        let mut talk = match inspection.stage {
            Stage::Talk(talk) => talk,
            Stage::Over => {
                flow.inspection = Inspection {
                    stage: Stage::Over,
                    ..inspection
                };
                return;
            }
            Stage::Fresh | Stage::Opening(_) | Stage::BeforeTls(_) => {
                let asks = match &inspection.stage {
                    Stage::Opening(beginning) => beginning.asks,
                    _ => 0,
                };
                inspection.protocol = recognise(&opening(flow, said.sender, said.payload, &[]));
                match inspection.protocol.and_then(|found| talk_of(found, said.time)) {
                    Some(talk) => Box::new(talk),
                    None => {
                        inspection.stage = if inspection.protocol.is_some() || asks + 1 >= ASKS_MAX {
                            Stage::Over
                        } else {
                            let mut beginning = Box::<Beginning>::default();
                            beginning.asks = asks + 1;
                            Stage::Opening(beginning)
                        };
                        flow.inspection = inspection;
                        return;
                    }
                }
            }
        };
        let time = Timestamp::from_nanos(said.time);
        let refused = match &mut talk.parser {
            Parser::Dns(conversation) => conversation
                .datagram(said.payload, time, |exchange| tell_dns(flow, &exchange, output))
                .err()
                .map(|refusal| refusal.reason()),
            Parser::Dhcp => match dhcp::Message::parse(said.payload) {
                Ok(message) => {
                    push(flow, said.time, said.time, output, |event| message.describe(event));
                    None
                }
                Err(refusal) => Some(refusal.reason()),
            },
            Parser::Tls(handshake) => handshake
                .datagram(side_of(said.sender), said.payload)
                .err()
                .map(|refusal| refusal.reason()),
            Parser::Http(_) | Parser::Ssh(_) => None,
        };
        if let Some(reason) = refused {
            *self.refused.entry(reason).or_default() += 1;
        }
        inspection.stage = self.settle(flow, talk, said.time, output);
        flow.inspection = inspection;
        self.arm(flow, number);
    }

    /// The flow has ended at its last packet: what was begun is told as far as it came.
    pub(crate) fn finish(&mut self, flow: &mut Flow, output: &mut Output) {
        let inspection = std::mem::take(&mut flow.inspection);
        flow.inspection.protocol = inspection.protocol;
        let Stage::Talk(mut talk) = inspection.stage else {
            return;
        };
        let time = flow.last;
        self.release(flow, &mut talk, time, output);
        match &mut talk.parser {
            Parser::Dns(conversation) => {
                let time = Timestamp::from_nanos(time);
                conversation.finish(time, |exchange| tell_dns(flow, &exchange, output));
            }
            Parser::Dhcp => {}
            Parser::Http(conversation) => {
                let time = Timestamp::from_nanos(time);
                conversation.finish(time, |transaction| tell_http(flow, &transaction, output));
            }
            Parser::Ssh(banners) => {
                if banners.client.is_some() || banners.server.is_some() {
                    push(flow, talk.began, time, output, |event| banners.describe(event));
                }
            }
            Parser::Tls(handshake) => {
                handshake.finish();
                if handshake.client.is_some() || handshake.server.is_some() {
                    push(flow, talk.began, time, output, |event| handshake.describe(event));
                }
            }
        }
    }

    /// Takes the flows whose questions may have waited long enough at the second that ends with `now`.
    pub(crate) fn due(&mut self, now: i64) -> Vec<(u32, u64)> {
        let slot = now.div_euclid(TICK_NANOS).rem_euclid(WAKE_SLOTS as i64) as usize;
        let due = self.wakes.get_mut(slot).map(std::mem::take).unwrap_or_default();
        self.waiting = self.waiting.saturating_sub(due.len());
        due
    }

    /// Tells the questions of a flow that got no answer in time.
    pub(crate) fn wake(&mut self, flow: &mut Flow, number: u32, now: i64, output: &mut Output) {
        let mut inspection = std::mem::take(&mut flow.inspection);
        if let Stage::Talk(talk) = &mut inspection.stage {
            talk.is_armed = false;
            if let Parser::Dns(conversation) = &mut talk.parser {
                let now = Timestamp::from_nanos(now);
                conversation.expire(now, |exchange| tell_dns(flow, &exchange, output));
            }
        }
        flow.inspection = inspection;
        self.arm(flow, number);
    }

    /// Puts a flow with an open question into the wheel, once.
    fn arm(&mut self, flow: &mut Flow, number: u32) {
        let Stage::Talk(talk) = &mut flow.inspection.stage else {
            return;
        };
        let Parser::Dns(conversation) = &talk.parser else {
            return;
        };
        if talk.is_armed {
            return;
        }
        if let Some(deadline) = conversation.deadline() {
            let second = deadline.seconds().saturating_add(1);
            let slot = second.rem_euclid(WAKE_SLOTS as i64) as usize;
            if let Some(wakes) = self.wakes.get_mut(slot) {
                wakes.push((number, flow.number));
                self.waiting += 1;
                talk.is_armed = true;
            }
        }
    }

    /// Asks for the protocol of a TCP flow, and begins to read it if it is one that is read.
    fn open(
        &mut self,
        flow: &Flow,
        found: &mut Option<Protocol>,
        mut beginning: Box<Beginning>,
        said: Said<'_>,
        sequence: u32,
        output: &mut Output,
    ) -> Stage {
        let (own, other) = match said.sender {
            Sender::Originator => (&mut beginning.originator, &beginning.responder),
            Sender::Responder => (&mut beginning.responder, &beginning.originator),
        };
        let room = OPENING_BYTES_MAX.saturating_sub(own.bytes.len());
        let is_first = own.bytes.is_empty();
        let is_next = own.sequence.wrapping_add(own.bytes.len() as u32) == sequence;
        let told = if is_first {
            recognise(&opening(flow, said.sender, said.payload, &other.bytes))
        } else if is_next && room > 0 {
            let mut joined = own.bytes.clone();
            joined.extend_from_slice(said.payload.get(..room).unwrap_or(said.payload));
            recognise(&opening(flow, said.sender, &joined, &other.bytes))
        } else {
            None
        };
        let Some(told) = told else {
            beginning.asks += 1;
            if is_first {
                own.sequence = sequence;
            }
            if is_first || is_next {
                own.bytes
                    .extend_from_slice(said.payload.get(..room).unwrap_or(said.payload));
            }
            return if beginning.asks >= ASKS_MAX {
                Stage::Over
            } else {
                Stage::Opening(beginning)
            };
        };
        *found = Some(told);
        let Some(mut talk) = talk_of(told, said.time) else {
            return if may_start_tls(told) {
                Stage::BeforeTls(SEGMENTS_BEFORE_TLS_MAX)
            } else {
                Stage::Over
            };
        };
        for (stream, sender) in [
            (&mut talk.originator, Sender::Originator),
            (&mut talk.responder, Sender::Responder),
        ] {
            if beginning.is_inside {
                continue;
            }
            if let Some(first) = flow.connection.first_payload_sequence(sender) {
                stream.begin(first);
            }
        }
        for (first, sender) in [
            (&beginning.originator, Sender::Originator),
            (&beginning.responder, Sender::Responder),
        ] {
            let before = Said {
                sender,
                time: said.time,
                payload: &first.bytes,
                cut_bytes: 0,
            };
            self.feed(flow, &mut talk, before, first.sequence, output);
        }
        self.feed(flow, &mut talk, said, sequence, output);
        self.settle(flow, Box::new(talk), said.time, output)
    }

    /// Gives a segment to its stream, and what is in order then to the parser.
    fn feed(&mut self, flow: &Flow, talk: &mut Talk, said: Said<'_>, sequence: u32, output: &mut Output) {
        let side = side_of(said.sender);
        let Talk {
            parser,
            originator,
            responder,
            ..
        } = talk;
        let stream = match side {
            Side::Originator => originator,
            Side::Responder => responder,
        };
        let refused = &mut self.refused;
        let mut is_refused = false;
        let mut consume = |piece: Piece<'_>| {
            if let Some(reason) = parser.piece(flow, side, piece, said.time, output) {
                *refused.entry(reason).or_default() += 1;
                is_refused = true;
            }
        };
        stream.segment(sequence, said.payload, &mut consume);
        let captured_to = sequence.wrapping_add(said.payload.len() as u32);
        stream.cut(captured_to, said.cut_bytes, &mut consume);
        match parser {
            Parser::Http(conversation) => stream.skip(conversation.skip_bytes(side)),
            _ if is_refused => stream.stop(),
            _ => {}
        }
        self.account_held(flow, talk, said.time, output);
    }

    /// One side acknowledges what the other has sent: holes before that will not be filled.
    fn acknowledge(&mut self, flow: &Flow, talk: &mut Talk, said: Said<'_>, acknowledged: u32, output: &mut Output) {
        let side = side_of(said.sender).other();
        let Talk {
            parser,
            originator,
            responder,
            ..
        } = talk;
        let stream = match side {
            Side::Originator => originator,
            Side::Responder => responder,
        };
        let refused = &mut self.refused;
        stream.acknowledged(acknowledged, |piece| {
            if let Some(reason) = parser.piece(flow, side, piece, said.time, output) {
                *refused.entry(reason).or_default() += 1;
            }
        });
        self.account_held(flow, talk, said.time, output);
    }

    /// Keeps the sum of waiting payload; a flow that brings it over the bound has its own given up.
    fn account_held(&mut self, flow: &Flow, talk: &mut Talk, time: i64, output: &mut Output) {
        let held = talk.originator.held_bytes() + talk.responder.held_bytes();
        if held == talk.held_bytes {
            return;
        }
        self.held_bytes = self.held_bytes.saturating_add(held).saturating_sub(talk.held_bytes);
        talk.held_bytes = held;
        if self.held_bytes > HELD_BYTES_MAX {
            self.release(flow, talk, time, output);
        }
    }

    /// Has what waits behind holes read as if the holes were lost.
    fn release(&mut self, flow: &Flow, talk: &mut Talk, time: i64, output: &mut Output) {
        self.held_bytes = self.held_bytes.saturating_sub(talk.held_bytes);
        talk.held_bytes = 0;
        let Talk {
            parser,
            originator,
            responder,
            ..
        } = talk;
        for (stream, side) in [(originator, Side::Originator), (responder, Side::Responder)] {
            stream.finish(|piece| {
                if let Some(reason) = parser.piece(flow, side, piece, time, output) {
                    *self.refused.entry(reason).or_default() += 1;
                }
            });
        }
    }

    /// Ends a talk that has said everything that is read of it.
    fn settle(&mut self, flow: &Flow, mut talk: Box<Talk>, time: i64, output: &mut Output) -> Stage {
        if !talk.parser.is_over() {
            return Stage::Talk(talk);
        }
        self.conclude(flow, &mut talk, time, output);
        match &talk.parser {
            // What a proxy has connected to is looked at anew.
            Parser::Http(conversation) if conversation.switch() == Some(&http::Switch::Tunnel) => {
                let mut beginning = Box::<Beginning>::default();
                beginning.is_inside = true;
                Stage::Opening(beginning)
            }
            _ => Stage::Over,
        }
    }

    fn conclude(&mut self, flow: &Flow, talk: &mut Talk, time: i64, output: &mut Output) {
        self.held_bytes = self.held_bytes.saturating_sub(talk.held_bytes);
        talk.held_bytes = 0;
        match &talk.parser {
            Parser::Tls(handshake) if handshake.client.is_some() || handshake.server.is_some() => {
                push(flow, talk.began, time, output, |event| handshake.describe(event));
            }
            Parser::Ssh(banners) if banners.client.is_some() || banners.server.is_some() => {
                push(flow, talk.began, time, output, |event| banners.describe(event));
            }
            _ => {}
        }
    }
}

impl Parser {
    /// Whether nothing more can come out.
    fn is_over(&self) -> bool {
        match self {
            Parser::Ssh(banners) => banners.is_over(),
            Parser::Tls(handshake) => handshake.is_over(),
            Parser::Http(conversation) => conversation.switch().is_some(),
            Parser::Dns(_) | Parser::Dhcp => false,
        }
    }

    /// The next piece of a stream; gives the reason when it can't be read.
    fn piece(
        &mut self,
        flow: &Flow,
        side: Side,
        piece: Piece<'_>,
        time: i64,
        output: &mut Output,
    ) -> Option<&'static str> {
        match self {
            Parser::Dns(conversation) => conversation
                .piece(side, piece, Timestamp::from_nanos(time), |exchange| {
                    tell_dns(flow, &exchange, output);
                })
                .err()
                .map(|refusal| refusal.reason()),
            Parser::Http(conversation) => conversation
                .piece(side, piece, Timestamp::from_nanos(time), |transaction| {
                    tell_http(flow, &transaction, output);
                })
                .err()
                .map(|refusal| refusal.reason()),
            Parser::Tls(handshake) => handshake.piece(side, piece).err().map(|refusal| refusal.reason()),
            Parser::Ssh(banners) => banners.piece(side, piece).err().map(|refusal| refusal.reason()),
            Parser::Dhcp => None,
        }
    }
}

/// The reader of a protocol; `None` for one that is only named.
fn talk_of(found: Protocol, time: i64) -> Option<Talk> {
    let parser = match found {
        Protocol::Dns => Parser::Dns(dns::Conversation::new()),
        Protocol::Dhcp => Parser::Dhcp,
        Protocol::Http => Parser::Http(Box::new(http::Conversation::new())),
        Protocol::Ssh => Parser::Ssh(ssh::Banners::new()),
        Protocol::Tls | Protocol::Dtls => Parser::Tls(Box::new(tls::Handshake::new())),
        _ => return None,
    };
    Some(Talk::new(parser, time))
}

impl Talk {
    fn new(parser: Parser, time: i64) -> Self {
        Talk {
            parser,
            originator: Stream::new(),
            responder: Stream::new(),
            began: time,
            is_armed: false,
            held_bytes: 0,
        }
    }
}

/// Whether a protocol that is only named has a command that begins TLS.
fn may_start_tls(found: Protocol) -> bool {
    matches!(
        found,
        Protocol::Ftp | Protocol::Imap | Protocol::Ldap | Protocol::Pop3 | Protocol::Postgresql | Protocol::Smtp
    )
}

/// A TLS record with the beginning of a client's hello.
fn is_client_hello(payload: &[u8]) -> bool {
    matches!(payload, [22, 3, 0..=4, _, _, 1, 0, ..])
}

fn opening<'a>(flow: &Flow, sender: Sender, own: &'a [u8], other: &'a [u8]) -> Opening<'a> {
    let key = &flow.key;
    let (originator_port, responder_port) = if flow.originator_is_low {
        (key.low_port, key.high_port)
    } else {
        (key.high_port, key.low_port)
    };
    let (originator, responder) = match sender {
        Sender::Originator => (own, other),
        Sender::Responder => (other, own),
    };
    Opening {
        transport: if key.protocol == protocol::TCP {
            Transport::Tcp
        } else {
            Transport::Udp
        },
        originator_port,
        responder_port,
        originator,
        responder,
    }
}

fn side_of(sender: Sender) -> Side {
    match sender {
        Sender::Originator => Side::Originator,
        Sender::Responder => Side::Responder,
    }
}

fn tell_dns(flow: &Flow, exchange: &dns::Exchange<'_>, output: &mut Output) {
    let end = exchange.end.nanos();
    let began = exchange.asked.map_or(end, Timestamp::nanos);
    push(flow, began, end, output, |event| exchange.describe(event));
}

fn tell_http(flow: &Flow, transaction: &http::Transaction, output: &mut Output) {
    push(
        flow,
        transaction.start.nanos(),
        transaction.end.nanos(),
        output,
        |event| transaction.describe(event),
    );
}

/// Emits an event of something that was said in a flow.
fn push(flow: &Flow, began: i64, end: i64, output: &mut Output, describe: impl FnOnce(&mut Event)) {
    let mut event = Event::new(Timestamp::from_nanos(end));
    event.set_start(Timestamp::from_nanos(began));
    describe(&mut event);
    event::describe_ends(flow, &mut event);
    event::describe_link(flow, &mut event);
    output.events.push(event);
}
