//! Reads tables of TOML strictly and collects every fault, so that an author sees all of them at once.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::ops::RangeInclusive;

use lichen_record::text::is_plain;
use toml::Spanned;
use toml::de::{DeInteger, DeTable, DeValue};

use crate::decimal;
use crate::fault::{Fault, ManifestError};

/// Reads one table of the manifest. Every reading method records what is wrong with its field and gives `None`, so
/// that all faults come to light at once.
pub(crate) struct Reader<'t, 'f> {
    path: String,
    table: Option<&'t DeTable<'t>>,
    known: Vec<&'static str>,
    faults: &'f mut Vec<Fault>,
}

impl<'t, 'f> Reader<'t, 'f> {
    /// Begins to read a table; `None` if it is missing, which the caller has recorded.
    pub(crate) fn new(path: &str, table: Option<&'t DeTable<'t>>, faults: &'f mut Vec<Fault>) -> Self {
        Self { path: path.to_string(), table, known: Vec::new(), faults }
    }

    /// A line or paragraph that people read.
    pub(crate) fn text(&mut self, key: &'static str, longest: usize) -> Option<String> {
        let value = self.required(key)?;
        self.text_of(key, value, longest)
    }

    /// A list of short texts that people read, one for each thing.
    pub(crate) fn texts(&mut self, key: &'static str, longest: usize, most: usize) -> Option<Vec<String>> {
        let DeValue::Array(list) = self.required(key)? else {
            return self.fault(key, "must be a list of texts in square brackets");
        };
        if list.len() > most {
            return self.fault(key, &format!("are {}: give at most {most}", list.len()));
        }
        list.iter().map(|value| self.text_of(key, value.get_ref(), longest)).collect()
    }

    fn text_of(&mut self, key: &'static str, value: &DeValue<'_>, longest: usize) -> Option<String> {
        let DeValue::String(text) = value else {
            return self.fault(key, "must be text in quotation marks");
        };
        let text = text.trim();
        if text.is_empty() {
            return self.fault(key, "is empty: write something that a visitor understands");
        }
        let length = text.chars().count();
        if length > longest {
            return self.fault(key, &format!("has {length} characters: use at most {longest}"));
        }
        if !is_plain(text) {
            return self.fault(key, "holds invisible control characters: remove them");
        }
        Some(text.to_string())
    }

    /// A finite number, written with or without a decimal point.
    pub(crate) fn number(&mut self, key: &'static str, range: RangeInclusive<f64>) -> Option<f64> {
        let value = self.required(key)?;
        self.number_in(key, value, range)
    }

    /// A number that may be left out: `Some(None)` if it is, `None` if it is wrong.
    pub(crate) fn optional_number(
        &mut self,
        key: &'static str,
        range: RangeInclusive<f64>,
    ) -> Option<Option<f64>> {
        match self.value(key) {
            None => Some(None),
            Some(value) => self.number_in(key, value, range).map(Some),
        }
    }

    /// A whole number.
    pub(crate) fn whole<T: TryFrom<i64>>(
        &mut self,
        key: &'static str,
        range: RangeInclusive<i64>,
    ) -> Option<T> {
        let number = self.integer(key, range)?;
        match T::try_from(number) {
            Ok(number) => Some(number),
            Err(_) => self.fault(key, &format!("is {number}, which is out of range")),
        }
    }

    /// A whole number that may be left out.
    pub(crate) fn optional_whole<T: TryFrom<i64>>(
        &mut self,
        key: &'static str,
        range: RangeInclusive<i64>,
    ) -> Option<Option<T>> {
        match self.value(key) {
            None => Some(None),
            Some(_present) => self.whole(key, range).map(Some),
        }
    }

    /// One of a few words.
    pub(crate) fn choice<T: Copy>(&mut self, key: &'static str, choices: &[(&str, T)]) -> Option<T> {
        let value = self.required(key)?;
        let chosen = choices.iter().find(|(word, _meaning)| value.as_str() == Some(word));
        match chosen {
            Some((_word, meaning)) => Some(*meaning),
            None => {
                let words: Vec<String> =
                    choices.iter().map(|(word, _meaning)| format!("\"{word}\"")).collect();
                self.fault(key, &format!("is not known here: use {}", words.join(" or ")))
            }
        }
    }

