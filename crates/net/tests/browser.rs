//! The driver in a real page: its timers, its WebSocket, its back-off.
#![cfg(all(target_arch = "wasm32", feature = "swarm"))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use futures::StreamExt;
use lichen_net::swarm::libp2p::PeerId;
use lichen_net::swarm::spawn;
use lichen_net::{Command, Disconnection, Event, RequestError, RequestId};
use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};

wasm_bindgen_test_configure!(run_in_browser);

/// A port that no browser connects to (RFC 6335 reserves it, and the Fetch standard blocks it).
const NOBODY: &str = "/ip4/127.0.0.1/tcp/1/ws";

#[wasm_bindgen_test]
async fn an_unreachable_hub_is_tried_again_until_told_to_stop() {
    let (handle, mut events) = spawn(&[]).unwrap();
    assert!(matches!(events.next().await, Some(Event::Started { .. })));
    let address = format!("{NOBODY}/p2p/{}", PeerId::random());
    handle.send(Command::Connect { address: address.clone(), also: Vec::new() }).unwrap();
    for attempt in 1..=3 {
        assert_eq!(events.next().await, Some(Event::Connecting { address: address.clone(), attempt }));
        let Some(Event::Disconnected { reason, retry_in }) = events.next().await else {
            panic!("connected?")
        };
        assert_eq!(reason, Disconnection::Unreachable);
        assert!(retry_in.is_some_and(|milliseconds| milliseconds <= 1600), "{retry_in:?}");
    }
    let id = RequestId(1);
    handle.send(Command::Request { id, bytes: vec![1] }).unwrap();
    assert_eq!(events.next().await, Some(Event::Failed { id, error: RequestError::NotConnected }));
    handle.send(Command::Disconnect).unwrap();
    let reason = Disconnection::Requested;
    assert_eq!(events.next().await, Some(Event::Disconnected { reason, retry_in: None }));
}

#[wasm_bindgen_test]
async fn an_address_that_no_page_can_dial_is_given_up() {
    let (handle, mut events) = spawn(&[]).unwrap();
    events.next().await;
    let peer = PeerId::random();
    for address in [
        String::from("nonsense"),
        String::from(NOBODY),
        format!("/ip4/127.0.0.1/tcp/80/p2p/{peer}"),
        format!("/ip4/127.0.0.1/udp/80/ws/p2p/{peer}"),
        format!("/ip4/127.0.0.1/tcp/80/ws/ws/p2p/{peer}"),
    ] {
        handle.send(Command::Connect { address: address.clone(), also: Vec::new() }).unwrap();
        let outcome = loop {
            match events.next().await {
                Some(Event::Connecting { .. }) => {}
                other => break other,
            }
        };
        let reason = Disconnection::UnusableAddress;
        assert_eq!(outcome, Some(Event::Disconnected { reason, retry_in: None }), "{address}");
    }
}
