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
        let no_adapter = |error: wgpu::RequestAdapterError| {
            // In a browser wgpu lists the back ends that it does not have there.
            let is_browser = cfg!(target_arch = "wasm32");
            GpuError::NoAdapter(if is_browser { "the browser offers none".into() } else { error.to_string() })
        };
        let adapter = instance.request_adapter(&options).await.map_err(no_adapter)?;
        let offer = Offer::of(&adapter).await;
        let required_limits = wgpu::Limits {
            max_buffer_size: offer.largest_buffer,
            max_storage_buffer_binding_size: offer.largest_binding,
            ..wgpu::Limits::default()
        };
        let descriptor = wgpu::DeviceDescriptor { required_limits, ..Default::default() };
        let (device, queue) =
            adapter.request_device(&descriptor).await.map_err(|error| GpuError::Device(error.to_string()))?;
        Ok(Self {
            faults: Faults::watch(&device),
            device,
            queue,
            submits: Cell::new(0),
            largest_binding: offer.largest_binding.min(offer.largest_buffer),
            width: if offer.is_software { SOFTWARE_WIDTH } else { WIDTH },
        })
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

/// What an adapter says of itself.
struct Offer {
    /// Whether it is a program. Says how finely to cut the work, nothing else.
    is_software: bool,
    /// Bytes of the largest buffer.
    largest_buffer: u64,
    /// Bytes of the largest storage binding.
    largest_binding: u64,
}

#[cfg(not(target_arch = "wasm32"))]
impl Offer {
    #[expect(clippy::unused_async, reason = "a browser has to be asked")]
    async fn of(adapter: &wgpu::Adapter) -> Self {
        let limits = adapter.limits();
        Self {
            is_software: adapter.get_info().device_type == wgpu::DeviceType::Cpu,
            largest_buffer: limits.max_buffer_size,
            largest_binding: limits.max_storage_buffer_binding_size,
        }
    }
}

/// The browser is asked without wgpu, which does not pass on all that it says, and would bring all limits there are.
#[cfg(target_arch = "wasm32")]
impl Offer {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "numbers of bytes are whole and not negative"
    )]
    async fn of(_: &wgpu::Adapter) -> Self {
        let options = browser::Options::new();
        options.set_power_preference("high-performance");
        let adapter = browser::request_adapter(&options).await.ok();
        let limits = adapter.as_ref().and_then(|adapter| adapter.limits().ok());
        let info = adapter.as_ref().and_then(|adapter| adapter.info().ok());
        let lowest = wgpu::Limits::default();
        let (largest_buffer, largest_binding) = limits
            .map_or((lowest.max_buffer_size, lowest.max_storage_buffer_binding_size), |limits| {
                (limits.max_buffer_size() as u64, limits.max_storage_buffer_binding_size() as u64)
            });
        let is_software =
            info.is_some_and(|info| info.is_fallback_adapter().is_ok_and(|is| is == Some(true)));
        Self { is_software, largest_buffer, largest_binding }
    }
}

#[cfg(target_arch = "wasm32")]
mod browser {
    use wasm_bindgen::JsValue;
    use wasm_bindgen::prelude::wasm_bindgen;

    #[wasm_bindgen]
    extern "C" {
        pub(super) type Options;
        pub(super) type Adapter;
        pub(super) type Limits;
        pub(super) type Info;

        #[wasm_bindgen(constructor, js_class = "Object")]
        pub(super) fn new() -> Options;

        #[wasm_bindgen(method, setter, js_name = powerPreference)]
        pub(super) fn set_power_preference(this: &Options, preference: &str);

        #[wasm_bindgen(catch, js_namespace = ["navigator", "gpu"], js_name = requestAdapter)]
        pub(super) async fn request_adapter(options: &Options) -> Result<Adapter, JsValue>;

        #[wasm_bindgen(catch, method, getter)]
        pub(super) fn limits(this: &Adapter) -> Result<Limits, JsValue>;

        #[wasm_bindgen(method, getter, js_name = maxBufferSize)]
        pub(super) fn max_buffer_size(this: &Limits) -> f64;

        #[wasm_bindgen(method, getter, js_name = maxStorageBufferBindingSize)]
        pub(super) fn max_storage_buffer_binding_size(this: &Limits) -> f64;

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
