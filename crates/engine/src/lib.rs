//! Runs step programs on the CPU and on WebGPU, the faster one chosen by measuring.

#[cfg(feature = "gpu")]
pub mod gpu;
