//! What became of a connection, in Zeek's words: `conn_state` and history.
//!
//! The two endpoints of a TCP connection walk the states that Zeek's TCP analyser gives them; the pair of final states
//! has a name (`S0`, `SF`, `REJ` ...). The history is a letter for each new kind of packet, upper case from the
//! originator, lower case from the responder (Zeek, "base/protocols/conn/main.zeek"). Checksums are not looked at: on a
//! host with offloading they are wrong by design, so the letter `c` never appears; nor do gaps (`g`).

/// The bits of the TCP header's flags.
pub(crate) mod flag {
    pub(crate) const FIN: u8 = 0x01;
    pub(crate) const SYN: u8 = 0x02;
    pub(crate) const RST: u8 = 0x04;
    pub(crate) const ACK: u8 = 0x10;
}

/// Which side of a flow sent something. The originator is who began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sender {
    Originator,
    Responder,
}

/// What a TCP header says, as far as the state of its connection needs it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TcpHeader {
    pub(crate) sequence: u32,
    pub(crate) acknowledged: u32,
    pub(crate) flags: u8,
    pub(crate) window: u16,
}

impl TcpHeader {
    #[inline]
    pub(crate) fn has(&self, bits: u8) -> bool {
        self.flags & bits != 0
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Inactive,
    SynSent,
    SynAckSent,
    Partial,
    Established,
    Closed,
    Reset,
}

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Asked for and not answered.
    Attempt,
    /// Open, or of unknown beginning.
    Open,
    /// Reset, or closed from both sides.
    Over,
}

const SEEN_SYN: u8 = 1;
const SEEN_SYN_ACK: u8 = 2;
const SEEN_FIN: u8 = 4;
const SEEN_RST: u8 = 8;
const SEEN_DATA: u8 = 16;
const SEEN_ACK: u8 = 32;
const SEEN_MULTI: u8 = 64;
const SEEN_FIN_RST: u8 = 128;

#[derive(Clone, Copy, Debug, Default)]
struct Endpoint {
    state: State,
    previous: State,
    seen: u8,
    has_sequence: bool,
    first_sequence: u32,
    next_sequence: u32,
    last_syn: u32,
    last_fin: u32,
    last_rst: u32,
    retransmits: u32,
    zero_windows: u32,
    sent_payload: bool,
}

impl Endpoint {
    fn set(&mut self, state: State) {
        if self.state != state {
            self.previous = self.state;
            self.state = state;
        }
    }
}

/// Both ends of a TCP connection, and its history.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Connection {
    originator: Endpoint,
    responder: Endpoint,
    history: History,
}

impl Connection {
    /// Takes in one segment with `payload_length` bytes of payload.
    #[inline]
    pub(crate) fn observe(&mut self, sender: Sender, header: TcpHeader, payload_length: u32) {
        let (endpoint, peer) = match sender {
            Sender::Originator => (&mut self.originator, &mut self.responder),
            Sender::Responder => (&mut self.responder, &mut self.originator),
        };
        let flags = header.flags & (flag::SYN | flag::FIN | flag::RST);
        if flags == 0 && endpoint.state == State::Established && peer.state == State::Established {
            // What nearly every segment is: nothing but data or an acknowledgement on an open connection.
            note_plain(endpoint, &mut self.history, sender, header, payload_length);
            update_sequence(endpoint, peer, &mut self.history, sender, header, payload_length);
            return;
        }
        note(endpoint, &mut self.history, sender, header, payload_length);
        update_sequence(endpoint, peer, &mut self.history, sender, header, payload_length);
        match endpoint.state {
            State::Inactive => from_inactive(endpoint, peer, sender, header, payload_length),
            State::SynSent | State::SynAckSent => {
                if header.has(flag::FIN) {
                    endpoint.set(State::Closed);
                }
                if header.has(flag::RST) {
                    endpoint.set(State::Reset);
                }
            }
            State::Established | State::Partial => from_established(endpoint, peer, header),
            State::Closed => {
                if header.has(flag::RST) && peer.state != State::Closed {
                    endpoint.set(State::Reset);
                }
            }
            State::Reset => {}
        }
    }

    /// Makes the responder the originator: its SYN was seen after the answer to it.
    pub(crate) fn flip(&mut self) {
        std::mem::swap(&mut self.originator, &mut self.responder);
        self.history.flip();
    }

    /// Writes that the roles were told from the ports, not from a SYN.
    pub(crate) fn note_flipped(&mut self) {
        self.history.push(b'^');
    }

    /// Whether the first that was seen is the answer to a SYN that was not.
    pub(crate) fn began_with_answer(&self) -> bool {
        self.originator.state == State::Inactive && self.responder.seen == SEEN_SYN_ACK
    }

