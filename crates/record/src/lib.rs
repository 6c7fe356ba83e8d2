//! Content ids, canonical DAG-CBOR, signed envelopes and the log's entry types.
