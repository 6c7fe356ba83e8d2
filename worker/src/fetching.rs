//! Reads what a relay shows to everybody, by plain requests to where the page came from.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use js_sys::{JSON, Reflect, Uint8Array};
use lichen_audit::{Source, SourceError};
use lichen_log::{MAX_NOTE, MAX_RECORD};
use lichen_net::hub::{MAX_RECORDS, Records};
use lichen_record::{CampaignId, Cid, MAX_ENVELOPE, Signable, Verified, VerifyError, decode, verify_by};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    AbortSignal, DedicatedWorkerGlobalScope, Headers, ReadableStreamDefaultReader, RequestInit, Response,
};

use crate::failure::describe;
use crate::signatures::Signatures;

/// How long the relay may take to hand out one thing, in milliseconds: data may be large, and lines slow.
const TIMEOUT_MS: u32 = 120_000;

/// Most bytes of `/lichen.json`.
const MAX_SITE: usize = 128 * 1024;

/// Most bytes of a page of records.
const MAX_PAGE: usize = MAX_RECORDS * MAX_RECORD + MAX_ENVELOPE + 1024;

/// The relay that the page came from.
pub(crate) struct Relay<'a> {
    scope: &'a DedicatedWorkerGlobalScope,
    signatures: Signatures,
}

/// The root of a log's tree, as its coordinator shows it.
pub(crate) struct SignedRoot {
    /// What the coordinator signed about the log's key.
    pub(crate) certificate: Vec<u8>,
    /// What that key signed.
    pub(crate) checkpoint: Vec<u8>,
    /// The newest of what that key signed that enough of the campaign's witnesses have signed, too.
    pub(crate) witnessed: Option<Vec<u8>>,
}

impl<'a> Relay<'a> {
    pub(crate) const fn new(scope: &'a DedicatedWorkerGlobalScope, signatures: Signatures) -> Self {
        Self { scope, signatures }
    }

    /// What is shown of the log's tree; none where the relay shows nothing.
    pub(crate) async fn signed_root(&self, campaign: CampaignId) -> Result<Option<SignedRoot>, SourceError> {
        let Some(certificate) = self.log_key(campaign).await? else { return Ok(None) };
        // First, so that the newest one is not older.
        let witnessed = found(self.get(&format!("./log/{campaign}/witnessed"), MAX_NOTE).await)?;
        let checkpoint = found(self.get(&format!("./log/{campaign}/checkpoint"), MAX_NOTE).await)?;
        Ok(checkpoint.map(|checkpoint| SignedRoot { certificate, checkpoint, witnessed }))
    }

    async fn log_key(&self, campaign: CampaignId) -> Result<Option<Vec<u8>>, SourceError> {
        let site = self.get(&format!("./lichen.json?campaign={campaign}"), MAX_SITE).await?;
        let malformed = |what: &str| SourceError::Malformed(format!("lichen.json: {what}"));
        let site =
            JSON::parse(&String::from_utf8_lossy(&site)).map_err(|error| malformed(&describe(&error)))?;
        let field = |of: &JsValue, name: &str| Reflect::get(of, &name.into()).ok();
        let key = field(&site, "log_key").and_then(|key| field(&key, "certificate"));
        let Some(key) = key.and_then(|key| key.as_string()) else { return Ok(None) };
        STANDARD.decode(key).map(Some).map_err(|error| malformed(&error.to_string()))
    }

    async fn get(&self, path: &str, cap: usize) -> Result<Vec<u8>, SourceError> {
        let unreachable = |error: JsValue| SourceError::Unreachable(describe(&error));
        let options = RequestInit::new();
        options.set_signal(Some(&AbortSignal::timeout_with_u32(TIMEOUT_MS)));
        let answer = JsFuture::from(self.scope.fetch_with_str_and_init(path, &options));
        let response: Response = answer.await.map_err(unreachable)?.unchecked_into();
        match response.status() {
            200 => read(&response, cap).await.map_err(unreachable)?.ok_or(SourceError::TooLarge { cap }),
            404 => Err(SourceError::NotFound),
            status => Err(SourceError::Unreachable(format!("the relay answered {status}"))),
        }
    }
}

/// What was asked for, unless there is no such thing.
fn found(answer: Result<Vec<u8>, SourceError>) -> Result<Option<Vec<u8>>, SourceError> {
    match answer {
        Err(SourceError::NotFound) => Ok(None),
        answer => answer.map(Some),
    }
}

/// A response's bytes; none if there are more than `cap`.
async fn read(response: &Response, cap: usize) -> Result<Option<Vec<u8>>, JsValue> {
    match announced(&response.headers()) {
        Some(length) if length > cap => Ok(None),
        Some(_length) => {
            let body = JsFuture::from(response.array_buffer()?).await?;
            Ok(Some(Uint8Array::new(&body).to_vec()).filter(|bytes| bytes.len() <= cap))
        }
        None => read_parts(response, cap).await,
    }
}

/// How many bytes come, where the answer says so and is not packed: no browser reads more then.
fn announced(headers: &Headers) -> Option<usize> {
    let header = |name: &str| headers.get(name).ok().flatten();
    if header("content-encoding").is_some() {
        return None;
    }
    header("content-length")?.parse().ok()
}

/// The same, part by part, so that there are never many more than `cap`. This takes longer: most answers are small.
async fn read_parts(response: &Response, cap: usize) -> Result<Option<Vec<u8>>, JsValue> {
    let Some(body) = response.body() else { return Ok(Some(Vec::new())) };
    let reader: ReadableStreamDefaultReader = body.get_reader().unchecked_into();
    let mut bytes = Vec::new();
    loop {
        let part = JsFuture::from(reader.read()).await?;
        if Reflect::get(&part, &"done".into())?.is_truthy() {
            return Ok(Some(bytes));
        }
        let part: Uint8Array = Reflect::get(&part, &"value".into())?.unchecked_into();
        let before = bytes.len();
        if before + part.length() as usize > cap {
            // Nobody waits for what is not wanted.
            let _cancelled = reader.cancel();
            return Ok(None);
        }
        bytes.resize(before + part.length() as usize, 0);
        if let Some(space) = bytes.get_mut(before..) {
            part.copy_to(space);
        }
    }
}

impl Source for Relay<'_> {
    async fn records(&self, campaign: CampaignId, from: u64, limit: usize) -> Result<Records, SourceError> {
        let bytes = self.get(&format!("./log/{campaign}?from={from}&limit={limit}"), MAX_PAGE).await?;
        decode(&bytes, MAX_PAGE).map_err(|error| SourceError::Malformed(error.to_string()))
    }

    async fn blob(&self, cid: &Cid, cap: usize) -> Result<Vec<u8>, SourceError> {
        self.get(&format!("./blob/{cid}"), cap).await
    }

    async fn verify<T: Signable>(&self, envelope: &[u8]) -> Result<Verified<T>, VerifyError> {
        verify_by(envelope, async |claim| self.signatures.is_true(claim).await).await
    }
}
