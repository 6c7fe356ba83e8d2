//! The Web Worker: verifies, trains and aggregates.

fn main() {}
