//! `resound-core` with bugs that can be turned on, one at a time: [`planted`].
//!
//! Its source is that of the core, copied and patched by `build.rs` from the list in `bugs.txt`. With all bugs off
//! it does what the core does.
#![forbid(unsafe_code)]
// The core's own lints are checked where it lies; a bug need not be well written.
#![allow(clippy::all, missing_docs, unused_qualifications)]

include!(concat!(env!("OUT_DIR"), "/core/lib.rs"));

/// Which bug is turned on.
pub mod planted {
    use std::cell::Cell;

    include!(concat!(env!("OUT_DIR"), "/bugs.rs"));

    std::thread_local! {
        static ON: Cell<Option<Bug>> = const { Cell::new(None) };
    }

    /// Runs something with this bug turned on, on this thread only; with `None`, without any.
    pub fn with<R>(bug: Option<Bug>, run: impl FnOnce() -> R) -> R {
        /// Puts back what was on before, also if `run` panics.
        struct Before(Option<Bug>);
        impl Drop for Before {
            fn drop(&mut self) {
                ON.set(self.0);
            }
        }
        let _before = Before(ON.replace(bug));
        run()
    }

    pub(crate) fn is(bug: Bug) -> bool {
        ON.get() == Some(bug)
    }
}
