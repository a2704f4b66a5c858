//! What is in a tree, by looking, and how two such looks differ.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Path to "is a directory", as events name them.
pub type Entries = BTreeMap<Vec<u8>, bool>;

/// What is on the disk below a directory, the directory itself not counted.
pub fn on_disk(root: &Path) -> Entries {
    let mut entries = Entries::new();
    let mut open = vec![root.to_owned()];
    while let Some(directory) = open.pop() {
        let listed = std::fs::read_dir(&directory)
            .unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
        for entry in listed {
            let entry = entry.expect("a readable directory");
            let is_directory = entry.file_type().expect("a file type").is_dir();
            entries.insert(entry.path().as_os_str().as_bytes().to_vec(), is_directory);
            if is_directory {
                open.push(entry.path());
            }
        }
    }
    entries
}

/// Names what differs; empty when nothing does.
pub fn differences(replica: &Entries, disk: &Entries) -> String {
    let show = |(path, directory): (&Vec<u8>, &bool)| {
        let slash = if *directory { "/" } else { "" };
        format!("{}{slash}", path.escape_ascii())
    };
    let only = |one: &Entries, other: &Entries| -> Vec<String> {
        let different = one
            .iter()
            .filter(|(path, kind)| other.get(*path) != Some(*kind));
        different.map(show).collect()
    };
    let (missing, extra) = (only(disk, replica), only(replica, disk));
    if missing.is_empty() && extra.is_empty() {
        return String::new();
    }
    format!(
        "{} of {} entries on disk are not in the replica: {:?}; {} are only in the replica: {:?}",
        missing.len(),
        disk.len(),
        &missing[..missing.len().min(20)],
        extra.len(),
        &extra[..extra.len().min(20)]
    )
}
