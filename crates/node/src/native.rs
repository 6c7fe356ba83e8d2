//! The platform of native programs, on a tokio runtime: a key in memory, and nothing kept when the program ends.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lichen_bridge::Problem;
use lichen_log::{Ed25519Claim, check_ed25519};
use lichen_record::{AccountId, CampaignId, Cid, SigningKey};
use lichen_store::Memory;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::{Platform, Unkept};

/// Under which name is noted that the device's key is in use.
const KEY_IN_USE: &str = "key/account";

/// What one device keeps; nodes on the same device share it.
pub struct Device {
    key: SigningKey,
    blobs: Memory,
    values: RefCell<BTreeMap<String, Vec<u8>>>,
    lock: Rc<Semaphore>,
}

impl Device {
    /// A device with this key that keeps nothing else yet.
    #[must_use]
    pub fn new(key: SigningKey) -> Rc<Self> {
        let lock = Rc::new(Semaphore::new(1));
        Rc::new(Self { key, blobs: Memory::new(), values: RefCell::default(), lock })
    }

    /// Forgets all small values, the use of the key among them, as when somebody clears a site's data.
    pub fn forget(&self) {
        self.values.borrow_mut().clear();
    }
}

/// Being the device's only node in a campaign.
pub struct Lease(Rc<Semaphore>);

impl Drop for Lease {
    fn drop(&mut self) {
        self.0.add_permits(1);
    }
}

/// What a node on a device has to do with the world.
pub struct Native {
    device: Rc<Device>,
    manifest: Vec<u8>,
    site: Vec<Vec<u8>>,
    /// How long others have their turn whenever the node lets them.
    pause: Duration,
    began: Instant,
}

impl Native {
    /// The platform of one node on this device, in the campaign that these bytes describe.
    #[must_use]
    pub fn new(device: Rc<Device>, manifest: Vec<u8>) -> Self {
        Self { device, manifest, site: Vec::new(), pause: Duration::ZERO, began: Instant::now() }
    }

    /// The same on a device that is busy with other things for so long between any two slices of work.
    #[must_use]
    pub fn with_pauses(self, pause: Duration) -> Self {
        Self { pause, ..self }
    }

    /// The same, where these blobs are to be had before anything is connected.
    #[must_use]
    pub fn with_site(self, site: Vec<Vec<u8>>) -> Self {
        Self { site, ..self }
    }
}

impl Platform for Native {
    type Blobs = Memory;
    type Lease = Lease;

    fn now(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    fn clock(&self) -> f64 {
        self.began.elapsed().as_secs_f64() * 1e3
    }

    fn blobs(&self) -> &Memory {
        &self.device.blobs
    }

    async fn yield_now(&self) {
        if self.pause.is_zero() {
            return tokio::task::yield_now().await;
        }
        tokio::time::sleep(self.pause).await;
    }

    async fn sleep(&self, milliseconds: u32) {
        tokio::time::sleep(Duration::from_millis(milliseconds.into())).await;
    }

    async fn manifest(&self, _campaign: &CampaignId) -> Result<Vec<u8>, Problem> {
        Ok(self.manifest.clone())
    }

    async fn blob(&self, cid: &Cid) -> Result<Vec<u8>, Problem> {
        self.site.iter().find(|bytes| cid.matches(bytes)).cloned().ok_or_else(|| Problem {
            message: format!("{cid} is not to be had."),
            remedy: "Try again.".into(),
        })
    }

    async fn find_account(&self) -> Result<Option<AccountId>, Problem> {
        let is_made = self.device.values.borrow().contains_key(KEY_IN_USE);
        Ok(is_made.then(|| self.device.key.account()))
    }

    async fn make_account(&self) -> Result<AccountId, Problem> {
        self.device.values.borrow_mut().insert(KEY_IN_USE.into(), Vec::new());
        Ok(self.device.key.account())
    }

    async fn check_kept(&self) -> Result<(), Unkept> {
        if self.device.values.borrow().contains_key(KEY_IN_USE) {
            return Ok(());
        }
        Err(Unkept::Gone(Problem {
            message: "The device has forgotten the account's key.".into(),
            remedy: "Join again; it will be under a new account.".into(),
        }))
    }

    async fn sign(&self, bytes: &[u8]) -> Result<Vec<u8>, Problem> {
        Ok(self.device.key.sign_bytes(bytes).to_vec())
    }

    async fn check_ed25519(&self, claim: &Ed25519Claim) -> Option<bool> {
        Some(claim.is_true(check_ed25519))
    }

    async fn try_lease(&self, _campaign: &CampaignId) -> Result<Option<Lease>, Problem> {
        let lock = &self.device.lock;
        Ok(lock.try_acquire().ok().map(|permit| {
            permit.forget();
            Lease(Rc::clone(lock))
        }))
    }

    async fn lease(&self, _campaign: &CampaignId) -> Result<Lease, Problem> {
        let lock = &self.device.lock;
        let permit = lock.acquire().await.map_err(|_closed| Problem {
            message: "The device's lock is gone.".into(),
            remedy: "Start the program again.".into(),
        })?;
        permit.forget();
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
