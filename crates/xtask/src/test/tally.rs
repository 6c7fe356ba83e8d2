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
    /// Tests that failed among the others and passed alone.
    pub(super) unsteady: Vec<String>,
    /// What may be the list of failed tests that a program ends with.
    listed: Vec<String>,
}

/// The most failures of one part that can be the machine's doing.
const FEW: usize = 3;

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

    /// Adds the sums of a part.
    pub(super) fn add(&mut self, part: Self) {
        self.passed += part.passed;
        self.failed += part.failed;
        self.faults.extend(part.faults);
        self.unsteady.extend(part.unsteady);
    }

    /// The names of a program's failed tests, where they are few and nothing else failed.
    pub(super) fn few_failed(&self, program: &str) -> Option<Vec<String>> {
        let name = |fault: &String| Some(fault.strip_prefix(program)?.strip_prefix(": ")?.to_owned());
        let names: Vec<String> = self.faults.iter().map(name).collect::<Option<_>>()?;
        let are_all = u64::try_from(names.len()) == Ok(self.failed);
        (are_all && (1..=FEW).contains(&names.len())).then_some(names)
    }

    /// Takes the outcome of the failed tests' second attempt in place of their first.
    pub(super) fn try_again(&mut self, again: Self) {
        let first = std::mem::replace(&mut self.faults, again.faults);
        let passed: Vec<String> = first.into_iter().filter(|fault| !self.faults.contains(fault)).collect();
        if u64::try_from(passed.len()) != Ok(again.passed) {
            // Not the same tests: what failed stays so.
            self.faults.extend(passed);
            return;
        }
        self.passed += again.passed;
        self.failed = again.failed;
        self.unsteady.extend(passed);
    }

    /// Reads one line of a test program's output.
    pub(super) fn read(&mut self, program: &str, line: &str) {
        if let Some(rest) = line.strip_prefix("test result: ") {
            self.passed += number_before(rest, "passed");
            let failed = number_before(rest, "failed");
            self.failed += failed;
            let listed = std::mem::take(&mut self.listed);
            if failed > 0 {
                self.faults.extend(listed.iter().map(|name| format!("{program}: {name}")));
            }
        } else if line == "failures:" {
            // It heads what each failed test printed, and then the list; the last one is the list.
            self.listed.clear();
        } else if let Some(name) = line.strip_prefix("    ") {
            self.listed.push(name.to_owned());
        }
    }
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
            "test a::c ... a word of the program it started",
            "FAILED",
            "",
            "failures:",
            "",
            "---- a::c stdout ----",
            "    no name",
            "",
            "failures:",
            "    a::c",
            "    a::d",
            "",
            "test result: FAILED. 4 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.06s",
            "    no name either",
            "test result: ok. 13 passed; 0 failed; 2 ignored; 0 filtered out",
            "testing results: 100 failed",
        ] {
            tally.read("p", line);
        }
        tally.count("q", Ok(()));
        assert_eq!((tally.passed, tally.failed), (18, 2));
        assert_eq!(tally.faults, ["p: a::c", "p: a::d"]);
    }

    fn read(lines: &[&str]) -> Tally {
        let mut tally = Tally::default();
        for line in lines {
            tally.read("p", line);
        }
        tally
    }

    const TWO_FAILED: [&str; 4] =
        ["failures:", "    a", "    b", "test result: FAILED. 4 passed; 2 failed; 0 ignored"];

    #[test]
    fn a_second_attempt_counts_in_place_of_the_first_and_is_told() {
        let mut tally = read(&TWO_FAILED);
        assert_eq!(tally.few_failed("p"), Some(vec!["a".to_owned(), "b".to_owned()]));
        let again = ["failures:", "    b", "test result: FAILED. 1 passed; 1 failed; 0 ignored"];
        tally.try_again(read(&again));
        assert_eq!((tally.passed, tally.failed), (5, 1));
        assert_eq!((tally.faults, tally.unsteady), (vec!["p: b".to_owned()], vec!["p: a".to_owned()]));
    }

    #[test]
    fn a_second_attempt_that_ran_nothing_changes_nothing() {
        let mut tally = read(&TWO_FAILED);
        tally.try_again(read(&["test result: ok. 0 passed; 0 failed; 0 ignored"]));
        assert_eq!((tally.passed, tally.failed, tally.faults.len(), tally.unsteady.len()), (4, 2, 2, 0));
    }

    #[test]
    fn many_failures_or_a_crash_get_no_second_attempt() {
        assert_eq!(read(&[]).few_failed("p"), None);
        let mut crash = read(&TWO_FAILED);
        crash.count("p", Err(anyhow::anyhow!("it died")));
        assert_eq!(crash.few_failed("p"), None);
        let end = "test result: FAILED. 0 passed; 4 failed; 0 ignored";
        let many = ["failures:", "    a", "    b", "    c", "    d", end];
        assert_eq!(read(&many).few_failed("p"), None);
    }
}
