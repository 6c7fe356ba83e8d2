//! Peers that break the rules, in real windows: a tab of ours meets one by our relay, refuses what it does, and goes on
//! serving an honest peer at the same time.
//!
//! The hostile peer is js-libp2p up to the circuit; from there on it signals by hand and speaks on bare data channels
//! (`js/hostile.js`).

use lichen_testkit::{BrowserOptions, Page};
use serde_json::{Value, json};

use crate::site::{LIMIT, Site, Tab};

/// A window with a peer that does what it is told.
pub(crate) struct Hostile {
    pub(crate) page: Page,
    pub(crate) id: String,
}

/// A tab, a friend that it is connected to, and somebody who is no friend.
pub(crate) struct Siege {
    pub(crate) victim: Tab,
    pub(crate) friend: Tab,
    pub(crate) hostile: Hostile,
    pub(crate) site: Site,
}

impl Siege {
    pub(crate) fn start() -> Self {
        let site = Site::start(&BrowserOptions::default());
        let (victim, friend) = (site.tab(), site.tab());
        victim.meet();
        friend.meet();
        for tab in [&victim, &friend] {
            tab.wait("the friend", |seen| seen["direct"] == 1);
        }
        let hostile = Hostile::start(&site);
        Self { victim, friend, hostile, site }
    }

    /// As [`Siege::start`], with the hostile peer connected to the tab.
    fn connected() -> Self {
        let siege = Self::start();
        assert_eq!(siege.attack(&format!("connect({:?})", siege.victim.id)), "connected");
        siege.victim.wait("both", |seen| seen["direct"] == 2);
        siege
    }

    fn attack(&self, call: &str) -> Value {
        self.hostile.call(call)
    }

    /// Starts an attack that goes on, and serves the friend until it has ended; what it gave.
    fn serve_during(&self, call: &str) -> Value {
        self.hostile.call_later(call);
        loop {
            self.serve();
            let outcome = self.hostile.page.evaluate("globalThis.outcome").expect("look at the attack");
            if !outcome.is_null() {
                self.serve();
                return outcome;
            }
        }
    }

    /// The friend asks the tab and the tab the friend.
    pub(crate) fn serve(&self) {
        assert_eq!(self.friend.ask(&self.victim, 16, 16_000), Ok(256_000));
        assert_eq!(self.victim.ask(&self.friend, 1, 10), Ok(10));
    }

    /// The hostile peer is thrown out and kept out, and the friend is not.
    fn assert_thrown_out(&self) {
        self.victim.wait("the friend alone", |seen| seen["direct"] == 1 && seen["alive"] == 1);
        self.hostile
            .page
            .wait_for("the end to be noticed", "hostile.state() === 'closed'", LIMIT)
            .expect("it notices");
        let again = format!("hostile.connect({:?}).then(String, error => 'refused')", self.victim.id);
        assert_eq!(self.hostile.page.evaluate(&again).expect("try"), "refused");
        self.serve();
    }
}

impl Hostile {
    pub(crate) fn start(site: &Site) -> Self {
        let page = site.open("hostile.html", "hostile", "");
        let id = page.evaluate(&format!("hostile.start({:?})", site.address)).expect("it starts");
        Self { page, id: id.as_str().expect("a peer id").to_owned() }
    }

    pub(crate) fn call(&self, call: &str) -> Value {
        self.page
            .evaluate(&format!("hostile.{call}"))
            .unwrap_or_else(|error| panic!("hostile.{call}: {error}\n{:#?}", self.page.console()))
    }

    /// Starts a call; its outcome is `globalThis.outcome` one day.
    fn call_later(&self, call: &str) {
        let start = format!(
            "void (globalThis.outcome = null, hostile.{call}.then(one => globalThis.outcome = one, error => globalThis.outcome = String(error)))"
        );
        self.page.evaluate(&start).expect("it starts");
    }
}

