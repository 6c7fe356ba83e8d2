//! A stream over a data channel delivers every byte in order, under any interleaving.

use super::*;
use alloc::vec;
use proptest::prelude::*;

/// Moves every queued message from one end to the other.
fn deliver(from: &mut StreamState, to: &mut StreamState) {
    while let Some(message) = from.next_message() {
        to.receive(&message).unwrap();
    }
}

fn read_all(stream: &mut StreamState) -> Vec<u8> {
    let mut all = Vec::new();
    let mut buffer = [0; 1000];
    while let Ok(Read::Bytes(count)) = stream.read(&mut buffer) {
        all.extend_from_slice(&buffer[..count]);
    }
    all
}

#[test]
fn half_close_both_ways_loses_nothing_and_ends_with_acknowledgements() {
    let (mut a, mut b) = (StreamState::default(), StreamState::default());
    a.write(b"question").unwrap();
    a.finish();
    deliver(&mut a, &mut b);
    assert_eq!(read_all(&mut b), b"question");
    assert_eq!(b.read(&mut [0; 4]), Ok(Read::End));
    assert!(!a.is_write_settled());
    deliver(&mut b, &mut a);
    assert!(a.is_write_settled() && !a.is_over());
    b.write(b"answer").unwrap();
    b.finish();
    deliver(&mut b, &mut a);
    deliver(&mut a, &mut b);
    assert_eq!(read_all(&mut a), b"answer");
    assert!(a.is_over() && b.is_over());
}

#[test]
fn a_fin_that_rides_on_bytes_ends_after_them() {
    let mut stream = StreamState::default();
    stream.receive(&[5, 0x08, 0, 0x12, 1, 7]).unwrap();
    assert_eq!(read_all(&mut stream), [7]);
    assert_eq!(stream.read(&mut [0; 1]), Ok(Read::End));
    assert_eq!(stream.next_message().unwrap(), Frame::signal(Flag::FinAck).encode_message());
}

#[test]
fn stop_sending_closes_the_remotes_writer_but_not_its_reader() {
    let (mut a, mut b) = (StreamState::default(), StreamState::default());
    b.write(b"unwanted").unwrap();
    a.stop_reading();
    deliver(&mut a, &mut b);
    assert_eq!(b.write(b"more"), Err(StreamError::Closed));
    a.write(b"still heard").unwrap();
    deliver(&mut a, &mut b);
    assert_eq!(read_all(&mut b), b"still heard");
    assert_eq!(a.read(&mut [0; 1]), Ok(Read::End));
}

#[test]
fn an_end_is_acknowledged_even_after_stop_sending() {
    let (mut a, mut b) = (StreamState::default(), StreamState::default());
    b.finish();
    a.stop_reading();
    deliver(&mut b, &mut a);
    deliver(&mut a, &mut b);
    assert!(b.is_write_settled());
}

#[test]
fn a_reset_drops_what_was_sent_and_received() {
    let (mut a, mut b) = (StreamState::default(), StreamState::default());
    a.write(b"lost").unwrap();
    deliver(&mut a, &mut b);
    a.write(b"never sent").unwrap();
    a.reset();
    deliver(&mut a, &mut b);
    assert_eq!(b.read(&mut [0; 1]), Err(StreamError::Reset));
    assert_eq!(a.write(b"x"), Err(StreamError::Reset));
    b.write(b"b may still talk").unwrap();
    b.finish();
    assert!(a.is_over());
}

#[test]
fn broken_framing_resets_the_stream_and_tells_the_remote() {
    let mut stream = StreamState::default();
    assert_eq!(stream.receive(&[0xff, 0xff, 0x7f]), Err(StreamError::Frame(FrameError::TooLong)));
    assert_eq!(stream.next_message().unwrap(), Frame::signal(Flag::ResetStream).encode_message());
    assert!(stream.is_over());
}

