//! The round protocol as a sans-I/O state machine.
