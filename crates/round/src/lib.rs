//! The round protocol as a sans-I/O state machine.
//!
//! A campaign's log says everything: who takes part, which round is open, who contributed, what came of it.
//! [`CampaignState`] is the fold over that log; two nodes with the same log have the same state. [`Participant`]
//! (a tab) and [`Coordinator`] (the relay) hold such a state and turn events into actions: they read no clock, draw no
//! randomness, sign nothing and send nothing. Time is the log's, except for pauses before something is tried again.
//!
//! # A round
//!
//! 1. The coordinator opens it (`RoundOpened`) on the last settled checkpoint, or on an earlier one that it goes back to,
//!    when the interval has passed and somebody takes part. Those whom it waits for are its cohort: see below.
//! 2. Any present member contributes once (`Contribution`), also one that joined later.
//! 3. The coordinator closes it (`RoundClosed`) when there are at least `minimum` contributions and the cohort is
//!    complete or the deadline has passed.
//! 4. Members and the coordinator compute the result from the base and the contributions in log order, and attest it
//!    (`Attestation`).
//!    What would leave the model far worse is turned down by whoever computes it (`learn::Judge`): then the result is the
//!    base, for everybody alike.
//! 5. It settles when `quorum` accounts attest the same result, the coordinator among them. Then the next may open. A round
//!    with contributions that settles on its own base is told of ([`Change::SetAside`]).
//!
//! That is a campaign whose rounds the coordinator settles ([`lichen_campaign::Settlement`]). Where contributors settle, as
//! in a mesh, the coordinator opens and closes rounds and does no more: it need not have the updates, and attests nothing.
//! Steps 4 and 5 are the contributors': see the last section. How updates travel is of no concern here.
//!
//! # Whom a round waits for
//!
//! Waiting costs everybody time, and accounts cost nothing. So waiting is earned by contributing, and joining again earns
//! nothing ([`Presence`]).
//!
//! - A round waits for members that contributed and were not waited for in vain since.
//! - A newcomer, or who left and is back, is waited for on trial: in one round, and again only after it contributed. When a
//!   round waited for newcomers in vain, none are waited for in the next 1, 2, 4, … 64 rounds, until a round waits for
//!   newcomers who all contribute. Where nobody else is expected, newcomers are waited for in any case.
//! - Who was waited for in vain, for a contribution or for an attestation that the quorum needed, is waited for again after
//!   one contribution, the next time after 2, then 4, … 64. 64 contributions without a miss make that forgotten.
//! - Leaving or departing late is as bad as not contributing: it counts when the round had waited for longer than the
//!   interval between two rounds. Whoever is not waited for may contribute all the same.
//!
//! # When somebody is missing, wrong or lying
//!
//! - The coordinator's attestation is needed because accounts cost nothing: without it, a person with two of them could
//!   settle a false result in a moment. With it, a false result needs a lying coordinator, and every honest tab sees
//!   that.
//! - The quorum is lowered to the coordinator and the members still expected. After a deadline since the closing, the
//!   coordinator's result settles if more than half of the attestations agree with it; the [`Coordinator`] attests
//!   last, when its word settles the round or that deadline has passed.
//! - Where most contradict the coordinator, its word settles nothing. A further member's attestation may decide. If none does
//!   for one more deadline, the coordinator closes the round a second time, and it ends with the checkpoint that it began
//!   with: nobody is at fault, as nobody knows who is wrong, and the log keeps what each of them said. Everybody who has
//!   the updates can find out (`lichen verify`).
//! - Whoever attests something other than what settles, or two results for one round, is recorded as a [`Fault`], with
//!   the proof in the log. Of two results by one key neither counts.
//! - An account with faults is barred from attesting, and not waited for, in the next 2, 4, … 64 rounds; from the third
//!   fault on its contributions are refused for as long, too. An honest account cannot come to a fault by an update that
//!   was excluded meanwhile: its attestation says how many were. A coordinator that settles is never barred.
//! - What a contribution says of itself has bounds that follow from the manifest ([`Rules::check_metrics`]): so many steps
//!   and samples, and a loss that a training can come to.
//! - An update that several accounts contribute is aggregated once, as that of whoever among them weighs most, or else came
//!   first ([`Round::inputs`]): the training of each account has its own samples and order. It is not refused, since who
//!   copies may come first.
//! - When something settled that should not have, the coordinator opens a round on one of the last 64 results, or on the
//!   initial checkpoint ([`CoordinatorEvent::GoBack`], [`Change::WentBack`]). Faults are forgiven then, since what they
//!   contradicted stands no longer.
//! - `Joined` and `Left` carry a sequence number that grows with every one of the account's, so that old ones cannot be
//!   replayed; every other entry names its round and may stand once.
//! - Tabs are closed rather than left. When a member's connection has been gone for a moment, the coordinator says so
//!   (`Departed`), and the round waits for it no longer; nor do later ones until it contributes. What it contributed
//!   counts, and what it contributes late, too. Only the coordinator sees connections, so that only it can say this. It
//!   gains nothing that it has not by refusing entries: whoever is there contributes and attests all the same.
//! - Where nobody takes part, nothing is opened and the log rests; where nobody who takes part is there, a round stays open, or
//!   is skipped: see below.
//! - A log with an entry that [`CampaignState::admit`] refuses is a false log: a participant that meets one believes
//!   nobody who serves it ([`ParticipantAction::Distrust`]).
//! - Where the outer optimiser carries something over from round to round, that is a second blob, attested beside the checkpoint.
//!   Attestations agree only if both ids do. It belongs to its checkpoint: a round that settles on its base leaves the
//!   base's, and whoever goes back to a checkpoint goes back to what the last round that settled with it carried over.
//!
//! # A cohort
//!
//! Where the manifest says how many contribute (`rounds.cohort`), and more are there, a round is for those that a lot draws when
//! it opens ([`Round::has_turn`]). Everybody else trains nothing meanwhile, and its contribution is refused
//! ([`Refusal::NotItsTurn`]).
//!
//! - **The lot** is a hash of the campaign's seed, the round and the opening entry with its signature. No member can know it, or
//!   choose its key so that the lot falls on it: the opening is signed after the last of them joined. The coordinator can try
//!   several signatures, as it could refuse contributions.
//! - **Turns come fairly.** A member's chance grows with the rounds since its last turn, or since it joined. So all have about
//!   as many turns, none waits for long, and who trains with whom stays open. Leaving and joining again begins the count anew.
//! - **Who is drawn from.** The places are for members whom rounds wait for; what they leave goes to others who are there, and
//!   to who comes while the round is open. Up to a quarter more, and one at least, are drawn of those who have yet to contribute
//!   or are back, so that made-up accounts take nobody's place, and newcomers have a turn. Of many newcomers, each waits long.
//! - **Who goes is replaced**, by the next of a reserve that the same lot draws, half as many as the cohort. A departure shows
//!   within two seconds, so that no more are drawn than needed. Elsewhere 130 % of the devices are selected, and the slowest of
//!   them are cut off (Bonawitz et al., 2019, "Towards Federated Learning at Scale"). Here that would leave out the slowest of a
//!   few tabs each time, and waste what they did. Who steps in had less time than others, and is not blamed for missing the
//!   deadline.
//! - **Who is silent** until the deadline is missed. If the round has too few contributions then, the reserve takes the places,
//!   and at last it is skipped, once extended unless the manifest says otherwise. Whoever had a turn and did not use it, though
//!   others could have, joins again before it has the next.
//! - Nobody trains ahead for a round that is not open yet, unless all who are there will have a turn.
//!
//! # Rounds that end without a result
//!
//! Where the manifest says how often a round is extended (`rounds.extensions`), no round lasts for ever.
//!
//! - An open round with fewer than `minimum` contributions at its deadline is overdue. The coordinator says so
//!   (`RoundOverdue`): the round is extended, and has its deadline again. Those whom it waited for are missed, as at a closing,
//!   and may contribute all the same. Said again after the last extension, the round is skipped: it settles on its base, the
//!   next one begins, and what was contributed to it counts for nothing ([`Change::Skipped`]).
//! - A closed round that the coordinator settles is skipped when two deadlines have passed since its closing, and one for each
//!   extension: where the coordinator cannot compute the result, and so has no word on it. (Where contributors settle, a closed
//!   round ends at its deadline in any case.)
//! - So a round with `e` extensions and the deadline `d` lasts `(3 + 2e) d` at most, and is open for `(1 + e) d` of that. A
//!   coordinator that was away gives everybody `d` from its return.
//! - After that nobody is taken to be there who was silent, until it says so by joining again, and a round opens only when as
//!   many are there as it needs contributions. So the log rests where nobody is there, and who is alone does not train in vain.
//! - Without `rounds.extensions`, an open round waits for its minimum for as long as it takes, and a closed one for its
//!   coordinator's word.
//!
//! # A committee
//!
//! Where the manifest says how many attest (`rounds.committee`), a round's result is computed and attested by as many of its
//! contributors, drawn by lot when it closes ([`Round::committee`]). Nobody else has a say: others get no update of anybody's,
//! and take what settles. The committee stands in the place of the members where the coordinator settles, and of the
//! contributors where these do; whoever of it is silent is dealt with as they are.
//!
//! - **The lot** is a hash of the campaign's seed, the round, its contributions and the closing entry with its signature. The
//!   accounts whose hash with it is smallest are drawn, so that every tab finds the same ones. No contributor can choose its
//!   update so that the lot falls on it: the closing is signed after the last contribution. The coordinator can: it may sign
//!   the closing in many ways, refuse contributions, or have accounts of its own. Where it settles, that gives it nothing new,
//!   since a false result needs its word in any case, and an audit finds it. Where contributors settle, it does: a
//!   coordinator that lies can settle a false result with the accounts of half a committee instead of half of the contributors.
//! - **How large it must be** follows from how many of the accounts may be hostile. So large must a committee be for hostile
//!   accounts to be more than half of it once in a million rounds, if it is drawn from so many contributors (an exact count,
//!   in `tests/committee.rs`):
//!
//!   | hostile | of 32 | of 100 | of 1,000 | of 10,000 |
//!   |---|---|---|---|---|
//!   | 10 % | 7 | 17 | 21 | 23 |
//!   | 20 % | 13 | 31 | 49 | 51 |
//!   | 30 % | 19 | 53 | 115 | 129 |
//!   | 40 % | 25 | 81 | 355 | 525 |
//!
//!   That is large, and each of them gets every update. Where contributors settle, a smaller one is a risk that somebody has
//!   to want. Where the coordinator settles, a false result needs the coordinator's word besides, and a few are enough to
//!   notice a coordinator that errs.
//! - Who was not drawn can compute a result as well, and has no place to say so in the log: its attestation is refused
//!   ([`Refusal::NotDrawn`]), as otherwise everybody could fill the log. An audit from outside says it.
//!
//! # Work that is repeated
//!
//! Where the manifest has the table `[audit]`, trainings are repeated by others, and weight is earned by that.
//!
//! - **The draw.** When a round settles, each of its contributions is drawn with the chance `share`, and one account has to
//!   repeat its training, step by step from the round's base: samples, order and seed follow from the manifest, the round and
//!   the account, and the CPU engine gives the same bits everywhere. The account says in the log what came of it
//!   (`Audit`). Only trainings by the CPU engine are drawn, since every graphics processor rounds in its own way.
//! - **Who repeats.** The coordinator, and members whom rounds wait for, who have earned their weight. While no member has, the
//!   coordinator alone: it needs the checkpoint and the data for that, but nobody's update.
//! - **The lot** is a hash over all entries up to the one that settles the round, signatures included. A contributor cannot know
//!   it, since others sign after it. Whoever signs the settling entry can try several signatures and choose among their draws.
//! - **Disputes.** If the one finds another update than was contributed, up to seven repeat the training, the first among them.
//!   What more than half of them find is what the training gives. Who said otherwise is at fault: a contributor has no part in
//!   the campaign any more, and its contribution is taken from its count; an account that accused falsely loses what it had to
//!   show for. Where the coordinator alone may repeat, its word decides, and `lichen verify` finds out whether it lied. An audit
//!   that is not decided within 32 rounds lapses.
//! - **Traces.** A contribution by the CPU engine names a blob beside its update: the hashes of the states (parameters, statistics
//!   and the optimiser's state) that its training went through, one after every so many steps (`every`) and one after the last.
//!   They cut the training into pieces. Naming the blob commits to every hash in it, as a Merkle root would; the list is 8 KB at
//!   most, so nobody needs proofs of single leaves. If the manifest gives `every`, a contribution without a trace is refused.
//!   Without the key, one is taken, and a dispute about it is about the whole training.
//! - **Evidence.** Whoever finds another update also says which piece is the first that gives another state than the trace says,
//!   uploads the state before it, and names that in the same entry (`Evidence`). Its id is the hash in the trace, so anybody sees
//!   at once that the contributor, too, says that the training came by there. The others who are asked compute that piece
//!   alone and say who is right: the update as it was contributed, or what the first one found.
//!
//! | who lies, and how | what ends it |
//! |---|---|
//! | contributor: a trace that is wrong from some state on | the piece that leads there, computed from the state before |
//! | contributor: an honest trace and another update | no step: the last state of the trace packs to another update |
//! | contributor: the right update and a wrong trace | as the first; `found` is the id of the right trace then |
//! | contributor: a trace of garbage | the first piece, from the round's base; no state is uploaded |
//! | contributor: no trace, of another length, or gone | the relay takes none that it does not hold whole; where it is gone all the same, the whole training is repeated |
//! | auditor: a piece that is as the trace says | that piece |
//! | auditor: a state that the trace does not have | no step: the contributor never said that |
//! | auditor: no state, or evidence of another form | the relay and the fold refuse it |
//! | both, about the same piece; or the state is gone | the whole training, as without evidence |
//!
//!   Who accuses falsely makes the contribution stand, right or wrong. That gives a colluding auditor nothing: it could have
//!   confirmed it. Where evidence decides, the log knows that the contribution is wrong, and takes from the auditor alone what
//!   would have been right. A piece costs seven others its steps, and not those of the whole training.
//! - **Weight.** A contribution weighs by its samples in full once `earn` trainings of its account came out the same elsewhere,
//!   and a part that grows with each until then. All accounts that have not earned it weigh together at most the share
//!   `newcomers` of a round. Where nobody in a round has earned anything, there is nobody to outweigh, and that share holds
//!   nobody off: so a campaign is as open to made-up accounts in its first rounds as it is without audits. Trainings on a
//!   graphics processor always weigh as a new account's.
//! - **What stays.** A model that a lie has gone into is not taken back: each made-up account could otherwise cost everybody the
//!   rounds since. What newcomers weigh bounds the harm, and the organiser can go back. Two accounts of one person may be drawn
//!   to repeat each other's trainings and confirm lies; they have to earn their weight first.
//!
//! # Say
//!
//! Where weight has to be earned (`[audit]`), so has a say. What settles a round, leaves out an update that nobody can get, or
//! outvotes a coordinator at the deadline, is more than half of what those have to say who speak, not more than half of
//! their number. An account that had earned its weight when it contributed has a whole say, as has a coordinator that settles,
//! and a new one has a part, as with weights. All new ones together have at most the share `newcomers`, and as much as
//! their number only where nobody has earned anything. The lot for a committee falls on accounts in the same proportion. The
//! quorum goes on counting accounts: it says how many have to compute the result, not whom to believe.
//!
//! # The end
//!
//! - After its last round (`limit`) a campaign is finished.
//! - Where the manifest says that the goal ends it ([`Rules::ends_at_goal`]), the coordinator has settled checkpoints measured,
//!   and says `Finished` when two rounds, one built on the other, reach the goal: one alone may be luck. The fold measures nothing
//!   and takes that word from the coordinator alone, once, after a settled round. Whoever has the checkpoints and the data can
//!   check it.
//! - A finished campaign takes no joins, contributions or openings; whoever is in may leave, and late attestations stand. A
//!   coordinator that goes back to an earlier checkpoint opens a campaign again that ended at its goal, also where everybody has
//!   left.
//!
//! # What the organiser decides
//!
//! Where the manifest names the organiser's account ([`Rules::organiser`]), that account decides how the campaign goes on
//! (`Decided`). Each decision has a greater sequence number than the one before, so that none can be replayed. Nobody else may, the
//! coordinator included; without the account in the manifest nobody may.
//!
//! - **Pause**: no round opens until **Resume**. The round that is under way ends as usual, so that nobody's contribution is lost.
//!   Who takes part stays a member, and trains nothing ahead.
//! - **Finish**: the campaign is over with the round that is under way, or at once between two rounds, as if that had been its last
//!   one. That is for good: the coordinator cannot go back any more. Where a round waits for contributions for as long as it takes,
//!   so does this end.
//! - **Retire**: nothing more stands in the log, not even what is under way or that somebody leaves.
//! - **Change**: settings that the manifest lets the organiser change, within its bounds ([`Rules::changes`]). They take effect with
//!   the next opening ([`Change::SettingsChanged`]), and a later change before that replaces an earlier one of the same setting. So
//!   an open round stays as it was opened, and all contributors of a round train with the same settings. Who trains ahead for the
//!   next round begins anew if its learning rate changes before it opens. [`CampaignState::rules`] has what holds now,
//!   [`CampaignState::learning_rate`] that of one of the last rounds, for whoever repeats a training.
//!
//! # Snapshots
//!
//! The coordinator writes into the log, every so many entries, the content id of what all entries before come to
//! (`Entry::Snapshot`), and keeps those bytes ([`CampaignState::to_bytes`]: one form, whoever writes it). So whoever comes late, or
//! starts again, need not fold the log from its beginning.
//!
//! - **Checked by everybody who folds.** A snapshot may stand in the log only if its id is the one that the fold gives
//!   ([`Refusal::WrongSnapshot`]): a log with a false one is a false log, to each tab that follows it, to other relays and to
//!   `lichen verify`.
//! - **What somebody trusts who begins with one.** The coordinator's signature, for what came before: the snapshot's entry, and
//!   the head that the chain reaches from it. A coordinator that lies could show somebody an invented past, signed as a snapshot,
//!   with contributions that nobody signed. It would have to show it to newcomers alone, for good, since tabs that were there
//!   before, and auditors, believe no log with such an entry; and it leaves a signed proof with each of them. From the snapshot
//!   on, everything is checked as ever.
//! - **How often** follows from the manifest ([`Rules::snapshots`]), and not more often than there are members, so that writing
//!   snapshots takes no more than a part of what writing the log takes.
//! - **What is in it** is bounded but for the members, of whom each takes some fifty bytes for good. Of faults the last 64 are in it,
//!   and of what contributors reported ([`CampaignState::reported`]) 240 rounds at most.
//! - A new field of the state is a new form: it changes the ids, so that it takes a new kind of entry, or a rule in the manifest.
//!
//! # Where contributors settle
//!
//! - Only contributors attest. A result settles when more than half of the round's contributors attest it (by their say,
//!   where it has to be earned), and as many
//!   as the quorum asks, which is lowered to the contributors who have not left. When the deadline has passed since the
//!   closing, the majority alone is enough.
//! - A contributor that could get an update from nobody says so (`Unavailable`). An update that more than half of the
//!   other contributors miss is excluded, with its contribution: the result is that of the others. Attestations say how
//!   many contributions were excluded when they were computed, so that one under way meanwhile is refused rather than
//!   mistaken for a second, different word.
//!   An account may have 32 reports standing: who misses more is cut off itself.
//! - At the deadline, or as soon as nobody who is still there has anything to add, the coordinator closes the round a
//!   second time. Then it ends: with the majority's result, or, if there is none, with the checkpoint it began with. So
//!   no round waits for ever, whoever dies when; the price is a lost round where half of the contributors vanish within
//!   it. Contributors that were silent are not waited for again.
//! - **Made-up accounts.** Accounts cost nothing, and no coordinator's word is needed here. Without `[audit]`, whoever runs
//!   most of the accounts that contribute to a round decides what comes of it: it can settle a false checkpoint, or leave out
//!   another's update. Fewer cannot. With `[audit]` it takes accounts that have earned most of the say, except in rounds
//!   where nobody has earned any. An audit that has the updates still shows a false checkpoint for what it is.
#![no_std]
#![deny(missing_docs)]

extern crate alloc;

mod attempt;
mod audits;
mod change;
mod codec;
mod coordinator;
mod course;
mod lot;
mod outcome;
mod participant;
mod patience;
mod refusal;
mod repetition;
mod roll;
mod round;
mod rules;
mod say;
mod standing;
mod state;
mod weights;

pub use audits::{Accusation, Audit};
pub use change::{Change, Fault, FaultKind};
pub use coordinator::{Coordinator, CoordinatorAction, CoordinatorEvent};
pub use course::Reported;
pub use outcome::Outcome;
pub use participant::{Activity, Participant, ParticipantAction, ParticipantEvent, Ticket};
pub use refusal::Refusal;
pub use repetition::Repetition;
pub use roll::{Member, Presence};
pub use round::{Accepted, Difference, Input, Round, Stage};
pub use rules::Rules;
pub use state::{Applied, CampaignState, MAX_SNAPSHOT, SnapshotError};
