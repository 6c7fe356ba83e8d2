//! The campaign's words, as the card shows them, and how `/lichen.json` states them before joining.

use crate::way::Place;
use lichen_bridge::{Card, Organiser, Problem, Relay, Show, Statement};
use lichen_net::IceServer;
use lichen_record::text::{is_plain, plain};
use serde::Deserialize;

/// Longest `/lichen.json` that is read, in bytes.
pub(crate) const MAX_SITE: usize = 128 * 1024;

/// A campaign as the card shows it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Campaign {
    /// The content id of the manifest.
    pub(crate) id: String,
    /// What it says of itself.
    pub(crate) card: Card,
    /// Who runs the relay, where they say so.
    pub(crate) operator: Option<Operator>,
    /// What taking part costs, where the relay says so.
    pub(crate) cost: Option<Cost>,
}

impl Campaign {
    /// The manifest's own words, and beside them what only the relay can say.
    pub(crate) fn verified(found: lichen_bridge::Campaign, stated: &Self) -> Self {
        Self {
            id: found.id.to_string(),
            card: found.card,
            operator: stated.operator.clone(),
            cost: stated.cost,
        }
    }
}

/// Who runs the relay, as they say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct Operator {
    /// A person or an institution.
    pub(crate) name: String,
    /// Where they are to be reached.
    #[serde(default)]
    pub(crate) link: Option<String>,
}

/// What goes over the wire, and how often.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct Cost {
    /// Bytes of the data set, fetched once.
    pub(crate) data_bytes: u64,
    /// Bytes of the model; of one tab's changes to it about as many.
    pub(crate) model_bytes: u64,
    /// Least time between two rounds, in milliseconds.
    pub(crate) interval_ms: u64,
    /// Rounds in all.
    pub(crate) rounds: u64,
}

/// What the page keeps of `/lichen.json` besides the words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Site {
    /// For the worker, which checks it.
    pub(crate) relay: Relay,
    /// For peer connections.
    pub(crate) ice: Ice,
    /// All campaigns that there are at this relay, this one included; none where it serves only one.
    pub(crate) campaigns: Vec<Listed>,
    /// Whether tabs meet each other.
    pub(crate) mesh: bool,
}

/// A campaign to choose.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct Listed {
    /// The content id of its manifest.
    pub(crate) id: String,
    /// A few words.
    pub(crate) title: String,
    /// Where it stands, if nothing is trained in it: a word of the relay's.
    #[serde(default)]
    pub(crate) standing: String,
}

/// Why there are no words to show, and the campaigns that there are instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unread {
    /// What is said of it.
    pub(crate) problem: Problem,
    /// What to choose from, if that is known.
    pub(crate) campaigns: Vec<Listed>,
}

impl From<Problem> for Unread {
    fn from(problem: Problem) -> Self {
        Self { problem, campaigns: Vec::new() }
    }
}

impl Site {
    /// Goes to the relay by the way that the page came.
    pub(crate) fn lead(&mut self, place: &Place) {
        for address in std::iter::once(&mut self.relay.address).chain(&mut self.relay.also) {
            *address = place.lead(address);
        }
    }
}

/// What the page needs of `/lichen.json`. Fields it does not know are for later. Those of the card are listed again: to
/// flatten it, or to read the text once more for it, would make the page larger.
#[derive(Deserialize)]
struct Told {
    title: String,
    purpose: String,
    organiser: Organiser,
    licence: String,
    credit: String,
    #[serde(default)]
    target_accuracy: Option<f64>,
    #[serde(default)]
    mesh: bool,
    statements: Vec<Statement>,
    #[serde(default)]
    show: Option<Show>,
    address: String,
    #[serde(default)]
    also: Vec<String>,
    #[serde(default)]
    ice_servers: Vec<IceServer>,
    #[serde(default)]
    turn: bool,
    campaign: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    campaigns: Vec<Listed>,
    #[serde(default)]
    operator: Option<Operator>,
    #[serde(default)]
    cost: Option<Cost>,
}

/// All that a visitor reads before joining.
fn words<'a>(id: &'a str, card: &'a Card) -> impl Iterator<Item = &'a str> {
    let statements = card.statements.iter().flat_map(|statement| [&*statement.heading, &*statement.text]);
    let Card { title, purpose, licence, credit, organiser, .. } = card;
    let lines = [title, purpose, licence, credit, &organiser.name, &organiser.contact];
    statements.chain(lines.map(String::as_str)).chain([id])
}

