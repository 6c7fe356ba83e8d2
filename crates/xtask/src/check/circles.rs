//! No circles between the modules of a crate: those that lie side by side use each other in one direction only, each with
//! all that lies in it. What a module and its own children are to each other is their own affair, and tests may use what
//! they like.

mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use self::source::{Source, read};
use super::no_faults;
use crate::setup::Toolchain;
use crate::{say, workspace};

/// A module's path in its crate; empty for the crate's root.
type Module = Vec<String>;

/// Which modules use which: those side by side, and what of the second is used by the first.
type Uses = BTreeMap<(Module, Module), BTreeSet<String>>;

pub(super) fn check(_: &Toolchain) -> Result<()> {
    say::note("Checking for circles between modules");
    let mut faults = Vec::new();
    for (folder, files) in crates()? {
        let sources = files
            .into_iter()
            .map(|(module, file)| {
                let text =
                    fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
                Ok((module, read(&text)))
            })
            .collect::<Result<_>>()?;
        let uses = uses(sources);
        faults.extend(circles(&uses).iter().map(|circle| format!("{folder}: {}", describe(circle, &uses))));
    }
    no_faults(&faults)
}

/// The modules of each crate, by the folder of its sources.
fn crates() -> Result<BTreeMap<String, BTreeMap<Module, PathBuf>>> {
    let root = workspace::root();
    let files = workspace::tracked_files()?;
    let mut crates: BTreeMap<String, BTreeMap<Module, PathBuf>> = BTreeMap::new();
    for file in files.into_iter().filter(|file| file.extension().is_some_and(|ending| ending == "rs")) {
        let Some(source) = file.ancestors().find(|folder| folder.ends_with("src")) else { continue };
        let folder = source.strip_prefix(&root).unwrap_or(source).display().to_string();
        let module = module_of(file.strip_prefix(source).unwrap_or(&file));
        crates.entry(folder).or_default().insert(module, file);
    }
    Ok(crates)
}

/// The module in a file, by the file's path from the crate's root.
fn module_of(file: &Path) -> Module {
    let path = file.with_extension("");
    let mut module: Module = path.iter().map(|part| part.to_string_lossy().into_owned()).collect();
    let is_parent = module.last().is_some_and(|last| last == "mod");
    if is_parent || matches!(&module[..], [only] if only == "lib" || only == "main") {
        module.pop();
    }
    module
}

/// What modules that lie side by side use of each other.
fn uses(mut sources: BTreeMap<Module, Source>) -> Uses {
    let tests: Vec<Module> = sources
        .iter()
        .flat_map(|(module, source)| source.tests.iter().map(|test| joined(module, test)))
        .collect();
    sources.retain(|module, _source| !tests.iter().any(|test| module.starts_with(test)));
    let mut uses = Uses::new();
    for (module, source) in &sources {
        for path in &source.paths {
            let Some(absolute) = absolute(module, path, &sources) else { continue };
            let (used, item) = resolve(&absolute, &sources, 0);
            let shared = module.iter().zip(&used).take_while(|(one, other)| one == other).count();
            if let (Some(user), Some(of)) = (module.get(..=shared), used.get(..=shared)) {
                let item = joined(&used, &item).join("::");
                uses.entry((user.to_vec(), of.to_vec())).or_default().insert(item);
            }
        }
    }
    uses
}

fn joined(module: &Module, item: &str) -> Module {
    module.iter().cloned().chain([item.to_owned()]).collect()
}

/// A path from the crate's root; none if it leads out of the crate.
fn absolute(module: &Module, path: &[String], sources: &BTreeMap<Module, Source>) -> Option<Module> {
    let (first, rest) = path.split_first()?;
    match first.as_str() {
        "crate" => Some(rest.to_vec()),
        "self" => Some(module.iter().chain(rest).cloned().collect()),
        "super" => {
            let (_last, parent) = module.split_last()?;
            absolute(&parent.to_vec(), &[&["self".to_owned()], rest].concat(), sources)
        }
        child => {
            sources.contains_key(&joined(module, child)).then(|| module.iter().chain(path).cloned().collect())
        }
    }
}

/// The module that a path leads to, through what is handed on by others, and what is named there.
fn resolve(path: &Module, sources: &BTreeMap<Module, Source>, depth: usize) -> (Module, String) {
    /// More than anything is handed on, unless it goes round.
    const MOST: usize = 8;
    let length =
        (0..=path.len()).rev().find(|length| sources.contains_key(path.get(..*length).unwrap_or_default()));
    let (module, rest) = path.split_at(length.unwrap_or(0));
    let module = module.to_vec();
    let Some((item, rest)) = rest.split_first() else { return (module, "*".into()) };
    let handed_on = sources.get(&module).and_then(|source| source.handed_on.get(item));
    if let Some(from) =
        handed_on.and_then(|from| absolute(&module, from, sources)).filter(|_from| depth < MOST)
    {
        return resolve(&from.iter().chain(rest).cloned().collect(), sources, depth + 1);
    }
    (module, item.clone())
}