    /// Whether a SYN (without ACK) of `sender` begins another connection between the same ports.
    pub(crate) fn is_reuse(&self, sender: Sender, sequence: u32) -> bool {
        let endpoint = match sender {
            Sender::Originator => &self.originator,
            Sender::Responder => &self.responder,
        };
        let never_had_syn = endpoint.seen & SEEN_SYN == 0;
        if never_had_syn {
            return self.phase() == Phase::Over;
        }
        endpoint.last_syn != sequence
    }

    /// The sequence number of a side's first byte of payload, where its SYN was seen.
    pub(crate) fn first_payload_sequence(&self, sender: Sender) -> Option<u32> {
        let endpoint = match sender {
            Sender::Originator => &self.originator,
            Sender::Responder => &self.responder,
        };
        (endpoint.seen & (SEEN_SYN | SEEN_SYN_ACK) != 0).then(|| endpoint.last_syn.wrapping_add(1))
    }

    /// How far the connection has come.
    #[inline]
    pub(crate) fn phase(&self) -> Phase {
        match (self.originator.state, self.responder.state) {
            (State::Reset, _) | (_, State::Reset) | (State::Closed, State::Closed) => Phase::Over,
            (State::SynSent, State::Inactive) => Phase::Attempt,
            _ => Phase::Open,
        }
    }

    /// Segments whose payload had been sent before, from both sides.
    pub(crate) fn retransmits(&self) -> u64 {
        u64::from(self.originator.retransmits) + u64::from(self.responder.retransmits)
    }

    /// The letters of what was seen, in order.
    pub(crate) fn history(&self) -> &str {
        self.history.as_str()
    }

    /// Zeek's name for how the connection stands.
    pub(crate) fn name(&self) -> &'static str {
        use State::{Closed, Established, Inactive, Partial, Reset, SynAckSent, SynSent};
        let no_payload = !self.originator.sent_payload && !self.responder.sent_payload;
        match (self.originator.state, self.responder.state) {
            (SynSent | SynAckSent, Reset) => "REJ",
            (Reset, Reset) if no_payload => "REJ",
            (Inactive | Partial, Reset) => "RSTRH",
            (_, Reset) => "RSTR",
            (Reset, Inactive | Partial) => "RSTOS0",
            (Reset, _) => "RSTO",
            (Closed, Closed) => "SF",
            (Closed, Inactive | Partial) => "SH",
            (Closed, _) => "S2",
            (Inactive | Partial, Closed) => "SHR",
            (_, Closed) => "S3",
            (SynSent, Inactive) => "S0",
            (Established, Established) => "S1",
            _ => "OTH",
        }
    }
}

/// Zeek's name for an exchange without connections, such as UDP: who spoke.
pub(crate) fn datagram_state(originator_packets: u64, responder_packets: u64) -> &'static str {
    match (originator_packets, responder_packets) {
        (0, 0) => "OTH",
        (0, _) => "SHR",
        (_, 0) => "S0",
        _ => "SF",
    }
}

fn from_inactive(endpoint: &mut Endpoint, peer: &mut Endpoint, sender: Sender, header: TcpHeader, length: u32) {
    if header.has(flag::SYN) {
        match sender {
            Sender::Originator if header.has(flag::ACK) => endpoint.set(State::SynAckSent),
            Sender::Originator => endpoint.set(State::SynSent),
            Sender::Responder => {
                if peer.state == State::SynSent {
                    peer.set(State::Established);
                }
                endpoint.set(State::Established);
            }
        }
    }
    if header.has(flag::FIN) {
        endpoint.set(State::Closed);
    }
    if header.has(flag::RST) {
        endpoint.set(State::Reset);
    }
    if endpoint.state != State::Inactive {
        return;
    }
    if sender == Sender::Responder && length == 0 && peer.state == State::SynSent {
        // Some hosts acknowledge a SYN before they answer it; that is no partial connection.
        return;
    }
    if header.has(flag::ACK) && peer.state == State::Established {
        // Only the SYN was missed.
        endpoint.set(State::Established);
    } else {
        endpoint.set(State::Partial);
    }
}

fn from_established(endpoint: &mut Endpoint, peer: &mut Endpoint, header: TcpHeader) {
    if header.has(flag::SYN)
        && endpoint.state == State::Partial
        && peer.state == State::Inactive
        && !header.has(flag::ACK)
    {
        endpoint.set(State::SynSent);
    }
    if header.has(flag::FIN) && !header.has(flag::RST) {
        endpoint.set(State::Closed);
        if peer.state == State::Reset && peer.previous == State::Closed {
            // A FIN, then a RST, then the other's FIN is a normal end.
            peer.set(State::Closed);
        }
    }
    if header.has(flag::RST) {
        endpoint.set(State::Reset);
    }
}