    /// One of a few words, or none where the key is left out.
    pub(crate) fn optional_choice<T: Copy>(
        &mut self,
        key: &'static str,
        choices: &[(&str, T)],
    ) -> Option<Option<T>> {
        match self.value(key) {
            None => Some(None),
            Some(_present) => self.choice(key, choices).map(Some),
        }
    }

    /// Text that another type reads; `expected` says what it looks like.
    pub(crate) fn parsed<T: core::str::FromStr>(&mut self, key: &'static str, expected: &str) -> Option<T> {
        let value = self.required(key)?;
        match value.as_str().map(str::parse) {
            Some(Ok(parsed)) => Some(parsed),
            Some(Err(_)) | None => self.fault(key, &format!("must be {expected}")),
        }
    }

    /// Yes or no; `unless_given` if it is left out.
    pub(crate) fn flag(&mut self, key: &'static str, unless_given: bool) -> Option<bool> {
        match self.value(key) {
            None => Some(unless_given),
            Some(DeValue::Boolean(flag)) => Some(*flag),
            Some(_) => self.fault(key, "must be true or false"),
        }
    }

    /// A table within this one.
    pub(crate) fn table(&mut self, key: &'static str) -> Option<&'t DeTable<'t>> {
        match self.required(key)? {
            DeValue::Table(table) => Some(table),
            _ => self.fault(key, "must be a table"),
        }
    }

    /// A table within this one that may be left out: `Some(None)` if it is, `None` if it is something else.
    pub(crate) fn optional_table(&mut self, key: &'static str) -> Option<Option<&'t DeTable<'t>>> {
        match self.value(key) {
            None => Some(None),
            Some(_present) => self.table(key).map(Some),
        }
    }

