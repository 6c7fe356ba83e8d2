//! Counts passed and failed tests in the output of test programs.

use anyhow::Result;

use crate::say;

/// How many tests passed and failed, and which failed.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Tests that passed.
    pub(super) passed: u64,
    /// Tests that failed.
    pub(super) failed: u64,
    /// The failed ones.
    pub(super) faults: Vec<String>,
}

impl Tally {
    /// Counts something that is one test.
    pub(super) fn count(&mut self, name: &str, outcome: Result<()>) {
        match outcome {
            Ok(()) => self.passed += 1,
            Err(error) => {
                say::error(&error.context(name.to_owned()));
                self.failed += 1;
                self.faults.push(name.into());
            }
        }
    }

    /// Reads one line of a test program's output.
    pub(super) fn read(&mut self, program: &str, line: &str) {
        if let Some(rest) = line.strip_prefix("test result: ") {
            self.passed += number_before(rest, "passed");
            self.failed += number_before(rest, "failed");
        } else if let Some(name) = line.strip_prefix("test ").and_then(failed_test) {
            self.faults.push(format!("{program}: {name}"));
        }
    }
}

fn failed_test(line: &str) -> Option<&str> {
    let (name, outcome) = line.split_once(" ... ")?;
    outcome.to_ascii_lowercase().starts_with("fail").then_some(name)
}

fn number_before(text: &str, word: &str) -> u64 {
    let words: Vec<&str> = text.split([' ', ';', '.']).filter(|part| !part.is_empty()).collect();
    let pair = words.windows(2).find(|pair| matches!(pair, [_, second] if *second == word));
    pair.and_then(|pair| pair.first()?.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adds_up_what_test_programs_say() {
        let mut tally = Tally::default();
        for line in [
            "test a::b ... ok",
            "test a::c ... FAILED",
            "test result: FAILED. 4 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.06s",
            "test d ... FAIL",
            "test result: ok. 13 passed; 0 failed; 2 ignored; 0 filtered out",
            "testing results: 100 failed",
        ] {
            tally.read("p", line);
        }
        tally.count("q", Ok(()));
        assert_eq!((tally.passed, tally.failed), (18, 1));
        assert_eq!(tally.faults, ["p: a::c", "p: d"]);
    }
}
