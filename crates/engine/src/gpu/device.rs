//! The adapter, the device, and what went wrong with them.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use futures::channel::oneshot;

use super::GpuError;

/// Threads that a graphics processor of a laptop runs at once, more or less.
const WIDTH: u32 = 8192;
/// Threads that keep a software adapter busy: a few for every core.
pub(super) const SOFTWARE_WIDTH: u32 = 64;

/// What becomes of a mapping.
pub(super) type Mapping = oneshot::Receiver<Result<(), wgpu::BufferAsyncError>>;

/// Starts to map a staging buffer.
pub(super) fn map(staging: &wgpu::Buffer) -> Mapping {
    let (sender, mapping) = oneshot::channel();
    staging.map_async(wgpu::MapMode::Read, .., move |result| {
        let _ = sender.send(result);
    });
    mapping
}

/// An open WebGPU device together with its queue and its fault record.
pub struct Gpu {
    pub(super) device: wgpu::Device,
    queue: wgpu::Queue,
    submits: Cell<u64>,
    /// Bytes of the largest storage binding.
    pub(super) largest_binding: u64,
    /// How many threads keep the adapter busy.
    pub(super) width: u32,
    adapter: String,
    faults: Arc<Faults>,
}

/// Faults are reported by callbacks, long after the call that caused them.
#[derive(Default)]
struct Faults {
    lost: AtomicBool,
    first_error: Mutex<Option<String>>,
}

impl Gpu {
    /// Opens the preferred adapter with the largest buffers it allows.
    ///
    /// # Errors
    /// `NoAdapter` where there is no WebGPU (or it is blocked), `Device` when the request is refused.
    pub async fn open() -> Result<Self, GpuError> {
        let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
        let options = wgpu::RequestAdapterOptions {
            power_preference: wgpu::PowerPreference::HighPerformance,
            ..Default::default()
        };
        let adapter = instance
            .request_adapter(&options)
            .await
            .map_err(|error| GpuError::NoAdapter(error.to_string()))?;
        let offered = adapter.limits();
        let required_limits = wgpu::Limits {
            max_buffer_size: offered.max_buffer_size,
            max_storage_buffer_binding_size: offered.max_storage_buffer_binding_size,
            ..wgpu::Limits::default()
        };
        let descriptor = wgpu::DeviceDescriptor { required_limits, ..Default::default() };
        let (device, queue) =
            adapter.request_device(&descriptor).await.map_err(|error| GpuError::Device(error.to_string()))?;
        let largest_binding = offered.max_storage_buffer_binding_size.min(offered.max_buffer_size);
        let info = adapter.get_info();
        let width = if is_software(&info).await { SOFTWARE_WIDTH } else { WIDTH };
        Ok(Self {
            faults: Faults::watch(&device),
            adapter: info.name,
            device,
            queue,
            submits: Cell::new(0),
            largest_binding,
            width,
        })
    }

    /// What the adapter calls itself; empty where the browser hides it.
    #[must_use]
    pub fn adapter(&self) -> &str {
        &self.adapter
    }

    /// Fails once the device is lost or has reported an error.
    ///
    /// # Errors
    /// `DeviceLost` or the first error that the device reported.
    pub fn check(&self) -> Result<(), GpuError> {
        if self.faults.lost.load(Ordering::Acquire) {
            return Err(GpuError::DeviceLost);
        }
        match self.faults.first_error.lock() {
            Ok(error) => error.as_ref().map_or(Ok(()), |message| Err(GpuError::Device(message.clone()))),
            Err(_) => Err(GpuError::DeviceLost),
        }
    }

    /// How many times commands were submitted.
    #[must_use]
    pub fn submits(&self) -> u64 {
        self.submits.get()
    }

    pub(super) fn submit(&self, commands: wgpu::CommandEncoder) {
        self.submits.set(self.submits.get() + 1);
        self.queue.submit([commands.finish()]);
    }

