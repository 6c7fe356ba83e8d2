//! A platform over memory and a native key, for tests.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lichen_bridge::Problem;
use lichen_record::{AccountId, CampaignId, SigningKey};
use lichen_store::Memory;

use crate::Platform;

/// What one device keeps; tabs of the same device share it.
pub(crate) struct Device {
    pub(crate) key: SigningKey,
    pub(crate) blobs: Memory,
    pub(crate) values: RefCell<BTreeMap<String, Vec<u8>>>,
    lock: Rc<tokio::sync::Semaphore>,
}

impl Device {
    pub(crate) fn new(seed: u8) -> Rc<Self> {
        Rc::new(Self {
            key: SigningKey::generate([seed; 32]),
            blobs: Memory::new(),
            values: RefCell::default(),
            lock: Rc::new(tokio::sync::Semaphore::new(1)),
        })
    }
}

/// A lease that gives its permit back when dropped.
pub(crate) struct Lease(Rc<tokio::sync::Semaphore>);

impl Drop for Lease {
    fn drop(&mut self) {
        self.0.add_permits(1);
    }
}

/// A tab on a device.
pub(crate) struct Tab {
    pub(crate) device: Rc<Device>,
    pub(crate) manifest: Vec<u8>,
}

impl Platform for Tab {
    type Blobs = Memory;
    type Lease = Lease;

    fn now(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        u64::try_from(since.as_millis()).unwrap()
    }

    fn clock(&self) -> f64 {
        thread_local!(static BEGAN: std::time::Instant = std::time::Instant::now());
        BEGAN.with(std::time::Instant::elapsed).as_secs_f64() * 1e3
    }

    fn blobs(&self) -> &Memory {
        &self.device.blobs
    }

    async fn yield_now(&self) {
        tokio::task::yield_now().await;
    }

    async fn sleep(&self, milliseconds: u32) {
        tokio::time::sleep(Duration::from_millis(milliseconds.into())).await;
    }

    async fn manifest(&self, _campaign: &CampaignId) -> Result<Vec<u8>, Problem> {
        Ok(self.manifest.clone())
    }

    async fn find_account(&self) -> Result<Option<AccountId>, Problem> {
        let is_made = self.device.values.borrow().contains_key("key");
        Ok(is_made.then(|| self.device.key.account()))
    }

    async fn make_account(&self) -> Result<AccountId, Problem> {
        self.device.values.borrow_mut().insert("key".into(), Vec::new());
        Ok(self.device.key.account())
    }

    async fn sign(&self, bytes: &[u8]) -> Result<Vec<u8>, Problem> {
        Ok(self.device.key.sign_bytes(bytes).to_vec())
    }

    async fn try_lead(&self, _campaign: &CampaignId) -> Result<Option<Lease>, Problem> {
        let lock = &self.device.lock;
        Ok(lock.try_acquire().ok().map(|permit| {
            permit.forget();
            Lease(Rc::clone(lock))
        }))
    }

    async fn lead(&self, _campaign: &CampaignId) -> Result<Lease, Problem> {
        let lock = &self.device.lock;
        lock.acquire().await.unwrap().forget();
        Ok(Lease(Rc::clone(lock)))
    }

    async fn save(&self, name: &str, bytes: &[u8]) -> Result<(), Problem> {
        self.device.values.borrow_mut().insert(name.into(), bytes.to_vec());
        Ok(())
    }

    async fn load(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, Problem> {
        let values = self.device.values.borrow();
        let found = values.range(prefix.to_owned()..).take_while(|(name, _bytes)| name.starts_with(prefix));
        Ok(found.map(|(name, bytes)| (name.clone(), bytes.clone())).collect())
    }
}
