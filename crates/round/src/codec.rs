//! How the fold's state is written as bytes: field after field, in one form only.
//!
//! Whole numbers are in groups of seven bits, the lowest first. An account or a content id is its place among those that
//! came before it, and follows in full where it is new, so that each is written once. A reader takes what has another form
//! for the same: whoever wants one form writes again what was read, and compares.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;

use lichen_record::{AccountId, Cid, EngineKind, EngineVersion, Evidence, Metrics, RoundNumber, Settings};

/// Largest number that something is counted to: adding to it is far from any end.
const MAX_COUNT: u64 = 1 << 30;

/// Writes bytes.
#[derive(Default)]
pub(crate) struct Writer {
    bytes: Vec<u8>,
    accounts: BTreeMap<AccountId, u64>,
    cids: BTreeMap<Cid, u64>,
}

/// Reads what a [`Writer`] wrote. Everything that it gives took at least one byte, so that no list is longer than the input.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    accounts: Vec<AccountId>,
    cids: Vec<Cid>,
}

/// What has a form in bytes.
pub(crate) trait Coded: Sized {
    fn write(&self, to: &mut Writer);

    /// None if the bytes are no such thing.
    fn read(from: &mut Reader<'_>) -> Option<Self>;
}

impl Writer {
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, accounts: Vec::new(), cids: Vec::new() }
    }

    fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*byte)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(*array)
    }
}

/// Gives a type the form of its fields, one after the other; an enum's variant is its number before them. Nothing may be left
/// out: a field that is not named does not compile. What is read is taken if it is as `where` says.
macro_rules! coded {
    (struct $name:ident { $($field:ident),* $(,)? } $(where $is_sound:expr)?) => {
        impl $crate::codec::Coded for $name {
            fn write(&self, to: &mut $crate::codec::Writer) {
                let Self { $($field),* } = self;
                $($crate::codec::Coded::write($field, to);)*
            }

            fn read(from: &mut $crate::codec::Reader<'_>) -> Option<Self> {
                let read = Self { $($field: $crate::codec::Coded::read(from)?),* };
                $(if !$is_sound(&read) { return None; })?
                Some(read)
            }
        }
    };
    (enum $name:ident { $($number:literal = $variant:ident $({ $($field:ident),* })?),* $(,)? }) => {
        impl $crate::codec::Coded for $name {
            fn write(&self, to: &mut $crate::codec::Writer) {
                match self {
                    $(Self::$variant $({ $($field),* })? => {
                        $crate::codec::Coded::write(&($number as u64), to);
                        $($($crate::codec::Coded::write($field, to);)*)?
                    })*
                }
            }

            fn read(from: &mut $crate::codec::Reader<'_>) -> Option<Self> {
                let number: u64 = $crate::codec::Coded::read(from)?;
                match number {
                    $($number => Some(Self::$variant $({ $($field: $crate::codec::Coded::read(from)?),* })?),)*
                    _ => None,
                }
            }
        }
    };
}

pub(crate) use coded;

impl Coded for u64 {
    fn write(&self, to: &mut Writer) {
        let mut rest = *self;
        loop {
            let [low, ..] = rest.to_le_bytes();
            rest >>= 7;
            to.bytes.push(if rest == 0 { low } else { low | 0x80 });
            if rest == 0 {
                return;
            }
        }
    }

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        let mut number = 0;
        for shift in (0..Self::BITS).step_by(7) {
            let byte = from.byte()?;
            number |= Self::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }
}

impl Coded for u32 {
    fn write(&self, to: &mut Writer) {
        u64::from(*self).write(to);
    }

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        u64::read(from)?.try_into().ok()
    }
}

impl Coded for u8 {
    fn write(&self, to: &mut Writer) {
        u64::from(*self).write(to);
    }

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        u64::read(from)?.try_into().ok()
    }
}

/// A count.
impl Coded for usize {
    fn write(&self, to: &mut Writer) {
        (*self as u64).write(to);
    }

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        let count = Some(u64::read(from)?).filter(|count| *count <= MAX_COUNT)?;
        count.try_into().ok()
    }
}

