//! The swarm: transports, behaviours and the project's protocols behind typed commands and events.
