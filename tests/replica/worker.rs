//! A worker: a process of its own that changes the tree at random.
//!
//! What it does is drawn from its seed alone, never from what is on the disk: names are few, and an operation on something
//! that isn't there just fails. So a seed is the whole stream of operations.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::support::kernel::exchange;
use crate::support::rng::Rng;

/// Directories that stay where they are, so that watches can begin there.
pub const STABLE: [&str; 2] = ["stable0", "stable1"];
const DIRECTORIES: [&str; 4] = ["a", "b", "c", "a directory with a long name and \u{fc}"];
const FILES: [&str; 5] = ["1", "2", "3", "f", "a file with a long name.txt"];

/// Which operations there are.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Repertoire {
    Everything,
    /// Two entries change places, too (RENAME_EXCHANGE).
    Swaps,
    /// For masks that do not hear of renames.
    NoRenames,
    /// Each file has a name that is never used again, so that it can be told which were named.
    UniqueFiles,
    UniqueFilesAndRenames,
}

const REPERTOIRES: [(&str, Repertoire); 5] = [
    ("everything", Repertoire::Everything),
    ("swaps", Repertoire::Swaps),
    ("no-renames", Repertoire::NoRenames),
    ("unique-files", Repertoire::UniqueFiles),
    (
        "unique-files-and-renames",
        Repertoire::UniqueFilesAndRenames,
    ),
];

impl Repertoire {
    fn unique(self) -> bool {
        matches!(
            self,
            Repertoire::UniqueFiles | Repertoire::UniqueFilesAndRenames
        )
    }

    fn renames(self) -> bool {
        !matches!(self, Repertoire::NoRenames | Repertoire::UniqueFiles)
    }
}

pub fn now() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: a valid timespec to fill.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

struct Worker {
    root: PathBuf,
    outside: PathBuf,
    rng: Rng,
    repertoire: Repertoire,
    number: u64,
    files_made: u64,
    log: Vec<(u64, String)>,
}

impl Worker {
    fn directory(&mut self) -> PathBuf {
        let mut path = self.root.clone();
        let start = self.rng.below(6);
        if start < 2 {
            path.push(STABLE[start]);
        }
        for _ in 0..self.rng.below(4) + usize::from(start >= 2) {
            path.push(DIRECTORIES[self.rng.weighted(&[4, 4, 2, 1])]);
        }
        path
    }

    fn file_name(&mut self) -> String {
        if self.repertoire.unique() {
            self.files_made += 1;
            return format!("w{}-{}", self.number, self.files_made);
        }
        FILES[self.rng.weighted(&[4, 4, 2, 2, 1])].to_owned()
    }

    fn file(&mut self) -> PathBuf {
        let directory = self.directory();
        directory.join(self.file_name())
    }

    /// A place outside the tree, one of a few.
    fn away(&mut self) -> PathBuf {
        self.outside
            .join(format!("{}-{}", self.number, self.rng.below(3)))
    }

    fn entry(&mut self) -> PathBuf {
        if self.rng.one_in(2) {
            self.directory()
        } else {
            self.file()
        }
    }

    fn fill(path: &Path) -> io::Result<()> {
        File::create(path)?.write_all(b"text")
    }

    fn step(&mut self) -> (String, io::Result<()>) {
        if self.repertoire.unique() {
            self.unique_step()
        } else {
            self.common_step()
        }
    }

    /// mkdir -p bursts, removal and directory renames, which all repertoires share.
    fn directory_step(&mut self, choice: usize) -> (String, io::Result<()>) {
        let directory = self.directory();
        match choice {
            0 => (
                format!("mkdir -p {directory:?}"),
                fs::create_dir_all(&directory),
            ),
            1 => {
                let file = directory.join(self.file_name());
                let done = fs::create_dir_all(&directory).and_then(|()| Worker::fill(&file));
                (format!("mkdir -p, write {file:?}"), done)
            }
            2 => (format!("rmdir {directory:?}"), self.rmdir(&directory)),
            3 => (format!("rm -r {directory:?}"), self.remove_all(&directory)),
            4 if self.repertoire.renames() => {
                let to = self.directory();
                (
                    format!("mv {directory:?} {to:?}"),
                    self.rename(&directory, &to),
                )
            }
            5 if self.repertoire.renames() => {
                // Renamed as soon as made, with something below made at once.
                let to = self.directory();
                let file = to.join("c").join(self.file_name());
                let done = fs::create_dir_all(&directory)
                    .and_then(|()| self.rename(&directory, &to))
                    .and_then(|()| fs::create_dir_all(to.join("c")))
                    .and_then(|()| Worker::fill(&file));
                (
                    format!("mkdir {directory:?}, mv {to:?}, write {file:?}"),
                    done,
                )
            }
            _ => {
                // Gone and back under the same name.
                let done = self
                    .remove_all(&directory)
                    .and_then(|()| fs::create_dir_all(&directory))
                    .and_then(|()| Worker::fill(&directory.join(self.file_name())));
                (format!("rm -r, mkdir -p, write {directory:?}"), done)
            }
        }
    }

