//! One data channel as a libp2p stream.

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures::future::{Either, poll_fn, select};
use futures::io::{AsyncRead, AsyncWrite};
use futures_timer::Delay;
use js_sys::{ArrayBuffer, Uint8Array};
use send_wrapper::SendWrapper;
use wasm_bindgen::JsCast as _;
use wasm_bindgen::closure::Closure;
use wasm_bindgen_futures::spawn_local;
use web_sys::{Event, MessageEvent, RtcDataChannel, RtcDataChannelState, RtcDataChannelType};

use crate::protocol::stream::{Read, StreamError, StreamState};

/// Bytes that may wait in the browser's send buffer before writers wait; one bandwidth-delay product of a good path.
const SEND_WINDOW: u32 = 1024 * 1024;

/// How long a dropped stream waits for the remote to acknowledge its end before the channel is closed.
const LINGER: Duration = Duration::from_secs(10);

/// A libp2p stream on a data channel.
pub struct Substream {
    shared: SendWrapper<Rc<Channel>>,
}

/// What the browser's callbacks and the stream share.
pub(crate) struct Channel {
    channel: RtcDataChannel,
    state: RefCell<StreamState>,
    wakers: Wakers,
    handlers: RefCell<Option<Handlers>>,
    gone: Cell<bool>,
}

#[derive(Default)]
struct Wakers {
    reader: Cell<Option<Waker>>,
    writer: Cell<Option<Waker>>,
    linger: Cell<Option<Waker>>,
}

struct Handlers {
    message: Closure<dyn FnMut(MessageEvent)>,
    progress: Closure<dyn FnMut(Event)>,
    close: Closure<dyn FnMut(Event)>,
}

impl Substream {
    /// Takes over a data channel; must be called before control returns to the browser, so that no message is lost.
    pub(crate) fn new(channel: RtcDataChannel) -> Self {
        channel.set_binary_type(RtcDataChannelType::Arraybuffer);
        channel.set_buffered_amount_low_threshold(SEND_WINDOW / 2);
        let shared = Rc::new(Channel {
            channel,
            state: RefCell::default(),
            wakers: Wakers::default(),
            handlers: RefCell::default(),
            gone: Cell::new(false),
        });
        Channel::attach(&shared);
        Self { shared: SendWrapper::new(shared) }
    }

    /// A handle by which the connection can end the stream.
    pub(crate) fn downgrade(&self) -> Weak<Channel> {
        Rc::downgrade(&self.shared)
    }
}

impl Channel {
    fn attach(shared: &Rc<Self>) {
        let on_message = {
            let weak = Rc::downgrade(shared);
            move |event: MessageEvent| {
                if let Some(shared) = weak.upgrade() {
                    shared.receive(&event);
                }
            }
        };
        let on_progress = {
            let weak = Rc::downgrade(shared);
            move |_: Event| {
                if let Some(shared) = weak.upgrade() {
                    shared.pump();
                    shared.wakers.wake_writers();
                }
            }
        };
        let on_close = {
            let weak = Rc::downgrade(shared);
            move |_: Event| {
                if let Some(shared) = weak.upgrade() {
                    shared.end();
                }
            }
        };
        let handlers = Handlers {
            message: Closure::new(on_message),
            progress: Closure::new(on_progress),
            close: Closure::new(on_close),
        };
        let channel = &shared.channel;
        channel.set_onmessage(Some(handlers.message.as_ref().unchecked_ref()));
        channel.set_onopen(Some(handlers.progress.as_ref().unchecked_ref()));
        channel.set_onbufferedamountlow(Some(handlers.progress.as_ref().unchecked_ref()));
        channel.set_onclose(Some(handlers.close.as_ref().unchecked_ref()));
        shared.handlers.replace(Some(handlers));
    }

    fn receive(&self, event: &MessageEvent) {
        let outcome = match event.data().dyn_into::<ArrayBuffer>() {
            Ok(buffer) => self.state.borrow_mut().receive(&Uint8Array::new(&buffer).to_vec()),
            // Text messages are none of the framing's.
            Err(_text) => self.state.borrow_mut().receive(&[0xff, 0xff, 0xff]),
        };
        if let Err(error) = outcome {
            tracing::debug!(%error, "resetting a stream");
        }
        self.pump();
        self.wakers.wake_all();
    }

