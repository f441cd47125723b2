//! The wish to end early, which whoever reads for long looks at again and again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A wish to end early, shared by all who should know of it. Once asked it stays asked.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Asks everybody to end.
    pub fn ask(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether somebody has asked.
    pub fn is_asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl From<Arc<AtomicBool>> for Stop {
    /// Asked when the flag is set.
    fn from(flag: Arc<AtomicBool>) -> Stop {
        Stop(flag)
    }
}
