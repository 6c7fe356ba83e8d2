//! What keeps one client from taking what others need: rates, quotas, shared places, and the slowest pace.

pub(crate) mod pace;
pub(crate) mod quota;
pub(crate) mod rates;
pub(crate) mod shares;
pub(crate) mod workspace;