    fn common_step(&mut self) -> (String, io::Result<()>) {
        const WEIGHTS: [u32; 19] = [10, 10, 3, 4, 10, 4, 3, 15, 5, 2, 8, 4, 3, 8, 4, 4, 2, 4, 4];
        let choice = self.rng.weighted(&WEIGHTS);
        if choice < 7 {
            return self.directory_step(choice);
        }
        let file = self.file();
        match choice {
            8 => (format!("append {file:?}"), {
                let open = OpenOptions::new().append(true).open(&file);
                open.and_then(|mut open| open.write_all(b"more"))
            }),
            9 => (format!("truncate {file:?}"), {
                OpenOptions::new()
                    .write(true)
                    .open(&file)
                    .and_then(|open| open.set_len(0))
            }),
            10 => (format!("rm {file:?}"), fs::remove_file(&file)),
            11 => {
                let to = self.file();
                (format!("ln {file:?} {to:?}"), fs::hard_link(&file, &to))
            }
            12 => (
                format!("ln -s {file:?}"),
                std::os::unix::fs::symlink("/nowhere", &file),
            ),
            // What follows renames.
            _ if !self.repertoire.renames() => (format!("write {file:?}"), Worker::fill(&file)),
            13 => {
                let to = self.file();
                (format!("mv {file:?} {to:?}"), fs::rename(&file, &to))
            }
            14 => {
                let (from, to) = (self.entry(), self.away());
                (format!("mv out {from:?} {to:?}"), self.take_out(&from, &to))
            }
            15 => {
                let (from, to) = (self.away(), self.entry());
                (format!("mv in {from:?} {to:?}"), self.rename(&from, &to))
            }
            16 => {
                // A small tree, made elsewhere and moved in whole.
                let (from, to) = (self.away(), self.directory());
                let done = fs::create_dir_all(from.join("a/b/c"))
                    .and_then(|()| Worker::fill(&from.join("a/b/f")))
                    .and_then(|()| Worker::fill(&from.join("1")))
                    .and_then(|()| self.rename(&from, &to));
                (format!("made outside, mv in {from:?} {to:?}"), done)
            }
            17 if self.repertoire == Repertoire::Swaps => {
                let (one, other) = (self.entry(), self.entry());
                (format!("swap {one:?} {other:?}"), self.swap(&one, &other))
            }
            _ => (format!("write {file:?}"), Worker::fill(&file)),
        }
    }

    /// For a consumer that asks for CLOSE_WRITE alone.
    fn unique_step(&mut self) -> (String, io::Result<()>) {
        const WEIGHTS: [u32; 9] = [6, 10, 2, 2, 4, 3, 2, 20, 10];
        match self.rng.weighted(&WEIGHTS) {
            choice @ 0..7 => self.directory_step(choice),
            7 => {
                let file = self.file();
                (format!("write {file:?}"), Worker::fill(&file))
            }
            _ => {
                // As careful programs save: under another name, then renamed.
                let file = self.file();
                let draft = file.with_extension("draft");
                let done = Worker::fill(&draft).and_then(|()| fs::rename(&draft, &file));
                (format!("write {draft:?}, mv {file:?}"), done)
            }
        }
    }

    fn stable(&self, path: &Path) -> bool {
        *path == self.root || STABLE.iter().any(|name| *path == self.root.join(name))
    }

    fn unless_stable<'a>(&self, path: &'a Path) -> io::Result<&'a Path> {
        if self.stable(path) {
            Err(io::ErrorKind::PermissionDenied.into())
        } else {
            Ok(path)
        }
    }

    fn rmdir(&self, path: &Path) -> io::Result<()> {
        self.unless_stable(path).and_then(fs::remove_dir)
    }

    fn remove_all(&self, path: &Path) -> io::Result<()> {
        self.unless_stable(path).and_then(fs::remove_dir_all)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(self.unless_stable(from)?, self.unless_stable(to)?)
    }

    fn take_out(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.unless_stable(from)?;
        // Make room: outside nobody watches.
        let _ = fs::remove_dir_all(to).or_else(|_| fs::remove_file(to));
        fs::rename(from, to)
    }

    fn swap(&self, one: &Path, other: &Path) -> io::Result<()> {
        // A plain watch on stable1 could not tell a swap of names from two renames: inotify(7) doesn't.
        let plain = self.root.join(STABLE[1]);
        let in_plain = |path: &Path| path.parent() == Some(&plain);
        if self.stable(one) || self.stable(other) || in_plain(one) || in_plain(other) {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        exchange(one, other)
    }
}

