//! WebSocket connections of a page.
//!
//! libp2p's own `websocket-websys` 0.6 does not do: after each flush it waits for a timer that ticks every 100 ms,
//! and once a minute in a hidden tab, it does not notice that a connection has closed until something is written to
//! it, and it gives a connection up when more than 1 MiB arrives between two turns of the event loop.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt, Pending};
use futures::{AsyncRead, AsyncWrite};
use futures_timer::Delay;
use libp2p::core::multiaddr::{Multiaddr, Protocol};
use libp2p::core::transport::{DialOpts, ListenerId, Transport, TransportError, TransportEvent};
use send_wrapper::SendWrapper;
use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::Closure;
use web_sys::{BinaryType, Event, MessageEvent, WebSocket};

/// Bytes handed to the browser and not sent yet, above which writing waits.
const SEND_WINDOW: u32 = 1024 * 1024;

/// How often waiting writes look whether there is room; WebSocket has no event for it.
const SEND_POLL: Duration = Duration::from_millis(10);

/// Most bytes received and not read. The browser offers no back-pressure; Yamux's windows keep honest hubs below it.
const MAX_UNREAD: usize = 64 * 1024 * 1024;

/// Dials WebSockets; listens to nothing.
pub(super) struct WebSockets;

impl Transport for WebSockets {
    type Output = Connection;
    type Error = io::Error;
    type ListenerUpgrade = Pending<io::Result<Connection>>;
    type Dial = BoxFuture<'static, io::Result<Connection>>;

    fn listen_on(&mut self, _id: ListenerId, address: Multiaddr) -> Result<(), TransportError<io::Error>> {
        Err(TransportError::MultiaddrNotSupported(address))
    }

    fn remove_listener(&mut self, _id: ListenerId) -> bool {
        false
    }

    fn dial(
        &mut self,
        address: Multiaddr,
        _options: DialOpts,
    ) -> Result<Self::Dial, TransportError<io::Error>> {
        let Some(url) = url(&address) else { return Err(TransportError::MultiaddrNotSupported(address)) };
        Ok(async move {
            let mut connection = Connection::open(&url)?;
            std::future::poll_fn(|context| connection.poll_open(context)).await?;
            Ok(connection)
        }
        .boxed())
    }

    fn poll(
        self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, io::Error>> {
        Poll::Pending
    }
}

/// `/dns|dns4|dns6|ip4|ip6/…/tcp/…` and `/ws`, `/tls/ws` or `/wss`, then at most `/p2p/…`, as a URL.
fn url(address: &Multiaddr) -> Option<String> {
    let mut protocols = address.iter().peekable();
    let host = match protocols.next()? {
        Protocol::Ip4(ip) => ip.to_string(),
        Protocol::Ip6(ip) => format!("[{ip}]"),
        Protocol::Dns(name) | Protocol::Dns4(name) | Protocol::Dns6(name) => name.into_owned(),
        _ => return None,
    };
    let Protocol::Tcp(port) = protocols.next()? else { return None };
    let tls = protocols.next_if(|protocol| matches!(protocol, Protocol::Tls)).is_some();
    let (scheme, path) = match protocols.next()? {
        Protocol::Ws(path) if tls => ("wss", path),
        Protocol::Ws(path) => ("ws", path),
        Protocol::Wss(path) if !tls => ("wss", path),
        _ => return None,
    };
    match (protocols.next(), protocols.next()) {
        (None | Some(Protocol::P2p(_)), None) => Some(format!("{scheme}://{host}:{port}{path}")),
        _ => None,
    }
}

/// An open WebSocket as a stream of bytes. It closes when dropped.
pub(super) struct Connection(SendWrapper<Socket>);

struct Socket {
    socket: WebSocket,
    shared: Rc<RefCell<Shared>>,
    send_poll: Option<Delay>,
    _on_event: Closure<dyn FnMut(Event)>,
    _on_message: Closure<dyn FnMut(MessageEvent)>,
}

/// What the browser's callbacks and the connection share.
#[derive(Default)]
struct Shared {
    unread: VecDeque<u8>,
    overrun: bool,
    opener: Option<Waker>,
    reader: Option<Waker>,
}

impl Connection {
    fn open(url: &str) -> io::Result<Self> {
        let socket = WebSocket::new(url).map_err(|_exception| {
            io::Error::new(io::ErrorKind::InvalidInput, "the browser refuses the URL")
        })?;
        socket.set_binary_type(BinaryType::Arraybuffer);
        let shared = Rc::new(RefCell::new(Shared::default()));
        let on_event = Closure::new({
            let shared = Rc::clone(&shared);
            move |_event: Event| wake(&shared)
        });
        let on_message = Closure::new({
            let shared = Rc::clone(&shared);
            move |event: MessageEvent| {
                receive(&mut shared.borrow_mut(), &event);
                wake(&shared);
            }
        });
        let listener = Some(on_event.as_ref().unchecked_ref());
        socket.set_onopen(listener);
        socket.set_onclose(listener);
        socket.set_onerror(listener);
        socket.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
        let socket = Socket { socket, shared, send_poll: None, _on_event: on_event, _on_message: on_message };
        Ok(Self(SendWrapper::new(socket)))
    }

