//! The one driver: feeds events to the round machine and carries out its actions.