/// The process's main: `worker ROOT OUTSIDE SEED NUMBER REPERTOIRE`, orders on standard input.
pub fn main(arguments: &[std::ffi::OsString]) {
    let [root, outside, seed, number, repertoire] = arguments else {
        panic!("five arguments")
    };
    let text = |argument: &std::ffi::OsString| argument.to_string_lossy().into_owned();
    let number: u64 = text(number).parse().expect("a number");
    let seed: u64 = text(seed).parse().expect("a seed");
    let name = text(repertoire);
    let mut worker = Worker {
        root: root.into(),
        outside: outside.into(),
        rng: Rng::new(seed),
        repertoire: REPERTOIRES
            .iter()
            .find(|(known, _)| *known == name)
            .expect("a repertoire")
            .1,
        number,
        files_made: 0,
        log: Vec::new(),
    };
    let mut out = io::stdout();
    for line in io::stdin().lines() {
        let line = line.expect("orders");
        if line == "log" {
            let mut log = Vec::new();
            for (time, what) in &worker.log {
                writeln!(log, "{time} worker {number}: {what}").expect("to memory");
            }
            writeln!(log, ".").expect("to memory");
            out.write_all(&log)
                .and_then(|()| out.flush())
                .expect("the consumer reads");
            continue;
        }
        let count: u64 = line.parse().expect("how many operations");
        worker.log.clear();
        let (mut done, mut failed) = (0, 0);
        for _ in 0..count {
            let start = now();
            let (what, result) = worker.step();
            match &result {
                Ok(()) => done += 1,
                Err(_) => failed += 1,
            }
            let took = now() - start;
            let ending = result
                .err()
                .map_or(String::new(), |error| format!(" ({error})"));
            worker
                .log
                .push((start, format!("{what}{ending} {} us", took / 1000)));
        }
        writeln!(out, "{done} {failed}")
            .and_then(|()| out.flush())
            .expect("the consumer reads");
    }
}

/// The consumer's side of a worker.
pub struct Remote {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
    busy: bool,
}

impl Remote {
    pub fn start(
        root: &Path,
        outside: &Path,
        seed: u64,
        number: usize,
        repertoire: Repertoire,
    ) -> Remote {
        let name = REPERTOIRES
            .iter()
            .find(|(_, known)| *known == repertoire)
            .expect("a repertoire")
            .0;
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .arg("worker")
            .args([root, outside])
            .args([seed.to_string(), number.to_string(), name.to_owned()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("start a worker");
        let orders = child.stdin.take().expect("piped");
        let answers = BufReader::new(child.stdout.take().expect("piped"));
        Remote {
            child,
            orders,
            answers,
            busy: false,
        }
    }

    pub fn order(&mut self, operations: u64) {
        writeln!(self.orders, "{operations}").expect("the worker reads");
        self.busy = true;
    }

    pub fn busy(&self) -> bool {
        self.busy
    }

    pub fn fd(&self) -> std::os::fd::RawFd {
        use std::os::fd::AsRawFd;
        self.answers.get_ref().as_raw_fd()
    }

    /// How many operations were done, and how many failed.
    pub fn answer(&mut self) -> (u64, u64) {
        let mut line = String::new();
        self.answers
            .read_line(&mut line)
            .expect("the worker answers");
        self.busy = false;
        let mut numbers = line
            .split_whitespace()
            .map(|number| number.parse().expect("a count"));
        let mut next = || numbers.next().expect("the worker died");
        (next(), next())
    }

    /// Its operations since the last order, with the time of each.
    pub fn log(&mut self) -> Vec<(u64, String)> {
        writeln!(self.orders, "log").expect("the worker reads");
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            self.answers
                .read_line(&mut line)
                .expect("the worker answers");
            if line.trim() == "." || line.is_empty() {
                return lines;
            }
            let (time, what) = line.trim_end().split_once(' ').expect("a time");
            lines.push((time.parse().expect("a time"), what.to_owned()));
        }
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether this is a file of a `UniqueFiles` repertoire; its name without `.draft`.
pub fn unique_name(path: &[u8]) -> Option<Vec<u8>> {
    let path = Path::new(std::ffi::OsStr::from_bytes(path));
    let name = path.file_name()?.as_bytes();
    let name = name.strip_suffix(b".draft").unwrap_or(name);
    name.starts_with(b"w").then(|| name.to_vec())
}
