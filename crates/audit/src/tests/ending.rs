//! Campaigns that end when their goal is reached.

use super::*;

/// The digits campaign with a goal that ends it.
fn manifest(goal: &str) -> Vec<u8> {
    let text = std::str::from_utf8(MANIFEST).unwrap();
    let goal = format!("target_accuracy = {goal}\nat_target = \"finish\"");
    text.replace("target_accuracy = 0.95", &goal).into_bytes()
}

/// Two rounds, after which the coordinator says that the goal is reached.
fn ended(goal: &str) -> Campaign {
    let mut campaign = Campaign::publish_as(&manifest(goal));
    campaign.join(1);
    campaign.round(1, &[(1, update(1))]);
    campaign.round(2, &[(1, update(2))]);
    let end = Entry::Finished { campaign: campaign.id, round: RoundNumber(2) };
    campaign.say(0, &end);
    campaign
}

#[test]
fn an_end_at_the_goal_is_measured_again() {
    let report = run(ended("0.0").finish()).unwrap();
    let ending = report.goal_reached.unwrap();
    assert_eq!((ending.round, ending.goal), (RoundNumber(2), 0.0));
    assert_eq!(ending.accuracy, report.accuracy);
    assert!(in_words(&report).contains("finished     with round 2"), "{}", in_words(&report));
}

#[test]
fn an_end_before_the_goal_is_a_fault() {
    match run(ended("0.99").finish()).unwrap_err() {
        Fault::GoalNotReached { round: RoundNumber(2), accuracy, goal } => assert!(accuracy < goal),
        other => panic!("{other}"),
    }
}

#[test]
fn an_end_that_the_manifest_does_not_know_is_a_fault() {
    let mut campaign = Campaign::publish();
    campaign.join(1);
    campaign.round(1, &[(1, update(1))]);
    let end = Entry::Finished { campaign: campaign.id, round: RoundNumber(1) };
    campaign.say(0, &end);
    let fault = run(campaign.finish()).unwrap_err();
    assert!(matches!(fault, Fault::Inadmissible { .. }), "{fault}");
}

#[test]
fn a_campaign_that_went_on_after_its_end_has_none() {
    let mut campaign = ended("0.0");
    campaign.base = evaluation::initial_checkpoint(&Manifest::from_bytes(&manifest("0.0")).unwrap()).unwrap();
    campaign.round(3, &[(1, update(4))]);
    let report = run(campaign.finish()).unwrap();
    assert_eq!((report.rounds, report.goal_reached), (3, None));
}