/// Reads the text of `/lichen.json`: the campaign's words, and where its relay is. The page's address may ask for a campaign,
/// by id or name.
///
/// # Errors
/// A problem in plain words where the text is too long, not what this page knows, or about another campaign.
pub(crate) fn read(text: &str, asked: Option<&str>) -> Result<(Campaign, Site), Unread> {
    if text.len() > MAX_SITE {
        return Err(unreadable("it is too long").into());
    }
    let mut told: Told = serde_json::from_str(text).map_err(|error| unreadable(&error.to_string()))?;
    let card = Card {
        title: told.title,
        purpose: told.purpose,
        organiser: told.organiser,
        licence: told.licence,
        credit: told.credit,
        target_accuracy: told.target_accuracy,
        mesh: told.mesh,
        statements: told.statements,
        show: told.show,
    };
    if !words(&told.campaign, &card).all(is_plain) {
        return Err(unreadable("it contains invisible characters that can disguise a text").into());
    }
    // An id comes into an address, and a title into the page.
    let is_sound = |one: &Listed| {
        one.id.bytes().all(|byte| byte.is_ascii_alphanumeric())
            && !one.title.is_empty()
            && is_plain(&one.title)
    };
    told.campaigns.retain(is_sound);
    if asked.is_some_and(|asked| asked != told.campaign && asked != told.name) {
        if told.campaigns.is_empty() {
            told.campaigns.push(Listed { id: told.campaign, title: card.title, ..Listed::default() });
        }
        return Err(Unread { problem: unknown(), campaigns: told.campaigns });
    }
    let relay = Relay { address: told.address, also: told.also, campaign: told.campaign.clone() };
    let ice = Ice { servers: told.ice_servers, turn: told.turn };
    let campaign = Campaign { id: told.campaign, card, operator: told.operator, cost: told.cost };
    Ok((campaign, Site { relay, ice, campaigns: told.campaigns, mesh: told.mesh }))
}

/// What helps peer connections find a way, as `/lichen.json` or `/ice.json` says it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct Ice {
    /// Servers, in the order in which they are named.
    #[serde(default, rename = "ice_servers")]
    pub(crate) servers: Vec<IceServer>,
    /// Whether `/ice.json` has more of them, with passwords that are made for whoever asks.
    #[serde(default)]
    pub(crate) turn: bool,
}

/// The servers that the text of `/ice.json` names; none where it is not what this page knows.
pub(crate) fn ice(text: &str) -> Ice {
    if text.len() > MAX_SITE {
        return Ice::default();
    }
    serde_json::from_str(text).unwrap_or_default()
}

/// The relay did not answer, or not with the words.
pub(crate) fn unreachable(detail: &str) -> Problem {
    Problem {
        message: format!("The campaign’s description could not be fetched ({detail})."),
        remedy: "Check your connection, then try again.".to_owned(),
    }
}

/// The address names a campaign that is not here.
fn unknown() -> Problem {
    Problem {
        message: "The campaign that this address names is not here.".to_owned(),
        remedy: "Choose one of those below, or ask whoever gave you the address for the right one."
            .to_owned(),
    }
}

/// The page was opened at an address to which browsers offer neither keys nor locks.
pub(crate) fn insecure(host: &str) -> Problem {
    Problem {
        message: "This address is not secure: browsers allow what taking part needs only over https."
            .to_owned(),
        remedy: format!(
            "Open https://{host} instead. If that does not answer, ask whoever runs this site for its address."
        ),
    }
}

/// A file of the page did not come, or is not what it should be.
pub(crate) fn unloaded(detail: Option<&str>) -> Problem {
    let detail = detail.map_or_else(String::new, |detail| format!(" ({detail})"));
    Problem {
        message: format!("A file of this page could not be loaded or is damaged{detail}."),
        remedy:
            "Reload the page. If that does not help, tell whoever runs this site; an old browser can also be \
            the cause."
                .to_owned(),
    }
}

