//! A slow machine: a program and its children that stand still most of the time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::usage::tree;

/// How long the program runs at a time. Far less than anything that would be taken for a stall.
const SLICE: Duration = Duration::from_millis(20);

/// Slows a program and its children down until it is dropped.
#[derive(Debug)]
pub struct Slowness {
    is_over: Arc<AtomicBool>,
    slowing: Option<JoinHandle<()>>,
}

impl Slowness {
    /// Lets the tree of processes run one slice of time in `times`.
    #[must_use]
    pub fn start(root: u32, times: u32) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&is_over);
        let slowing = thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                thread::sleep(SLICE);
                // A process that has begun meanwhile is stopped next time.
                let processes = tree(root).unwrap_or_default();
                signal(&processes, Signal::STOP);
                thread::sleep(SLICE * times.saturating_sub(1));
                signal(&processes, Signal::CONT);
            }
        });
        Self { is_over, slowing: Some(slowing) }
    }
}

impl Drop for Slowness {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        let _ended = self.slowing.take().map(JoinHandle::join);
    }
}

fn signal(processes: &[u32], signal: Signal) {
    for process in processes.iter().filter_map(|process| Pid::from_raw(i32::try_from(*process).ok()?)) {
        // It may have ended.
        let _ended = kill_process(process, signal);
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::Usage;

    #[test]
    fn a_busy_program_gets_a_part_of_the_processor_and_all_of_it_afterwards() {
        let mut busy = Command::new("sh").args(["-c", "while :; do :; done"]).spawn().unwrap();
        let used = || -> Duration {
            let before = Usage::of_tree(busy.id()).unwrap();
            thread::sleep(Duration::from_millis(800));
            Usage::of_tree(busy.id()).unwrap().since(&before).iter().map(|thread| thread.busy).sum()
        };
        let slowed = {
            let _slowness = Slowness::start(busy.id(), 8);
            used()
        };
        let state = || std::fs::read_to_string(format!("/proc/{}/stat", busy.id())).unwrap();
        assert!(!state().contains(") T "), "it goes on: {}", state());
        assert!(slowed <= Duration::from_millis(300), "{slowed:?} of 800 ms, and an eighth is 100");
        busy.kill().unwrap();
        busy.wait().unwrap();
    }
}
