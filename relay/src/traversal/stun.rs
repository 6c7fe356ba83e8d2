//! Tells whoever asks by UDP what address and port it came from (STUN Binding, RFC 8489), so that tabs behind a NAT
//! learn how others can reach them.
//!
//! A reply is 12 to 24 bytes longer than the shortest request, so that nobody gains much by asking in another's name;
//! whatever is not a request gets none.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::net::UdpSocket;
use tokio_util::sync::CancellationToken;

use crate::fairness::rates::{Exhausted, Rates};
use crate::operating::metrics::Metrics;

mod answer;

pub(crate) use answer::answer;
use answer::{Ignored, MAX_REQUEST};

/// Requests answered in an interval, in all; those of one address are the operator's to set.
const INTERVAL: Duration = Duration::from_secs(60);
const IN_ALL: u32 = 300_000;

/// Pause after the socket fails, so that a broken one does not keep a core busy.
const FAILURE_PAUSE: Duration = Duration::from_millis(100);

/// Answers Binding requests.
pub(crate) struct Stun {
    socket: UdpSocket,
    rates: Rates,
    metrics: Arc<Metrics>,
}

impl Stun {
    /// Listens there, and answers this many requests of an address in a minute.
    ///
    /// # Errors
    /// If the address cannot be listened on.
    pub(crate) async fn bind(listen: SocketAddr, per_address: u32, metrics: Arc<Metrics>) -> Result<Self> {
        let socket = UdpSocket::bind(listen).await;
        let socket = socket.with_context(|| format!("cannot listen on {listen} (UDP) for STUN"))?;
        Ok(Self { socket, rates: Rates::new(INTERVAL, per_address, IN_ALL), metrics })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// If the system does not know.
    pub(crate) fn address(&self) -> Result<SocketAddr> {
        Ok(self.socket.local_addr()?)
    }

    /// Answers until the token is cancelled.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        // One byte more than is read, to see what is longer.
        let mut buffer = [0; MAX_REQUEST + 1];
        loop {
            let received = tokio::select! {
                received = self.socket.recv_from(&mut buffer) => received,
                () = stop.cancelled() => return,
            };
            match received {
                Ok((length, from)) => self.reply(buffer.get(..length).unwrap_or_default(), from),
                Err(error) => {
                    tracing::debug!(%error, "the STUN socket failed");
                    tokio::time::sleep(FAILURE_PAUSE).await;
                }
            }
        }
    }

    fn reply(&mut self, datagram: &[u8], from: SocketAddr) {
        let answer = match answer(datagram, from) {
            Ok(answer) => answer,
            Err(ignored) => return self.metrics.stun(ignored.label()),
        };
        match self.rates.take(from.ip(), Instant::now()) {
            Ok(()) => {}
            Err(Exhausted::Address) => return self.metrics.limit("stun_per_address"),
            Err(Exhausted::All) => return self.metrics.limit("stun"),
        }
        // Where the system cannot take it now, it is lost as any datagram may be, and the client asks again.
        match self.socket.try_send_to(&answer, from) {
            Ok(_) => self.metrics.stun("answered"),
            Err(_) => self.metrics.stun("unsent"),
        }
    }
}

impl Ignored {
    /// The reason as a metric's label.
    const fn label(self) -> &'static str {
        match self {
            Self::TooLong => "too_long",
            Self::Malformed => "malformed",
            Self::NotBinding => "not_binding",
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use stun_types::message::{Message, MessageClass};

    use super::*;

    /// A Binding request without attributes, byte by byte from RFC 8489, 5.
    const REQUEST: [u8; 20] = [0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];

    /// The request of RFC 5769, 2.1, with SOFTWARE, PRIORITY, ICE-CONTROLLED, USERNAME, integrity and fingerprint.
    const SAMPLE: &str = "000100582112a442b7e7a701bc34d686fa87dfae802200105354554e207465737420636c69656e74\
        002400046e0001ff80290008932ff9b151263b36000600096576746a3a68367659202020000800149aeaa70cbfd8cb56781ef2b5\
        b2d3f249c1b571a280280004e57a3bcf";

    fn bytes(hex: &str) -> Vec<u8> {
        hex.as_bytes()
            .chunks(2)
            .map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap())
            .collect()
    }

    #[test]
    fn the_answer_is_the_senders_address_byte_for_byte() {
        let from = "192.0.2.1:32853".parse().unwrap();
        // XOR-MAPPED-ADDRESS of RFC 5769, 2.2, for this address and port.
        let attribute = [0x00, 0x20, 0x00, 0x08, 0x00, 0x01, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43];
        let head = [&[1, 1, 0, 12], &REQUEST[4..]].concat();
        assert_eq!(answer(&REQUEST, from).unwrap(), [&head[..], &attribute].concat());
        assert_eq!(
            answer(&REQUEST, "[::ffff:192.0.2.1]:32853".parse().unwrap()),
            answer(&REQUEST, from),
            "a socket for both families shows an IPv4 address as IPv6"
        );
    }

    #[test]
    fn an_attribute_that_must_be_understood_is_named() {
        let sample = bytes(SAMPLE);
        let answer = answer(&sample, "192.0.2.1:1".parse().unwrap()).unwrap();
        let answer = Message::from_bytes(&answer).unwrap();
        assert!(answer.has_class(MessageClass::Error));
        let code = answer.attribute::<stun_types::attribute::ErrorCode>().unwrap().code();
        let unknown = answer.attribute::<stun_types::attribute::UnknownAttributes>().unwrap();
        // PRIORITY is a check between peers, and has no place here.
        assert!(code == 420 && unknown.has_attribute(0x0024.into()));
    }

    #[test]
    fn anything_else_gets_no_answer() {
        let from = "192.0.2.1:1".parse().unwrap();
        let class = |class: u8| [&[class], &REQUEST[1..]].concat();
        let with_type = |high: u8, low: u8| [&[high, low], &REQUEST[2..]].concat();
        for (what, datagram, ignored) in [
            ("nothing", vec![], Ignored::Malformed),
            ("half a header", REQUEST[..10].to_vec(), Ignored::Malformed),
            ("media", class(0x80), Ignored::Malformed),
            ("an indication", with_type(0, 0x11), Ignored::NotBinding),
            ("a response", with_type(1, 1), Ignored::NotBinding),
            ("an allocation", with_type(0, 3), Ignored::NotBinding),
            ("a false length", [&[0, 1, 0, 4], &REQUEST[4..]].concat(), Ignored::Malformed),
            ("too much", vec![0; MAX_REQUEST + 1], Ignored::TooLong),
        ] {
            assert_eq!(answer(&datagram, from), Err(ignored), "{what}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn no_bytes_do_harm(datagram in prop::collection::vec(any::<u8>(), 0..600)) {
            let _any = answer(&datagram, "192.0.2.1:1".parse().unwrap());
        }

        #[test]
        fn no_change_to_a_request_does_harm(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
            cut in any::<prop::sample::Index>(),
        ) {
            let mut datagram = bytes(SAMPLE);
            for (at, value) in changes {
                let at = at.index(datagram.len());
                datagram[at] = value;
            }
            let from = "[2001:db8::1]:1".parse().unwrap();
            for datagram in [&datagram[..], &datagram[..cut.index(datagram.len())]] {
                if let Ok(answer) = answer(datagram, from) {
                    prop_assert!(answer.len() <= 2 * datagram.len().max(40), "{} bytes", answer.len());
                }
            }
        }
    }
}
