//! What a request to the gateway asks for: the form of the answer, by `format` in its address or else by `Accept`.

use std::fmt;

use axum::http::HeaderMap;
use axum::http::header::ACCEPT;
use lichen_record::Cid;
use serde::Deserialize;

const RAW: &str = "application/vnd.ipld.raw";
const CAR: &str = "application/vnd.ipld.car";
const IPNS_RECORD: &str = "application/vnd.ipfs.ipns-record";

/// The parameters of the address.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in super::super) struct Parameters {
    format: Option<String>,
    pub(super) filename: Option<String>,
    dag_scope: Option<String>,
    entity_bytes: Option<String>,
    car_version: Option<String>,
    car_order: Option<String>,
    car_dups: Option<String>,
}

/// Whose bytes are asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Named {
    /// A blob that the relay may hold.
    Blob(Cid),
    /// Bytes that stand in the id itself.
    Inline(::cid::Cid),
    /// Content of another kind than the relay ever holds.
    Foreign,
}

/// The form of the answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// The block's bytes.
    Raw,
    /// An archive with the block in it.
    Car(Archive),
}

/// How the archive is to be. One block is in every order, and never there twice.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Archive {
    has_duplicates: bool,
    scope: Option<Scope>,
    bytes: Option<Range>,
}

/// How much of the graph below the id is asked for: it is one block in each case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    Block,
    Entity,
    All,
}

/// Which bytes of the blob are asked for, whose only block has all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    from: i64,
    to: Option<i64>,
}

/// The form, and what the answer says about it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Negotiated {
    pub(super) format: Format,
    /// Whether the address alone asks for this form.
    pub(super) is_in_address: bool,
    /// Whether `Accept` may change the form.
    pub(super) depends_on_accept: bool,
}

/// Why there is no answer in any form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unanswerable {
    #[error("name a format: ?format=raw for the block, ?format=car for an archive with it")]
    NoFormat,
    #[error("this relay has blocks (?format=raw) and archives with a block (?format=car) only")]
    Format,
    #[error("this relay has archives of version 1 in the order dfs or unk only")]
    Archive,
    #[error("names are not resolved here: a record is no block")]
    Name,
    #[error("{0} does not have one of its values")]
    Value(&'static str),
}

impl Named {
    /// Reads an id in any base; nothing where the text is none.
    pub(super) fn read(text: &str) -> Option<Self> {
        const IDENTITY: u64 = 0;
        let cid = ::cid::Cid::try_from(text).ok()?;
        if cid.hash().code() == IDENTITY {
            return Some(Self::Inline(cid));
        }
        Some(Cid::try_from(&cid).map_or(Self::Foreign, Self::Blob))
    }
}

impl Negotiated {
    /// Finds the form that is asked for.
    pub(super) fn of(parameters: &Parameters, headers: &HeaderMap) -> Result<Self, Unanswerable> {
        let accepted = Accepted::of(headers);
        let Some(format) = parameters.format.as_deref() else {
            let format = accepted.best(parameters)?;
            return Ok(Self { format, is_in_address: false, depends_on_accept: true });
        };
        let format = match format {
            "raw" => Format::Raw,
            "car" => Format::Car(accepted.archive(parameters)?),
            "ipns-record" => return Err(Unanswerable::Name),
            _ => return Err(Unanswerable::Format),
        };
        let is_in_address = accepted.ranges.first().is_none_or(|(first, given)| {
            first.eq_ignore_ascii_case(format.media_type()) && *given == Given::default()
        });
        let depends_on_accept = matches!(format, Format::Car(_));
        Ok(Self { format, is_in_address, depends_on_accept })
    }
}

impl Format {
    const fn media_type(&self) -> &'static str {
        match self {
            Self::Raw => RAW,
            Self::Car(_) => CAR,
        }
    }

    /// The `Content-Type`, with all that is known of an archive.
    pub(super) const fn content_type(&self) -> &'static str {
        match self {
            Self::Raw => RAW,
            Self::Car(Archive { has_duplicates: false, .. }) => {
                "application/vnd.ipld.car; version=1; order=dfs; dups=n"
            }
            Self::Car(Archive { has_duplicates: true, .. }) => {
                "application/vnd.ipld.car; version=1; order=dfs; dups=y"
            }
        }
    }

    /// What an address says that asks for this form.
    pub(super) fn query(&self) -> String {
        match self {
            Self::Raw => "?format=raw".to_owned(),
            Self::Car(archive) => format!("?format=car{archive}"),
        }
    }

    /// The ending of a file's name.
    pub(super) const fn ending(&self) -> &'static str {
        match self {
            Self::Raw => "bin",
            Self::Car(_) => "car",
        }
    }
}

impl Archive {
    /// Whether bytes are asked for, of which a blob of this length has none.
    pub(super) fn is_beyond(&self, length: u64) -> bool {
        self.bytes.is_some_and(|range| u64::try_from(range.from).is_ok_and(|from| from > 0 && from >= length))
    }

    fn of(given: &Given<'_>, parameters: &Parameters) -> Result<Self, Unanswerable> {
        let of_address = [&parameters.car_version, &parameters.car_order, &parameters.car_dups];
        let [version, order, dups] = of_address.map(Option::as_deref);
        let version = version.or(given.version).unwrap_or("1");
        let order = order.or(given.order).unwrap_or("dfs");
        let has_duplicates = match dups.or(given.dups).unwrap_or("n") {
            "n" => false,
            "y" => true,
            _ => return Err(Unanswerable::Archive),
        };
        if version != "1" || !matches!(order, "dfs" | "unk") {
            return Err(Unanswerable::Archive);
        }
        let scope = parameters.dag_scope.as_deref().map(Scope::read).transpose()?;
        let bytes = parameters.entity_bytes.as_deref().map(Range::read).transpose()?;
        Ok(Self { has_duplicates, scope, bytes })
    }
}

