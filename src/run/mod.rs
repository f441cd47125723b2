//! The wiring: the only folder that knows both `engine` and `edge`.