#[inline]
fn note_plain(endpoint: &mut Endpoint, history: &mut History, sender: Sender, header: TcpHeader, length: u32) {
    if length > 0 {
        check(endpoint, history, sender, SEEN_DATA, b'D');
    } else if header.has(flag::ACK) {
        check(endpoint, history, sender, SEEN_ACK, b'A');
    }
}

fn note(endpoint: &mut Endpoint, history: &mut History, sender: Sender, header: TcpHeader, length: u32) {
    let control = header.flags & (flag::SYN | flag::FIN | flag::RST);
    match control {
        0 => note_plain(endpoint, history, sender, header, length),
        flag::SYN => {
            let (bit, letter) = if header.has(flag::ACK) {
                (SEEN_SYN_ACK, b'H')
            } else {
                (SEEN_SYN, b'S')
            };
            if check(endpoint, history, sender, bit, letter) && endpoint.last_syn != header.sequence {
                history.add(sender, letter);
            }
            endpoint.last_syn = header.sequence;
        }
        flag::FIN => {
            // A FIN stands behind the payload of its segment.
            let position = header.sequence.wrapping_add(length);
            if check(endpoint, history, sender, SEEN_FIN, b'F') && endpoint.last_fin != position {
                history.add(sender, b'F');
            }
            endpoint.last_fin = position;
        }
        flag::RST => {
            if check(endpoint, history, sender, SEEN_RST, b'R') && endpoint.last_rst != header.sequence {
                history.add(sender, b'R');
            }
            endpoint.last_rst = header.sequence;
        }
        _ if header.has(flag::FIN) && header.has(flag::RST) => {
            check(endpoint, history, sender, SEEN_FIN_RST, b'I');
        }
        _ => {
            check(endpoint, history, sender, SEEN_MULTI, b'Q');
        }
    }
}

/// Adds the letter at its first time; tells whether it had been there.
#[inline]
fn check(endpoint: &mut Endpoint, history: &mut History, sender: Sender, bit: u8, letter: u8) -> bool {
    if endpoint.seen & bit != 0 {
        return true;
    }
    endpoint.seen |= bit;
    history.add(sender, letter);
    false
}

#[inline]
fn update_sequence(
    endpoint: &mut Endpoint,
    peer: &Endpoint,
    history: &mut History,
    sender: Sender,
    header: TcpHeader,
    length: u32,
) {
    if header.window == 0
        && !header.has(flag::RST)
        && peer.state != State::Closed
        && endpoint.state != State::Reset
        && endpoint.has_sequence
    {
        endpoint.zero_windows = endpoint.zero_windows.saturating_add(1);
        if is_scaled_step(endpoint.zero_windows) {
            history.add(sender, b'W');
        }
    }
    // A RST's payload is not a part of the stream.
    let payload = if header.has(flag::RST) { 0 } else { length };
    endpoint.sent_payload |= payload > 0;
    let controls = u32::from(header.has(flag::SYN)) + u32::from(header.has(flag::FIN));
    let next = header.sequence.wrapping_add(payload).wrapping_add(controls);
    if !endpoint.has_sequence || (header.has(flag::SYN) && endpoint.first_sequence != header.sequence) {
        if !header.has(flag::RST) {
            endpoint.has_sequence = true;
            endpoint.first_sequence = header.sequence;
            endpoint.next_sequence = next;
        }
        return;
    }
    let ahead = next.wrapping_sub(endpoint.next_sequence) as i32;
    if ahead > 0 {
        if endpoint.state != State::Reset && !(header.has(flag::RST) && ahead > 1 << 20) {
            endpoint.next_sequence = next;
        }
    } else if payload > 1 || (payload == 1 && ahead < 0) {
        // One byte just before what is expected keeps a connection alive; that is no retransmission of data.
        endpoint.retransmits = endpoint.retransmits.saturating_add(1);
        if is_scaled_step(endpoint.retransmits) {
            history.add(sender, b'T');
        }
    }
}

/// Zeek's history has a repeated kind at its 1st, 10th, 100th ... time.
fn is_scaled_step(count: u32) -> bool {
    matches!(
        count,
        1 | 10 | 100 | 1000 | 10_000 | 100_000 | 1_000_000 | 10_000_000 | 100_000_000
    )
}

/// The first letters of a history, in place.
#[derive(Clone, Copy, Debug, Default)]
struct History {
    letters: [u8; 30],
    length: u8,
}