#[test]
fn a_flood_is_cut_off_at_the_cap() {
    let mut stream = StreamState::default();
    let message = Frame::data(&vec![0; MAX_PAYLOAD]).encode_message();
    let mut outcome = Ok(());
    for _ in 0..=RECEIVE_CAP / MAX_PAYLOAD {
        outcome = stream.receive(&message);
    }
    assert_eq!(outcome, Err(StreamError::Flooded));
    assert_eq!(stream.buffered, 0);
}

#[test]
fn many_small_frames_take_little_more_than_what_they_carry() {
    let mut stream = StreamState::default();
    let message = Frame::data(&[7]).encode_message();
    for _ in 0..2 * MAX_PAYLOAD {
        stream.receive(&message).unwrap();
    }
    assert_eq!(stream.inbox.len(), 2);
    assert_eq!(read_all(&mut stream), vec![7; 2 * MAX_PAYLOAD]);
}

#[test]
fn an_end_said_again_and_again_is_acknowledged_once() {
    let mut stream = StreamState::default();
    let message = Frame::signal(Flag::Fin).encode_message();
    for _ in 0..1000 {
        stream.receive(&message).unwrap();
    }
    assert_eq!(stream.outbox.len(), 1);
}

#[test]
fn a_channel_that_closes_without_an_end_is_a_reset() {
    let mut stream = StreamState::default();
    stream.receive(&Frame::data(b"part").encode_message()).unwrap();
    stream.channel_closed();
    assert_eq!(read_all(&mut stream), b"part");
    assert_eq!(stream.read(&mut [0; 1]), Err(StreamError::Reset));
}

#[derive(Clone, Debug)]
enum Step {
    Write(Vec<u8>),
    Finish,
    Stop,
    Reset,
    Deliver,
    Read(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => prop::collection::vec(any::<u8>(), 0..40).prop_map(Step::Write),
        1 => Just(Step::Finish),
        1 => Just(Step::Stop),
        1 => Just(Step::Reset),
        4 => Just(Step::Deliver),
        3 => (0_usize..64).prop_map(Step::Read),
    ]
}

proptest! {
    /// Whatever two ends do in whatever order, what is read is a prefix of what was written, and after both
    /// finished and everything was delivered both ends are over.
    #[test]
    fn what_is_read_is_what_was_written(steps in prop::collection::vec((any::<bool>(), step()), 0..60)) {
        let mut ends = [StreamState::default(), StreamState::default()];
        let mut written = [Vec::new(), Vec::new()];
        let mut read = [Vec::new(), Vec::new()];
        for (second, step) in steps {
            let me = usize::from(second);
            match step {
                Step::Write(bytes) => {
                    if let Ok(count) = ends[me].write(&bytes) {
                        written[me].extend_from_slice(&bytes[..count]);
                    }
                }
                Step::Finish => ends[me].finish(),
                Step::Stop => ends[me].stop_reading(),
                Step::Reset => ends[me].reset(),
                Step::Deliver => {
                    let [a, b] = &mut ends;
                    if second { deliver(b, a) } else { deliver(a, b) }
                }
                Step::Read(count) => {
                    let mut buffer = vec![0; count];
                    if let Ok(Read::Bytes(count)) = ends[me].read(&mut buffer) {
                        read[me].extend_from_slice(&buffer[..count]);
                    }
                }
            }
        }
        prop_assert!(written[0].starts_with(&read[1]));
        prop_assert!(written[1].starts_with(&read[0]));
        let [a, b] = &mut ends;
        a.finish();
        b.finish();
        for _ in 0..3 {
            deliver(a, b);
            deliver(b, a);
        }
        prop_assert!(a.is_write_settled() && b.is_write_settled());
    }

    #[test]
    fn hostile_messages_never_panic(messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..64), 0..20)) {
        let mut stream = StreamState::default();
        for message in messages {
            let _refused_or_not = stream.receive(&message);
            let _any = stream.read(&mut [0; 16]);
        }
        prop_assert!(stream.buffered <= RECEIVE_CAP);
    }
}
