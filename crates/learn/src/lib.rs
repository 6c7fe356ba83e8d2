//! What happens to updates: differences, encodings and aggregation rules, bit-deterministic.
