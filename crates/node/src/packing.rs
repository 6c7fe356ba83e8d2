//! Packs what a training changed, and keeps what that leaves out for the next rounds.

use lichen_learn::{BaseOf, MAX_RESIDUAL, Residual, Update};
use lichen_record::{Cid, RoundNumber};

use crate::Platform;
use crate::context::Context;
use crate::setup::Setup;

/// The update to publish for a training from this base in this round, no longer than any may be. `accepted` is this
/// account's last update that a round accepted, and the round.
pub(crate) async fn pack<P: Platform>(
    context: &Context<P>,
    training: (RoundNumber, Cid),
    change: Update,
    accepted: Option<(RoundNumber, Cid)>,
) -> Option<Vec<u8>> {
    let setup = &context.setup;
    let rule = &setup.manifest.update;
    if rule.feedback.is_none() {
        // Nobody takes a longer one: what this tab has learned goes in as far as it may.
        return change.clipped(setup.max_norm).encode().ok();
    }
    let mut held = context.residual.lock().await;
    let mut residual = match held.take() {
        Some(residual) => residual,
        None => load(context, change.values().len()).await,
    };
    let update = residual.pack(training, &change, accepted, rule, setup.max_norm).ok()?;
    keep(context, &residual).await;
    *held = Some(residual);
    Some(update)
}

/// What this device has kept; one of something else, or a broken one, is as good as none.
async fn load<P: Platform>(context: &Context<P>, parameters: usize) -> Residual {
    let Setup { campaign, .. } = *context.setup;
    let base_of = BaseOf { campaign, codec: context.setup.codec(), parameters };
    let stored = context.platform.load(&name(context)).await.ok().and_then(|mut found| found.pop());
    stored
        .and_then(|(_name, bytes)| Residual::decode(&bytes, base_of).ok())
        .unwrap_or_else(|| Residual::new(base_of))
}

/// Keeps the residual before its update is sent, so that no update is sent of which it does not know.
async fn keep<P: Platform>(context: &Context<P>, residual: &Residual) {
    if let Ok(bytes) = residual.encode()
        && bytes.len() <= MAX_RESIDUAL
    {
        // Not kept, what was left out is lost with this tab.
        let _kept = context.platform.save(&name(context), &bytes).await;
    }
}

fn name<P>(context: &Context<P>) -> String {
    format!("residual/{}", context.setup.campaign)
}

#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
mod tests {
    use std::rc::Rc;

    use lichen_campaign::{Encoding, Manifest, Transport};
    use lichen_learn::Codec;
    use lichen_record::{CampaignId, SigningKey};
    use lichen_round::Rules;

    use super::*;
    use crate::hub::{Hub, Outbox};
    use crate::mesh::Mesh;
    use crate::native::{Device, Native};
    use crate::showing::Showing;

    const DIGITS: &str = include_str!("../../../relay/campaigns/digits/campaign.toml");

    /// A visit of this device to the digits campaign, with more said in its manifest.
    fn visit(device: &Rc<Device>, more: &str) -> Context<Native> {
        let plain = DIGITS.split("[aggregation]").next().unwrap();
        let text = format!("{plain}\n{more}");
        let manifest = Manifest::parse(&text).unwrap();
        let setup = Setup {
            campaign: CampaignId::of_manifest(text.as_bytes()),
            rules: Rules::from(&manifest),
            manifest,
            bytes: text.clone().into_bytes(),
            showing: Showing::default(),
            max_norm: 1e6,
        };
        let out: Outbox = Rc::new(|_event| {});
        let hub = Hub::new(Rc::clone(&out));
        let mesh = Rc::new(Mesh::new(Rc::clone(&out), Rc::clone(&hub), Transport::Relay, 1 << 20, 10_000));
        let platform = Rc::new(Native::new(Rc::clone(device), text.into_bytes()));
        let account = SigningKey::generate([1; 32]).account();
        Context::new(platform, out, hub, mesh, Rc::new(setup), account)
    }

    fn device() -> Rc<Device> {
        Device::new(SigningKey::generate([1; 32]))
    }

    fn training(round: u64) -> (RoundNumber, Cid) {
        (RoundNumber(round), Cid::of_raw(&round.to_be_bytes()))
    }

    async fn round(context: &Context<Native>, number: u64, change: [f32; 3], accepted: &[u8]) -> Vec<u8> {
        let change = Update::new(change.to_vec()).unwrap();
        let accepted = Some((RoundNumber(number - 1), Cid::of_raw(accepted)));
        pack(context, training(number), change, accepted).await.unwrap()
    }

    fn read(bytes: &[u8]) -> Vec<f32> {
        Codec::new(Encoding::Sparse { keep: 1 }).decode(bytes, 3).unwrap().values().to_vec()
    }

    const SPARSE: &str = "[update]\ncodec = \"sparse\"\nkeep = 1\nfeedback = 1\n";

    #[tokio::test(flavor = "current_thread")]
    async fn what_packing_left_out_survives_a_reload() {
        let device = device();
        let first = round(&visit(&device, SPARSE), 1, [4.0, 2.0, 1.0], &[]).await;
        assert_eq!(read(&first), [4.0, 0.0, 0.0]);
        let reloaded = visit(&device, SPARSE);
        let second = round(&reloaded, 2, [0.0, 0.0, 1.5], &first).await;
        assert_eq!(read(&second), [0.0, 0.0, 2.5]);
        assert_eq!(read(&round(&reloaded, 3, [0.0; 3], &second).await), [0.0, 2.0, 0.0]);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_reload_before_the_update_is_accepted_sends_the_same_one() {
        let device = device();
        let first = round(&visit(&device, SPARSE), 1, [4.0, 2.0, 1.0], &[]).await;
        assert_eq!(round(&visit(&device, SPARSE), 1, [4.0, 2.0, 1.0], &[]).await, first);
        let never_accepted = round(&visit(&device, SPARSE), 2, [0.0, 1.0, 0.0], b"another").await;
        assert_eq!(read(&never_accepted), [4.0, 0.0, 0.0]);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_broken_or_foreign_residual_is_dropped() {
        let device = device();
        let context = visit(&device, SPARSE);
        let first = round(&context, 1, [4.0, 2.0, 1.0], &[]).await;
        let kept = context.platform.load(&name(&context)).await.unwrap().pop().unwrap().1;
        let others = visit(&device, "[update]\ncodec = \"sparse\"\nkeep = 1\n");
        for broken in [&kept[1..], b"junk", b"", &vec![0; MAX_RESIDUAL + 1]] {
            context.platform.save(&name(&context), broken).await.unwrap();
            let second = round(&visit(&device, SPARSE), 2, [0.0, 0.0, 1.5], &first).await;
            assert_eq!(read(&second), [0.0, 0.0, 1.5]);
        }
        // Of another campaign, under this one's name.
        others.platform.save(&name(&others), &kept).await.unwrap();
        assert_eq!(read(&round(&others, 2, [0.0, 0.0, 1.5], &first).await), [0.0, 0.0, 1.5]);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn unpacked_updates_are_as_they_always_were_and_leave_nothing() {
        let context = visit(&device(), "");
        let update = round(&context, 1, [3.0, -4.0, 0.0], &[]).await;
        assert_eq!(update, Update::new(vec![3.0, -4.0, 0.0]).unwrap().encode().unwrap());
        assert!(context.platform.load("residual/").await.unwrap().is_empty());
        assert!(context.residual.lock().await.is_none());
    }
}