    /// Sends what is queued as far as the send window allows.
    fn pump(&self) {
        if self.channel.ready_state() != RtcDataChannelState::Open {
            return;
        }
        while self.channel.buffered_amount() < SEND_WINDOW {
            let Some(message) = self.state.borrow_mut().next_message() else { return };
            if self.channel.send_with_u8_array(&message).is_err() {
                return self.end();
            }
        }
    }

    /// The channel can carry nothing more.
    pub(crate) fn end(&self) {
        self.gone.set(true);
        self.state.borrow_mut().channel_closed();
        self.wakers.wake_all();
    }

    fn close(&self) {
        self.channel.set_onmessage(None);
        self.channel.set_onopen(None);
        self.channel.set_onbufferedamountlow(None);
        self.channel.set_onclose(None);
        self.channel.close();
        // The closures may be on the stack just now; they go in a later turn.
        if let Some(handlers) = self.handlers.take() {
            spawn_local(async move { drop(handlers) });
        }
    }

    fn is_over(&self) -> bool {
        self.gone.get() || self.state.borrow().is_over()
    }

    /// Waits until the remote has acknowledged the end, then closes the channel.
    async fn linger(self: Rc<Self>) {
        let over = poll_fn(|context| {
            self.wakers.linger.set(Some(context.waker().clone()));
            if self.is_over() { Poll::Ready(()) } else { Poll::Pending }
        });
        match select(over, Delay::new(LINGER)).await {
            Either::Left(_) | Either::Right(_) => self.close(),
        }
    }
}

impl Wakers {
    fn wake_all(&self) {
        self.reader.take().into_iter().for_each(Waker::wake);
        self.wake_writers();
    }

    fn wake_writers(&self) {
        self.writer.take().into_iter().for_each(Waker::wake);
        self.linger.take().into_iter().for_each(Waker::wake);
    }
}

impl AsyncRead for Substream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = self.shared.state.borrow_mut().read(into);
        match outcome {
            Ok(Read::Bytes(count)) => Poll::Ready(Ok(count)),
            Ok(Read::End) => Poll::Ready(Ok(0)),
            Ok(Read::Pending) => {
                self.shared.wakers.reader.set(Some(context.waker().clone()));
                Poll::Pending
            }
            Err(error) => Poll::Ready(Err(as_io(error))),
        }
    }
}

impl AsyncWrite for Substream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.shared.pump();
        if self.shared.state.borrow().has_outgoing() {
            self.shared.wakers.writer.set(Some(context.waker().clone()));
            return Poll::Pending;
        }
        let outcome = self.shared.state.borrow_mut().write(bytes);
        self.shared.pump();
        Poll::Ready(outcome.map_err(as_io))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.shared.pump();
        if self.shared.state.borrow().has_outgoing() && !self.shared.gone.get() {
            self.shared.wakers.writer.set(Some(context.waker().clone()));
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.shared.state.borrow_mut().finish();
        self.shared.pump();
        let state = self.shared.state.borrow();
        if state.is_write_reset() {
            return Poll::Ready(Err(as_io(StreamError::Reset)));
        }
        if state.is_write_settled() {
            return Poll::Ready(Ok(()));
        }
        self.shared.wakers.writer.set(Some(context.waker().clone()));
        Poll::Pending
    }
}

impl Drop for Substream {
    fn drop(&mut self) {
        let shared = Rc::clone(&self.shared);
        {
            let mut state = shared.state.borrow_mut();
            // An end that nobody asked for is no end: the remote must not take part of a message for the whole.
            if !state.is_finishing_or_settled() {
                state.reset();
            }
            state.stop_reading();
        }
        shared.pump();
        if shared.is_over() {
            shared.close();
        } else {
            spawn_local(shared.linger());
        }
    }
}

fn as_io(error: StreamError) -> io::Error {
    let kind = match error {
        StreamError::Reset => io::ErrorKind::ConnectionReset,
        StreamError::Closed => io::ErrorKind::WriteZero,
        StreamError::Frame(_) | StreamError::Flooded => io::ErrorKind::InvalidData,
    };
    io::Error::new(kind, error)
}
