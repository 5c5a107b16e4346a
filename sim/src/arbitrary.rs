//! Scenarios from fuzz bytes: any bytes give one that can be played.
//!
//! ```
//! use arbitrary::{Arbitrary, Unstructured};
//! use resound_sim::Scenario;
//!
//! let scenario = Scenario::arbitrary(&mut Unstructured::new(b"whatever a fuzzer comes up with")).unwrap();
//! assert!(scenario.check().is_ok());
//! ```

use arbitrary::{Arbitrary, Result, Unstructured};

use crate::engine::generate::{Draw, Mix};
use crate::scenario::Scenario;

/// Choices from bytes; zeros when they run out.
struct Bytes<'a, 'b>(&'a mut Unstructured<'b>);

impl Draw for Bytes<'_, '_> {
    fn up_to(&mut self, max: u64) -> u64 {
        self.0.int_in_range(0..=max).unwrap_or(0)
    }
}

impl<'b> Arbitrary<'b> for Scenario {
    fn arbitrary(bytes: &mut Unstructured<'b>) -> Result<Self> {
        Ok(Mix::new().draw(&mut Bytes(bytes)))
    }
}
