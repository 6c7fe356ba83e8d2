//! What was found right, in words.

use crate::{Report, TreeReport};

/// What an audit found right, in the words of whoever knows the protocol; a line for each thing.
#[must_use]
pub fn in_words(report: &Report) -> String {
    let mut lines = vec![
        format!("{} ({})", report.title, report.campaign),
        format!("log          {} records by coordinator {}", report.records, report.coordinator),
        in_words_tree(report.tree.as_ref()),
        in_words_witnesses(report),
        format!("signatures   {} checked", report.signatures),
        format!("contributors {} with {} contributions", report.contributors, report.contributions),
        format!(
            "engines      {} contributions name an engine whose training can be repeated bit for bit",
            report.contributions_reproducible
        ),
        in_words_rounds(report),
        format!("blobs        {} checked, {} bytes", report.blobs, report.blob_bytes),
        format!("first        {} follows from the manifest", report.initial),
        match report.rounds_not_recomputed {
            0 => format!("last         {} follows from the updates", report.checkpoint),
            _ => format!("last         {} is what the log settled", report.checkpoint),
        },
        format!(
            "accuracy     {:.4} on {} held-out samples, loss {:.4}",
            report.accuracy, report.held_out, report.loss
        ),
    ];
    if let Some(ending) = report.goal_reached {
        lines.push(format!(
            "finished     with round {}: two consecutive rounds reached the goal of {}, with {:.4} and {:.4}",
            ending.round, ending.goal, ending.accuracy_before, ending.accuracy
        ));
    }
    if report.snapshots > 0 {
        lines.push(format!(
            "snapshots    {}, each of them what the records before it come to",
            report.snapshots
        ));
    }
    if report.updates_left_out > 0 {
        lines.push(format!(
            "left out     {} updates that do not decode or are longer than allowed",
            report.updates_left_out
        ));
    }
    if let Some(last) = report.rounds_set_aside.last() {
        lines.push(format!(
            "set aside    {} rounds that would have left the model far worse or as it was, the last one round {last}",
            report.rounds_set_aside.len()
        ));
    }
    if let Some(last) = report.rounds_skipped.last() {
        lines.push(format!(
            "skipped      {} rounds that too few contributed to in time, the last one round {last}",
            report.rounds_skipped.len()
        ));
    }
    if let Some(best) = report.best {
        lines.push(format!(
            "warning      far below round {}, which had accuracy {:.4} and loss {:.4}: the organiser can go back to it (lichen-relay back-to)",
            best.round, best.accuracy, best.loss
        ));
    }
    if report.differences_wrong > 0 {
        lines.push(format!(
            "differences  {} rounds were told as differences that do not give their results",
            report.differences_wrong
        ));
    }
    if report.contradictions > 0 {
        lines.push(format!("contradicted {} accounts said what is proven false", report.contradictions));
    }
    if report.trainings_audited > 0 {
        lines.push(format!(
            "audits       {} trainings were repeated by others, {} of them also here",
            report.trainings_audited, report.trainings_repeated
        ));
    }
    if report.disputes_settled > 0 {
        lines.push(format!(
            "disputes     {} were settled by the piece of the training in question: {} steps computed in all",
            report.disputes_settled, report.disputes_steps
        ));
    }
    for account in &report.expelled {
        lines.push(format!("expelled     {account}: it contributed what its training does not give"));
    }
    let whole = "everything matches the log\n";
    let in_part = "everything that can be checked matches the log\n";
    lines.push(if report.rounds_not_recomputed == 0 { whole } else { in_part }.to_owned());
    lines.join("\n")
}

fn in_words_rounds(report: &Report) -> String {
    let (rounds, missing) = (report.rounds, report.rounds_not_recomputed);
    if missing == 0 {
        return format!("rounds       {rounds} settled, every checkpoint recomputed");
    }
    format!(
        "rounds       {rounds} settled, {} checkpoints recomputed; {missing} could not be, as their updates went from \
         tab to tab\n             and were not stored; more than half of the contributors attested their results",
        rounds - missing
    )
}

fn in_words_witnesses(report: &Report) -> String {
    match (report.witnesses_wanted, report.witnessed) {
        (0, _) => "witnesses    none are named by the campaign".into(),
        (wanted, Some(seen)) => {
            format!(
                "witnesses    {wanted} or more of those that the campaign names have seen the first {seen} records"
            )
        }
        (wanted, None) => format!("witnesses    the campaign wants {wanted}, and nothing of them is shown"),
    }
}

fn in_words_tree(tree: Option<&TreeReport>) -> String {
    let Some(TreeReport { records, others, witnesses }) = tree else {
        return "tree         not shown: the relay was of an earlier version, or followed one that was away"
            .into();
    };
    let mut words = format!("tree         the signed root over {records} records is that of the records");
    if *others > 0 {
        words.push_str(&format!("; {others} other checkpoints are of the same history"));
    }
    if !witnesses.is_empty() {
        words.push_str(&format!("\n             cosigned by {}", witnesses.join(", ")));
    }
    words
}
