//! What a worker's global scope offers, as the node's platform.

use std::cell::RefCell;
use std::pin::pin;
use std::rc::Rc;

use futures::future::{Either, select};
use js_sys::Uint8Array;
use lichen_bridge::Problem;
use lichen_engine::Executor;
use lichen_log::Ed25519Claim;
use lichen_node::{Platform, Unkept};
use lichen_record::{AccountId, CampaignId, Cid, Signable, Verified, VerifyError, verify_by};
use lichen_store::{IndexedDb, Recent, StoreError};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{AbortSignal, DedicatedWorkerGlobalScope, RequestInit, Response, SubtleCrypto};

use crate::failure::describe;
use crate::key::{self, AccountKey};
use crate::lease::{self, Lease, LockManager, Patience};
use crate::signatures::Signatures;
use crate::threads::Threads;
use crate::turns::{Turns, sleep};

/// The database of this origin.
const DATABASE: &str = "lichen";

/// How long the relay may take to hand out a manifest, in milliseconds.
const FETCH_TIMEOUT_MS: u32 = 10_000;

/// How long the relay may take to hand out a blob, in milliseconds: data may be large, and lines slow.
const BLOB_TIMEOUT_MS: u32 = 120_000;

/// How long the browser may take to open the database, in milliseconds.
const STORE_TIMEOUT_MS: u32 = 10_000;

const RELOAD: &str = "Reload the page; if it happens again, use a current Chrome, Edge, Firefox or Safari.";

/// A worker's global scope, its database and the account's key.
pub(crate) struct Scope {
    global: DedicatedWorkerGlobalScope,
    turns: Turns,
    subtle: SubtleCrypto,
    signatures: Signatures,
    locks: LockManager,
    store: Recent<IndexedDb>,
    key: RefCell<Option<Rc<AccountKey>>>,
    threads: Option<Threads>,
}

impl Scope {
    /// Opens the database and everything else that the browser offers.
    pub(crate) async fn open(global: DedicatedWorkerGlobalScope) -> Result<Self, Problem> {
        let refused = |what: &str| {
            let what = what.to_owned();
            move |error: JsValue| problem(&what, &error, RELOAD)
        };
        let turns = Turns::new().map_err(refused("The browser opens no message channel"))?;
        // Both are there in secure contexts only.
        let crypto = global.crypto().map_err(refused("The browser offers no cryptography to this page"))?;
        let locks =
            lease::manager(&global.navigator()).map_err(refused("This page cannot see other tabs"))?;
        let store = Recent::new(open_store(&global).await?);
        let (subtle, threads) = (crypto.subtle(), Threads::find());
        let signatures = Signatures::new(subtle.clone());
        Ok(Self { global, turns, subtle, signatures, locks, store, key: RefCell::new(None), threads })
    }

    async fn find_key(&self) -> Result<Option<Rc<AccountKey>>, Problem> {
        let known = self.key.borrow().clone();
        if known.is_some() {
            return Ok(known);
        }
        let found = AccountKey::find(&self.subtle, self.store.slower()).await;
        let found =
            found.map_err(|error| problem("This device's key cannot be read", &error, RELOAD))?.map(Rc::new);
        self.key.borrow_mut().clone_from(&found);
        Ok(found)
    }

    async fn fetch(&self, path: &str, patience_ms: u32) -> Result<Vec<u8>, JsValue> {
        let options = RequestInit::new();
        options.set_signal(Some(&AbortSignal::timeout_with_u32(patience_ms)));
        let answer = JsFuture::from(self.global.fetch_with_str_and_init(path, &options)).await?;
        let response: Response = answer.unchecked_into();
        if !response.ok() {
            return Err(JsValue::from_str(&format!("status {}", response.status())));
        }
        let body = JsFuture::from(response.array_buffer()?).await?;
        Ok(Uint8Array::new(&body).to_vec())
    }

    async fn ask_for_lease(
        &self,
        campaign: &CampaignId,
        patience: Patience,
    ) -> Result<Option<Lease>, Problem> {
        let name = format!("lichen/{campaign}");
        let lease = lease::take(&self.locks, &name, patience).await;
        lease.map_err(|error| problem("This page cannot tell whether another tab takes part", &error, RELOAD))
    }
}

