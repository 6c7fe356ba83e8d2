//! `[rounds]` of a manifest: how rounds go, how updates travel, and who settles.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use toml::de::DeTable;

use crate::Fault;
use crate::reader::Reader;

/// What `topology` stands for: the pairs of transport and settlement that work together.
const TOPOLOGIES: [(&str, (Transport, Settlement)); 2] = [
    ("hub", (Transport::Relay, Settlement::Coordinator)),
    ("mesh", (Transport::Peers, Settlement::Contributors)),
];

/// How often a round is extended where members are drawn, unless given.
const EXTENSIONS_OF_A_COHORT: u32 = 1;

/// `[rounds]`: how rounds go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rounds {
    /// How updates travel.
    pub transport: Transport,
    /// Who settles a round.
    pub settlement: Settlement,
    /// Least time from one round's opening to the next one's, in milliseconds.
    pub interval_ms: u64,
    /// How long a round waits for members that do not contribute, in milliseconds.
    pub deadline_ms: u64,
    /// How many members train in a round, drawn by lot where more are there; none where everybody does.
    pub cohort: Option<u32>,
    /// Fewest contributions to close a round with.
    pub minimum: u32,
    /// How often a round that has too few contributions at its deadline is extended by another deadline before it is skipped;
    /// none where it waits for them for ever.
    pub extensions: Option<u32>,
    /// Equal attestations that settle a round's result.
    pub quorum: u32,
    /// How many of a round's contributors are drawn to compute and attest its result; none where everybody does.
    pub committee: Option<u32>,
    /// Rounds after which the campaign is finished.
    pub limit: u64,
    /// Seed for the initial model, the shards and the training order.
    pub seed: u64,
}

/// How updates and checkpoints travel, and with it who keeps them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// By the relay: it has every update before the contribution stands in the log, and keeps all of them.
    Relay,
    /// From tab to tab: whoever made a blob serves it, and the relay keeps what nobody else can serve.
    Peers,
}

/// Whose attestations settle a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// The coordinator's, with those of as many members as the quorum asks.
    Coordinator,
    /// Those of most of the round's contributors; the coordinator attests nothing.
    Contributors,
}

/// Most members of a round with a cohort of this size who have yet to contribute, or who are back: a quarter more than it.
#[must_use]
pub const fn places_for_newcomers(cohort: u32) -> u32 {
    cohort.div_ceil(4)
}

pub(crate) fn read_rounds(table: Option<&DeTable<'_>>, faults: &mut Vec<Fault>) -> Option<Rounds> {
    let mut reader = Reader::new("rounds", table, faults);
    let topology = reader.choice("topology", &TOPOLOGIES);
    let interval = reader.number("interval_seconds", 0.0..=86_400.0);
    let deadline = reader.number("deadline_seconds", 0.1..=86_400.0);
    let cohort = reader.optional_whole("cohort", 1..=1_000);
    let minimum = reader.whole("minimum", 1..=10_000);
    let extensions = reader.optional_whole("extensions", 0..=1_000);
    let quorum = reader.whole("quorum", 1..=10_000);
    let committee = reader.optional_whole("committee", 1..=10_000);
    let limit = reader.whole("limit", 1..=1_000_000_000);
    let seed = reader.whole("seed", 0..=i64::MAX);
    if let (Some((_transport, settlement)), Some(quorum), Some(Some(committee))) =
        (topology, quorum, committee)
        && let Some(problem) = check_committee(settlement, quorum, committee)
    {
        reader.fault::<()>("committee", &problem);
    }
    if let (Some(Some(cohort)), Some(minimum)) = (cohort, minimum)
        && cohort < minimum
    {
        let problem = format!(
            "is {cohort}: a round would never get the {minimum} contributions of rounds.minimum. Draw more, or ask for fewer"
        );
        reader.fault::<()>("cohort", &problem);
    }
    reader.finish();
    let (transport, settlement) = topology?;
    Some(Rounds {
        transport,
        settlement,
        interval_ms: to_milliseconds(interval?),
        deadline_ms: to_milliseconds(deadline?),
        cohort: cohort?,
        minimum: minimum?,
        // If those who are drawn are silent, others must be drawn at some time.
        extensions: extensions?.or(cohort?.map(|_size| EXTENSIONS_OF_A_COHORT)),
        quorum: quorum?,
        committee: committee?,
        limit: limit?,
        seed: seed?,
    })
}

/// Why so few can never be the quorum, if they cannot.
fn check_committee(settlement: Settlement, quorum: u32, committee: u32) -> Option<String> {
    let (most, whose) = match settlement {
        Settlement::Coordinator => (committee.saturating_add(1), "with the coordinator "),
        Settlement::Contributors => (committee, ""),
    };
    (quorum > most).then(|| {
        format!(
            "is {committee}: {whose}these are {most}, and rounds.quorum wants {quorum} equal attestations. \
             Draw more, or ask for fewer"
        )
    })
}

/// The nearest whole number of milliseconds.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the range allowed is 0 to a day, and dropping the fraction is what this is for"
)]
pub(crate) const fn to_milliseconds(seconds: f64) -> u64 {
    (seconds * 1000.0 + 0.5) as u64
}
