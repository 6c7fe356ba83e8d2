//! What is served over HTTP: the page, the log and the blobs, and words about the campaign.

pub(crate) mod http;
pub(crate) mod page;
