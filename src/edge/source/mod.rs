//! Sources that end: files and standard input, compressed or not, as one stream of bytes or of captured frames.

mod capture;
mod file;
mod folder;
mod piped;
mod stop;
mod unpack;

pub use capture::{Capture, Frame, is_capture};
pub use file::{Extent, Opened, SourceFailure, modified_seconds, open, tail};
pub use folder::expand;
pub(in crate::edge) use piped::Piped;
pub use stop::Stop;
pub(in crate::edge) use unpack::unpacked;
