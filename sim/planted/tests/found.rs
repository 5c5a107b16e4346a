//! Each planted mistake is found: to come with the engines.
fn main() {}
