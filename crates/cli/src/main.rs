//! The organiser's and auditor's command line.

fn main() {}
