//! The ordered, hash-chained log of a campaign.
