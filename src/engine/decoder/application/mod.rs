//! Application protocols inside flows: pure parsers over bytes, without flow state of their own.
