//! Compute pipelines by their source, and recorded dispatches of them.

use std::rc::Rc;

use super::device::Gpu;
use super::launch::Source;

/// A compiled kernel.
pub(super) struct Pipeline {
    pipeline: wgpu::ComputePipeline,
    /// What the kernel's text declares and uses.
    layout: wgpu::BindGroupLayout,
}

/// One dispatch with everything it binds, made once and replayed every step.
pub(super) struct Dispatch {
    #[cfg(feature = "bench")]
    pub(super) name: &'static str,
    pipeline: Rc<Pipeline>,
    bindings: wgpu::BindGroup,
    pub(super) grid: [u32; 3],
}

/// Compiles each distinct kernel once.
#[derive(Default)]
pub(super) struct Pipelines {
    // Few enough to be looked through.
    compiled: Vec<(String, Rc<Pipeline>)>,
}

impl Pipelines {
    /// The compiled kernel of this source.
    pub(super) fn get(&mut self, gpu: &Gpu, source: &Source) -> Rc<Pipeline> {
        if let Some((_, pipeline)) = self.compiled.iter().find(|(text, _)| *text == source.wgsl) {
            return Rc::clone(pipeline);
        }
        let pipeline = Rc::new(compile(gpu, source));
        self.compiled.push((source.wgsl.clone(), Rc::clone(&pipeline)));
        pipeline
    }
}

fn compile(gpu: &Gpu, source: &Source) -> Pipeline {
    let module = gpu.device.create_shader_module(wgpu::ShaderModuleDescriptor {
        label: Some(source.name),
        source: wgpu::ShaderSource::Wgsl(source.wgsl.as_str().into()),
    });
    let pipeline = gpu.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: Some(source.name),
        // Follows from the text. Writing it out would bring what textures and samplers need.
        layout: None,
        module: &module,
        entry_point: Some("main"),
        // Workgroup memory is always written before it is read.
        compilation_options: wgpu::PipelineCompilationOptions {
            zero_initialize_workgroup_memory: false,
            ..Default::default()
        },
        cache: None,
    });
    let layout = pipeline.get_bind_group_layout(0);
    Pipeline { pipeline, layout }
}

impl Dispatch {
    /// Binds `resources` in order to a kernel on a grid of workgroups.
    pub(super) fn new(
        gpu: &Gpu,
        source: &Source,
        pipeline: Rc<Pipeline>,
        resources: Vec<wgpu::BindingResource<'_>>,
        grid: [u32; 3],
    ) -> Self {
        let entries: Vec<_> = (0..)
            .zip(resources)
            .map(|(binding, resource)| wgpu::BindGroupEntry { binding, resource })
            .collect();
        let descriptor = wgpu::BindGroupDescriptor {
            label: Some(source.name),
            layout: &pipeline.layout,
            entries: &entries,
        };
        Self {
            #[cfg(feature = "bench")]
            name: source.name,
            bindings: gpu.device.create_bind_group(&descriptor),
            pipeline,
            grid,
        }
    }

    /// Records this dispatch into a pass.
    pub(super) fn record(&self, pass: &mut wgpu::ComputePass<'_>) {
        let [x, y, z] = self.grid;
        pass.set_pipeline(&self.pipeline.pipeline);
        pass.set_bind_group(0, &self.bindings, &[]);
        pass.dispatch_workgroups(x, y, z);
    }
}