/// The modules that reach each other, in groups.
fn circles(uses: &Uses) -> Vec<BTreeSet<Module>> {
    let reached = |from: &Module| {
        let mut reached = BTreeSet::new();
        let mut left = vec![from.clone()];
        while let Some(next) = left.pop() {
            for (_user, used) in uses.keys().filter(|(user, _used)| *user == next) {
                if reached.insert(used.clone()) {
                    left.push(used.clone());
                }
            }
        }
        reached
    };
    let all: BTreeMap<&Module, BTreeSet<Module>> =
        uses.keys().map(|(user, _used)| (user, reached(user))).collect();
    let in_circle = |one: &Module, other: &Module| {
        let reaches = |from: &Module, to: &Module| all.get(from).is_some_and(|reached| reached.contains(to));
        reaches(one, other) && reaches(other, one)
    };
    let groups: BTreeSet<BTreeSet<Module>> = all
        .keys()
        .filter(|module| in_circle(module, module))
        .map(|module| {
            all.keys().filter(|other| in_circle(module, other)).map(|other| (*other).clone()).collect()
        })
        .collect();
    groups.into_iter().collect()
}

fn describe(circle: &BTreeSet<Module>, uses: &Uses) -> String {
    let arrows = uses.iter().filter(|((user, used), _items)| circle.contains(user) && circle.contains(used));
    let arrows = arrows.map(|((user, used), items)| {
        let items: Vec<&str> = items.iter().map(String::as_str).collect();
        format!("{} uses {} ({})", user.join("::"), used.join("::"), items.join(", "))
    });
    format!("a circle of modules\n    {}", arrows.collect::<Vec<_>>().join("\n    "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[(&str, &str)]) -> Vec<Vec<String>> {
        let sources = files.iter().map(|(path, text)| (module_of(Path::new(path)), read(text))).collect();
        let circles = circles(&uses(sources));
        circles.iter().map(|circle| circle.iter().map(|module| module.join("::")).collect()).collect()
    }

    #[test]
    fn modules_side_by_side_use_each_other_in_one_direction() {
        let root = ("lib.rs", "mod a;\nmod b;\nmod c;");
        let line = [root, ("a.rs", "use crate::b::B;"), ("b.rs", "use super::c;"), ("c.rs", "")];
        assert!(found(&line).is_empty());
        let circle = [
            root,
            ("a.rs", "use crate::b::B;"),
            ("b.rs", "use super::c;"),
            ("c.rs", "fn f(_: crate::a::A) {}"),
        ];
        assert_eq!(found(&circle), [["a", "b", "c"]]);
    }

    #[test]
    fn a_folder_counts_as_one_with_all_that_lies_in_it() {
        let folders = [
            ("lib.rs", "mod a;\nmod b;"),
            ("a.rs", "pub(crate) mod high;\npub(crate) mod low;"),
            ("a/high.rs", "use crate::b::B;\nuse super::A;"),
            ("a/low.rs", ""),
            ("b/mod.rs", "use crate::a::low::Low;"),
        ];
        assert_eq!(found(&folders), [["a", "b"]]);
        let own =
            [("lib.rs", "mod a;"), ("a.rs", "mod child;\nuse child::C;"), ("a/child.rs", "use super::A;")];
        assert!(found(&own).is_empty(), "a module and its child");
    }

    #[test]
    fn what_is_handed_on_comes_from_where_it_is() {
        let handed = [
            ("main.rs", "mod a;\nmod b;\npub(crate) use a::{A, Other as Name};"),
            ("a.rs", "use crate::b;"),
            ("b.rs", "use crate::Name;"),
        ];
        assert_eq!(found(&handed), [["a", "b"]]);
    }

    #[test]
    fn tests_comments_and_texts_use_nothing() {
        let quiet = [
            ("lib.rs", "mod a;\nmod b;\n#[cfg(test)]\nmod testing;"),
            ("a.rs", "use crate::b;"),
            (
                "b.rs",
                "// crate::a\n/* crate::a */ const T: &str = \"crate::a\"; const R: &str = r#\"\"crate::a\"#;
                fn f<'a>(_: &'a str) -> char { '\"' }
                #[cfg(all(test, feature = \"x\"))]\n#[cfg(unix)]\nmod tests { use crate::a; fn f() { crate::a::f() } }
                #[cfg(test)]\nuse crate::a::A;",
            ),
            ("testing.rs", "use crate::a;\nuse crate::b;"),
        ];
        assert!(found(&quiet).is_empty(), "{:?}", found(&quiet));
        let loud = [
            quiet[0],
            quiet[1],
            ("b.rs", "fn f<'a>(_: &'a str) -> char { '\"' }\n#[cfg(not(test))]\nuse crate::a;"),
        ];
        assert_eq!(found(&loud), [["a", "b"]]);
    }
}