    /// A list within this table; empty if it is left out.
    pub(crate) fn list(&mut self, key: &'static str) -> Option<&'t [Spanned<DeValue<'t>>]> {
        match self.value(key) {
            None => Some(&[]),
            Some(DeValue::Array(list)) => Some(list),
            Some(_) => self.fault(key, "must be a list in square brackets"),
        }
    }

    /// A list of whole numbers.
    pub(crate) fn wholes<T: TryFrom<i64>>(&mut self, key: &'static str) -> Option<Vec<T>> {
        match self.required(key)? {
            DeValue::Array(list) => match list.iter().map(|value| whole_of(value.get_ref())).collect() {
                Some(numbers) => Some(numbers),
                None => self.fault(key, "must list whole numbers, none of them negative"),
            },
            _ => self.fault(key, "must be a list of whole numbers in square brackets"),
        }
    }

    /// What stands at a key, read or not.
    pub(crate) fn value(&mut self, key: &'static str) -> Option<&'t DeValue<'t>> {
        if !self.known.contains(&key) {
            self.known.push(key);
        }
        self.table?.get(key).map(Spanned::get_ref)
    }

    /// Where the table stands.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// The list of faults, for what is read by others.
    pub(crate) fn faults(&mut self) -> &mut Vec<Fault> {
        self.faults
    }

    /// Records a fault of a field, and gives `None` for the field's value.
    pub(crate) fn fault<T>(&mut self, key: &str, problem: &str) -> Option<T> {
        let field = if self.path.is_empty() { key.to_string() } else { format!("{}.{key}", self.path) };
        self.faults.push(Fault::new(field, problem));
        None
    }

    /// Records every key that nothing asked for.
    pub(crate) fn finish(mut self) {
        let Some(table) = self.table else { return };
        let known = core::mem::take(&mut self.known);
        for key in table.keys().map(|key| key.get_ref().as_ref()).filter(|key| !known.contains(key)) {
            self.fault::<()>(key, &unknown_key(key, &known));
        }
    }

    pub(crate) fn integer(&mut self, key: &'static str, range: RangeInclusive<i64>) -> Option<i64> {
        let DeValue::Integer(digits) = self.required(key)? else {
            return self.fault(key, "must be a whole number without quotation marks");
        };
        let (least, most) = (range.start(), range.end());
        match whole(digits) {
            Some(number) if range.contains(&number) => Some(number),
            _ => self.fault(key, &format!("is {digits}: it must be from {least} to {most}")),
        }
    }

    fn number_in(
        &mut self,
        key: &'static str,
        value: &DeValue<'_>,
        range: RangeInclusive<f64>,
    ) -> Option<f64> {
        let number = match value {
            DeValue::Float(digits) => decimal::parse(digits.as_str()),
            DeValue::Integer(digits) if digits.radix() == 10 => decimal::parse(digits.as_str()),
            _ => return self.fault(key, "must be a number without quotation marks"),
        };
        let Some(number) = number else {
            return self.fault(key, "must be a decimal number of at most 15 digits, from 1e-22 to 1e22");
        };
        if !range.contains(&number) {
            let (least, most) = range.into_inner();
            return self.fault(key, &format!("is {number}: it must be from {least} to {most}"));
        }
        Some(number)
    }

    pub(crate) fn required(&mut self, key: &'static str) -> Option<&'t DeValue<'t>> {
        // The missing table is a fault already.
        self.table?;
        match self.value(key) {
            Some(value) => Some(value),
            None => self.fault(key, "is missing: add it"),
        }
    }
}

/// The number that these digits stand for, if 64 bits hold it.
fn whole(digits: &DeInteger<'_>) -> Option<i64> {
    i64::from_str_radix(digits.as_str(), digits.radix()).ok()
}

/// A whole number that is not negative.
pub(crate) fn whole_of<T: TryFrom<i64>>(value: &DeValue<'_>) -> Option<T> {
    let DeValue::Integer(digits) = value else { return None };
    let number = whole(digits)?;
    (number >= 0).then(|| T::try_from(number).ok()).flatten()
}

/// What to do about a key that means nothing.
pub(crate) fn unknown_key(key: &str, known: &[&str]) -> String {
    let nearest = known.iter().map(|candidate| (distance(key, candidate), candidate)).min();
    match nearest {
        Some((distance, candidate)) if distance <= 2 => {
            format!("is not known here: did you mean \"{candidate}\"?")
        }
        _ => format!("is not known here: remove it (known are {})", known.join(", ")),
    }
}

/// Edits (insertions, deletions, replacements) that lead from one word to another, after Levenshtein.
fn distance(from: &str, to: &str) -> usize {
    // A hostile key may be as long as the manifest: what is much longer is far away.
    if from.len() > 2 * to.len() + 4 {
        return usize::MAX;
    }
    let mut row: Vec<usize> = (0..=to.chars().count()).collect();
    for (above, from) in from.chars().enumerate() {
        let mut diagonal = above;
        let mut left = above + 1;
        let mut next = alloc::vec![left];
        for (to, above) in to.chars().zip(row.iter().skip(1)) {
            left = (diagonal + usize::from(from != to)).min(above + 1).min(left + 1);
            diagonal = *above;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

/// Reads a text by a function that gives something or records why not.
pub(crate) fn read_text<T>(
    text: &str,
    read: impl FnOnce(&DeTable<'_>, &mut Vec<Fault>) -> Option<T>,
) -> Result<T, ManifestError> {
    let table = DeTable::parse(text)
        .map_err(|error| ManifestError::of_whole(format!("is not TOML: {}", error.message())))?;
    let mut faults = Vec::new();
    match read(table.get_ref(), &mut faults) {
        Some(found) if faults.is_empty() => Ok(found),
        _ if faults.is_empty() => Err(ManifestError::of_whole("could not be read")),
        _ => Err(ManifestError::of(faults)),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the range allowed lies within that of f32")]
pub(crate) const fn to_f32(number: f64) -> f32 {
    number as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_levenshteins() {
        assert_eq!(distance("", ""), 0);
        assert_eq!(distance("batch", "batch"), 0);
        assert_eq!(distance("bach", "batch"), 1);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance(&"x".repeat(60_000), "abc"), usize::MAX);
    }

    #[test]
    fn a_near_key_is_suggested_and_a_far_one_is_not() {
        assert_eq!(
            unknown_key("qorum", &["minimum", "quorum"]),
            "is not known here: did you mean \"quorum\"?"
        );
        let far = unknown_key("colour", &["minimum", "quorum"]);
        assert_eq!(far, "is not known here: remove it (known are minimum, quorum)");
    }
}
