//! The page: a Yew app that explains, asks, shows, and carries bytes.

fn main() {}
