//! What one file says of others: the paths in it, without its tests. It is read word by word, as far as paths need it.

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::str::Chars;

/// The paths in a file.
#[derive(Debug, Default)]
pub(super) struct Source {
    /// What it names of other modules, imported or not.
    pub(super) paths: Vec<Vec<String>>,
    /// What it hands on under a name of its own (`pub use`), and from where.
    pub(super) handed_on: BTreeMap<String, Vec<String>>,
    /// Its modules that are for tests only.
    pub(super) tests: Vec<String>,
}

/// Reads a file's text.
pub(super) fn read(text: &str) -> Source {
    let words = words(text);
    let mut source = Source::default();
    let mut left = words.as_slice();
    let mut is_public = false;
    while let Some((word, rest)) = left.split_first() {
        left = match word.as_str() {
            "#" if is_for_tests(rest) => {
                let item = after_attributes(left);
                if let [first, name, ..] = item
                    && first == "mod"
                {
                    source.tests.push(name.clone());
                }
                after_item(item)
            }
            "use" => source.take_imports(rest, is_public),
            _ if is_name(word) => source.take_path(left),
            _ => rest,
        };
        is_public = word == "pub"
            || is_public && matches!(word.as_str(), "(" | ")" | "in" | "crate" | "super" | "self");
    }
    source
}

impl Source {
    /// Takes in what follows the word `use`; what comes after it.
    fn take_imports<'a>(&mut self, words: &'a [String], is_public: bool) -> &'a [String] {
        let end = words.iter().position(|word| word == ";").unwrap_or(words.len());
        let (tree, rest) = words.split_at(end);
        let mut paths = Vec::new();
        branches(&[], tree, &mut paths);
        for (path, name) in paths {
            if is_public {
                self.handed_on.insert(name, path.clone());
            }
            self.paths.push(path);
        }
        rest
    }

    /// Takes in a path of at least two names; what comes after it.
    fn take_path<'a>(&mut self, words: &'a [String]) -> &'a [String] {
        let mut path = Vec::new();
        let mut left = words;
        while let [name, rest @ ..] = left
            && is_name(name)
        {
            path.push(name.clone());
            left = rest;
            match rest {
                [colons, more @ ..] if colons == "::" => left = more,
                _ => break,
            }
        }
        if path.len() > 1 {
            self.paths.push(path);
        }
        left
    }
}

/// The paths of a tree of imports, each with the name that it gets here.
fn branches(before: &[String], tree: &[String], paths: &mut Vec<(Vec<String>, String)>) {
    let mut path = before.to_vec();
    for (index, word) in tree.iter().enumerate() {
        match word.as_str() {
            "::" => {}
            "{" => {
                for branch in parts(tree.get(index + 1..).unwrap_or_default()) {
                    branches(&path, branch, paths);
                }
                return;
            }
            "as" => {
                let name = tree.get(index + 1).cloned().unwrap_or_default();
                return paths.push((path, name));
            }
            "self" if index == 0 && !before.is_empty() => {}
            _ => path.push(word.clone()),
        }
    }
    if let Some(name) = path.last().cloned() {
        paths.push((path, name));
    }
}

/// What stands between commas, up to the brace that closes.
fn parts(words: &[String]) -> Vec<&[String]> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0_usize, 0);
    for (index, word) in words.iter().enumerate() {
        let is_end = depth == 0 && matches!(word.as_str(), "," | "}");
        if is_end {
            parts.extend(words.get(start..index).filter(|part| !part.is_empty()));
            start = index + 1;
        }
        match word.as_str() {
            "{" => depth += 1,
            "}" if depth == 0 => break,
            "}" => depth -= 1,
            _ => {}
        }
    }
    parts
}

/// Whether the attribute that begins here leaves its item to tests.
fn is_for_tests(words: &[String]) -> bool {
    let begins = |with: &[&str]| words.iter().map(String::as_str).take(with.len()).eq(with.iter().copied());
    begins(&["[", "cfg", "(", "test"]) || begins(&["[", "cfg", "(", "all", "(", "test"])
}

