//! What `index.html` says of the page's parts: the tags `<link data-trunk …>`, in the words that Trunk reads.

use std::fs;

use anyhow::{Context as _, Result, bail};

use crate::workspace;

const OPEN: &str = "<link data-trunk ";

/// `index.html`, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Index {
    /// What comes before the first tag, between two of them, and after the last.
    pub(super) texts: Vec<String>,
    /// The tags.
    pub(super) parts: Vec<Part>,
}

/// A part of the page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// The icon, at that place in the repository.
    Icon { file: String, media: String },
    /// A style sheet.
    Style { file: String },
    /// The page's own code.
    Page { program: Program, initializer: String },
    /// The worker's.
    Worker { program: Program },
    /// What the page loads when it is asked for.
    Later { program: Program },
}

/// A module that cargo builds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Program {
    /// Its package.
    pub(crate) package: String,
    /// Its name.
    pub(crate) name: String,
    /// What wasm-opt is told.
    pub(crate) optimise: Vec<String>,
}

impl Index {
    /// Reads the repository's.
    pub(crate) fn read() -> Result<Self> {
        let file = workspace::root().join("index.html");
        let text = fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
        Self::parse(&text).context("reading index.html")
    }

    fn parse(text: &str) -> Result<Self> {
        let mut pieces = text.split(OPEN);
        let mut texts = vec![pieces.next().unwrap_or_default().to_owned()];
        let mut parts = Vec::new();
        for piece in pieces {
            let (tag, after) = piece.split_once('>').context("a tag does not end")?;
            parts.push(Part::parse(tag)?);
            texts.push(after.to_owned());
        }
        Ok(Self { texts, parts })
    }

    /// The worker's module.
    pub(crate) fn worker(&self) -> Result<&Program> {
        self.parts
            .iter()
            .find_map(|part| if let Part::Worker { program } = part { Some(program) } else { None })
            .context("index.html names no worker")
    }

    /// All modules.
    pub(crate) fn programs(&self) -> impl Iterator<Item = &Program> {
        self.parts.iter().filter_map(|part| match part {
            Part::Page { program, .. } | Part::Worker { program } | Part::Later { program } => Some(program),
            Part::Icon { .. } | Part::Style { .. } => None,
        })
    }
}

impl Part {
    fn parse(tag: &str) -> Result<Self> {
        let need = |name: &str| {
            attribute(tag, name)
                .map(str::to_owned)
                .with_context(|| format!("<link data-trunk {tag}> has no {name}"))
        };
        let program = || -> Result<Program> {
            let level = format!("-O{}", need("data-wasm-opt")?);
            let optimise = std::iter::once(level)
                .chain(need("data-wasm-opt-params")?.split_whitespace().map(str::to_owned))
                .collect();
            let folder = need("href")?;
            let folder = folder.strip_suffix("/Cargo.toml").context("a module's href is no Cargo.toml")?;
            Ok(Program { package: format!("lichen-{folder}"), name: need("data-bin")?, optimise })
        };
        Ok(match need("rel")?.as_str() {
            "icon" => Self::Icon { file: need("href")?, media: need("type")? },
            "css" => Self::Style { file: need("href")? },
            // To Trunk both are workers; the page loads one of them by itself.
            "rust" if has(tag, "data-loader-shim") => Self::Worker { program: program()? },
            "rust" if attribute(tag, "data-type") == Some("worker") => Self::Later { program: program()? },
            "rust" => Self::Page { program: program()?, initializer: need("data-initializer")? },
            other => bail!("<link data-trunk rel={other:?}> is a kind of part that this build does not know"),
        })
    }
}

/// Whether a tag has an attribute without a value.
fn has(tag: &str, name: &str) -> bool {
    tag.split_whitespace().any(|word| word == name)
}

/// The value of an attribute of a tag.
fn attribute<'a>(tag: &'a str, name: &str) -> Option<&'a str> {
    let mut rest = tag;
    while let Some((before, after)) = rest.split_once("=\"") {
        let (value, next) = after.split_once('"')?;
        if before.split_whitespace().next_back() == Some(name) {
            return Some(value);
        }
        rest = next;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_repositorys_page_is_read() {
        let index = Index::read().unwrap();
        let worker = index.worker().unwrap();
        assert_eq!(worker.name, "lichen-worker");
        assert!(worker.optimise.contains(&"-O3".into()) && worker.optimise.contains(&"--enable-simd".into()));
        let names: Vec<_> = index.programs().map(|program| &*program.name).collect();
        assert_eq!(
            names,
            ["lichen-web", "lichen-swarm", "lichen-swarm-mesh", "lichen-worker", "lichen-checker"]
        );
        assert_eq!(index.texts.len(), index.parts.len() + 1);
        let styles = index.parts.iter().filter(|part| matches!(part, Part::Style { .. })).count();
        assert!(styles >= 3, "{index:?}");
    }

    #[test]
    fn attributes_are_whole_names() {
        let tag = r#"rel="rust" data-bin="a" bin="b" data-type="worker" /"#;
        assert_eq!(attribute(tag, "bin"), Some("b"));
        assert_eq!(attribute(tag, "data-bin"), Some("a"));
        assert_eq!(attribute(tag, "type"), None);
    }

    #[test]
    fn what_this_build_cannot_make_is_an_error() {
        assert!(Index::parse(r#"<link data-trunk rel="scss" href="a">"#).is_err());
        assert!(Index::parse(r#"<link data-trunk rel="css">"#).is_err());
        assert!(Index::parse(r#"<link data-trunk rel="css" href="a""#).is_err());
        assert!(Index::parse("<p>nothing</p>").unwrap().programs().next().is_none());
    }
}
