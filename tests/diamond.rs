//! The house keeps its shape: `domain` sees nobody, `engine` and `edge` see only `domain`, `run` sees all but the
//! command line, and nobody but the program sees the command line. Files stay readable, and no unfinished work is left.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The parts of `src`, and what each may see of the crate.
const MAY_SEE: [(&str, &[&str]); 6] = [
    ("domain", &["domain"]),
    ("config", &["config", "domain"]),
    ("engine", &["domain", "engine"]),
    ("edge", &["domain", "edge"]),
    ("run", &["config", "domain", "edge", "engine", "run"]),
    ("cli", &["cli", "config", "domain", "edge", "engine", "run"]),
];
/// Lines of a file of code, its own tests left out. The house's aim is 500; past this there is a second idea inside.
const LINES_MAX: usize = 700;

#[test]
fn every_part_imports_only_what_stands_below_it() {
    let mut broken = Vec::new();
    for file in sources() {
        let module = module_of(&file);
        let Some((part, allowed)) = MAY_SEE.iter().find(|(part, _)| *part == module[0]) else {
            assert!(
                matches!(module[0].as_str(), "lib" | "main"),
                "{}: a part of src that this test does not know",
                file.display()
            );
            continue;
        };
        let text = fs::read_to_string(&file).expect("a source file that was just listed");
        for seen in parts_seen(&text, &module) {
            if !allowed.contains(&seen.as_str()) {
                broken.push(format!("{}: {part} must not see {seen}", file.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn every_decision_has_a_number_of_its_own() {
    let mut numbers = BTreeSet::new();
    for page in fs::read_dir("docs/decisions").expect("the decisions") {
        let name = page.expect("a page").file_name().into_string().expect("a plain name");
        if let Some((number, _)) = name.split_once('-') {
            assert!(
                numbers.insert(number.to_owned()),
                "two decisions have the number {number}"
            );
        }
    }
    assert!(numbers.len() > 20);
}

#[test]
fn every_way_to_break_the_shape_is_noticed() {
    let seen = |folder: &str, text: &str| {
        let module: Vec<String> = folder.split('/').map(str::to_owned).collect();
        parts_seen(text, &module).into_iter().collect::<Vec<_>>().join(" ")
    };
    for (folder, text, expected) in [
        ("engine/order", "use crate::edge::source::open;", "edge"),
        ("engine/order", "    crate::run::replay::run()", "run"),
        (
            "engine/order",
            "use crate::{\n    domain::Event,\n    edge::{sink, source},\n};",
            "domain edge",
        ),
        ("engine/order", "use super::super::edge::sink;", "edge"),
        (
            "engine/decoder/log/ecs",
            "super::super::super::super::config::Config::default()",
            "config",
        ),
        ("engine/order", "use super::select;", "engine"),
        ("engine/order", "pub(crate) use crate::cli as shell;", "cli"),
        ("engine/order", "use super::{super::edge, select};", "edge engine"),
        ("engine/order", "use crate as whole;\nwhole::edge::open()", "*"),
        ("engine/order", "use crate::*;", "*"),
        ("engine/order", "use stakeout::edge;", "edge"),
        ("edge/sink/ecs", "use crate::engine::order::Stamped;", "engine"),
        ("edge/sink/ecs", "use super::super::super::engine;", "engine"),
        ("domain/event", "use crate :: run ;", "run"),
        ("domain/event", "mod tests { use super::super::super::edge; }", "edge"),
        ("run/replay", "type Wide<'a> = crate::engine::Engine<'a>;", "engine"),
        (
            "engine/order",
            "// crate::edge is a word\n/* use crate::run; */ let x = \"crate::cli\";",
            "",
        ),
        ("engine/order", "/// See [`crate::edge`].", ""),
    ] {
        assert_eq!(seen(folder, text), expected, "{text}");
    }
}

#[test]
fn files_stay_readable_and_nothing_unfinished_is_left() {
    let mut wrong = Vec::new();
    for file in sources() {
        let text = fs::read_to_string(&file).expect("a source file that was just listed");
        let code = text.find("\n#[cfg(test)]").map_or(text.as_str(), |end| &text[..end]);
        let lines = code.lines().count();
        let name = file.display();
        let is_test = file
            .file_stem()
            .is_some_and(|stem| stem.to_string_lossy().ends_with("tests"));
        if lines > LINES_MAX && !is_test {
            wrong.push(format!("{name}: {lines} lines are over {LINES_MAX}"));
        }
        if !text.starts_with("//!") && !is_test {
            wrong.push(format!("{name}: does not open with what it is for"));
        }
        for (number, line) in text.lines().enumerate() {
            // A TODO names the condition that ends it.
            let is_open = ["TODO", "FIXME", "XXX"]
                .iter()
                .any(|word| line.contains(&format!("// {word}")));
            if is_open && !line.contains("TODO: drop once") {
                wrong.push(format!("{name}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The parts of the crate that a file's text names, `*` where it could name any.
fn parts_seen(text: &str, module: &[String]) -> BTreeSet<String> {
    let tokens = tokens(text);
    let word = |at: usize| tokens.get(at).map_or("", String::as_str);
    let mut seen = BTreeSet::new();
    let mut module = module.to_vec();
    // How deep the braces are, and at which depths a module inside the file has begun.
    let (mut depth, mut inner) = (0usize, Vec::new());
    let mut at = 0;
    while at < tokens.len() {
        match word(at) {
            "mod" if word(at + 2) == "{" => {
                module.push(word(at + 1).to_owned());
                depth += 1;
                inner.push(depth);
                at += 3;
                continue;
            }
            "{" => depth += 1,
            "}" => {
                if inner.last() == Some(&depth) {
                    inner.pop();
                    module.pop();
                }
                depth = depth.saturating_sub(1);
            }
            _ => {}
        }
        // A path begins where no path goes on; `pub(crate)` names nothing.
        let before = if at > 0 { word(at - 1) } else { "" };
        let is_visibility = before == "(" && at > 1 && word(at - 2) == "pub";
        let root = match word(at) {
            _ if before == "::" || is_visibility => None,
            "crate" => Some(Vec::new()),
            "stakeout" if word(at + 1) == "::" => Some(Vec::new()),
            "super" => Some(module.clone()),
            _ => None,
        };
        at = match root {
            Some(root) => path(&tokens, at, root, &mut seen).max(at + 1),
            None => at + 1,
        };
    }
    seen
}

/// Follows a path from `tokens[at]` on, which stands for the module `place`; gives where it ends.
fn path(tokens: &[String], mut at: usize, mut place: Vec<String>, seen: &mut BTreeSet<String>) -> usize {
    loop {
        match tokens.get(at).map(String::as_str) {
            Some("crate" | "stakeout") => place.clear(),
            Some("super") => {
                place.pop();
            }
            Some("self") => {}
            Some("{") => {
                at += 1;
                while tokens.get(at).is_some_and(|token| token != "}") {
                    at = path(tokens, at, place.clone(), seen).max(at + 1);
                    if tokens.get(at).map(String::as_str) == Some("as") {
                        at += 2;
                    }
                    if tokens.get(at).map(String::as_str) == Some(",") {
                        at += 1;
                    }
                }
                return at + 1;
            }
            Some("*") => {
                seen.insert(place.first().cloned().unwrap_or_else(|| "*".to_owned()));
                return at + 1;
            }
            Some(name) if is_name(name) => place.push(name.to_owned()),
            _ => return at,
        }
        at += 1;
        if tokens.get(at).map(String::as_str) != Some("::") {
            // `use crate as whole` hides what follows; `super` alone is the parent, whose part is the same.
            seen.insert(place.first().cloned().unwrap_or_else(|| "*".to_owned()));
            return at;
        }
        at += 1;
    }
}

fn is_name(token: &str) -> bool {
    token.starts_with(|sign: char| sign.is_alphabetic() || sign == '_')
}

/// Words and signs of Rust text, without comments and texts. Good enough for paths.
fn tokens(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(sign) = rest.chars().next() {
        if rest.starts_with("//") {
            rest = rest.find('\n').map_or("", |end| &rest[end..]);
        } else if rest.starts_with("/*") {
            rest = rest.find("*/").map_or("", |end| &rest[end + 2..]);
        } else if let Some(end) = text_end(rest) {
            rest = &rest[end..];
        } else if rest.starts_with("::") {
            tokens.push("::".to_owned());
            rest = &rest[2..];
        } else if is_name(rest) {
            let end = rest
                .find(|sign: char| !sign.is_alphanumeric() && sign != '_')
                .unwrap_or(rest.len());
            tokens.push(rest[..end].to_owned());
            rest = &rest[end..];
        } else {
            if !sign.is_whitespace() {
                tokens.push(sign.to_string());
            }
            rest = &rest[sign.len_utf8()..];
        }
    }
    tokens
}

/// Where a text, raw text or character that begins here ends.
fn text_end(rest: &str) -> Option<usize> {
    let raw = rest.strip_prefix("br").or(rest.strip_prefix('r'));
    if let Some(raw) = raw.filter(|raw| raw.starts_with(['#', '"'])) {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        let body = raw[hashes..].strip_prefix('"')?;
        let close = format!("\"{}", "#".repeat(hashes));
        let end = body.find(&close)? + close.len();
        return Some(rest.len() - body.len() + end);
    }
    if let Some(body) = rest.strip_prefix('"') {
        let mut escaped = false;
        for (at, sign) in body.char_indices() {
            match sign {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '"' => return Some(at + 2),
                _ => {}
            }
        }
        return Some(rest.len());
    }
    // A character, not a lifetime.
    for literal in ["'\"'", "'\\''", "'\\\\'", "'{'", "'}'", "'/'"] {
        if rest.starts_with(literal) {
            return Some(literal.len());
        }
    }
    None
}

/// The module that a file is: `src/engine/decoder/mod.rs` is `engine::decoder`.
fn module_of(file: &Path) -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let inside = file.strip_prefix(&root).expect("listed below src").with_extension("");
    let mut module: Vec<String> = inside.iter().map(|name| name.to_string_lossy().into_owned()).collect();
    if module.len() > 1 && module.last().is_some_and(|last| last == "mod") {
        module.pop();
    }
    module
}

/// Every file of `src`.
fn sources() -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder of src").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    assert!(files.len() > 100, "{} files", files.len());
    files.sort();
    files
}