impl History {
    fn add(&mut self, sender: Sender, letter: u8) {
        self.push(match sender {
            Sender::Originator => letter,
            Sender::Responder => letter.to_ascii_lowercase(),
        });
    }

    fn push(&mut self, letter: u8) {
        if let Some(place) = self.letters.get_mut(usize::from(self.length)) {
            *place = letter;
            self.length += 1;
        }
    }

    fn flip(&mut self) {
        for letter in &mut self.letters {
            *letter = if letter.is_ascii_lowercase() {
                letter.to_ascii_uppercase()
            } else {
                letter.to_ascii_lowercase()
            };
        }
    }

    fn as_str(&self) -> &str {
        let letters = self.letters.get(..usize::from(self.length)).unwrap_or_default();
        std::str::from_utf8(letters).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plays `packets` (sender `>` or `<`, then flag letters, then `+bytes` of payload) and gives state and history.
    fn play(packets: &str) -> (&'static str, String) {
        let mut connection = Connection::default();
        let mut next = [1000u32, 9000u32];
        for packet in packets.split_whitespace() {
            let (sender, side) = if packet.starts_with('>') {
                (Sender::Originator, 0)
            } else {
                (Sender::Responder, 1)
            };
            let mut header = TcpHeader {
                sequence: next[side],
                acknowledged: next[1 - side],
                flags: 0,
                window: 1024,
            };
            let (letters, payload) = packet[1..].split_once('+').unwrap_or((&packet[1..], "0"));
            let payload: u32 = payload.parse().expect("a length");
            for letter in letters.chars() {
                match letter {
                    'S' => header.flags |= flag::SYN,
                    'A' => header.flags |= flag::ACK,
                    'F' => header.flags |= flag::FIN,
                    'R' => header.flags |= flag::RST,
                    'W' => header.window = 0,
                    // The last segment again.
                    'T' => {}
                    other => panic!("flag {other}"),
                }
            }
            let taken = payload + u32::from(header.has(flag::SYN)) + u32::from(header.has(flag::FIN));
            if letters.contains('T') {
                header.sequence = header.sequence.wrapping_sub(taken);
            } else {
                next[side] = next[side].wrapping_add(taken);
            }
            connection.observe(sender, header, payload);
        }
        (connection.name(), connection.history().to_owned())
    }

    #[test]
    fn every_conn_state_has_its_name_as_zeek_documents_it() {
        for (packets, state, history) in [
            (">S", "S0", "S"),
            (">S >TS >TS", "S0", "S"),
            (">S <SA >A", "S1", "ShA"),
            (">S <SA >A >A+10 <A <A+20 >A >FA <FA >A", "SF", "ShADadFf"),
            (">S <RA", "REJ", "Sr"),
            (">S <SA >A >FA <A", "S2", "ShAFa"),
            (">S <SA >A <FA >A", "S3", "ShAf"),
            (">S <SA >A >A+5 <A+5 >R", "RSTO", "ShADdR"),
            (">S <SA >A >A+5 <A+5 <R", "RSTR", "ShADdr"),
            (">S >R", "RSTOS0", "SR"),
            (">S >FA", "SH", "SF"),
            ("<SA <FA", "SHR", "hf"),
            ("<A <R", "RSTRH", "ar"),
            (">A+10 <A+10", "OTH", "Dd"),
            (">S <SA >R", "RSTO", "ShR"),
            (">S <SA >A >A+9 >TA+9 <AW >FA <FA", "SF", "ShADTawFf"),
        ] {
            let (seen_state, seen_history) = play(packets);
            assert_eq!((seen_state, seen_history.as_str()), (state, history), "{packets}");
        }
    }

    #[test]
    fn a_syn_with_another_number_begins_another_connection() {
        let mut connection = Connection::default();
        let syn = TcpHeader {
            sequence: 7,
            flags: flag::SYN,
            window: 1,
            ..TcpHeader::default()
        };
        connection.observe(Sender::Originator, syn, 0);
        assert!(!connection.is_reuse(Sender::Originator, 7));
        assert!(connection.is_reuse(Sender::Originator, 8));
    }

    #[test]
    fn a_keep_alive_is_not_a_retransmission() {
        let mut connection = Connection::default();
        let mut segment = TcpHeader {
            sequence: 100,
            flags: flag::ACK,
            window: 1,
            ..TcpHeader::default()
        };
        connection.observe(Sender::Originator, segment, 50);
        segment.sequence = 149;
        connection.observe(Sender::Originator, segment, 1);
        assert_eq!(connection.retransmits(), 0);
        segment.sequence = 100;
        connection.observe(Sender::Originator, segment, 50);
        assert_eq!(connection.retransmits(), 1);
    }
}
