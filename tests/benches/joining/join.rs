//! A tab that joins, and what it is given until it is at the log's end.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use futures::StreamExt;
use futures::channel::mpsc::unbounded;
use lichen_bridge::{Command, CommandId, EnginePreference, Event, Phase};
use lichen_net::hub::{Reply, Request};
use lichen_net::{Command as NetCommand, Event as NetEvent, RequestId, swarm};
use lichen_node::native::{Device, Native};
use lichen_record::{Cid, SigningKey};
use lichen_testkit::RelayProcess;
use serde_json::Value;

use crate::LIMIT;

/// What joining took.
pub(crate) struct Joined {
    /// From the click to the log's end, the connection included.
    pub(crate) took: Duration,
    /// Bytes of replies that say what the log comes to, without the campaign's data and models.
    pub(crate) bytes: usize,
    /// Those of them that are the snapshot: its record and its state.
    pub(crate) snapshot: usize,
    /// Records read.
    pub(crate) records: usize,
    /// Rounds from before that the page draws.
    pub(crate) reported: usize,
}

/// What a tab asked for, and what it got.
#[derive(Default)]
struct Heard {
    asked: BTreeMap<RequestId, Request>,
    state: Option<Cid>,
    log: usize,
    snapshot: usize,
    records: usize,
}

impl Heard {
    fn asked(&mut self, command: &NetCommand) -> Result<()> {
        if let NetCommand::Request { id, bytes } = command {
            self.asked.insert(*id, Request::from_bytes(bytes)?);
        }
        Ok(())
    }

    fn heard(&mut self, event: &NetEvent) -> Result<()> {
        let NetEvent::Frame { id, bytes } = event else { return Ok(()) };
        match self.asked.get(id) {
            Some(Request::Snapshot { .. }) => self.snapshot += bytes.len(),
            Some(Request::GetBlob { cid }) if Some(*cid) == self.state => self.snapshot += bytes.len(),
            Some(Request::Follow { .. } | Request::Watch { .. }) => self.log += bytes.len(),
            _ => return Ok(()),
        }
        match Reply::from_bytes(bytes)? {
            Reply::Records(records) => self.records += records.records.len(),
            Reply::Snapshot(beginning) => {
                let entry = lichen_record::verify::<lichen_record::Entry>(&beginning.record.entry)?;
                if let lichen_record::Entry::Snapshot { state, .. } = entry.get() {
                    self.state = Some(*state);
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// Joins as a person who was never there; must be called in a `LocalSet`.
pub(crate) async fn join(relay: &RelayProcess, number: u8) -> Result<Joined> {
    let site: Value = serde_json::from_str(&relay.get("lichen.json")?.text())?;
    let campaign = site.get("campaign").and_then(Value::as_str).context("no campaign in lichen.json")?;
    let manifest = relay.get(&format!("blob/{campaign}"))?.body;
    let site: lichen_bridge::Relay = serde_json::from_value(site)?;
    let (handle, mut reports) = swarm::spawn_to_hub()?;
    let (commands, received) = unbounded();
    let (sender, mut events) = unbounded();
    let heard = Rc::new(RefCell::new(Heard::default()));
    let asking = Rc::clone(&heard);
    let emit = move |event: Event| {
        if let Event::Net(command) = &event
            && matches!(
                command,
                NetCommand::Connect { .. }
                    | NetCommand::Disconnect
                    | NetCommand::Request { .. }
                    | NetCommand::Cancel { .. }
            )
        {
            let _unread = asking.borrow_mut().asked(command);
            let _gone = handle.send(command.clone());
        }
        let _closed = sender.unbounded_send(event);
    };
    let device = Device::new(SigningKey::generate([number; 32]));
    let node = tokio::task::spawn_local(lichen_node::run(Native::new(device, manifest), received, emit));
    let (to_node, hearing) = (commands.clone(), Rc::clone(&heard));
    let swarm = tokio::task::spawn_local(async move {
        while let Some(report) = reports.next().await {
            let _unread = hearing.borrow_mut().heard(&report);
            let _closed = to_node.unbounded_send(Command::Net(report));
        }
    });
    commands.unbounded_send(Command::Start {
        id: CommandId(1),
        relay: site,
        engine: EnginePreference::Cpu,
    })?;
    let began = Instant::now();
    commands.unbounded_send(Command::Join { id: CommandId(2) })?;
    let mut reported = 0;
    let is_there = async {
        while let Some(event) = events.next().await {
            match event {
                Event::Status(
                    Phase::WaitingForRound
                    | Phase::WaitingForTurn { .. }
                    | Phase::WaitingForClose
                    | Phase::Training { .. },
                ) => return Ok(began.elapsed()),
                Event::Status(Phase::Failed(problem)) => bail!("{}", problem.message),
                Event::Reported(rounds) => reported = rounds.len(),
                _ => {}
            }
        }
        bail!("the node has ended")
    };
    let took = tokio::time::timeout(LIMIT, is_there).await.context("joining takes too long")??;
    node.abort();
    swarm.abort();
    let Heard { log, snapshot, records, .. } = &*heard.borrow();
    Ok(Joined { took, bytes: log + snapshot, snapshot: *snapshot, records: *records, reported })
}
