//! What is simulated: how many, for how long, by which rules, and what goes wrong.

use std::fmt;
use std::str::FromStr;

use crate::random::Random;

/// A kind of thing that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// Messages are late, lost, doubled and out of order, and connections break.
    Network,
    /// Some cannot reach the relay, or it cannot reach them, for a while.
    Partitions,
    /// Tabs are killed and opened again, with stores whose last write is not whole; people pause, leave and come back.
    Crashes,
    /// Tabs sleep, and go on much later as if nothing had been.
    Sleep,
    /// Clocks are wrong, and run too fast or too slow.
    Clocks,
    /// The relay is killed between ordering and writing, and started again.
    Restarts,
    /// A follower with a checked copy takes the relay's place.
    Takeover,
    /// The operator goes back to an earlier checkpoint.
    GoBack,
    /// The relay's disk loses what it said it had written.
    LostWrites,
    /// The relay signs two logs, and shows them to different tabs.
    Equivocation,
    /// Some of the peers are hostile.
    Hostile,
}

/// All of them, by the names that the command line knows.
pub const FAULTS: [(&str, Fault); 11] = [
    ("network", Fault::Network),
    ("partitions", Fault::Partitions),
    ("crashes", Fault::Crashes),
    ("sleep", Fault::Sleep),
    ("clocks", Fault::Clocks),
    ("restarts", Fault::Restarts),
    ("takeover", Fault::Takeover),
    ("go-back", Fault::GoBack),
    ("lost-writes", Fault::LostWrites),
    ("equivocation", Fault::Equivocation),
    ("hostile", Fault::Hostile),
];

/// Which kinds of things go wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// All of them.
    #[must_use]
    pub fn all() -> Self {
        Self(FAULTS.iter().map(|(_name, fault)| *fault).collect())
    }

    /// Whether this one is among them.
    #[must_use]
    pub fn has(&self, fault: Fault) -> bool {
        self.0.contains(&fault)
    }

    /// The same without this one.
    #[must_use]
    pub fn without(&self, fault: Fault) -> Self {
        Self(self.0.iter().copied().filter(|other| *other != fault).collect())
    }

    /// One after the other.
    pub fn iter(&self) -> impl Iterator<Item = Fault> + '_ {
        self.0.iter().copied()
    }
}

impl FromStr for Faults {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "all" => return Ok(Self::all()),
            "none" => return Ok(Self::default()),
            _ => {}
        }
        let find = |name: &str| {
            let found = FAULTS.iter().find(|(known, _fault)| *known == name);
            let names: Vec<_> = FAULTS.iter().map(|(name, _fault)| *name).collect();
            found.map(|(_name, fault)| *fault).ok_or_else(|| {
                format!("there is no fault {name:?}: there are {}, and all or none", names.join(","))
            })
        };
        text.split(',').map(find).collect::<Result<_, _>>().map(Self)
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = FAULTS.iter().filter(|(_name, fault)| self.has(*fault)).map(|(name, _fault)| *name);
        let names: Vec<_> = names.collect();
        match names.len() {
            0 => f.write_str("none"),
            count if count == FAULTS.len() => f.write_str("all"),
            _ => f.write_str(&names.join(",")),
        }
    }
}

/// Something in the simulated programs that is broken on purpose, so that tests see the rule about it fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sabotage {
    /// A tab takes every record for one millisecond later than it is.
    LateFold,
    /// A relay that starts has lost its last records, and nobody is told.
    SilentLoss,
    /// The relay takes any contribution's base for what a round comes to, and one that nobody computed.
    FalseCoordinator,
    /// What ends a round does not get into the log.
    NeverEnds,
    /// An honest tab attests what nobody computed.
    FalseHonest,
    /// The relay refuses everybody who joins.
    NobodyJoins,
    /// Tabs keep every blob for ever, and make up more.
    Hoarding,
    /// The simulated programs panic.
    Panic,
}