impl Platform for Scope {
    type Blobs = Recent<IndexedDb>;
    type Lease = Lease;

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "milliseconds since 1970")]
    fn now(&self) -> u64 {
        js_sys::Date::now() as u64
    }

    fn clock(&self) -> f64 {
        // Without it every slice is as long as one step, and both engines measure alike.
        self.global.performance().map_or(0.0, |performance| performance.now())
    }

    fn threads(&self) -> u32 {
        self.threads.as_ref().map_or(1, Threads::number)
    }

    fn executor(&self, manifest: &[u8]) -> Option<Box<dyn Executor>> {
        self.threads.as_ref()?.executor(manifest)
    }

    fn blobs(&self) -> &Recent<IndexedDb> {
        &self.store
    }

    async fn yield_now(&self) {
        self.turns.next().await;
    }

    async fn sleep(&self, milliseconds: u32) {
        sleep(&self.global, milliseconds).await;
    }

    async fn manifest(&self, campaign: &CampaignId) -> Result<Vec<u8>, Problem> {
        self.fetch(&format!("./blob/{campaign}"), FETCH_TIMEOUT_MS).await.map_err(|error| {
            problem(
                "The campaign's description could not be fetched",
                &error,
                "Check your connection, then try again.",
            )
        })
    }

    async fn blob(&self, cid: &Cid) -> Result<Vec<u8>, Problem> {
        self.fetch(&format!("./blob/{cid}"), BLOB_TIMEOUT_MS).await.map_err(|error| {
            problem("The model could not be fetched", &error, "Check your connection, then try again.")
        })
    }

    async fn find_account(&self) -> Result<Option<AccountId>, Problem> {
        Ok(self.find_key().await?.map(|key| key.account()))
    }

    async fn make_account(&self) -> Result<AccountId, Problem> {
        if let Some(key) = self.find_key().await? {
            return Ok(key.account());
        }
        let made = AccountKey::make(&self.subtle, self.store.slower()).await;
        let key = Rc::new(made.map_err(|error| unmade(&error))?);
        *self.key.borrow_mut() = Some(Rc::clone(&key));
        Ok(key.account())
    }

    async fn check_kept(&self) -> Result<(), Unkept> {
        match self.store.slower().value(key::NAME).await {
            Ok(Some(_pair)) => Ok(()),
            Ok(None) => {
                // Whoever cleared it wants it gone: it is not kept anew.
                self.key.borrow_mut().take();
                Err(Unkept::Gone(Problem {
                    message: "This browser has deleted this page's data, including its key.".into(),
                    remedy: "Join again to continue under a new key. Your recorded contributions are safe."
                        .into(),
                }))
            }
            Err(error) => Err(Unkept::Failing(error.to_string())),
        }
    }

    async fn sign(&self, bytes: &[u8]) -> Result<Vec<u8>, Problem> {
        let Some(key) = self.find_key().await? else {
            return Err(problem("Nothing can be signed", &"there is no key on this device".into(), RELOAD));
        };
        key.sign(bytes).await.map_err(|error| problem("The browser refused to sign", &error, RELOAD))
    }

    async fn verify<T: Signable>(&self, envelope: &[u8]) -> Result<Verified<T>, VerifyError> {
        verify_by(envelope, async |claim| self.signatures.is_true(claim).await).await
    }

    async fn check_ed25519(&self, claim: &Ed25519Claim) -> Option<bool> {
        self.signatures.is_signed(claim).await
    }

    async fn try_lease(&self, campaign: &CampaignId) -> Result<Option<Lease>, Problem> {
        self.ask_for_lease(campaign, Patience::GoOn).await
    }

    async fn lease(&self, campaign: &CampaignId) -> Result<Lease, Problem> {
        let lease = self.ask_for_lease(campaign, Patience::Wait).await?;
        lease.ok_or_else(|| problem("Another tab takes part", &"the browser gave no lock".into(), RELOAD))
    }

    async fn save(&self, name: &str, bytes: &[u8]) -> Result<(), Problem> {
        self.store.slower().set_value(name, &Uint8Array::from(bytes)).await.map_err(|error| kept(&error))
    }

    async fn load(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, Problem> {
        let values = self.store.slower().values(prefix).await.map_err(|error| kept(&error))?;
        // What is no byte string was not kept by a node.
        let bytes = |(name, value): (String, JsValue)| {
            value.dyn_into::<Uint8Array>().ok().map(|b| (name, b.to_vec()))
        };
        Ok(values.into_iter().filter_map(bytes).collect())
    }
}

/// A problem that a browser's refusal makes.
fn problem(what: &str, thrown: &JsValue, remedy: &str) -> Problem {
    Problem { message: format!("{what}: {}.", describe(thrown)), remedy: remedy.into() }
}

/// Opens the database, unless the browser never answers.
async fn open_store(global: &DedicatedWorkerGlobalScope) -> Result<IndexedDb, Problem> {
    let opening = pin!(IndexedDb::open(DATABASE));
    match select(opening, pin!(sleep(global, STORE_TIMEOUT_MS))).await {
        Either::Left((opened, _limit)) => opened.map_err(|error| kept(&error)),
        Either::Right(((), _opening)) => Err(kept(&StoreError::Medium("no answer".into()))),
    }
}

/// What the person can do about a key that could not be made and kept.
fn unmade(error: &JsValue) -> Problem {
    no_room(&describe(error)).unwrap_or_else(|| problem("No key could be made on this device", error, RELOAD))
}

/// What to say where the reason for a failure is that the browser's storage is full.
fn no_room(reason: &str) -> Option<Problem> {
    reason.contains("Quota").then(|| Problem {
        message: "The browser's storage is full: there is no room left for this page's data.".into(),
        remedy: "Free some space on this device, or delete data of other sites in the browser's settings; then join \
                 again."
            .into(),
    })
}

/// What the person can do about a store that fails.
fn kept(error: &StoreError) -> Problem {
    let reason = error.to_string();
    if let Some(problem) = no_room(&reason) {
        return problem;
    }
    if reason.contains("VersionError") {
        return Problem {
            message: "Another tab has a newer version of this page.".into(),
            remedy: "Reload this one.".into(),
        };
    }
    Problem {
        message: format!(
            "This browser stores nothing for this site, as in some private windows or when storage is blocked \
                ({}).",
            reason.trim_start_matches("the store failed: ")
        ),
        remedy: "Allow this site to store data, or leave private browsing; then reload the page.".into(),
    }
}
