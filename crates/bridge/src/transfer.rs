//! Messages as transferred `ArrayBuffer`s, for `postMessage` on either side.

use js_sys::{Array, ArrayBuffer, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};
use web_sys::MessageEvent;

use crate::{BridgeError, MAX_POST, Message};

/// Posts messages through `post`, which is the port's `postMessage(message, transfer)`: all at once, unless they are
/// together longer than a post may be.
///
/// # Errors
/// [`BridgeError::NotPosted`] where the browser throws, [`BridgeError::Encode`] where memory is short.
pub fn send<M: Message>(
    messages: &[M],
    post: impl Fn(&JsValue, &JsValue) -> Result<(), JsValue>,
) -> Result<(), BridgeError> {
    let post_bytes = |bytes: &[u8]| {
        let buffer = Uint8Array::from(bytes).buffer();
        let not_posted = |error| BridgeError::NotPosted(js_sys::Object::from(error).to_string().into());
        post(&buffer, &Array::of1(&buffer)).map_err(not_posted)
    };
    let bytes = M::to_bytes(messages)?;
    if bytes.len() <= MAX_POST {
        return post_bytes(&bytes);
    }
    messages.chunks(1).try_for_each(|message| post_bytes(&M::to_bytes(message)?))
}

/// Reads the messages that an event brought; the size is checked before anything is copied.
///
/// # Errors
/// Refuses what is not an `ArrayBuffer` holding messages of this kind.
pub fn receive<M: Message>(event: &MessageEvent) -> Result<Vec<M>, BridgeError> {
    let buffer: ArrayBuffer = event.data().dyn_into().map_err(|_not_a_buffer| BridgeError::NotABuffer)?;
    let length = buffer.byte_length() as usize;
    if length > MAX_POST {
        return Err(BridgeError::TooLong(length));
    }
    M::from_bytes(&Uint8Array::new(&buffer).to_vec())
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;
    use futures::channel::mpsc::{UnboundedReceiver, unbounded};
    use lichen_net::RequestId;
    use wasm_bindgen::closure::Closure;
    use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};
    use web_sys::{MessageChannel, MessagePort};

    use super::*;
    use crate::{Command, Event, Phase};

    wasm_bindgen_test_configure!(run_in_dedicated_worker);

    /// Two ends of a channel, and what arrives at the second.
    fn channel<M: Message + 'static>() -> (MessagePort, UnboundedReceiver<Result<Vec<M>, BridgeError>>) {
        let channel = MessageChannel::new().unwrap();
        let (sender, received) = unbounded();
        let on_message: Closure<dyn FnMut(MessageEvent)> =
            Closure::new(move |event: MessageEvent| sender.unbounded_send(receive::<M>(&event)).unwrap());
        channel.port2().set_onmessage(Some(on_message.as_ref().unchecked_ref()));
        on_message.forget();
        (channel.port1(), received)
    }

    fn post<M: Message>(port: &MessagePort, messages: &[M]) {
        send(messages, |message, list| port.post_message_with_transferable(message, list)).unwrap();
    }

    #[wasm_bindgen_test]
    async fn messages_arrive_as_sent_and_in_order() {
        let (port, mut received) = channel::<Event>();
        let sent = [
            Event::Ready { version: crate::VERSION },
            Event::Status(Phase::Training { round: 3, step: 1, steps: 60 }),
            Event::Net(lichen_net::Command::Request { id: RequestId(7), bytes: vec![1; 1 << 20] }),
        ];
        post(&port, &sent[..1]);
        post(&port, &sent[1..]);
        assert_eq!(received.next().await.unwrap().unwrap(), sent[..1]);
        assert_eq!(received.next().await.unwrap().unwrap(), sent[1..]);
    }

    #[wasm_bindgen_test]
    async fn what_is_too_much_for_one_post_goes_in_several() {
        let (port, mut received) = channel::<Command>();
        let frame = |id| {
            let bytes = vec![7; lichen_net::MAX_FRAME / 2 + 1024];
            Command::Net(lichen_net::Event::Frame { id: RequestId(id), bytes })
        };
        post(&port, &[frame(1), frame(2)]);
        for id in [1, 2] {
            assert_eq!(received.next().await.unwrap().unwrap(), [frame(id)]);
        }
    }

    #[wasm_bindgen_test]
    async fn a_sent_buffer_is_handed_over_not_copied() {
        let (port, mut received) = channel::<Command>();
        let command = Command::Net(lichen_net::Event::Traffic { received: 1, sent: 2 });
        let handed = std::cell::Cell::new(None);
        let keep_and_post = |message: &JsValue, list: &JsValue| {
            handed.set(Some(message.clone().unchecked_into::<ArrayBuffer>()));
            port.post_message_with_transferable(message, list)
        };
        send(std::slice::from_ref(&command), keep_and_post).unwrap();
        assert_eq!(handed.take().unwrap().byte_length(), 0);
        assert_eq!(received.next().await.unwrap().unwrap(), [command]);
    }

    #[wasm_bindgen_test]
    async fn what_is_no_message_is_refused() {
        let (port, mut received) = channel::<Command>();
        port.post_message(&JsValue::from_str("join")).unwrap();
        assert!(matches!(received.next().await, Some(Err(BridgeError::NotABuffer))));
        port.post_message(&Uint8Array::from(&[0xff, 0x00][..]).buffer()).unwrap();
        assert!(matches!(received.next().await, Some(Err(BridgeError::Decode(_)))));
        let length = MAX_POST + 1;
        port.post_message(&ArrayBuffer::new(u32::try_from(length).unwrap())).unwrap();
        assert!(matches!(received.next().await, Some(Err(BridgeError::TooLong(found))) if found == length));
    }
}
