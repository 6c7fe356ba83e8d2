//! Both sides of a session get from an offer to an open channel, and nowhere else.

use super::*;
use alloc::collections::VecDeque;
use alloc::vec;
use proptest::prelude::*;

fn candidate(name: &str) -> Signal {
    Signal::Candidate(name.into())
}

#[test]
fn the_offerer_goes_through_offer_answer_candidates() {
    let (mut session, first) = Session::start(Role::Offerer, 0);
    assert_eq!(first, [Action::CreateOffer]);
    assert_eq!(
        session.handle(Event::LocalDescription("o".into())),
        [Action::Send(Signal::Offer("o".into())), Action::SetLocal("o".into())]
    );
    assert_eq!(session.handle(Event::LocalCandidate("c1".into())), [Action::Send(candidate("c1"))]);
    assert_eq!(
        session.handle(Event::Received(Signal::Answer("a".into()))),
        [Action::SetRemote(Signal::Answer("a".into()))]
    );
    assert_eq!(session.handle(Event::Received(candidate("r1"))), []);
    assert_eq!(session.handle(Event::RemoteDescriptionSet), [Action::AddCandidate("r1".into())]);
    assert_eq!(session.handle(Event::Received(candidate("r2"))), [Action::AddCandidate("r2".into())]);
    assert_eq!(session.handle(Event::SignallingClosed), []);
    assert_eq!(session.handle(Event::Connected), [Action::Finish]);
    assert!(session.is_over());
}

#[test]
fn the_answerer_answers_then_checks() {
    let (mut session, first) = Session::start(Role::Answerer, 0);
    assert_eq!(first, []);
    assert_eq!(
        session.handle(Event::Received(Signal::Offer("o".into()))),
        [Action::SetRemote(Signal::Offer("o".into()))]
    );
    assert_eq!(session.handle(Event::Received(candidate("r1"))), []);
    assert_eq!(
        session.handle(Event::RemoteDescriptionSet),
        [Action::CreateAnswer, Action::AddCandidate("r1".into())]
    );
    assert_eq!(
        session.handle(Event::LocalDescription("a".into())),
        [Action::Send(Signal::Answer("a".into())), Action::SetLocal("a".into())]
    );
    assert_eq!(session.handle(Event::Connected), [Action::Finish]);
}

#[test]
fn what_the_session_does_not_allow_aborts_it() {
    let abort = |error| vec![Action::Abort(error)];
    let (mut session, _) = Session::start(Role::Answerer, 0);
    assert_eq!(
        session.handle(Event::Received(candidate("early"))),
        abort(SessionError::Unexpected("candidate before an offer"))
    );
    let (mut session, _) = Session::start(Role::Answerer, 0);
    assert_eq!(
        session.handle(Event::Received(Signal::Answer("a".into()))),
        abort(SessionError::Unexpected("answer"))
    );
    let (mut session, _) = Session::start(Role::Offerer, 0);
    assert_eq!(
        session.handle(Event::Received(Signal::Offer("o".into()))),
        abort(SessionError::Unexpected("offer"))
    );
    let (mut session, _) = Session::start(Role::Offerer, 0);
    assert_eq!(session.handle(Event::SignallingClosed), abort(SessionError::ClosedEarly));
    let (mut session, _) = Session::start(Role::Offerer, 0);
    assert_eq!(session.handle(Event::ConnectionFailed), abort(SessionError::NoPath));
}

#[test]
fn a_second_offer_for_another_session_aborts_this_one() {
    let (mut session, _) = Session::start(Role::Answerer, 0);
    session.handle(Event::Received(Signal::Offer("o".into())));
    assert_eq!(
        session.handle(Event::Received(Signal::Offer("other".into()))),
        [Action::Abort(SessionError::Unexpected("offer"))]
    );
}

#[test]
fn the_clock_ends_what_does_not_connect() {
    let (mut session, _) = Session::start(Role::Offerer, 1_000);
    assert_eq!(session.handle(Event::Tick(1_000 + TIMEOUT_MS - 1)), []);
    assert_eq!(session.handle(Event::Tick(1_000 + TIMEOUT_MS)), [Action::Abort(SessionError::TimedOut)]);
    assert_eq!(session.handle(Event::Connected), []);
}