/// One run: equal settings give equal runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Everything random follows from it.
    pub seed: u64,
    /// Tabs, the hostile ones among them.
    pub peers: usize,
    /// Rounds after which the run is over.
    pub rounds: u64,
    /// Whether updates go from tab to tab, and contributors settle.
    pub is_mesh: bool,
    /// What goes wrong.
    pub faults: Faults,
    /// Hostile ones among the peers, if some are to be.
    pub hostile: usize,
    /// As the manifest's `rounds.cohort`.
    pub cohort: Option<u32>,
    /// As the manifest's `rounds.committee`.
    pub committee: Option<u32>,
    /// As the manifest's `rounds.minimum`.
    pub minimum: u32,
    /// As the manifest's `rounds.quorum`.
    pub quorum: u32,
    /// As the manifest's `rounds.extensions`.
    pub extensions: u32,
    /// Whether trainings are repeated.
    pub audit: bool,
    /// Whether an outer optimiser carries something over from round to round.
    pub outer: bool,
    /// Whether updates are combined by the rule of the shipped campaign, and not by the mean.
    pub robust: bool,
    /// Whether most tabs share the folds of equal prefixes.
    pub shared: bool,
    /// Only these mishaps happen, of those that the seed gives; all unless given.
    pub only: Option<Vec<usize>>,
    /// Whether everything that the relay orders, and every mishap, is told on standard error.
    pub trace: bool,
    /// What is broken on purpose: nothing but in tests.
    pub sabotage: Option<Sabotage>,
}

/// From so many tabs on, those with the same prefix share its fold.
const SHARED_FROM: usize = 65;

impl Settings {
    /// So many honest tabs for so many rounds, and nothing goes wrong.
    #[must_use]
    pub fn new(seed: u64, peers: usize, rounds: u64) -> Self {
        Self {
            seed,
            peers,
            rounds,
            is_mesh: false,
            faults: Faults::default(),
            hostile: peers / 5,
            cohort: None,
            committee: None,
            minimum: 1,
            quorum: 2,
            extensions: 1,
            audit: false,
            outer: false,
            robust: false,
            shared: peers >= SHARED_FROM,
            only: None,
            trace: false,
            sabotage: None,
        }
    }

    /// A small run in which the seed decides everything: one of the long form.
    #[must_use]
    pub fn drawn(seed: u64) -> Self {
        let mut random = Random::new(seed, 1);
        let peers = 2 + random.place(6);
        let mut settings = Self::new(seed, peers, random.between(2, 6));
        settings.is_mesh = random.chance(350);
        settings.faults = Faults(
            FAULTS.iter().map(|(_name, fault)| *fault).filter(|fault| random.chance(share(*fault))).collect(),
        );
        settings.hostile = random.place(1 + peers / 3).max(usize::from(peers > 3));
        settings.cohort = random.chance(200).then(|| 2 + u32::try_from(random.below(3)).unwrap_or(0));
        settings.committee = random.chance(250).then(|| 2 + u32::try_from(random.below(2)).unwrap_or(0));
        settings.minimum = 1 + u32::try_from(random.below(2)).unwrap_or(0);
        settings.quorum = 1 + u32::try_from(random.below(2)).unwrap_or(0);
        settings.extensions = u32::try_from(random.below(3)).unwrap_or(0);
        settings.audit = random.chance(300);
        settings.outer = random.chance(250);
        settings.robust = random.chance(300);
        settings.shared = random.chance(200);
        settings
    }
}

/// How often a drawn run has the fault, in a thousand.
const fn share(fault: Fault) -> u64 {
    match fault {
        Fault::LostWrites | Fault::Equivocation => 150,
        Fault::Takeover | Fault::GoBack => 250,
        _ => 500,
    }
}

impl fmt::Display for Settings {
    /// As options of the command line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, peers, rounds, faults, hostile, minimum, quorum, extensions, .. } = self;
        let topology = if self.is_mesh { "mesh" } else { "hub" };
        write!(f, "--seed {seed} --peers {peers} --rounds {rounds} --topology {topology} --faults {faults}")?;
        write!(f, " --hostile {hostile} --minimum {minimum} --quorum {quorum} --extensions {extensions}")?;
        for (option, number) in [("cohort", self.cohort), ("committee", self.committee)] {
            if let Some(number) = number {
                write!(f, " --{option} {number}")?;
            }
        }
        for (option, is_set) in [("audit", self.audit), ("outer", self.outer), ("robust", self.robust)] {
            if is_set {
                write!(f, " --{option}")?;
            }
        }
        write!(f, " --fold {}", if self.shared { "shared" } else { "own" })?;
        if let Some(only) = &self.only {
            let places: Vec<_> = only.iter().map(usize::to_string).collect();
            write!(f, " --only {}", if places.is_empty() { "none".into() } else { places.join(",") })?;
        }
        Ok(())
    }
}
