//! Application protocols inside flows: pure parsers and small state machines over bytes. Who owns the flow recognises
//! the protocol, feeds what both sides say in order, and adds addresses and times to what comes out.
//!
//! | protocol | reads | gives |
//! | --- | --- | --- |
//! | [`dns`] | datagrams or a stream | [`dns::Exchange`]: a question with its answer |
//! | [`tls`] | a stream's beginning, or DTLS datagrams | [`tls::Handshake`]: one for each connection |
//! | [`http`] | a stream | [`http::Transaction`]: a request with its response |
//! | [`ssh`] | a stream's beginning | [`ssh::Banners`]: one for each connection |
//! | [`dhcp`] | a datagram | [`dhcp::Message`] |

pub(super) mod bytes;
pub mod dhcp;
pub mod dns;
mod domain_name;
pub mod http;

mod protocol;
mod reassembly;
mod recognise;
pub mod ssh;
pub mod tls;

pub use domain_name::{DomainParts, describe_question, registered_domain};
pub use protocol::Protocol;
pub use reassembly::{Piece, Stream};
pub use recognise::{Opening, recognise};

/// Who of a flow speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// Who began the flow.
    Originator,
    /// Who answered.
    Responder,
}

impl Side {
    /// The other one.
    pub fn other(self) -> Side {
        match self {
            Side::Originator => Side::Responder,
            Side::Responder => Side::Originator,
        }
    }
}

/// What carries the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// A stream.
    Tcp,
    /// Datagrams.
    Udp,
}

#[cfg(test)]
pub(crate) mod tests {
    /// Seeded random numbers (xorshift64*), for mutation.
    pub(crate) struct Random(u64);

    impl Random {
        pub(crate) fn new(seed: u64) -> Self {
            Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
        }

        pub(crate) fn next(&mut self) -> u64 {
            self.0 ^= self.0 >> 12;
            self.0 ^= self.0 << 25;
            self.0 ^= self.0 >> 27;
            self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
        }

        pub(crate) fn below(&mut self, bound: usize) -> usize {
            (self.next() >> 33) as usize % bound.max(1)
        }

        /// The bytes with a few of them changed, doubled, removed, or all behind a place cut off.
        pub(crate) fn mutate(&mut self, bytes: &[u8]) -> Vec<u8> {
            let mut bytes = bytes.to_vec();
            for _ in 0..1 + self.below(4) {
                let place = self.below(bytes.len());
                match self.below(6) {
                    0 => bytes.truncate(place),
                    1 => bytes.insert(place, self.next() as u8),
                    2 if !bytes.is_empty() => {
                        bytes.remove(place);
                    }
                    3 => {
                        if let Some(byte) = bytes.get_mut(place) {
                            *byte = if self.below(2) == 0 { 255 } else { 0 };
                        }
                    }
                    _ => {
                        if let Some(byte) = bytes.get_mut(place) {
                            *byte = self.next() as u8;
                        }
                    }
                }
            }
            bytes
        }
    }
}
