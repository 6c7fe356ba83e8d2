//! Compute pipelines by their source, and recorded dispatches of them.

use std::rc::Rc;

use super::device::Gpu;
use super::launch::Source;

/// A compiled kernel.
pub(super) struct Pipeline {
    pipeline: wgpu::ComputePipeline,
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
    layouts: Vec<((u32, u32, bool), wgpu::BindGroupLayout)>,
}

impl Pipelines {
    /// The compiled kernel of this source.
    pub(super) fn get(&mut self, gpu: &Gpu, source: &Source) -> Rc<Pipeline> {
        if let Some((_, pipeline)) = self.compiled.iter().find(|(text, _)| *text == source.wgsl) {
            return Rc::clone(pipeline);
        }
        let layout = self.layout(gpu, source);
        let pipeline = Rc::new(compile(gpu, source, layout));
        self.compiled.push((source.wgsl.clone(), Rc::clone(&pipeline)));
        pipeline
    }

    fn layout(&mut self, gpu: &Gpu, source: &Source) -> wgpu::BindGroupLayout {
        let shape = (source.reads, source.writes, source.step);
        if let Some((_, layout)) = self.layouts.iter().find(|(known, _)| *known == shape) {
            return layout.clone();
        }
        let count = 1 + source.reads + source.writes + u32::from(source.step);
        let entries: Vec<_> = (0..count).map(|binding| layout_entry(binding, source)).collect();
        let descriptor = wgpu::BindGroupLayoutDescriptor { label: None, entries: &entries };
        let layout = gpu.device.create_bind_group_layout(&descriptor);
        self.layouts.push((shape, layout.clone()));
        layout
    }
}

fn layout_entry(binding: u32, source: &Source) -> wgpu::BindGroupLayoutEntry {
    let ty = if binding == 0 || binding > source.reads + source.writes {
        wgpu::BufferBindingType::Uniform
    } else {
        wgpu::BufferBindingType::Storage { read_only: binding <= source.reads }
    };
    wgpu::BindGroupLayoutEntry {
        binding,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None },
        count: None,
    }
}

fn compile(gpu: &Gpu, source: &Source, layout: wgpu::BindGroupLayout) -> Pipeline {
    let module = gpu.device.create_shader_module(wgpu::ShaderModuleDescriptor {
        label: Some(source.name),
        source: wgpu::ShaderSource::Wgsl(source.wgsl.as_str().into()),
    });
    let pipeline_layout = gpu.device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
        label: None,
        bind_group_layouts: &[Some(&layout)],
        immediate_size: 0,
    });
    let pipeline = gpu.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: Some(source.name),
        layout: Some(&pipeline_layout),
        module: &module,
        entry_point: Some("main"),
        // Workgroup memory is always written before it is read.
        compilation_options: wgpu::PipelineCompilationOptions {
            zero_initialize_workgroup_memory: false,
            ..Default::default()
        },
        cache: None,
    });
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
