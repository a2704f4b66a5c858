//! Operations as text, for cases that are printed and played again.

use asyncinotify::simulation::Operation;

fn show(path: &[u8]) -> String {
    path.escape_ascii().to_string()
}

pub fn operation(operation: &Operation) -> String {
    match operation {
        Operation::Mkdir(path) => format!("mkdir {}", show(path)),
        Operation::Create(path) => format!("create {}", show(path)),
        Operation::Write(path) => format!("write {}", show(path)),
        Operation::Read(path) => format!("read {}", show(path)),
        Operation::Unlink(path) => format!("unlink {}", show(path)),
        Operation::Rmdir(path) => format!("rmdir {}", show(path)),
        Operation::Rename(from, to) => format!("mv {} {}", show(from), show(to)),
        Operation::Exchange(from, to) => format!("exchange {} {}", show(from), show(to)),
        Operation::Link(from, to) => format!("ln {} {}", show(from), show(to)),
        Operation::Symlink(_, path) => format!("symlink {}", show(path)),
        Operation::Chmod(path, mode) => format!("chmod {mode} {}", show(path)),
        Operation::Mount(path) => format!("mount {}", show(path)),
        Operation::Unmount(path) => format!("umount {}", show(path)),
        Operation::Overflow => "overflow".into(),
    }
}

pub fn operations(all: &[Operation]) -> String {
    all.iter().map(operation).collect::<Vec<_>>().join("; ")
}

pub fn parse_operation(text: &str) -> Option<Operation> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let path = |text: &str| text.as_bytes().to_vec();
    Some(match words[..] {
        ["mkdir", at] => Operation::Mkdir(path(at)),
        ["create", at] => Operation::Create(path(at)),
        ["write", at] => Operation::Write(path(at)),
        ["read", at] => Operation::Read(path(at)),
        ["unlink", at] => Operation::Unlink(path(at)),
        ["rmdir", at] => Operation::Rmdir(path(at)),
        ["mv", from, to] => Operation::Rename(path(from), path(to)),
        ["exchange", from, to] => Operation::Exchange(path(from), path(to)),
        ["ln", from, to] => Operation::Link(path(from), path(to)),
        ["symlink", at] => Operation::Symlink(b"/nowhere".to_vec(), path(at)),
        ["chmod", mode, at] => Operation::Chmod(path(at), mode.parse().ok()?),
        ["overflow"] => Operation::Overflow,
        _ => return None,
    })
}

pub fn parse_operations(text: &str) -> Option<Vec<Operation>> {
    let parts = text
        .split(';')
        .map(str::trim)
        .filter(|part| !part.is_empty());
    parts.map(parse_operation).collect()
}