impl Scope {
    fn read(text: &str) -> Result<Self, Unanswerable> {
        match text {
            "block" => Ok(Self::Block),
            "entity" => Ok(Self::Entity),
            "all" => Ok(Self::All),
            _ => Err(Unanswerable::Value("dag-scope")),
        }
    }
}

impl Range {
    fn read(text: &str) -> Result<Self, Unanswerable> {
        let number = |text: &str| text.parse().map_err(|_none| Unanswerable::Value("entity-bytes"));
        let (from, to) = text.split_once(':').ok_or(Unanswerable::Value("entity-bytes"))?;
        let to = if to == "*" { None } else { Some(number(to)?) };
        Ok(Self { from: number(from)?, to })
    }
}

/// Its part of an address, which tells it apart from others of the same block.
impl fmt::Display for Archive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dups = if self.has_duplicates { "y" } else { "n" };
        write!(f, "&car-version=1&car-order=dfs&car-dups={dups}")?;
        if let Some(scope) = self.scope {
            let word = match scope {
                Scope::Block => "block",
                Scope::Entity => "entity",
                Scope::All => "all",
            };
            write!(f, "&dag-scope={word}")?;
        }
        if let Some(Range { from, to }) = self.bytes {
            write!(f, "&entity-bytes={from}:")?;
            return match to {
                Some(to) => write!(f, "{to}"),
                None => f.write_str("*"),
            };
        }
        Ok(())
    }
}

/// The media ranges of `Accept` that say something about blocks, best first; and whether anything is accepted.
struct Accepted<'a> {
    ranges: Vec<(&'a str, Given<'a>)>,
    is_anything: bool,
}

/// The parameters of a media range.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Given<'a> {
    version: Option<&'a str>,
    order: Option<&'a str>,
    dups: Option<&'a str>,
}

impl<'a> Accepted<'a> {
    fn of(headers: &'a HeaderMap) -> Self {
        let values = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let mut ranges: Vec<_> = values.flat_map(|value| value.split(',')).map(range).collect();
        let is_anything = ranges.iter().all(|(media_type, _given, _weight)| {
            media_type.is_empty() || *media_type == "*/*" || *media_type == "application/*"
        });
        ranges.retain(|(media_type, _given, weight)| {
            *weight > 0 && [RAW, CAR, IPNS_RECORD].iter().any(|known| known.eq_ignore_ascii_case(media_type))
        });
        // Equal weights keep their order.
        ranges.sort_by_key(|(_media_type, _given, weight)| std::cmp::Reverse(*weight));
        let ranges = ranges.into_iter().map(|(media_type, given, _weight)| (media_type, given)).collect();
        Self { ranges, is_anything }
    }

    /// The first form that the relay has.
    fn best(&self, parameters: &Parameters) -> Result<Format, Unanswerable> {
        let mut why = if self.is_anything { Unanswerable::NoFormat } else { Unanswerable::Format };
        for (media_type, given) in &self.ranges {
            if media_type.eq_ignore_ascii_case(RAW) {
                return Ok(Format::Raw);
            }
            if media_type.eq_ignore_ascii_case(IPNS_RECORD) {
                why = Unanswerable::Name;
                continue;
            }
            match Archive::of(given, parameters) {
                Ok(archive) => return Ok(Format::Car(archive)),
                Err(refused) => why = refused,
            }
        }
        Err(why)
    }

    /// The archive that the address asks for, as `Accept` wants it where the address does not say.
    fn archive(&self, parameters: &Parameters) -> Result<Archive, Unanswerable> {
        let archives = self.ranges.iter().filter(|(media_type, _given)| media_type.eq_ignore_ascii_case(CAR));
        let wanted = archives.map(|(_media_type, given)| Archive::of(given, parameters));
        wanted.reduce(Result::or).unwrap_or_else(|| Archive::of(&Given::default(), parameters))
    }
}

/// A media range: its type, its parameters, and its weight in thousandths.
fn range(text: &str) -> (&str, Given<'_>, u16) {
    let mut parts = text.split(';').map(str::trim);
    let media_type = parts.next().unwrap_or_default();
    let (mut given, mut weight) = (Given::default(), 1000);
    for (name, value) in parts.filter_map(|part| part.split_once('=')) {
        let value = value.trim().trim_matches('"');
        match name.trim() {
            "version" => given.version = Some(value),
            "order" => given.order = Some(value),
            "dups" => given.dups = Some(value),
            "q" => weight = thousandths(value),
            _ => {}
        }
    }
    (media_type, given, weight)
}

/// A weight as RFC 9110 writes it: at most one, with at most three digits behind the point.
fn thousandths(text: &str) -> u16 {
    let (whole, digits) = text.split_once('.').unwrap_or((text, ""));
    let digits = format!("{digits:0<3}");
    let thousandths = digits.get(..3).and_then(|digits| digits.parse::<u16>().ok()).unwrap_or(0);
    if whole == "0" { thousandths.min(999) } else { 1000 }
}

#[cfg(test)]
mod tests;
