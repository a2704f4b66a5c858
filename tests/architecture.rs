//! The rules of docs/ARCHITECTURE.md that can be read off the source: who may use whom, where system calls are made, how
//! long files and functions are, whose fields others may touch.

use std::fs;
use std::path::Path;

/// Each module of src/ may use those that stand before it: there is no circle.
const ORDER: &str = "error mask watch_id slab spread fixed_text lock memory sys debug advice stream watches tree scan engine instance simulation fuzzing capi lib";
/// They make no system call, and this is all that they may have of `sys`.
const PURE: [&str; 2] = ["tree", "watches"];
const PLAIN_TYPES: &str = "sys::Sys sys::dirent::Kind sys::directory::Identity";
const STD: &str = "env fs io net os path process thread time";
/// Plain data, which has no rule to keep: its fields are for all to read and write.
const PLAIN_DATA: &str = "Work Effects Addition NewTree Wanted Doubt Failure Record RawEvent PathKey Entry Chunk Identity";
const FILE_LINES: usize = 500;
const FUNCTION_LINES: usize = 60;

/// Calls `f` with the path in src/, the module and the text without comments of each file; `f` says what is broken.
fn each_file(f: impl Fn(&str, &str, &str, &mut Vec<String>)) {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut paths, mut files, mut broken) = (vec![src.clone()], 0, Vec::new());
    while let Some(path) = paths.pop() {
        if path.is_dir() {
            paths.extend(fs::read_dir(path).unwrap().map(|it| it.unwrap().path()));
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let without_comment = |it| str::split(it, "//").next().unwrap_or_default();
        let code: Vec<&str> = text.lines().map(without_comment).collect();
        let file = path.strip_prefix(&src).unwrap().to_str().unwrap();
        f(
            file,
            file.split(['/', '.']).next().unwrap(),
            &code.join("\n"),
            &mut broken,
        );
        files += 1;
    }
    assert!(files > 50, "all of src/ was read");
    let rules = "see docs/ARCHITECTURE.md for the rules that this breaks";
    assert!(broken.is_empty(), "{rules}:\n{}", broken.join("\n"));
}

fn is_in(list: &str, word: &str) -> bool {
    list.split(' ').any(|it| it == word)
}

/// Adds what a path names; its groups in braces are taken apart.
fn expand(path: &str, before: &str, names: &mut Vec<String>) {
    let end = path.find(|c: char| !c.is_alphanumeric() && !"_:*".contains(c));
    let (head, rest) = path.split_at(end.unwrap_or(path.len()));
    let name = format!("{before}{head}");
    let Some(group) = rest
        .strip_prefix('{')
        .filter(|_| head.is_empty() || head.ends_with("::"))
    else {
        return names.push(name);
    };
    let (mut depth, mut start) = (0, 0);
    for (at, c) in group.char_indices() {
        if depth == 0 && ",}".contains(c) {
            let one = group[start..at].trim();
            (!one.is_empty()).then(|| expand(one, &name, names));
            start = at + 1;
        }
        depth += i32::from(c == '{') - i32::from(c == '}');
        if depth < 0 {
            return;
        }
    }
}

/// All that a file names of this crate, in `use` lines and elsewhere.
fn named(code: &str) -> Vec<String> {
    let mut names = Vec::new();
    for path in code.split("crate::").skip(1) {
        expand(path, "", &mut names);
    }
    names
}

#[test]
fn the_direction_holds() {
    let rank = |module: &str| ORDER.split(' ').position(|it| it == module);
    each_file(|file, module, code, broken| {
        let own =
            rank(module).unwrap_or_else(|| panic!("{file}: its module has no place in ORDER"));
        for name in named(code) {
            let used = name.split("::").next().unwrap();
            // What lib.rs exports is for those that use the core from outside.
            let exported = used.starts_with(char::is_uppercase) && Some(own) > rank("instance");
            if used != module && !exported && rank(used).is_none_or(|it| it > own) {
                broken.push(format!("{file} uses {name}"));
            }
        }
        if code.contains("super::super") {
            broken.push(format!("{file} goes up twice with super::super"));
        }
    });
}

#[test]
fn system_calls_are_made_in_sys() {
    each_file(|file, module, code, broken| {
        if code.contains("unsafe")
            && !["memory", "sys", "capi", "fuzzing", "lock"].contains(&module)
        {
            broken.push(format!("{file} has unsafe code"));
        }
        if !PURE.contains(&module) {
            return;
        }
        let of_sys = named(code).into_iter().filter(|it| it.starts_with("sys::"));
        let mut used: Vec<String> = of_sys.filter(|it| !is_in(PLAIN_TYPES, it)).collect();
        let of_std = STD.split(' ').map(|it| format!("std::{it}"));
        // A length of time is a number.
        let code_of_std = code.replace("std::time::Duration", "");
        used.extend(of_std.filter(|it| code_of_std.contains(it)));
        // Errnos are numbers.
        let of_libc = code
            .split("libc::")
            .skip(1)
            .filter(|it| !it.starts_with('E'));
        used.extend(of_libc.map(|it| format!("libc::{}", it.lines().next().unwrap_or_default())));
        broken.extend(used.iter().map(|it| format!("{file} uses {it}")));
    });
}

#[test]
fn files_and_functions_are_short() {
    each_file(|file, _, code, broken| {
        let lines: Vec<&str> = code.lines().collect();
        if lines.len() > FILE_LINES {
            broken.push(format!("{file} has {} lines", lines.len()));
        }
        for (at, line) in lines.iter().enumerate() {
            let start = line.trim_start();
            let is_function = start.starts_with("fn ") || start.contains(" fn ");
            // Formatted code closes a function at the indent where it began it.
            let end = format!("{}}}", &line[..line.len() - start.len()]);
            let more = lines[at..].iter().position(|it| *it == end).unwrap_or(0);
            if is_function
                && !start.contains('=')
                && !line.ends_with(['}', ';'])
                && more >= FUNCTION_LINES
            {
                broken.push(format!("{file}:{} has {} lines: {start}", at + 1, more + 1));
            }
        }
    });
}

#[test]
fn a_field_has_one_owner() {
    each_file(|file, _, code, broken| {
        let mut owner = "";
        for line in code.lines().map(str::trim) {
            if let Some((_, rest)) = line.split_once("struct ") {
                owner = rest.split(|c: char| !c.is_alphanumeric()).next().unwrap();
            }
            let field = line
                .strip_prefix("pub(crate) ")
                .and_then(|it| it.split_once(": "));
            if field.is_some_and(|(name, _)| !name.contains(' ')) && !is_in(PLAIN_DATA, owner) {
                broken.push(format!("{file}, {owner}: {line}"));
            }
        }
    });
}
