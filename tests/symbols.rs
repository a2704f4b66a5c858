//! The shared object exports the functions of the header and nothing else, under its soname, and needs only the C library.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use object::elf::{DT_NEEDED, DT_SONAME};
use object::read::elf::{Dyn, ElfFile, FileHeader, SectionHeader};
use object::{Endianness, Object, ObjectSymbol, StringTable};

const HEADER: &str = include_str!(concat!(env!("OUT_DIR"), "/asyncinotify.h"));

#[cfg(target_pointer_width = "64")]
type Header = object::elf::FileHeader64<Endianness>;
#[cfg(target_pointer_width = "32")]
type Header = object::elf::FileHeader32<Endianness>;

/// cargo puts the cdylib beside the tests.
fn shared_object() -> (PathBuf, Vec<u8>) {
    let path = std::env::current_exe()
        .unwrap()
        .with_file_name("libasyncinotify.so");
    let data = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    (path, data)
}

/// All names followed by a parenthesis outside of comments; the header has no macro with arguments.
fn declared() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut rest = HEADER;
    let mut code = String::new();
    while let Some((before, comment)) = rest.split_once("/*") {
        code.push_str(before);
        rest = comment.split_once("*/").unwrap().1;
    }
    code.push_str(rest);
    for line in code
        .lines()
        .filter(|line| !line.starts_with(['#', ' ']) && !line.starts_with("typedef"))
    {
        if let Some((declaration, _)) = line.split_once('(') {
            names.insert(declaration.rsplit([' ', '*']).next().unwrap().to_owned());
        }
    }
    names
}

#[test]
fn it_exports_the_functions_of_the_header_and_nothing_else() {
    let (path, data) = shared_object();
    let file = ElfFile::<Header>::parse(&*data).unwrap();
    let exported: BTreeSet<String> = file
        .dynamic_symbols()
        .filter(|symbol| symbol.is_definition() || (symbol.is_global() && !symbol.is_undefined()))
        .map(|symbol| symbol.name().unwrap().to_owned())
        .collect();
    let declared = declared();
    assert!(declared.len() > 30, "{declared:?}");
    assert_eq!(
        exported,
        declared,
        "exported on the left, declared on the right; {}",
        path.display()
    );
}

/// The strings of all dynamic entries with this tag.
fn dynamic(tag: u32) -> Vec<String> {
    let (_, data) = shared_object();
    let header = Header::parse(&*data).unwrap();
    let endian = header.endian().unwrap();
    let sections = header.sections(endian, &*data).unwrap();
    let (entries, strings) = sections.dynamic(endian, &*data).unwrap().unwrap();
    let (offset, size) = sections
        .section(strings)
        .unwrap()
        .file_range(endian)
        .unwrap();
    let strings = StringTable::new(&*data, offset, offset + size);
    entries
        .iter()
        .filter(|entry| entry.tag32(endian) == Some(tag))
        .map(|entry| String::from_utf8(entry.string(endian, strings).unwrap().to_vec()).unwrap())
        .collect()
}

#[test]
fn its_soname_is_that_of_this_abi() {
    assert_eq!(dynamic(DT_SONAME), ["libasyncinotify.so.0"]);
}

#[test]
fn it_needs_only_the_c_library() {
    for library in dynamic(DT_NEEDED) {
        let known = [
            "libc.",
            "libgcc_s.",
            "ld-linux",
            "libm.",
            "libpthread.",
            "libdl.",
            "librt.",
            "ld-musl",
        ];
        assert!(
            known.iter().any(|name| library.starts_with(name)),
            "{library}"
        );
    }
}

/// Not even a short-lived one: what starts threads and processes is not among the functions that it has of others.
#[test]
fn it_can_start_no_thread_and_no_process() {
    let (path, data) = shared_object();
    let file = ElfFile::<Header>::parse(&*data).unwrap();
    let imported: BTreeSet<&str> = file
        .dynamic_symbols()
        .filter(|symbol| symbol.is_undefined())
        .map(|symbol| symbol.name().unwrap())
        .collect();
    assert!(
        imported.contains("inotify_add_watch"),
        "{}: {imported:?}",
        path.display()
    );
    let starts = [
        "pthread_create",
        "thrd_create",
        "clone",
        "fork",
        "vfork",
        "posix_spawn",
        "posix_spawnp",
        "execve",
        "system",
        "popen",
    ];
    let found: Vec<_> = starts
        .iter()
        .filter(|name| imported.contains(**name))
        .collect();
    assert!(found.is_empty(), "{}: {found:?}", path.display());
}