    fn poll_open(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.0.socket.ready_state() {
            WebSocket::OPEN => Poll::Ready(Ok(())),
            WebSocket::CONNECTING => {
                self.0.shared.borrow_mut().opener = Some(context.waker().clone());
                Poll::Pending
            }
            _ => Poll::Ready(Err(io::ErrorKind::ConnectionRefused.into())),
        }
    }
}

/// Wakes whoever waits. Waking only queues a task, so nothing of ours runs inside the browser's callback.
fn wake(shared: &RefCell<Shared>) {
    let (opener, reader) = {
        let mut shared = shared.borrow_mut();
        (shared.opener.take(), shared.reader.take())
    };
    for waker in [opener, reader].into_iter().flatten() {
        waker.wake();
    }
}

fn receive(shared: &mut Shared, event: &MessageEvent) {
    // Text is no part of the protocol; it ends the connection as too much does.
    let Ok(buffer) = event.data().dyn_into::<js_sys::ArrayBuffer>() else {
        shared.overrun = true;
        return;
    };
    let bytes = js_sys::Uint8Array::new(&buffer);
    if shared.unread.len().saturating_add(bytes.length() as usize) > MAX_UNREAD {
        shared.overrun = true;
        return;
    }
    shared.unread.extend(bytes.to_vec());
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut shared = self.0.shared.borrow_mut();
        if shared.overrun {
            return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
        }
        if !shared.unread.is_empty() {
            return Poll::Ready(io::Read::read(&mut shared.unread, buffer));
        }
        if self.0.socket.ready_state() > WebSocket::OPEN {
            return Poll::Ready(Ok(0));
        }
        shared.reader = Some(context.waker().clone());
        Poll::Pending
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.0.socket.ready_state() != WebSocket::OPEN {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        while self.0.socket.buffered_amount() >= SEND_WINDOW {
            match self.0.send_poll.get_or_insert_with(|| Delay::new(SEND_POLL)).poll_unpin(context) {
                Poll::Ready(()) => self.0.send_poll = None,
                Poll::Pending => return Poll::Pending,
            }
        }
        match self.0.socket.send_with_u8_array(buffer) {
            Ok(()) => Poll::Ready(Ok(buffer.len())),
            Err(_exception) => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    // What was written is with the browser, which sends it without being asked.
    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    // The browser sends what it has before it closes.
    fn poll_close(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.close();
        Poll::Ready(Ok(()))
    }
}

impl Socket {
    fn close(&self) {
        // Fails only for codes and reasons, of which there are none here.
        let _closing = self.socket.close();
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.socket.set_onopen(None);
        self.socket.set_onclose(None);
        self.socket.set_onerror(None);
        self.socket.set_onmessage(None);
        self.close();
    }
}
