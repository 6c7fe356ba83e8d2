//! Checks the campaign that this worker is named after.

use std::cell::Cell;

use lichen_audit::{Fault, Progress, Repeat, Report, Tree, audit, plain};
use lichen_bridge::{Checked, Event, VERSION, transfer};
use lichen_record::CampaignId;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::spawn_local;
use web_sys::DedicatedWorkerGlobalScope;

use crate::failure::{describe, tell_panics};
use crate::fetching::{Relay, SignedRoot};
use crate::signatures::Signatures;

/// Time between two messages about how far it is, in milliseconds.
const SHOWN_EVERY_MS: f64 = 100.0;

/// Begins, and tells the page.
pub(crate) fn start() {
    let scope: DedicatedWorkerGlobalScope = js_sys::global().unchecked_into();
    tell_panics();
    tell(&scope, Event::Ready { version: VERSION });
    spawn_local(async move {
        let checked = check(&scope).await;
        tell(&scope, Event::Checked(checked));
    });
}

async fn check(scope: &DedicatedWorkerGlobalScope) -> Checked {
    let Ok(campaign) = scope.name().parse::<CampaignId>() else {
        return unstarted("the campaign's id is none");
    };
    let signatures = match scope.crypto() {
        Ok(crypto) => Signatures::new(crypto.subtle()),
        Err(error) => return unstarted(&describe(&error)),
    };
    let began = now(scope);
    let relay = Relay::new(scope, signatures);
    match checked(scope, &relay, campaign).await {
        Ok(report) => plain::right(&report, (now(scope) - began) / 1000.0),
        Err(fault) => plain::wrong(&fault),
    }
}

async fn checked(
    scope: &DedicatedWorkerGlobalScope,
    relay: &Relay<'_>,
    campaign: CampaignId,
) -> Result<Report, Fault> {
    // Before the log, which may grow meanwhile: the checkpoint is of records that are there.
    let mut tree = match relay.signed_root(campaign).await.map_err(|error| Fault::Tree(error.to_string()))? {
        Some(SignedRoot { certificate, checkpoint, witnessed }) => {
            Some(Tree::open(campaign, &certificate, &checkpoint, witnessed.as_deref(), &[])?)
        }
        None => None,
    };
    let shown = Cell::new((None, 0.0));
    let mut show = |progress: Progress| {
        let (now, (stage, at)) = (now(scope), shown.get());
        let this = std::mem::discriminant(&progress);
        if stage != Some(this) || now - at >= SHOWN_EVERY_MS {
            shown.set((Some(this), now));
            tell(scope, Event::Checking(plain::under_way(progress)));
        }
    };
    let report = audit(relay, campaign, Repeat::Pieces, tree.as_mut(), &mut show).await?;
    let tree = tree.map(|tree| tree.report(&[], 0)).transpose()?;
    Ok(Report { tree, ..report })
}

fn unstarted(reason: &str) -> Checked {
    Checked {
        right: false,
        verdict: format!("The check could not begin ({reason})."),
        details: vec![
            "Reload the page; if it happens again, use a current Chrome, Edge, Firefox or Safari.".to_owned(),
        ],
    }
}

fn tell(scope: &DedicatedWorkerGlobalScope, event: Event) {
    if let Err(error) =
        transfer::send(&[event], |message, list| scope.post_message_with_transfer(message, list))
    {
        web_sys::console::error_1(&JsValue::from_str(&format!("could not post a message: {error}")));
    }
}

/// Milliseconds on a clock that never goes back.
fn now(scope: &DedicatedWorkerGlobalScope) -> f64 {
    scope.performance().map_or(0.0, |performance| performance.now())
}
