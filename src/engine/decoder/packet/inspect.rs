//! What is said inside of a flow: which protocol it speaks, and that protocol's own events.

/// What a flow has to do with application protocols.
#[derive(Debug, Default)]
pub(crate) struct Inspection {
    protocol: Option<&'static str>,
}

impl Inspection {
    /// The protocol that was recognised by its content.
    pub(crate) fn protocol(&self) -> Option<&'static str> {
        self.protocol
    }
}
