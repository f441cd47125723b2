//! Sources that end: files and standard input, compressed or not, as one stream of bytes or of captured frames.

mod capture;
mod file;

pub use capture::{Capture, Frame, is_capture};
pub use file::{Opened, SourceFailure, expand, modified_seconds, open, tail};
