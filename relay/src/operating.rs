//! What an operator sees and counts on: metrics, condition and health, the limits, keys, clocks and room on the disk.

pub(crate) mod campaign_metrics;
pub(crate) mod clock;
pub(crate) mod condition;
pub(crate) mod health;
pub(crate) mod keys;
pub(crate) mod limits;
pub(crate) mod metrics;
pub(crate) mod now;
pub(crate) mod parts;
pub(crate) mod unpinned;
