//! Training is sliced, paused, resumed and abandoned as it should be, on a real campaign.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use lichen_bridge::Engine;
use lichen_campaign::{Manifest, Transport};
use lichen_record::{AccountId, CampaignId};
use lichen_round::Rules;
use lichen_settle::Measurer;
use lichen_store::Memory;
use wasm_bindgen_futures::JsFuture;
use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};

use super::*;
use crate::hub::Hub;
use crate::mesh::Mesh;
use crate::setup::Setup;

wasm_bindgen_test_configure!(run_in_dedicated_worker);

const MANIFEST: &[u8] = include_bytes!("../../../../relay/campaigns/digits/campaign.toml");
const DATA: &[u8] = include_bytes!("../../../../relay/campaigns/digits/digits.safetensors");

/// Remembers every GPU device that is opened from now on.
const WATCH_DEVICES: &str = "(() => {
    if (globalThis.devices) return;
    globalThis.devices = [];
    const open = GPUAdapter.prototype.requestDevice;
    GPUAdapter.prototype.requestDevice = async function (...wanted) {
        const device = await open.apply(this, wanted);
        devices.push(device);
        return device;
    };
})()";

/// What training needs of a tab; destroys every GPU device at the given turn.
#[derive(Default)]
struct Tab {
    blobs: Memory,
    turns: Cell<u32>,
    lost_at: Option<u32>,
    /// Whether waits never end, so that whatever they limit has all the time it needs.
    is_patient: bool,
}

fn keyless<T>() -> Result<T, Problem> {
    Err(Problem { message: "This tab only trains.".into(), remedy: String::new() })
}

impl Platform for Tab {
    type Blobs = Memory;
    type Lease = ();

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "milliseconds since 1970")]
    fn now(&self) -> u64 {
        js_sys::Date::now() as u64
    }

    fn clock(&self) -> f64 {
        js_sys::Date::now()
    }

    fn blobs(&self) -> &Memory {
        &self.blobs
    }

    async fn check_ed25519(&self, _claim: &lichen_log::Ed25519Claim) -> Option<bool> {
        None
    }

    async fn yield_now(&self) {
        self.turns.set(self.turns.get() + 1);
        if Some(self.turns.get()) == self.lost_at {
            js_sys::eval("devices.forEach(device => device.destroy())").unwrap();
        }
        let turn = js_sys::eval("new Promise(resolve => setTimeout(resolve))").unwrap();
        JsFuture::from(js_sys::Promise::from(turn)).await.unwrap();
    }

    async fn sleep(&self, _milliseconds: u32) {
        if self.is_patient {
            std::future::pending::<()>().await;
        }
        self.yield_now().await;
    }

    async fn manifest(&self, _campaign: &CampaignId) -> Result<Vec<u8>, Problem> {
        Ok(MANIFEST.to_vec())
    }

    async fn blob(&self, _cid: &lichen_record::Cid) -> Result<Vec<u8>, Problem> {
        keyless()
    }

    async fn find_account(&self) -> Result<Option<AccountId>, Problem> {
        keyless()
    }

    async fn make_account(&self) -> Result<AccountId, Problem> {
        keyless()
    }

    async fn sign(&self, _bytes: &[u8]) -> Result<Vec<u8>, Problem> {
        keyless()
    }

    async fn try_lease(&self, _campaign: &CampaignId) -> Result<Option<()>, Problem> {
        Ok(Some(()))
    }

    async fn lease(&self, _campaign: &CampaignId) -> Result<(), Problem> {
        Ok(())
    }

    async fn save(&self, _name: &str, _bytes: &[u8]) -> Result<(), Problem> {
        Ok(())
    }

    async fn load(&self, _prefix: &str) -> Result<Vec<(String, Vec<u8>)>, Problem> {
        Ok(Vec::new())
    }
}

struct Bench {
    context: Context<Tab>,
    dataset: Dataset,
    events: Rc<RefCell<Vec<Event>>>,
}

impl Bench {
    fn new(tab: Tab) -> Self {
        Self::of(MANIFEST, tab)
    }

