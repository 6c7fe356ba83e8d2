//! How much of the processor a program and its children use, thread by thread, as the system counts it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::Error;

/// Processor time of every thread of a tree of processes up to one moment.
#[derive(Clone, Debug, Default)]
pub struct Usage(BTreeMap<(u32, u32), Thread>);

/// One thread of one process.
#[derive(Clone, Debug)]
pub struct Thread {
    /// The process's command line, its parts separated by spaces.
    pub command: String,
    /// The thread's name, as far as the system keeps it.
    pub name: String,
    /// Whether it is the process's first thread.
    pub is_main: bool,
    /// Time that it had a processor.
    pub busy: Duration,
}

impl Usage {
    /// Of that process, its children, and theirs.
    ///
    /// # Errors
    /// Where the system does not tell.
    pub fn of_tree(root: u32) -> Result<Self, Error> {
        let mut threads = BTreeMap::new();
        for process in tree(root)? {
            // A process that has ended meanwhile has no threads.
            let Ok(tasks) = fs::read_dir(format!("/proc/{process}/task")) else { continue };
            let command = command(process);
            let ids = tasks.filter_map(|task| task.ok()?.file_name().to_str()?.parse::<u32>().ok());
            for id in ids {
                if let Some((name, busy)) = thread(&format!("/proc/{process}/task/{id}")) {
                    let thread = Thread { command: command.clone(), name, is_main: id == process, busy };
                    threads.insert((process, id), thread);
                }
            }
        }
        Ok(Self(threads))
    }

    /// What each thread has used since an earlier moment; threads that have begun since count from their beginning.
    pub fn since(&self, earlier: &Self) -> Vec<Thread> {
        let used = |(id, thread): (&(u32, u32), &Thread)| {
            let before = earlier.0.get(id).map_or(Duration::ZERO, |thread| thread.busy);
            Thread { busy: thread.busy.saturating_sub(before), ..thread.clone() }
        };
        self.0.iter().map(used).collect()
    }
}

/// A process and all that descend from it.
pub(crate) fn tree(root: u32) -> Result<Vec<u32>, Error> {
    let processes = fs::read_dir("/proc").map_err(Error::io("reading /proc"))?;
    let ids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let parents: BTreeMap<u32, u32> = ids.filter_map(|id| Some((id, parent(id)?))).collect();
    let mut found = vec![root];
    let mut seen = BTreeSet::from([root]);
    let mut next = 0;
    while let Some(&process) = found.get(next) {
        let children = parents.iter().filter(|(_, parent)| **parent == process).map(|(child, _)| *child);
        found.extend(children.filter(|child| seen.insert(*child)));
        next += 1;
    }
    Ok(found)
}

fn parent(process: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name, in parentheses, may hold anything.
    stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
}

fn command(process: u32) -> String {
    let line = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&line).replace('\0', " ")
}

/// A thread's name, and its time in whole nanoseconds.
fn thread(folder: &str) -> Option<(String, Duration)> {
    let name = fs::read_to_string(Path::new(folder).join("comm")).ok()?.trim().to_owned();
    let times = fs::read_to_string(Path::new(folder).join("schedstat")).ok()?;
    let busy = times.split(' ').next()?.parse().ok()?;
    Some((name, Duration::from_nanos(busy)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::{Guarded, command};

    #[test]
    fn what_a_grandchild_uses_is_found() {
        let script = "(while :; do :; done) & wait";
        let child = Guarded::spawn(command("/bin/sh").args(["-c", script])).unwrap();
        let before = Usage::of_tree(child.id()).unwrap();
        crate::wait::until("a tenth of a second of work", Duration::from_secs(30), || {
            let used = Usage::of_tree(child.id())?.since(&before);
            let most = used.iter().map(|thread| thread.busy).max().unwrap_or_default();
            Ok(if most >= Duration::from_millis(100) { Ok(()) } else { Err(most) })
        })
        .unwrap();
    }
}
