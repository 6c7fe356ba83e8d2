//! One small computation with every call of WebGPU that the engine makes, and none besides.

use std::sync::{Arc, Mutex};

use wasm_bindgen::JsError;

const SIZE: u64 = 256;

/// Runs a text over some bytes and reads the result back.
pub(crate) async fn run(base: &[u8]) -> Result<Vec<u8>, JsError> {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    let options = wgpu::RequestAdapterOptions {
        power_preference: wgpu::PowerPreference::HighPerformance,
        ..Default::default()
    };
    let adapter = instance.request_adapter(&options).await.or(Err(JsError::new("no adapter")))?;
    let required_limits =
        wgpu::Limits { max_storage_buffer_binding_size: base.len() as u64, ..wgpu::Limits::default() };
    let descriptor = wgpu::DeviceDescriptor { required_limits, ..Default::default() };
    let (device, queue) = adapter.request_device(&descriptor).await?;
    let faults = Arc::new(Mutex::new(String::new()));
    let (lost, reported) = (Arc::clone(&faults), Arc::clone(&faults));
    device.set_device_lost_callback(move |_, message| note(&lost, message));
    device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| note(&reported, error.to_string())));
    let text = String::from_utf8_lossy(base);
    let mapped = compute(&device, &queue, &text);
    wait(&queue).await;
    let bytes = mapped.get_mapped_range(..).to_vec();
    mapped.unmap();
    mapped.destroy();
    device.destroy();
    match faults.lock() {
        Ok(fault) if !fault.is_empty() => Err(JsError::new(&fault)),
        _ => Ok(bytes),
    }
}

fn note(faults: &Mutex<String>, fault: String) {
    if let Ok(mut first) = faults.lock() {
        *first = fault;
    }
}

/// One dispatch of the text over one buffer; its result in a buffer that is being mapped.
fn compute(device: &wgpu::Device, queue: &wgpu::Queue, text: &str) -> wgpu::Buffer {
    let buffer = |usage| {
        let label = None;
        device.create_buffer(&wgpu::BufferDescriptor { label, size: SIZE, usage, mapped_at_creation: false })
    };
    let data =
        buffer(wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST);
    let staging = buffer(wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST);
    queue.write_buffer(&data, 0, text.as_bytes());
    let pipeline = pipeline(device, text);
    let bindings = device.create_bind_group(&wgpu::BindGroupDescriptor {
        label: Some("data"),
        layout: &pipeline.get_bind_group_layout(0),
        entries: &[wgpu::BindGroupEntry { binding: 0, resource: data.as_entire_binding() }],
    });
    let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
    pass.set_pipeline(&pipeline);
    pass.set_bind_group(0, &bindings, &[]);
    pass.dispatch_workgroups(1, 1, 1);
    drop(pass);
    encoder.copy_buffer_to_buffer(&data, 0, &staging, 0, SIZE);
    queue.submit([encoder.finish()]);
    staging.map_async(wgpu::MapMode::Read, .., |_| ());
    data.destroy();
    staging
}

fn pipeline(device: &wgpu::Device, text: &str) -> wgpu::ComputePipeline {
    let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
        label: Some("text"),
        source: wgpu::ShaderSource::Wgsl(text.into()),
    });
    device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: Some("text"),
        layout: None,
        module: &module,
        entry_point: Some("main"),
        compilation_options: wgpu::PipelineCompilationOptions {
            zero_initialize_workgroup_memory: false,
            ..Default::default()
        },
        cache: None,
    })
}

/// Waits until everything submitted has run.
async fn wait(queue: &wgpu::Queue) {
    let done = Arc::new(Mutex::new(None::<std::task::Waker>));
    let (told, mut asked) = (Arc::clone(&done), false);
    queue.on_submitted_work_done(move || {
        if let Some(waker) = told.lock().ok().and_then(|mut waker| waker.take()) {
            waker.wake();
        }
    });
    std::future::poll_fn(move |context| {
        if std::mem::replace(&mut asked, true) {
            return std::task::Poll::Ready(());
        }
        if let Ok(mut waker) = done.lock() {
            *waker = Some(context.waker().clone());
        }
        std::task::Poll::Pending
    })
    .await;
}
