//! The check of the campaign's whole record, which a worker of its own carries out and puts into words.

use super::{Effect, ViewState};
use crate::site;
use lichen_bridge::{Checked, Checking, Event, Phase, Problem};
use std::rc::Rc;

/// How far the check has come.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Check {
    /// Nobody has asked for it.
    #[default]
    Unasked,
    /// It runs.
    UnderWay(Checking),
    /// It has ended.
    Over(Rc<Checked>),
}

impl ViewState {
    /// Whether a check runs.
    pub(crate) fn is_checking(&self) -> bool {
        matches!(self.check, Check::UnderWay(_))
    }

    pub(super) fn start_check(&mut self) -> Vec<Effect> {
        let Some(campaign) = self.campaign().filter(|_| !self.is_checking()) else { return Vec::new() };
        let effect = Effect::StartCheck(campaign.id.clone());
        let what = "Fetching the program that checks".to_owned();
        self.check = Check::UnderWay(Checking { what, done: 0, total: 0 });
        vec![effect]
    }

    pub(super) fn stop_check(&mut self) -> Vec<Effect> {
        self.check = Check::Unasked;
        vec![Effect::EndCheck]
    }

    /// Takes in what the worker that checks tells.
    pub(crate) fn checker_told(&mut self, event: Event) -> Vec<Effect> {
        match event {
            Event::Checking(checking) if self.is_checking() => self.check = Check::UnderWay(checking),
            Event::Checked(checked) if self.is_checking() => {
                self.check = Check::Over(Rc::new(checked));
                return vec![Effect::EndCheck];
            }
            Event::Ready { version } if version != lichen_bridge::VERSION => {
                return self.check_broke(site::unloaded(None));
            }
            Event::Status(Phase::Failed(problem)) => return self.check_broke(problem),
            _ => {}
        }
        Vec::new()
    }

    /// The worker that checks, or the way to it, broke.
    pub(crate) fn check_broke(&mut self, problem: Problem) -> Vec<Effect> {
        // What else it advises is for whoever takes part.
        let details = vec!["Reload the page, then check again.".to_owned()];
        self.checker_told(Event::Checked(Checked { right: false, verdict: problem.message, details }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intent::Intent;
    use crate::site::{Campaign, Site};
    use lichen_bridge::EnginePreference;

    fn invited() -> ViewState {
        let mut state = ViewState::new(EnginePreference::Auto);
        let campaign = Campaign { id: "bafk".to_owned(), ..Campaign::default() };
        state.read_site(Ok((campaign, Site::default())));
        state
    }

    fn under_way() -> ViewState {
        let mut state = invited();
        assert_eq!(state.click(Intent::Check, 1.0), [Effect::StartCheck("bafk".to_owned())]);
        state
    }

    fn checked() -> Event {
        Event::Checked(Checked { right: true, verdict: "All is well.".to_owned(), details: Vec::new() })
    }

    fn verdict(state: &ViewState) -> &str {
        let Check::Over(checked) = &state.check else { panic!("{:?}", state.check) };
        &checked.verdict
    }

    #[test]
    fn a_check_begins_once_tells_how_far_it_is_and_ends_its_worker() {
        let mut state = under_way();
        assert_eq!(state.click(Intent::Check, 2.0), [], "one is under way");
        assert_eq!(state.checker_told(Event::Ready { version: lichen_bridge::VERSION }), []);
        let checking = Checking { what: "Checking".to_owned(), done: 1, total: 2 };
        assert_eq!(state.checker_told(Event::Checking(checking.clone())), []);
        assert_eq!(state.check, Check::UnderWay(checking));
        assert_eq!(state.checker_told(checked()), [Effect::EndCheck]);
        assert_eq!(verdict(&state), "All is well.");
        assert_eq!(state.click(Intent::Check, 3.0), [Effect::StartCheck("bafk".to_owned())], "again");
    }

    #[test]
    fn what_comes_after_a_stop_is_not_heard() {
        let mut state = under_way();
        assert_eq!(state.click(Intent::StopCheck, 2.0), [Effect::EndCheck]);
        for late in [checked(), Event::Checking(Checking { what: String::new(), done: 0, total: 0 })] {
            assert_eq!(state.checker_told(late), []);
        }
        assert_eq!(state.check, Check::Unasked);
    }

    #[test]
    fn a_check_goes_on_when_the_visitor_joins_and_leaves() {
        let mut state = under_way();
        state.click(Intent::Join, 2.0);
        state.click(Intent::Leave, 3.0);
        state.closed();
        assert!(state.is_checking());
        state.checker_told(checked());
        assert_eq!(verdict(&state), "All is well.");
    }

    #[test]
    fn a_worker_that_breaks_or_is_of_another_build_ends_the_check_in_words() {
        let problem = || Problem { message: "It broke.".to_owned(), remedy: "Try again.".to_owned() };
        let mut state = under_way();
        assert_eq!(state.checker_told(Event::Status(Phase::Failed(problem()))), [Effect::EndCheck]);
        assert_eq!(verdict(&state), "It broke.");
        let mut state = under_way();
        assert_eq!(state.check_broke(problem()), [Effect::EndCheck]);
        let mut state = under_way();
        assert_eq!(state.checker_told(Event::Ready { version: 0 }), [Effect::EndCheck]);
        assert!(verdict(&state).contains("could not be loaded"), "{}", verdict(&state));
    }

    #[test]
    fn before_the_campaign_is_known_there_is_nothing_to_check() {
        assert_eq!(ViewState::new(EnginePreference::Auto).click(Intent::Check, 1.0), []);
    }
}
