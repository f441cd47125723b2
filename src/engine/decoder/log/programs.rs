//! Who reads a syslog message: told from the program that wrote it. A message that nobody reads stays a plain event of
//! dataset `syslog`.

use super::sshd::Sshd;
use super::syslog::Header;
use super::text::rsplit_once;
use crate::domain::Event;

/// The readers of one input, with what they remember.
#[derive(Debug, Default)]
pub(super) struct Programs {
    sshd: Sshd,
}

/// A program's name without the folder it was started from.
pub(super) fn name(program: &[u8]) -> &[u8] {
    match program.first() {
        Some(b'/') => rsplit_once(program, b"/").map_or(program, |(_, name)| name),
        _ => program,
    }
}

impl Programs {
    /// Adds what the message tells to the event, which has the header's fields already. Gives the event's dataset.
    pub(super) fn read(&mut self, header: &Header<'_>, event: &mut Event) -> &'static str {
        match name(header.program) {
            b"sshd" | b"sshd-session" | b"sshd-auth" => {
                self.sshd.read(header, event);
                "sshd"
            }
            _ => "syslog",
        }
    }
}
