//! A relay that shows two histories, found out by what another tab of the mesh was shown.

use lichen_log::Head;
use lichen_net::peer::Announcement;
use lichen_record::AccountId;
use tokio::task::LocalSet;

use super::*;

fn manifest() -> Vec<u8> {
    std::str::from_utf8(MANIFEST).unwrap().replace("topology = \"hub\"", "topology = \"mesh\"").into_bytes()
}

/// What another tab says that it was shown.
fn announced(key: &SigningKey, head: &Head) -> Command {
    let bytes = Announcement::Shown { head: key.sign(head).unwrap() }.to_bytes().unwrap();
    Command::Net(NetEvent::Announced { peer: vec![7], bytes })
}

#[tokio::test(flavor = "current_thread")]
async fn tabs_tell_each_other_what_they_were_shown() {
    LocalSet::new()
        .run_until(async {
            let mut visit = visit(Lie::NoRound, manifest());
            let told = until(&mut visit.events, |event| {
                let Event::Net(NetCommand::Announce { bytes }) = event else { return false };
                matches!(Announcement::from_bytes(bytes), Ok(Announcement::Shown { .. }))
            })
            .await;
            let Some(Event::Net(NetCommand::Announce { bytes })) = told.last() else { unreachable!() };
            let Announcement::Shown { head } = Announcement::from_bytes(bytes).unwrap() else {
                unreachable!()
            };
            let signed = verify::<Head>(&head).unwrap();
            let coordinator: AccountId = visit.relay.borrow().coordinator.account();
            assert_eq!(signed.account(), coordinator);
        })
        .await;
}

#[tokio::test(flavor = "current_thread")]
async fn two_histories_are_shown_with_both_heads() {
    LocalSet::new()
        .run_until(async {
            let mut visit = visit(Lie::NoRound, manifest());
            let is_waiting = |event: &Event| matches!(event, Event::Status(Phase::WaitingForRound));
            until(&mut visit.events, is_waiting).await;
            let (coordinator, stranger, true_head) = {
                let relay = visit.relay.borrow();
                (relay.coordinator.clone(), relay.stranger.clone(), *relay.chain.head())
            };
            let other = Head { hash: [9; 32], ..true_head };
            let elsewhere = Head { campaign: CampaignId::of_manifest(b"another"), ..other };
            // What is true, what a stranger signed, and what is of another campaign say nothing.
            for command in [
                announced(&coordinator, &true_head),
                announced(&stranger, &other),
                announced(&coordinator, &elsewhere),
            ] {
                visit.commands.unbounded_send(command).unwrap();
            }
            visit.commands.unbounded_send(announced(&coordinator, &other)).unwrap();
            let seen = until(&mut visit.events, failed).await;
            let Some(Event::Status(Phase::Failed(Problem { message, .. }))) = seen.last() else { panic!() };
            assert!(
                message.contains("shown another tab another one") && message.contains("09090909"),
                "{message}"
            );
            let evidence: Vec<&String> = seen
                .iter()
                .filter_map(|event| if let Event::Evidence(text) = event { Some(text) } else { None })
                .collect();
            let [evidence] = evidence[..] else { panic!("{evidence:?}") };
            let theirs = coordinator
                .sign(&other)
                .unwrap()
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect::<String>();
            assert!(evidence.contains(&theirs), "{evidence}");
        })
        .await;
}