    /// Overwrites a part of a buffer before whatever is submitted next.
    pub(super) fn write(&self, buffer: &wgpu::Buffer, offset: u64, bytes: &[u8]) {
        self.queue.write_buffer(buffer, offset, bytes);
    }

    /// Waits until everything submitted so far has run.
    ///
    /// # Errors
    /// `DeviceLost` when it never will.
    pub async fn idle(&self) -> Result<(), GpuError> {
        let (sender, receiver) = oneshot::channel();
        self.queue.on_submitted_work_done(move || {
            let _ = sender.send(());
        });
        self.drive();
        receiver.await.or(Err(GpuError::DeviceLost))?;
        self.check()
    }

    /// Waits for a mapping under way, copies the first `count` floats and unmaps.
    ///
    /// # Errors
    /// `DeviceLost` when the buffer cannot be mapped.
    pub(super) async fn mapped_floats(
        &self,
        staging: &wgpu::Buffer,
        count: usize,
        mapped: &mut Mapping,
    ) -> Result<Vec<f32>, GpuError> {
        self.drive();
        let mapped = mapped.await.or(Err(GpuError::DeviceLost))?;
        self.check()?;
        mapped.or(Err(GpuError::DeviceLost))?;
        let mut floats = floats_of(&staging.get_mapped_range(..));
        floats.truncate(count);
        staging.unmap();
        Ok(floats)
    }

    /// Gives the device's memory back at once; every later call fails with `DeviceLost`.
    pub fn destroy(&self) {
        self.faults.lost.store(true, Ordering::Release);
        self.device.destroy();
    }

    /// Natively callbacks run only while somebody polls; in a browser this does nothing.
    fn drive(&self) {
        let _ = self.device.poll(wgpu::PollType::wait_indefinitely());
    }
}

/// The device's memory is given back at once: in a browser it would wait for the garbage collector.
impl Drop for Gpu {
    fn drop(&mut self) {
        self.destroy();
    }
}

/// Whether the adapter is a program. Says how finely to cut the work, nothing else.
#[cfg(not(target_arch = "wasm32"))]
#[expect(clippy::unused_async, reason = "a browser has to be asked")]
async fn is_software(info: &wgpu::AdapterInfo) -> bool {
    info.device_type == wgpu::DeviceType::Cpu
}

/// Whether the adapter is a program. Says how finely to cut the work, nothing else. wgpu does not pass on what the browser
/// says.
#[cfg(target_arch = "wasm32")]
async fn is_software(_: &wgpu::AdapterInfo) -> bool {
    let adapter = browser::request_adapter().await;
    adapter.and_then(|adapter| adapter.info()?.is_fallback_adapter()).unwrap_or(None) == Some(true)
}

#[cfg(target_arch = "wasm32")]
mod browser {
    use wasm_bindgen::JsValue;
    use wasm_bindgen::prelude::wasm_bindgen;

    #[wasm_bindgen]
    extern "C" {
        pub(super) type Adapter;
        pub(super) type Info;

        #[wasm_bindgen(catch, js_namespace = ["navigator", "gpu"], js_name = requestAdapter)]
        pub(super) async fn request_adapter() -> Result<Adapter, JsValue>;

        #[wasm_bindgen(catch, method, getter)]
        pub(super) fn info(this: &Adapter) -> Result<Info, JsValue>;

        #[wasm_bindgen(catch, method, getter, js_name = isFallbackAdapter)]
        pub(super) fn is_fallback_adapter(this: &Info) -> Result<Option<bool>, JsValue>;
    }
}

impl Faults {
    fn watch(device: &wgpu::Device) -> Arc<Self> {
        let faults = Arc::new(Self::default());
        let lost = Arc::clone(&faults);
        device.set_device_lost_callback(move |_, _| lost.lost.store(true, Ordering::Release));
        let reported = Arc::clone(&faults);
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            if let Ok(mut first) = reported.first_error.lock() {
                first.get_or_insert_with(|| error.to_string());
            }
        }));
        faults
    }
}

fn floats_of(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks::<4>().0.iter().map(|&word| f32::from_le_bytes(word)).collect()
}