fn unreadable(detail: &str) -> Problem {
    Problem {
        // It may repeat what it could not understand.
        message: format!("The campaign’s description could not be understood ({}).", plain(detail)),
        remedy: "Reload the page; if that does not help, tell whoever runs this site.".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lichen_bridge::Topic;

    const TEXT: &str = r#"{
        "peer": "12D3KooW", "address": "/ip4/127.0.0.1/tcp/8080/ws/p2p/12D3KooW", "campaign": "bafk", "version": "0.1.0",
        "title": "Digits", "purpose": "To read.", "licence": "MIT", "credit": "UCI", "target_accuracy": 0.95,
        "organiser": {"name": "Us", "contact": "us@example.org"},
        "statements": [{"topic": "work", "heading": "Your device", "text": "It computes."},
            {"topic": "weather", "heading": "Outside", "text": "It rains."}], "later": [1, 2],
        "also": ["/ip4/127.0.0.1/tcp/8081/ws/p2p/12D3KooX"], "turn": true, "ice_servers": [{"urls": ["stun:a:1"]}]
    }"#;

    #[test]
    fn words_are_read_and_unknown_fields_let_be() {
        let (campaign, site) = read(TEXT, None).unwrap();
        let card = campaign.card;
        assert_eq!((card.title.as_str(), card.target_accuracy), ("Digits", Some(0.95)));
        assert_eq!(
            (card.statements[0].text.as_str(), card.statements[0].topic),
            ("It computes.", Topic::Work)
        );
        assert_eq!(card.statements[1].topic, Topic::Other, "what a later relay tells");
        assert_eq!((site.relay.campaign.as_str(), site.relay.also.len()), ("bafk", 1));
        assert!(site.relay.address.ends_with("12D3KooW") && site.ice.turn);
        assert_eq!(site.ice.servers[0].urls, ["stun:a:1"]);
    }

    #[test]
    fn nothing_of_the_card_is_lost() {
        let text = |text: &str| text.to_owned();
        let statement =
            Statement { topic: Topic::Work, heading: text("Your device"), text: text("It computes.") };
        let card = Card {
            title: text("Digits"),
            purpose: text("To read."),
            organiser: Organiser { name: text("Us"), contact: text("us@example.org") },
            licence: text("MIT"),
            credit: text("UCI"),
            target_accuracy: Some(0.5),
            mesh: true,
            statements: vec![statement],
            show: Some(Show { width: 8, height: 8, full: 16.0, labels: vec![text("0")], draw: true }),
        };
        let mut site = serde_json::to_value(&card).unwrap();
        site["address"] = "/ip4/127.0.0.1".into();
        site["campaign"] = "bafk".into();
        assert_eq!(read(&site.to_string(), None).unwrap().0.card, card);
    }

    #[test]
    fn words_that_deceive_are_not_shown() {
        for word in
            ["Digits", "To read.", "MIT", "UCI", "Us", "us@example.org", "Your device", "It computes."]
        {
            let text = TEXT.replace(&format!("\"{word}\""), &format!("\"{word}\u{202e}\""));
            assert_ne!(text, TEXT, "{word}");
            assert!(read(&text, None).unwrap_err().problem.message.contains("invisible"), "{word}");
        }
        let told = read(&TEXT.replace("0.95", "\"\u{202e}gnp.exe\""), None).unwrap_err().problem.message;
        assert!(is_plain(&told), "{told}");
    }

    #[test]
    fn servers_are_read_where_there_are_any() {
        assert_eq!(ice("{}"), Ice::default());
        let text = r#"{"later": 1, "turn": true, "ice_servers": [{"urls": ["stun:a:1"]}, {"urls": [], "username": "u", "credential": "c"}]}"#;
        let Ice { servers, turn } = ice(text);
        assert_eq!(servers[0].urls, ["stun:a:1"]);
        assert_eq!(servers[1].credential.as_deref(), Some("c"));
        assert!(turn);
        assert_eq!(ice(&format!("{text}{}", " ".repeat(MAX_SITE))), Ice::default());
    }

    #[test]
    fn what_is_cut_short_or_too_long_is_a_problem_in_words() {
        for cut in (0..TEXT.len() - 1).filter(|cut| TEXT.is_char_boundary(*cut)) {
            assert!(read(&TEXT[..cut], None).is_err());
        }
        let long = format!("{TEXT}{}", " ".repeat(MAX_SITE));
        assert!(read(&long, None).unwrap_err().problem.message.contains("too long"));
    }

    #[test]
    fn the_address_chooses_a_campaign_by_id_or_name_and_is_told_where_there_is_none() {
        let several = TEXT.replace(
            "\"later\": [1, 2],",
            "\"name\": \"digits\", \"campaigns\": [{\"id\": \"bafk\", \"name\": \"digits\", \"title\": \"Digits\"},
                {\"id\": \"bafktwo\", \"name\": \"tides\", \"title\": \"Tides\"}, {\"id\": \"bad/id\", \"title\": \"Bad\"},
                {\"id\": \"bafkthree\", \"title\": \"Dis\u{202e}guised\"}],",
        );
        for asked in [None, Some("bafk"), Some("digits")] {
            let (campaign, site) = read(&several, asked).unwrap();
            let titles: Vec<&str> = site.campaigns.iter().map(|one| &*one.title).collect();
            assert_eq!((campaign.id.as_str(), titles), ("bafk", vec!["Digits", "Tides"]));
        }
        let Unread { problem, campaigns } = read(&several, Some("birds")).unwrap_err();
        assert!(problem.message.contains("is not here") && campaigns.len() == 2);
        // A relay of an earlier version has one, and says so whatever is asked.
        let Unread { campaigns, .. } = read(TEXT, Some("birds")).unwrap_err();
        assert_eq!((campaigns[0].id.as_str(), campaigns[0].title.as_str()), ("bafk", "Digits"));
    }
}
