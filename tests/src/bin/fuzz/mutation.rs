//! Changes bytes in the ways that decoders get wrong.

/// Bytes that mean something in our formats: the ends of ranges, CBOR heads of every major type with every width,
/// indefinite lengths, JSON and TOML punctuation.
const NOTABLE: [u8; 36] = [
    0x00, 0x01, 0x7f, 0x80, 0xfe, 0xff, 0x17, 0x18, 0x19, 0x1a, 0x1b, 0x1f, 0x20, 0x3b, 0x40, 0x5b, 0x5f,
    0x60, 0x7b, 0x7d, 0x9b, 0x9f, 0xa0, 0xbb, 0xbf, 0xd8, 0xf6, 0xf9, 0xfa, 0xfb, b'"', b'\\', b'\n', b'[',
    b'=', b',',
];

/// A source of changed inputs; the same seed gives the same ones.
pub(crate) struct Mutator {
    state: u64,
}

impl Mutator {
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// An input of at most `cap` bytes: one of the corpus with a few changes, or now and then something random.
    pub(crate) fn input(&mut self, corpus: &[Vec<u8>], cap: usize) -> Vec<u8> {
        let mut input = match self.choose(corpus) {
            Some(known) if self.below(64) != 0 => known.clone(),
            _ => {
                let length = self.below(64);
                self.random(length)
            }
        };
        for _ in 0..=self.below(4) {
            self.change(&mut input, corpus);
        }
        input.truncate(cap);
        input
    }

    fn change(&mut self, input: &mut Vec<u8>, corpus: &[Vec<u8>]) {
        let at = self.below(input.len() + 1);
        match self.below(9) {
            0 => self.alter(input, at, |byte, random| byte ^ (1 << (random % 8))),
            1 => self.alter(input, at, |_byte, random| random.to_le_bytes()[0]),
            2 => self.alter(input, at, |_byte, random| notable(random)),
            3 => self
                .alter(input, at, |byte, random| byte.wrapping_add(if random & 1 == 0 { 1 } else { 0xff })),
            4 => {
                let byte = notable(self.next());
                input.insert(at, byte);
            }
            5 => {
                let length = 1 + self.below(8);
                input.drain(at..(at + length).min(input.len()));
            }
            6 => input.truncate(at),
            7 => {
                // A number of eight bytes at its limits.
                let number = [0, 1, u64::MAX, u64::MAX >> 1, 1 << 63, 1 << 32, u64::from(u32::MAX)];
                let number = self.choose(&number).copied().unwrap_or_default().to_be_bytes();
                input.splice(at..(at + number.len()).min(input.len()), number);
            }
            _ => self.splice(input, at, corpus),
        }
    }

    fn alter(&mut self, input: &mut [u8], at: usize, change: impl Fn(u8, u64) -> u8) {
        let random = self.next();
        if let Some(byte) = input.get_mut(at) {
            *byte = change(*byte, random);
        }
    }

    /// Puts a part of some known input here, over or between what there is.
    fn splice(&mut self, input: &mut Vec<u8>, at: usize, corpus: &[Vec<u8>]) {
        let Some(other) = self.choose(corpus) else { return };
        let from = self.below(other.len() + 1);
        let to = from + self.below(other.len() - from + 1).min(256);
        let over = if self.below(2) == 0 { to - from } else { 0 };
        let part = other.get(from..to).unwrap_or_default();
        input.splice(at..(at + over).min(input.len()), part.iter().copied());
    }

    fn random(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.next().to_le_bytes()[0]).collect()
    }

    fn choose<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        let at = self.below(from.len().max(1));
        from.get(at)
    }

    /// A number below `bound`, which is at least 1.
    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap_or(0)
    }

    /// SplitMix64 (Steele, Lea and Flood, 2014).
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

fn notable(random: u64) -> u8 {
    NOTABLE.iter().copied().nth(usize::try_from(random % NOTABLE.len() as u64).unwrap_or(0)).unwrap_or(0)
}