#[test]
fn empty_frames_change_nothing_and_long_ones_end_their_stream_alone() {
    let siege = Siege::connected();
    let asked = siege.victim.seen()["asked"].clone();
    assert_eq!(siege.attack("longFrame()"), "reset");
    assert_eq!(siege.victim.seen()["asked"], asked, "a question in a frame too long");
    assert_eq!(siege.serve_during("emptyFrames(3, 1000)"), 3 * 1004);
    assert_eq!(siege.attack("state()"), "connected");
}

#[test]
fn ten_thousand_streams_end_the_connection() {
    let siege = Siege::connected();
    let opened = siege.serve_during("openStreams(10000)");
    assert!(opened.as_u64().is_some_and(|opened| opened < 10_000), "{opened}");
    siege.assert_thrown_out();
}

#[test]
fn a_flood_of_requests_ends_the_connection() {
    let siege = Siege::connected();
    siege.serve_during("ask(1500)");
    siege.assert_thrown_out();
}

#[test]
fn who_lies_about_itself_changes_nothing_for_others() {
    let siege = Siege::start();
    // The friend's key, addresses and protocols, said by somebody else.
    let address = format!("/ip4/127.0.0.1/tcp/1/ws/p2p/{}", siege.friend.id);
    let lies = format!("lie({:?}, [{address:?}], ['/lichen/peer/1.0.0', '/x'])", siege.friend.id);
    siege.attack(&lies);
    assert_eq!(siege.attack(&format!("connect({:?})", siege.victim.id)), "connected");
    siege.hostile.page.wait_for("identify", "globalThis.lies", LIMIT).expect("it is asked who it is");
    siege.serve();
    let seen = siege.victim.wait("both", |seen| seen["direct"] == 2);
    let rows = seen["peers"].as_array().expect("rows");
    let of = |id: &str| rows.iter().filter(|row| row["peer"] == id).collect::<Vec<_>>();
    let (liar, friend) = (of(&siege.hostile.id), of(&siege.friend.id));
    assert_eq!((liar.len(), friend.len()), (1, 1), "{seen}");
    let theirs = |row: &Value| row["address"].as_str().is_some_and(|address| address.contains("/tcp/1/"));
    assert!(rows.iter().all(|row| !theirs(row)), "{seen}");
    assert_eq!(siege.attack("state()"), "connected");
}

#[test]
fn signalling_out_of_turn_or_not_at_all_leads_to_nothing() {
    let siege = Siege::start();
    let victim = &siege.victim.id;
    let (offer, answer, candidate) = (0, 1, 2);
    // An answer to no offer of ours; a candidate of no session; two sessions in one.
    let wrongs = json!([[answer], [candidate], [offer, offer], [offer, answer]]);
    let ends = siege.serve_during(&format!("outOfTurn({victim:?}, {wrongs})"));
    assert_eq!(ends, Value::from(vec!["StreamResetError"; 4]));
    // An offer that is somebody else's is answered, and the connection never stands.
    assert_eq!(siege.serve_during(&format!("foreignOffer({victim:?})")), true);
    // One that says nothing on twenty streams keeps two places of sixteen at most.
    assert_eq!(siege.serve_during(&format!("silence({victim:?}, 20)")), 20);
    let few = "hostile.talking() <= 2";
    siege.hostile.page.wait_for("the others to be turned away", few, LIMIT).expect("they are");
    siege.victim.wait("the friend alone", |seen| seen["direct"] == 1 && seen["alive"] == 1);
    siege.serve();
}

#[test]
fn who_never_answers_is_given_up() {
    let siege = Siege::connected();
    let question = format!("peer.tabAsk({:?}, 1, 1).then(String, error => error.message)", siege.hostile.id);
    let start = format!("void {question}.then(one => globalThis.answer = one)");
    siege.victim.page.evaluate(&start).expect("ask");
    siege.serve();
    let answer =
        siege.victim.page.wait_for("an end to the question", "globalThis.answer", LIMIT).expect("it ends");
    assert!(
        ["the connection was lost", "timed out"]
            .iter()
            .any(|end| answer.as_str().is_some_and(|answer| answer.contains(end))),
        "{answer}"
    );
    siege.victim.wait("the friend alone", |seen| seen["direct"] == 1 && seen["alive"] == 1);
    siege.serve();
}
