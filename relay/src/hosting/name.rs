//! What a campaign is called in addresses, commands and metrics: its title, in the form that such names have.

use std::sync::Arc;

use lichen_record::CampaignId;

/// Longest name, in characters.
const LONGEST: usize = 48;

/// How many characters of its id tell a campaign from another of the same name.
const OF_ID: usize = 8;

/// The name of a campaign with this title and id, unless another has it already.
pub(super) fn name(title: &str, id: CampaignId, is_taken: impl Fn(&str) -> bool) -> Arc<str> {
    let short = of_title(title);
    if !short.is_empty() && !is_taken(&short) {
        return short.into();
    }
    let id = id.to_string();
    let end: String = id.chars().skip(id.chars().count().saturating_sub(OF_ID)).collect();
    let own = if short.is_empty() { end } else { format!("{short}-{end}") };
    // Ids may end alike, but are not the same.
    if is_taken(&own) { id.into() } else { own.into() }
}

/// Letters and digits, with hyphens between what stood apart.
fn of_title(title: &str) -> String {
    let lower = title.to_lowercase();
    let words = lower.split(|one: char| !one.is_alphanumeric()).filter(|word| !word.is_empty());
    let joined = words.collect::<Vec<_>>().join("-");
    let cut: String = joined.chars().take(LONGEST).collect();
    cut.trim_end_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_the_title_and_no_two_are_the_same() {
        let (one, other) = (CampaignId::of_manifest(b"one"), CampaignId::of_manifest(b"other"));
        let free = |_: &str| false;
        assert_eq!(&*name("Handwritten digits", one, free), "handwritten-digits");
        assert_eq!(&*name("  Tides & wind (2026) ", one, free), "tides-wind-2026");
        assert_eq!(&*name("手書きの数字", one, free), "手書きの数字");
        assert_eq!(name("??", one, free).chars().count(), OF_ID);
        assert_eq!(name(&"words ".repeat(100), one, free).chars().count(), LONGEST - 1);
        let taken = |name: &str| name == "handwritten-digits";
        let second = name("Handwritten digits", other, taken);
        assert!(second.starts_with("handwritten-digits-") && other.to_string().ends_with(&second[19..]));
    }
}