    /// A tab that takes part in the campaign of this manifest, on the digits.
    fn of(text: &[u8], tab: Tab) -> Self {
        let manifest = Manifest::from_bytes(text).unwrap();
        let dataset = Dataset::decode(DATA, &manifest).unwrap();
        // These tests take more steps than the manifest's rounds have.
        let rules = Rules { steps: 500, ..Rules::from(&manifest) };
        let setup = Rc::new(Setup {
            campaign: CampaignId::of_manifest(text),
            manifest,
            bytes: text.to_vec(),
            rules,
            showing: crate::showing::Showing::default(),
            max_norm: 1e12,
        });
        let events = Rc::new(RefCell::new(Vec::new()));
        let keep = Rc::clone(&events);
        let out: crate::hub::Outbox = Rc::new(move |event| keep.borrow_mut().push(event));
        let account = AccountId::from_sec1(&GENERATOR).unwrap();
        let hub = Hub::new(Rc::clone(&out));
        let mesh = Rc::new(Mesh::new(Rc::clone(&out), Rc::clone(&hub), Transport::Relay, DATA.len(), 10_000));
        let context = Context::new(Rc::new(tab), out, hub, mesh, setup, account);
        Self { context, dataset, events }
    }

    async fn train(&self, preference: EnginePreference, steps: u32) -> Result<Trained, Failure> {
        let mut training = Training::new(preference);
        training.choose(&self.context).await.map_err(Failure::Fatal)?;
        self.round(&mut training, 1, steps).await
    }

    /// Trains until the GPU's turn to be measured has come, as a tab does that nobody told which engine to take.
    async fn train_until_measured(&self) {
        let mut training = Training::new(EnginePreference::Auto);
        assert!(training.choose(&self.context).await.is_ok());
        for round in 1..=u64::from(measure::ROUNDS_BEFORE_GPU) + 1 {
            trained(self.round(&mut training, round, 10).await);
        }
    }

    async fn round(&self, training: &mut Training, round: u64, steps: u32) -> Result<Trained, Failure> {
        let ticket = self.context.next_training();
        training.run(&self.context, &self.dataset, self.task(ticket, round, steps)).await
    }

    fn task(&self, ticket: TrainingTicket, round: u64, steps: u32) -> Task {
        let (cid, base) = self.context.setup.initial().ok().unwrap();
        let shard = self.context.setup.rules.split.training();
        let learning_rate = self.context.setup.rules.learning_rate;
        let round = RoundNumber(round);
        let assignment = Assignment { round, base: cid, shard, steps, seed: 7, learning_rate };
        Task { ticket, base, assignment }
    }

    fn engines(&self) -> Vec<Engine> {
        let engine = |event: &Event| match event {
            Event::Engine(engine) => Some(engine.clone()),
            _ => None,
        };
        self.events.borrow().iter().filter_map(engine).collect()
    }
}

/// The curve's generator: some account.
const GENERATOR: [u8; 33] = [
    0x03, 0x6b, 0x17, 0xd1, 0xf2, 0xe1, 0x2c, 0x42, 0x47, 0xf8, 0xbc, 0xe6, 0xe5, 0x63, 0xa4, 0x40, 0xf2,
    0x77, 0x03, 0x7d, 0x81, 0x2d, 0xeb, 0x33, 0xa0, 0xf4, 0xa1, 0x39, 0x45, 0xd8, 0x98, 0xc2, 0x96,
];

fn trained(result: Result<Trained, Failure>) -> Trained {
    match result {
        Ok(trained) => trained,
        Err(Failure::Retry) => panic!("nothing was trained"),
        Err(Failure::Diverged) => panic!("it diverged"),
        Err(Failure::Fatal(problem)) => panic!("{}", problem.message),
    }
}

#[wasm_bindgen_test]
async fn a_lost_gpu_does_not_cost_the_round() {
    js_sys::eval(WATCH_DEVICES).unwrap();
    let lost = Bench::new(Tab { lost_at: Some(2), ..Tab::default() });
    let by_both = trained(lost.train(EnginePreference::Gpu, 200).await);
    let engines = lost.engines();
    assert_eq!(engines.first().map(|engine| engine.kind), Some(EngineKind::Gpu));
    let last = engines.last().unwrap();
    assert_eq!((last.kind, last.why.as_str()), (EngineKind::Cpu, "The GPU was lost; the CPU continues."));
    let by_cpu = trained(Bench::new(Tab::default()).train(EnginePreference::Cpu, 200).await);
    assert_eq!(by_both.parameters.to_safetensors(), by_cpu.parameters.to_safetensors());
    assert_eq!(by_both.metrics, by_cpu.metrics);
}