#[test]
fn too_many_candidates_abort() {
    let (mut session, _) = Session::start(Role::Offerer, 0);
    for _ in 0..MAX_CANDIDATES {
        assert_eq!(session.handle(Event::Received(candidate("c"))), []);
    }
    assert_eq!(
        session.handle(Event::Received(candidate("c"))),
        [Action::Abort(SessionError::TooManyCandidates)]
    );
}

#[test]
fn of_two_crossing_sessions_both_sides_keep_the_same() {
    assert_eq!(surviving_role(b"a", b"b"), Role::Offerer);
    assert_eq!(surviving_role(b"b", b"a"), Role::Answerer);
}

/// A peer connection that answers at once and connects when it has both descriptions and a remote candidate.
#[derive(Default)]
struct Peer {
    local: bool,
    remote: bool,
    candidates: usize,
}

fn carry_out(
    session: &mut Session,
    peer: &mut Peer,
    actions: Vec<Action>,
    outgoing: &mut VecDeque<Signal>,
) -> bool {
    let mut queue: VecDeque<Action> = actions.into();
    let mut aborted = false;
    while let Some(action) = queue.pop_front() {
        match action {
            Action::CreateOffer | Action::CreateAnswer => {
                queue.extend(session.handle(Event::LocalDescription("sdp".into())));
            }
            Action::Send(signal) => outgoing.push_back(signal),
            Action::SetLocal(_) => {
                peer.local = true;
                queue.extend(session.handle(Event::LocalCandidate("c".into())));
            }
            Action::SetRemote(_) => {
                peer.remote = true;
                queue.extend(session.handle(Event::RemoteDescriptionSet));
            }
            Action::AddCandidate(_) => {
                assert!(peer.remote, "candidates need a remote description first");
                peer.candidates += 1;
            }
            Action::Finish => {}
            Action::Abort(_) => aborted = true,
        }
    }
    aborted
}

proptest! {
    /// The stream between the sides keeps order but may stop at any message; either both can connect, or the
    /// session ends by the clock with a typed error, and never by a panic.
    #[test]
    fn sessions_connect_or_end(cut_a in 0_usize..8, cut_b in 0_usize..8, turns in prop::collection::vec(any::<bool>(), 0..24)) {
        let (mut a, first) = Session::start(Role::Offerer, 0);
        let (mut b, _) = Session::start(Role::Answerer, 0);
        let (mut peer_a, mut peer_b) = (Peer::default(), Peer::default());
        let (mut to_b, mut to_a) = (VecDeque::new(), VecDeque::new());
        prop_assert!(!carry_out(&mut a, &mut peer_a, first, &mut to_b));
        let (mut left_a, mut left_b) = (cut_a, cut_b);
        for turn in turns.into_iter().chain([true, false].into_iter().cycle().take(16)) {
            let (queue, left) = if turn { (&mut to_b, &mut left_a) } else { (&mut to_a, &mut left_b) };
            let Some(signal) = queue.pop_front().filter(|_| *left > 0) else { continue };
            *left -= 1;
            let aborted = if turn {
                let actions = b.handle(Event::Received(signal));
                carry_out(&mut b, &mut peer_b, actions, &mut to_a)
            } else {
                let actions = a.handle(Event::Received(signal));
                carry_out(&mut a, &mut peer_a, actions, &mut to_b)
            };
            prop_assert!(!aborted);
        }
        let whole = cut_a >= 2 && cut_b >= 2;
        let ready = |peer: &Peer| peer.local && peer.remote && peer.candidates > 0;
        prop_assert_eq!(ready(&peer_a) && ready(&peer_b), whole);
        let end = a.handle(Event::Tick(TIMEOUT_MS));
        prop_assert_eq!(end, [Action::Abort(SessionError::TimedOut)]);
    }
}
