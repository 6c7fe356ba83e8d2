//! The campaign manifest: parse, validate, explain in plain words.