#[wasm_bindgen_test]
async fn both_engines_learn_alike() {
    let loss = async |preference| {
        let bench = Bench::new(Tab::default());
        let metrics = trained(bench.train(preference, 200).await).metrics;
        let kind = bench.engines().last().unwrap().kind;
        (kind, metrics.loss(), metrics.accuracy())
    };
    let (cpu, cpu_loss, cpu_accuracy) = loss(EnginePreference::Cpu).await;
    let (gpu, gpu_loss, gpu_accuracy) = loss(EnginePreference::Gpu).await;
    assert_eq!((cpu, gpu), (EngineKind::Cpu, EngineKind::Gpu));
    assert!((cpu_loss - gpu_loss).abs() < 1e-3 * cpu_loss, "{cpu_loss} {gpu_loss}");
    assert!((cpu_accuracy - gpu_accuracy).abs() < 0.01, "{cpu_accuracy} {gpu_accuracy}");
}

/// The campaign's manifest with the other models that its description offers.
fn other_models() -> Vec<String> {
    let manifest = core::str::from_utf8(MANIFEST).unwrap();
    let description = include_str!("../../../../relay/campaigns/digits/README.md");
    let (start, end) = (manifest.find("[model]").unwrap(), manifest.find("[train]").unwrap());
    let models = description.split("```toml\n").skip(1).map(|text| text.split("```").next().unwrap());
    models.map(|model| format!("{}{model}\n{}", &manifest[..start], &manifest[end..])).collect()
}

#[wasm_bindgen_test]
async fn the_manifest_alone_decides_which_model_is_trained() {
    let manifests = other_models();
    assert_eq!(manifests.len(), 2);
    for manifest in manifests {
        let bench = Bench::of(manifest.as_bytes(), Tab::default());
        let trained = trained(bench.train(EnginePreference::Cpu, 500).await);
        let mut measurer = Measurer::new(&bench.context.setup.manifest.model);
        let held_out = bench.context.setup.rules.split.held_out();
        let measured = measurer.measure(&trained.parameters, &bench.dataset, &held_out, async || {}).await;
        let measured = measured.unwrap();
        assert_eq!(measured.samples, 360);
        assert!(measured.accuracy > 0.95, "{}", measured.accuracy);
    }
}

#[wasm_bindgen_test]
async fn a_quick_cpu_begins_and_the_gpu_is_measured_after_some_rounds() {
    let bench = Bench::new(Tab { is_patient: true, ..Tab::default() });
    bench.train_until_measured().await;
    let engines = bench.engines();
    let first = engines.first().unwrap();
    assert_eq!((first.kind, first.gpu_ms), (EngineKind::Cpu, None));
    let last = engines.last().unwrap();
    let (cpu_ms, gpu_ms) = (last.cpu_ms.unwrap(), last.gpu_ms.unwrap());
    assert_eq!(last.kind == EngineKind::Gpu, gpu_ms < cpu_ms, "{last:?}");
}

#[wasm_bindgen_test]
async fn a_slow_cpu_is_measured_beside_the_gpu_at_once() {
    let long = std::str::from_utf8(MANIFEST).unwrap().replace("steps = 60", "steps = 100000000");
    let bench = Bench::of(long.as_bytes(), Tab { is_patient: true, ..Tab::default() });
    trained(bench.train(EnginePreference::Auto, 10).await);
    let first = bench.engines().swap_remove(0);
    assert_eq!(first.kind == EngineKind::Gpu, first.gpu_ms.unwrap() < first.cpu_ms.unwrap(), "{first:?}");
}

#[wasm_bindgen_test]
async fn a_measurement_that_takes_too_long_is_not_waited_for() {
    let bench = Bench::new(Tab::default());
    bench.train_until_measured().await;
    let engine = bench.engines().pop().unwrap();
    assert_eq!((engine.kind, engine.gpu_ms), (EngineKind::Cpu, None));
    assert_eq!(engine.why, "The GPU takes too long to get ready here, so the CPU trains.");
}
