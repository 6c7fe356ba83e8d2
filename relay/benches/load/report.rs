//! The figures, as a table and as JSON.

use std::fmt;

use serde_json::{Value, json};

const MIB: f64 = 1024.0 * 1024.0;

/// What a relay took for many idle connections, in bytes.
pub(crate) struct Memory {
    pub(crate) connections: usize,
    pub(crate) before: f64,
    pub(crate) after: f64,
}

/// How often something was done, and what it took.
pub(crate) struct Rate {
    pub(crate) per_second: f64,
    /// From the client's asking to its having the answer, median.
    pub(crate) latency_ms: f64,
    /// The relay's processor time for one.
    pub(crate) processor_ms: f64,
    /// The load's processor time for one.
    pub(crate) load_ms: f64,
    /// How many were written to disk at once.
    pub(crate) batch: Option<f64>,
}

/// What an entry costs at least.
pub(crate) struct Floor {
    pub(crate) verify_us: f64,
    pub(crate) sign_us: f64,
    /// Milliseconds for a write of so many entries.
    pub(crate) writes: Vec<(usize, f64)>,
}

/// Everything measured.
pub(crate) struct Report {
    relay_cores: Option<String>,
    machine_cores: usize,
    pub(crate) floor: Option<Floor>,
    pub(crate) memory: Option<Memory>,
    pub(crate) signalling: Option<Rate>,
    pub(crate) appends: Option<Rate>,
}

impl Report {
    pub(crate) fn new(relay_cores: Option<&str>) -> Self {
        let machine_cores = std::thread::available_parallelism().map_or(1, usize::from);
        let relay_cores = relay_cores.map(str::to_owned);
        Self { relay_cores, machine_cores, floor: None, memory: None, signalling: None, appends: None }
    }

    pub(crate) fn json(&self) -> Value {
        let rate = |rate: &Rate| {
            json!({
                "per_second": rounded(rate.per_second),
                "latency_ms": rounded(rate.latency_ms),
                "relay_processor_ms": rounded(rate.processor_ms),
                "load_processor_ms": rounded(rate.load_ms),
                "relay_processors": rounded(rate.processors(rate.processor_ms)),
                "load_processors": rounded(rate.processors(rate.load_ms)),
                "batch": rate.batch.map(rounded),
            })
        };
        json!({
            "machine_cores": self.machine_cores,
            "relay_cores": self.relay_cores,
            "floor": self.floor.as_ref().map(|floor| json!({
                "verify_us": rounded(floor.verify_us),
                "sign_us": rounded(floor.sign_us),
                "write_ms": floor.writes.iter().map(|(entries, ms)| (entries.to_string(), rounded(*ms).into())).collect::<serde_json::Map<String, Value>>(),
            })),
            "memory": self.memory.as_ref().map(|memory| json!({
                "connections": memory.connections,
                "bytes_before": memory.before,
                "bytes": memory.after,
                "bytes_per_connection": rounded(memory.per_connection()),
            })),
            "signalling": self.signalling.as_ref().map(rate),
            "appends": self.appends.as_ref().map(rate),
        })
    }
}

impl Rate {
    /// How many processors were busy with what takes so much time for one.
    fn processors(&self, milliseconds: f64) -> f64 {
        self.per_second * milliseconds / 1_000.0
    }
}

impl Memory {
    fn per_connection(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let connections = self.connections.max(1) as f64;
        (self.after - self.before) / connections
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.relay_cores {
            Some(cores) => writeln!(out, "relay on processors {cores} of {}", self.machine_cores)?,
            None => writeln!(out, "relay and load together on {} processors", self.machine_cores)?,
        }
        if let Some(floor) = &self.floor {
            write!(
                out,
                "floor       a signature checked {:.0} µs, a receipt signed {:.0} µs, a write of",
                floor.verify_us, floor.sign_us
            )?;
            let writes: Vec<String> =
                floor.writes.iter().map(|(entries, ms)| format!(" {entries}: {ms:.2} ms")).collect();
            writeln!(out, "{}", writes.join(","))?;
        }
        if let Some(memory) = &self.memory {
            let (before, after) = (memory.before / MIB, memory.after / MIB);
            let each = memory.per_connection() / 1024.0;
            writeln!(
                out,
                "memory      {:>8} connections: {after:.0} MiB ({before:.0} MiB before), {each:.1} KiB each",
                memory.connections
            )?;
        }
        for (name, what, rate) in
            [("signalling", "sessions", &self.signalling), ("appends", "entries", &self.appends)]
        {
            let Some(rate) = rate else { continue };
            write!(
                out,
                "{name:<11} {:>8.0} {what} a second, median {:.1} ms, {:.3} ms of the relay's processors each",
                rate.per_second, rate.latency_ms, rate.processor_ms
            )?;
            let (relay, load) = (rate.processors(rate.processor_ms), rate.processors(rate.load_ms));
            write!(out, " ({relay:.2} processors busy; the load {load:.2})")?;
            if let Some(batch) = rate.batch {
                write!(out, ", {batch:.0} to a write")?;
            }
            writeln!(out)?;
        }
        Ok(())
    }
}

/// The value in the middle.
pub(crate) fn median_of(values: &mut [f64]) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

fn rounded(value: f64) -> f64 {
    (value * 1_000.0).round() / 1_000.0
}
