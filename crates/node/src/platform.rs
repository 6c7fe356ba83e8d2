//! What a node needs from the machine that it runs on.

use lichen_bridge::Problem;
use lichen_engine::Executor;
use lichen_log::Ed25519Claim;
use lichen_record::{AccountId, CampaignId, Cid, Signable, Verified, VerifyError};
use lichen_store::Blobs;

/// What the node cannot do by itself: time, turns, the account's key and what the device keeps.
///
/// One node is one thread's; no future of it is `Send`.
#[expect(async_fn_in_trait, reason = "a node runs on one thread, in a worker as in native programs")]
pub trait Platform: 'static {
    /// Where blobs are kept.
    type Blobs: Blobs;

    /// Being this device's only tab in a campaign; another may be so once it is dropped.
    type Lease: 'static;

    /// Milliseconds of Unix time, as this device shows it: for what others read, and for what is kept. It jumps when
    /// somebody sets the device's clock, so that nothing is waited for by it.
    fn now(&self) -> u64;

    /// Milliseconds of a clock that is fine and never goes back; only differences matter.
    fn clock(&self) -> f64;

    /// [`Platform::clock`] in whole milliseconds: what everything that waits or expires goes by.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "milliseconds of an age")]
    fn elapsed(&self) -> u64 {
        self.clock() as u64
    }

    /// Threads that share the work of the CPU engine, this one included.
    fn threads(&self) -> u32 {
        1
    }

    /// What takes the steps of a manifest's training on these threads; none where there is only this one, or where they
    /// cannot train it.
    fn executor(&self, _manifest: &[u8]) -> Option<Box<dyn Executor>> {
        None
    }

    /// Where blobs are kept.
    fn blobs(&self) -> &Self::Blobs;

    /// Lets everything else on this thread have its turn, messages from outside included.
    async fn yield_now(&self);

    /// Waits at least this long.
    async fn sleep(&self, milliseconds: u32);

    /// The manifest's bytes, unchecked, from wherever they are to be had before anything is connected.
    ///
    /// # Errors
    /// Nobody gives it: what a person can do about that.
    async fn manifest(&self, campaign: &CampaignId) -> Result<Vec<u8>, Problem>;

    /// A blob's bytes, unchecked, from where the manifest comes from.
    ///
    /// # Errors
    /// Nobody gives it: what a person can do about that.
    async fn blob(&self, cid: &Cid) -> Result<Vec<u8>, Problem>;

    /// The account kept on this device, if there is one.
    ///
    /// # Errors
    /// The device's store of keys cannot be read.
    async fn find_account(&self) -> Result<Option<AccountId>, Problem>;

    /// The account kept on this device, made and kept now if there was none.
    ///
    /// # Errors
    /// No key can be made, or none can be kept.
    async fn make_account(&self) -> Result<AccountId, Problem>;

    /// The account's signature over these bytes: ECDSA P-256 with SHA-256, raw `r ‖ s`, 64 bytes.
    ///
    /// # Errors
    /// There is no key on this device any more, or it refuses to sign.
    async fn sign(&self, bytes: &[u8]) -> Result<Vec<u8>, Problem>;

    /// Whether what this device keeps for the account is still there: a site's data can be cleared while it runs.
    ///
    /// # Errors
    /// [`Unkept`]: the key is gone, or the store cannot be read.
    async fn check_kept(&self) -> Result<(), Unkept> {
        Ok(())
    }

    /// Checks an envelope from outside as [`lichen_record::verify`] does, by the fastest arithmetic that the machine has.
    ///
    /// # Errors
    /// What is wrong with the envelope.
    async fn verify<T: Signable>(&self, envelope: &[u8]) -> Result<Verified<T>, VerifyError> {
        lichen_record::verify(envelope)
    }

    /// Whether an Ed25519 signature is right; none where the machine has no arithmetic for it.
    async fn check_ed25519(&self, claim: &Ed25519Claim) -> Option<bool>;

    /// The lease on this campaign if nobody on this device has it.
    ///
    /// # Errors
    /// It cannot be told whether another tab has it.
    async fn try_lease(&self, campaign: &CampaignId) -> Result<Option<Self::Lease>, Problem>;

    /// The lease on this campaign, however long that takes.
    ///
    /// # Errors
    /// It cannot be told whether another tab has it, or that tab never gives it back.
    async fn lease(&self, campaign: &CampaignId) -> Result<Self::Lease, Problem>;

    /// Keeps small bytes under a name, in place of what was there.
    ///
    /// # Errors
    /// The device's store is full or refuses.
    async fn save(&self, name: &str, bytes: &[u8]) -> Result<(), Problem>;

    /// The names that begin so and what is kept under them, in the order of names.
    ///
    /// # Errors
    /// The device's store cannot be read.
    async fn load(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, Problem>;
}

/// Why a device does not keep what it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unkept {
    /// The account's key is gone, so that nothing more can be done in its name.
    Gone(Problem),
    /// The store cannot be read at the moment; this is why.
    Failing(String),
}
