//! The node's main loop: commands in, sessions opened and closed, events out.

use std::rc::Rc;

use futures::channel::mpsc::UnboundedReceiver;
use futures::{FutureExt, StreamExt, select_biased};
use lichen_bridge::{
    Command, CommandId, EnginePreference, Event, IdentityOrigin, Outcome, Phase, Problem, Relay, VERSION,
};

use crate::Platform;
use crate::contributions::Contributions;
use crate::evaluating::saved_evaluation;
use crate::hub::Outbox;
use crate::looking::look;
use crate::session::{Session, Start};
use crate::setup::Setup;

/// Runs a node until `commands` ends. Every event goes to `emit`, [`Event::Ready`] first.
pub async fn run<P: Platform>(
    platform: P,
    mut commands: UnboundedReceiver<Command>,
    emit: impl Fn(Event) + 'static,
) {
    let out: Outbox = Rc::new(emit);
    out(Event::Ready { version: VERSION });
    let mut node =
        Node { platform: Rc::new(platform), out, peer: None, relay_only: false, ready: None, session: None };
    loop {
        let Some(session) = &mut node.session else {
            let Some(command) = commands.next().await else { return };
            node.command(command).await;
            continue;
        };
        // Commands first: Pause must not wait for work that is done already.
        select_biased! {
            command = commands.next() => match command {
                Some(command) => node.command(command).await,
                None => return,
            },
            done = session.next_done().fuse() => {
                session.take_in(done);
                if session.is_over() {
                    node.close_session();
                }
            }
        }
    }
}

struct Node<P: Platform> {
    platform: Rc<P>,
    out: Outbox,
    /// The swarm's peer id, once it runs.
    peer: Option<Vec<u8>>,
    /// Whether the visitor wants no connection to other tabs.
    relay_only: bool,
    ready: Option<Ready>,
    session: Option<Session<P>>,
}

/// What [`Command::Start`] has found out.
struct Ready {
    relay: Relay,
    setup: Rc<Setup>,
    preference: EnginePreference,
}

impl<P: Platform> Node<P> {
    async fn command(&mut self, command: Command) {
        match command {
            Command::Start { id, relay, engine } => {
                let outcome = self.start(relay, engine).await;
                if let Err(problem) = &outcome {
                    (self.out)(Event::Status(Phase::Failed(problem.clone())));
                }
                self.answer(id, outcome);
            }
            Command::Join { id } => {
                let outcome = self.join().await;
                self.answer(id, outcome);
            }
            Command::Pause { id } => self.tell_session(id, Session::pause),
            Command::Resume { id } => self.tell_session(id, Session::resume),
            Command::Leave { id } => self.leave(id),
            Command::RelayOnly { id, on } => {
                self.relay_only = on;
                if let Some(session) = &mut self.session {
                    session.use_relay_only(on);
                }
                self.answer(id, Ok(()));
            }
            Command::Look { id, checkpoint, round } => {
                let outcome = self.look(&checkpoint, round).await;
                self.answer(id, outcome);
            }
            Command::Read { id, cells } => {
                let outcome = self.read(id, &cells);
                self.answer(id, outcome);
            }
            Command::Net(event) => self.net(event),
        }
    }

    /// Reads the manifest and what this device keeps of the campaign, and shows both.
    async fn start(&mut self, relay: Relay, preference: EnginePreference) -> Result<(), Problem> {
        if self.session.is_some() {
            return Err(refused("This tab is already taking part.", "Leave first."));
        }
        let setup = Rc::new(Setup::read(&*self.platform, &relay).await?);
        (self.out)(Event::Campaign(setup.describe()));
        if let Some(account) = self.platform.find_account().await? {
            self.show_account(account.to_string(), IdentityOrigin::Restored);
        }
        for contribution in Contributions::load(&*self.platform, setup.campaign).await.iter() {
            (self.out)(Event::Contribution(contribution.clone()));
        }
        if let Some(evaluated) = saved_evaluation(&*self.platform, setup.campaign).await {
            (self.out)(evaluated.into());
        }
        self.ready = Some(Ready { relay, setup, preference });
        (self.out)(Event::Status(Phase::Idle));
        Ok(())
    }

    async fn join(&mut self) -> Result<(), Problem> {
        if self.session.as_ref().is_some_and(|session| !session.has_failed()) {
            return Err(refused("This tab is already taking part.", "There is nothing to do."));
        }
        self.session = None;
        let Some(ready) = &self.ready else {
            return Err(refused("The campaign is not known yet.", "Reload the page."));
        };
        let known = self.platform.find_account().await?;
        let account = match known {
            Some(account) => account,
            None => {
                let account = self.platform.make_account().await?;
                self.show_account(account.to_string(), IdentityOrigin::Created);
                account
            }
        };
        let start = Start {
            platform: Rc::clone(&self.platform),
            out: Rc::clone(&self.out),
            setup: Rc::clone(&ready.setup),
            address: ready.relay.address.clone(),
            also: ready.relay.also.clone(),
            preference: ready.preference,
            account,
            peer: self.peer.clone(),
            relay_only: self.relay_only,
        };
        self.session = Some(Session::open(start).await?);
        Ok(())
    }

    /// Shows the model without taking part; who takes part is shown it after each round anyway.
    async fn look(&self, checkpoint: &str, round: u64) -> Result<(), Problem> {
        let Some(ready) = self.ready.as_ref().filter(|_ready| self.session.is_none()) else {
            return Err(refused("There is nothing to look at now.", "Reload the page."));
        };
        look(&*self.platform, &self.out, &ready.setup, checkpoint, round).await
    }

    fn read(&self, id: CommandId, cells: &[u8]) -> Result<(), Problem> {
        let Some(Ready { setup, .. }) = &self.ready else {
            return Err(refused("The campaign is not known yet.", "Reload the page."));
        };
        let probabilities = setup.showing.read(&setup.manifest, cells)?;
        (self.out)(Event::Read { id, probabilities });
        Ok(())
    }

    fn tell_session(&mut self, id: CommandId, tell: impl FnOnce(&mut Session<P>)) {
        let outcome = match &mut self.session {
            Some(session) if !session.has_failed() => {
                tell(session);
                Ok(())
            }
            _ => Err(refused("This tab does not take part.", "Join first.")),
        };
        self.answer(id, outcome);
    }

    fn leave(&mut self, id: CommandId) {
        match &mut self.session {
            Some(session) => {
                session.leave(id);
                if session.is_over() {
                    self.close_session();
                }
            }
            None => self.answer(id, Ok(())),
        }
    }

    fn net(&mut self, event: lichen_net::Event) {
        if let lichen_net::Event::Started { peer } = &event {
            self.peer = Some(peer.clone());
        }
        if let Some(session) = &mut self.session {
            session.net(event);
        }
    }

    fn close_session(&mut self) {
        let Some(session) = self.session.take() else { return };
        for id in session.close() {
            self.answer(id, Ok(()));
        }
        (self.out)(Event::Status(Phase::Idle));
    }

    fn show_account(&self, account: String, origin: IdentityOrigin) {
        (self.out)(Event::Identity { account, origin });
    }

    fn answer(&self, id: CommandId, outcome: Result<(), Problem>) {
        let outcome = match outcome {
            Ok(()) => Outcome::Done,
            Err(problem) => Outcome::Refused(problem),
        };
        (self.out)(Event::Answered { id, outcome });
    }
}

fn refused(message: &str, remedy: &str) -> Problem {
    Problem { message: message.into(), remedy: remedy.into() }
}