impl Coded for bool {
    fn write(&self, to: &mut Writer) {
        u64::from(*self).write(to);
    }

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        match u64::read(from)? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }
}

impl Coded for f64 {
    fn write(&self, to: &mut Writer) {
        to.bytes.extend_from_slice(&self.to_le_bytes());
    }

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        from.array().map(Self::from_le_bytes)
    }
}

impl<T: Coded> Coded for Option<T> {
    fn write(&self, to: &mut Writer) {
        self.is_some().write(to);
        if let Some(inner) = self {
            inner.write(to);
        }
    }

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        Some(if bool::read(from)? { Some(T::read(from)?) } else { None })
    }
}

impl<A: Coded, B: Coded> Coded for (A, B) {
    fn write(&self, to: &mut Writer) {
        self.0.write(to);
        self.1.write(to);
    }

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        Some((A::read(from)?, B::read(from)?))
    }
}

impl<T: Coded> Coded for Vec<T> {
    fn write(&self, to: &mut Writer) {
        self.len().write(to);
        self.iter().for_each(|item| item.write(to));
    }

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        (0..usize::read(from)?).map(|_item| T::read(from)).collect()
    }
}

impl<T: Coded> Coded for VecDeque<T> {
    fn write(&self, to: &mut Writer) {
        self.len().write(to);
        self.iter().for_each(|item| item.write(to));
    }

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        Vec::read(from).map(Self::from)
    }
}

impl<T: Coded + Ord> Coded for BTreeSet<T> {
    fn write(&self, to: &mut Writer) {
        self.len().write(to);
        self.iter().for_each(|item| item.write(to));
    }

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        (0..usize::read(from)?).map(|_item| T::read(from)).collect()
    }
}

impl<K: Coded + Ord, V: Coded> Coded for BTreeMap<K, V> {
    fn write(&self, to: &mut Writer) {
        self.len().write(to);
        for (key, value) in self {
            key.write(to);
            value.write(to);
        }
    }

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        (0..usize::read(from)?).map(|_pair| Some((K::read(from)?, V::read(from)?))).collect()
    }
}

impl Coded for AccountId {
    fn write(&self, to: &mut Writer) {
        let new = to.accounts.len() as u64;
        let place = *to.accounts.entry(*self).or_insert(new);
        place.write(to);
        if place == new {
            to.bytes.extend_from_slice(self.as_bytes());
        }
    }

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        let place = usize::read(from)?;
        if place == from.accounts.len() {
            let account = Self::from_sec1(&from.array::<33>()?).ok()?;
            from.accounts.push(account);
        }
        from.accounts.get(place).copied()
    }
}

impl Coded for Cid {
    fn write(&self, to: &mut Writer) {
        let new = to.cids.len() as u64;
        let place = *to.cids.entry(*self).or_insert(new);
        place.write(to);
        if place == new {
            to.bytes.extend_from_slice(&self.to_bytes());
        }
    }

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        let place = usize::read(from)?;
        if place == from.cids.len() {
            let cid = Self::try_from(&from.array::<36>()?[..]).ok()?;
            from.cids.push(cid);
        }
        from.cids.get(place).copied()
    }
}

impl Coded for RoundNumber {
    fn write(&self, to: &mut Writer) {
        self.0.write(to);
    }

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        u64::read(from).map(Self)
    }
}

impl Coded for Metrics {
    fn write(&self, to: &mut Writer) {
        self.loss().write(to);
        self.accuracy().write(to);
        self.steps().write(to);
    }

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        Self::new(f64::read(from)?, f64::read(from)?, u32::read(from)?).ok()
    }
}

coded!(enum EngineKind { 0 = Cpu, 1 = Gpu });
coded!(struct EngineVersion { kind, version });
coded!(struct Evidence { piece, before, after });
coded!(struct Settings { deadline_ms, target_accuracy, learning_rate }
    where |it: &Self| it.target_accuracy.iter().chain(&it.learning_rate).all(|value| value.is_finite()));