/// What comes after the attributes that begin here.
fn after_attributes(mut words: &[String]) -> &[String] {
    while let [mark, bracket, ..] = words
        && mark == "#"
        && bracket == "["
    {
        words = after_closed(words.get(1..).unwrap_or_default(), "[", "]");
    }
    words
}

/// What comes after an item: after its semicolon, or its braces.
fn after_item(words: &[String]) -> &[String] {
    let end = words.iter().position(|word| word == ";" || word == "{").unwrap_or(words.len());
    let rest = words.get(end..).unwrap_or_default();
    if rest.first().is_some_and(|word| word == "{") { after_closed(rest, "{", "}") } else { rest }
}

/// What comes after the bracket that closes the one which these words begin with.
fn after_closed<'a>(words: &'a [String], open: &str, close: &str) -> &'a [String] {
    let mut depth = 0_usize;
    for (index, word) in words.iter().enumerate() {
        depth += usize::from(word == open);
        if word == close {
            depth = depth.saturating_sub(1);
            if depth == 0 {
                return words.get(index + 1..).unwrap_or_default();
            }
        }
    }
    &[]
}

fn is_name(word: &str) -> bool {
    word.starts_with(|first: char| first.is_alphabetic() || first == '_')
}

/// Names, `::` and single signs; comments and texts are left out.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut left = text.chars().peekable();
    while let Some(first) = left.next() {
        match first {
            '/' if left.peek() == Some(&'/') => skip_line(&mut left),
            '/' if left.peek() == Some(&'*') => skip_comment(&mut left),
            '"' => skip_text(&mut left),
            '\'' => skip_character(&mut left),
            ':' if left.next_if_eq(&':').is_some() => words.push("::".into()),
            _ if first.is_alphanumeric() || first == '_' => {
                let mut word = String::from(first);
                while let Some(next) = left.next_if(|next| next.is_alphanumeric() || *next == '_') {
                    word.push(next);
                }
                let is_raw = matches!(word.as_str(), "r" | "br") && matches!(left.peek(), Some('"' | '#'));
                if is_raw { skip_raw_text(&mut left) } else { words.push(word) }
            }
            _ if first.is_whitespace() => {}
            _ => words.push(first.into()),
        }
    }
    words
}

fn skip_line(left: &mut Peekable<Chars<'_>>) {
    while left.next_if(|next| *next != '\n').is_some() {}
}

fn skip_comment(left: &mut Peekable<Chars<'_>>) {
    let mut depth = 0_usize;
    let mut last = '/';
    for next in left.by_ref() {
        match (last, next) {
            ('/', '*') => depth += 1,
            ('*', '/') => depth = depth.saturating_sub(1),
            _ => {
                last = next;
                continue;
            }
        }
        if depth == 0 {
            return;
        }
        // A sign belongs to one mark only.
        last = ' ';
    }
}

fn skip_text(left: &mut Peekable<Chars<'_>>) {
    while let Some(next) = left.next() {
        match next {
            '\\' => drop(left.next()),
            '"' => return,
            _ => {}
        }
    }
}

/// A text between `"` with as many `#` around it; `r#name` is none, and ends at once.
fn skip_raw_text(left: &mut Peekable<Chars<'_>>) {
    let mut marks = 0_usize;
    while left.next_if_eq(&'#').is_some() {
        marks += 1;
    }
    if left.next_if_eq(&'"').is_none() {
        return;
    }
    while let Some(next) = left.next() {
        if next == '"' && (0..marks).all(|_mark| left.next_if_eq(&'#').is_some()) {
            return;
        }
    }
}

/// A character, or the mark of a lifetime, whose name is left to be read.
fn skip_character(left: &mut Peekable<Chars<'_>>) {
    match left.peek() {
        Some('\\') => {
            left.next();
            left.next();
            while left.next_if(|next| *next != '\'').is_some() {}
            left.next();
        }
        Some(_one) => {
            let mut ahead = left.clone();
            ahead.next();
            if ahead.next() == Some('\'') {
                left.next();
                left.next();
            }
        }
        None => {}
    }
}
