//! The WebGPU back end: WGSL kernels, static dispatch lists, one pass and one submit per step.

#[cfg(test)]
mod agreement;
mod convolution;
mod device;
mod elementwise;
mod epilogue;
mod gemm;
mod launch;
mod losses;
mod lower;
mod map;
mod pipelines;
mod pool;
mod recurrent;
mod rows;
mod run;
#[cfg(test)]
mod testing;
mod text;

pub use device::Gpu;
pub use run::GpuProgram;

/// Why the GPU could not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GpuError {
    /// There is no WebGPU here, or the browser keeps it from us.
    #[error("no WebGPU adapter: {0}")]
    NoAdapter(String),
    /// The device refused a request.
    #[error("the GPU refused: {0}")]
    Device(String),
    /// The model needs more memory in one piece than the device allows.
    #[error("the model is too large for the GPU")]
    TooLarge,
    /// The GPU back end does not know this.
    #[error("the GPU back end does not run this: {0}")]
    Unsupported(&'static str),
    /// The device is gone; parameters read before are still good on the CPU.
    #[error("the GPU device was lost")]
    DeviceLost,
}
