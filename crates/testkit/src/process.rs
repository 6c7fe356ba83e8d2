//! Child processes that never outlive us.

use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};

use crate::Error;

/// The process groups that are running now, for [`kill_all`].
static RUNNING: Mutex<Vec<Pid>> = Mutex::new(Vec::new());

/// `setpriv` ties a child's life to ours also when we get SIGKILL, which no handler sees.
static SETPRIV: LazyLock<Option<PathBuf>> = LazyLock::new(|| find_program("setpriv"));

/// The first executable file of that name on `PATH`.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| is_executable(file))
}

fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    file.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// A command for `program` whose process dies with the thread that starts it.
pub fn command(program: impl AsRef<Path>) -> Command {
    let program = program.as_ref();
    match &*SETPRIV {
        Some(setpriv) => {
            let mut command = Command::new(setpriv);
            command.args(["--pdeathsig", "KILL", "--"]).arg(program);
            command
        }
        None => Command::new(program),
    }
}

/// A child in its own process group, killed with all its own children when this is dropped.
#[derive(Debug)]
pub struct Guarded {
    child: Child,
    group: Pid,
}

impl Guarded {
    /// Starts `command`, which should come from [`command`].
    ///
    /// # Errors
    /// When the program is not there or cannot be run.
    pub fn spawn(command: &mut Command) -> io::Result<Self> {
        let child = command.process_group(0).spawn()?;
        let group = Pid::from_child(&child);
        running().push(group);
        Ok(Self { child, group })
    }

    /// The child, for its pipes.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The exit status, if it has ended.
    ///
    /// # Errors
    /// When the child was waited for elsewhere.
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Waits for the end.
    ///
    /// # Errors
    /// When the child was waited for elsewhere.
    pub fn wait(&mut self) -> io::Result<ExitStatus> {
        self.child.wait()
    }

    /// Sends a signal to the child's whole group.
    pub fn signal(&self, signal: Signal) {
        // The group may be gone already, which is what a signal is for.
        let _gone = kill_process_group(self.group, signal);
    }

    /// Kills the whole group without giving it a chance and waits until the child is gone.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        let _status = self.child.wait();
    }

    /// Asks the child to end and waits at most `limit`; `None` when it was still running and was left so.
    ///
    /// # Errors
    /// When it cannot be found out whether the child has ended.
    pub fn terminate(&mut self, limit: Duration) -> io::Result<Option<ExitStatus>> {
        self.signal(Signal::TERM);
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(Some(status));
            }
            if start.elapsed() >= limit {
                return Ok(None);
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        self.kill();
        running().retain(|group| *group != self.group);
    }
}

/// Asks every guarded child of this process to end and kills those that have not after `limit`; for a Ctrl-C
/// handler.
pub fn end_all(limit: Duration) {
    let mut groups = std::mem::take(&mut *running());
    for group in &groups {
        let _gone = kill_process_group(*group, Signal::TERM);
    }
    let start = Instant::now();
    while start.elapsed() < limit && !groups.is_empty() {
        groups.retain(|group| test_kill_process_group(*group).is_ok());
        thread::sleep(Duration::from_millis(10));
    }
    for group in groups {
        let _gone = kill_process_group(group, Signal::KILL);
    }
}

fn running() -> std::sync::MutexGuard<'static, Vec<Pid>> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The last `lines` lines of a log file.
pub fn tail(file: &Path, lines: usize) -> String {
    let text =
        std::fs::read(file).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let all: Vec<&str> = text.lines().collect();
    all.get(all.len().saturating_sub(lines)..).unwrap_or_default().join("\n")
}

/// Opens `file` for a child to append its output to.
pub(crate) fn log_file(file: &Path) -> Result<File, Error> {
    File::options()
        .create(true)
        .append(true)
        .open(file)
        .map_err(Error::io(format!("opening {}", file.display())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Stdio;

    #[test]
    fn a_dropped_child_takes_its_own_children_along() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pid");
        let script = format!("sleep 1000 & echo $! > {}; wait", file.display());
        let child = Guarded::spawn(command("/bin/sh").args(["-c", &script]).stdin(Stdio::null())).unwrap();
        let grandchild = crate::wait::until("the grandchild's id", Duration::from_secs(5), || {
            let text = std::fs::read_to_string(&file).unwrap_or_default();
            Ok(text.trim().parse::<u32>().map_err(|_not_yet| text))
        })
        .unwrap();
        drop(child);
        crate::wait::until("the grandchild to be gone", Duration::from_secs(5), || {
            // A zombie that nobody reaps in this container is as dead as one that is gone.
            let stat = std::fs::read_to_string(format!("/proc/{grandchild}/stat")).unwrap_or_default();
            Ok(if stat.is_empty() || stat.contains(") Z") { Ok(()) } else { Err(stat) })
        })
        .unwrap();
    }
}
