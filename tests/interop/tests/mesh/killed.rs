//! Windows that die without a word, in each phase of signalling and in the middle of a transfer.

use crate::hostile::{Hostile, Siege};
use crate::site::LIMIT;

#[test]
fn windows_killed_in_any_phase_leave_nothing_behind() {
    let siege = Siege::start();
    let (site, tab) = (&siege.site, &siege.victim);
    let doomed = |call: &str| {
        let doomed = Hostile::start(site);
        doomed.call(&format!("{call}({:?})", tab.id));
        doomed
    };
    // A signalling stream is open, an offer is made, it is answered, the connection stands.
    let silent = Hostile::start(site);
    silent.call(&format!("silence({:?}, 1)", tab.id));
    let windows = [silent, doomed("offer"), doomed("foreignOffer"), doomed("connect")];
    tab.wait("all of them", |seen| seen["alive"] == 5 && seen["direct"] == 2);

    // The connected one is being answered, and is to answer.
    let connected = &windows[3];
    connected.call("ask(1)");
    tab.wait("its question", |seen| seen["open"] == 1);
    let question = format!("peer.tabAsk({:?}, 1, 1).then(String, error => error.message)", connected.id);
    let later = format!("void {question}.then(one => globalThis.answer = one)");
    tab.page.evaluate(&later).expect("ask");

    // One of ours, which dials and is dialled, as soon as it has begun.
    let own = site.tab();
    own.meet();
    own.wait("a peer connection", |seen| seen["made"].as_u64() > Some(0));

    own.page.close().expect("close the window");
    for window in windows {
        window.page.close().expect("close the window");
    }
    siege.serve();
    for tab in [tab, &siege.friend] {
        tab.wait("the friend alone", |seen| seen["direct"] == 1 && seen["alive"] == 1);
    }
    let seen = tab.seen();
    assert_eq!((&seen["open"], &seen["unasked"]), (&0.into(), &1.into()), "{seen}");
    let answer = tab.page.wait_for("an end to the question", "globalThis.answer", LIMIT).expect("it ends");
    assert_eq!(answer, "the connection was lost before the answer came");
    siege.serve();
}
