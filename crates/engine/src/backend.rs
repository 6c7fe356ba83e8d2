//! What runs a step program: the CPU here, an executor elsewhere, or a GPU.

use crate::EngineError;
use crate::cpu::CpuExecutor;
#[cfg(feature = "gpu")]
use crate::gpu::{Gpu, GpuProgram};
use lichen_model::program::{Program, StepValues};
use lichen_record::EngineKind;
use std::sync::Arc;

/// Runs the step program of a model and its training somewhere else than in this module's memory, with the same bits as
/// [`CpuExecutor`]: on threads that share a memory of their own, for instance.
pub trait Executor {
    /// Writes a whole slot of the program.
    ///
    /// # Errors
    /// [`EngineError::Elsewhere`] if the executor is gone and took nothing.
    fn write_slot(&mut self, slot: usize, data: &[f32]) -> Result<(), EngineError>;

    /// Reads a whole slot of the program.
    ///
    /// # Errors
    /// [`EngineError::Elsewhere`] if the executor is gone, and its slots with it.
    fn read_slot(&self, slot: usize) -> Result<Vec<f32>, EngineError>;

    /// Takes one step on a batch whose lengths are the program's, and gives its loss.
    ///
    /// # Errors
    /// [`EngineError::Elsewhere`] where it cannot be reached any more.
    fn step(&mut self, x: &[f32], targets: &[f32], values: &StepValues) -> Result<f32, EngineError>;
}

/// What runs a step program.
pub(crate) enum Backend {
    Cpu(Box<CpuExecutor>),
    Elsewhere(Box<dyn Executor>),
    #[cfg(feature = "gpu")]
    Gpu {
        gpu: std::rc::Rc<Gpu>,
        program: Box<GpuProgram>,
    },
}

impl Backend {
    /// Opens the back end for a program.
    pub(crate) async fn open(choice: EngineKind, program: &Arc<Program>) -> Result<Self, EngineError> {
        match choice {
            EngineKind::Cpu => Ok(Self::Cpu(Box::new(CpuExecutor::new(Arc::clone(program))))),
            #[cfg(feature = "gpu")]
            EngineKind::Gpu => {
                let gpu = std::rc::Rc::new(Gpu::open().await?);
                let program = Box::new(GpuProgram::new(&gpu, Arc::clone(program))?);
                Ok(Self::Gpu { gpu, program })
            }
            #[cfg(not(feature = "gpu"))]
            EngineKind::Gpu => Err(EngineError::Gpu("this build has no GPU back end".into())),
        }
    }

    /// Writes a whole slot of the program.
    pub(crate) fn write_slot(&mut self, slot: usize, data: &[f32]) -> Result<(), EngineError> {
        match self {
            Self::Cpu(executor) => executor.write_slot(slot, data),
            Self::Elsewhere(executor) => executor.write_slot(slot, data)?,
            #[cfg(feature = "gpu")]
            Self::Gpu { program, .. } => program.write_slot(slot, data)?,
        }
        Ok(())
    }

    /// Reads a whole slot of the program.
    pub(crate) async fn read_slot(&self, slot: usize) -> Result<Vec<f32>, EngineError> {
        match self {
            Self::Cpu(executor) => Ok(executor.slot(slot).to_vec()),
            Self::Elsewhere(executor) => executor.read_slot(slot),
            #[cfg(feature = "gpu")]
            Self::Gpu { program, .. } => Ok(program.read_slot(slot).await?),
        }
    }
}
