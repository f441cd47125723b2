//! Frames of a capture to flows and to what was said in them.
