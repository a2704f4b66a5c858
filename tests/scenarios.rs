//! Runs the scripts in tests/scenarios, one test each: what is done, line by line, then `Output:` and what is heard of it.
//! A new script is a new test; tests/scenarios/README.md says what a line can be.

#![allow(unreachable_pub)] // a program: nothing of it is reachable

#[path = "support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write as _};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use libc::{O_CLOEXEC, O_NONBLOCK};
use libtest_mimic::{Arguments, Failed, Trial};

use support::abi::{Event, Handle, TreeOptions};
use support::folder::{Folder, c_path};
use support::kernel::{self, poll_in};
use support::masks;
use support::replica::{ERROR, HEALED, SYNC_BEGIN, SYNC_END, SYNTHETIC};

type Outcome<T = ()> = Result<T, String>;

const ERRORS: [(&str, i32); 8] = [
    ("EACCES", libc::EACCES),
    ("EEXIST", libc::EEXIST),
    ("EINVAL", libc::EINVAL),
    ("ELOOP", libc::ELOOP),
    ("ENAMETOOLONG", libc::ENAMETOOLONG),
    ("ENOENT", libc::ENOENT),
    ("ENOSPC", libc::ENOSPC),
    ("ENOTDIR", libc::ENOTDIR),
];

fn errno_name(errno: i32) -> String {
    let known = ERRORS.iter().find(|(_, number)| *number == errno);
    known.map_or(format!("errno {errno}"), |(name, _)| name.to_string())
}

/// How events are taken: each script must come out the same with all of them.
#[derive(Clone, Copy, Debug)]
enum Taking {
    Get,
    GetEvents,
    Dispatch,
    SyncGet,
    SmallReads,
}

const TAKINGS: [Taking; 5] = [
    Taking::Get,
    Taking::GetEvents,
    Taking::Dispatch,
    Taking::SyncGet,
    Taking::SmallReads,
];

struct Script {
    lines: Vec<(usize, String)>,
    output: Vec<String>,
    needs: Vec<String>,
}

impl Script {
    fn parse(text: &str) -> Outcome<Script> {
        let mut script = Script {
            lines: Vec::new(),
            output: Vec::new(),
            needs: Vec::new(),
        };
        let mut in_output = false;
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if line == "Output:" {
                in_output = true;
            } else if in_output {
                script
                    .output
                    .push(line.split_whitespace().collect::<Vec<_>>().join(" "));
            } else if let Some(need) = line.strip_prefix("needs ") {
                script.needs.push(need.to_owned());
            } else {
                script.lines.push((number + 1, line.to_owned()));
            }
        }
        if in_output {
            Ok(script)
        } else {
            Err("no `Output:` in it".into())
        }
    }
}

struct Runner {
    folder: Folder,
    handle: Handle,
    taking: Taking,
    /// Label or path, as the script names them, to ID.
    watches: BTreeMap<String, u64>,
    open: BTreeMap<String, File>,
    mounted: Vec<PathBuf>,
    output: Vec<String>,
}

impl Drop for Runner {
    fn drop(&mut self) {
        let _ = become_user("root");
        for path in self.mounted.iter().rev() {
            // SAFETY: a NUL-terminated path.
            unsafe { libc::umount2(c_path(path).as_ptr(), libc::MNT_DETACH) };
        }
        self.handle.close();
    }
}

/// `\x41` and its like, as output has them.
fn unescape(text: &str) -> Outcome<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("\\x") {
        bytes.extend_from_slice(&rest.as_bytes()[..at]);
        let digits = rest.get(at + 2..at + 4).ok_or("\\x and two digits")?;
        bytes.push(u8::from_str_radix(digits, 16).map_err(|_| "\\x and two digits")?);
        rest = &rest[at + 4..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    Ok(bytes)
}

fn escape(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string().replace(' ', "\\x20")
}

impl Runner {
    fn new(taking: Taking, blocking: bool) -> Runner {
        let folder = Folder::new("scenario");
        // Scripts can become another user, who has to get here.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("chmod");
        std::env::set_current_dir(folder.path()).expect("chdir");
        let flags = O_CLOEXEC | if blocking { 0 } else { O_NONBLOCK };
        let handle = support::queue_limit::normal(|| Handle::open(flags as u32));
        handle.set_sync_timeout(0);
        if let Taking::SmallReads = taking {
            handle.set_cache_size(1);
        }
        Runner {
            folder,
            handle,
            taking,
            watches: BTreeMap::new(),
            open: BTreeMap::new(),
            mounted: Vec::new(),
            output: Vec::new(),
        }
    }

    /// A script's `/` is the test's folder; other paths are relative to it, and stay so.
    fn path(&self, text: &str) -> Outcome<PathBuf> {
        let bytes = unescape(text)?;
        let path = match text.strip_prefix('/') {
            None => PathBuf::from(std::ffi::OsString::from_vec(bytes)),
            Some("") => self.folder.path().to_owned(),
            Some(_) => self
                .folder
                .path()
                .join(std::ffi::OsString::from_vec(bytes[1..].to_vec())),
        };
        Ok(path)
    }

    fn shown(&self, path: &[u8]) -> String {
        let below = path.strip_prefix(self.folder.path().as_os_str().as_bytes());
        match below {
            Some([]) => "/".into(),
            Some(below) => escape(below),
            None => escape(path),
        }
    }

    fn describe(&self, event: &Event) -> String {
        let mut line = String::new();
        let label = self
            .watches
            .iter()
            .find(|(label, id)| **id == event.watch && !label.contains(['/', '.']));
        if let Some((label, _)) = label {
            write!(line, "{label}: ").expect("to a string");
        }
        if event.mask != 0 || event.flags & (SYNC_BEGIN | SYNC_END) == 0 {
            write!(line, "{} ", masks::format(event.mask)).expect("to a string");
        }
        match &event.path {
            Some(path) => line.push_str(&self.shown(path)),
            None => line.push_str("(no watch)"),
        }
        if let Some(from) = &event.moved_from {
            write!(line, " (from {})", self.shown(from)).expect("to a string");
        }
        for (flag, name) in [
            (SYNTHETIC, "synthetic"),
            (SYNC_BEGIN, "begin"),
            (SYNC_END, "end"),
            (HEALED, "healed"),
        ] {
            if event.flagged(flag) {
                write!(line, " [{name}]").expect("to a string");
            }
        }
        if event.flagged(ERROR) {
            write!(line, " [error {}]", errno_name(event.error)).expect("to a string");
        }
        line
    }

    /// What holds for every event, whatever the script.
    fn judge(&self, event: &Event) -> Outcome {
        if event.watch == 0 {
            let known = event.has(libc::IN_IGNORED | libc::IN_Q_OVERFLOW);
            return if known && event.path.is_none() {
                Ok(())
            } else {
                Err(format!("an event of no watch: {event}"))
            };
        }
        if !self.watches.values().any(|&id| id == event.watch) {
            return Err(format!("an event of a watch that was never made: {event}"));
        }
        let moved = event.has(libc::IN_MOVE);
        if (event.cookie != 0) != moved {
            return Err(format!(
                "a cookie goes with MOVED_FROM and MOVED_TO: {event}"
            ));
        }
        Ok(())
    }

    fn take(&mut self) -> Outcome<Vec<Event>> {
        let failed = |errno: i32| format!("{:?}: {}", self.taking, errno_name(errno));
        let mut events = Vec::new();
        match self.taking {
            Taking::Get | Taking::SmallReads => {
                while let Some(event) = self.handle.get().map_err(failed)? {
                    events.push(event);
                }
            }
            Taking::GetEvents => loop {
                let batch = self.handle.get_events(3).map_err(failed)?;
                let more = batch.len() == 3;
                events.extend(batch);
                if !more {
                    break;
                }
            },
            Taking::Dispatch => {
                let keep = |event| {
                    events.push(event);
                    0
                };
                self.handle.dispatch(0, keep).map_err(failed)?;
            }
            Taking::SyncGet => {
                while let Some(event) = self.handle.sync_get().map_err(failed)? {
                    events.push(event);
                }
            }
        }
        Ok(events)
    }

    /// Takes all there is now, scans under way included.
    fn collect(&mut self) -> Outcome {
        let mut empty = 0;
        while poll_in(self.handle.fd(), 0) {
            let events = self.take()?;
            // What isn't meant for the caller may make the fd readable for a moment, not for ever.
            empty = if events.is_empty() { empty + 1 } else { 0 };
            if empty > 10_000 {
                return Err("the fd stays readable, and there is nothing to take".into());
            }
            for event in events {
                self.judge(&event)?;
                self.output.push(self.describe(&event));
            }
        }
        match self.take()?.first() {
            None => Ok(()),
            Some(event) => Err(format!("the fd was not readable, but there was {event}")),
        }
    }

    fn id(&self, name: &str) -> Outcome<u64> {
        self.watches
            .get(name)
            .copied()
            .ok_or_else(|| format!("no watch is called {name}"))
    }

    fn run(&mut self, script: &Script) -> Outcome {
        for (number, line) in &script.lines {
            self.line(line)
                .map_err(|error| format!("line {number}: {line}: {error}"))?;
        }
        self.collect()
    }

    fn line(&mut self, line: &str) -> Outcome {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["fails", error, ref command @ ..] => match self.command(command, None) {
                Err(got) if got == error => Ok(()),
                Err(got) => Err(format!("failed with {got}")),
                Ok(()) => Err("did not fail".into()),
            },
            [label, "=", ref command @ ..] => self.command(command, Some(label)),
            _ => self.command(&words, None),
        }
    }

    fn remember(&mut self, label: Option<&str>, path: &str, added: Result<u64, i32>) -> Outcome {
        let id = added.map_err(errno_name)?;
        self.watches.insert(label.unwrap_or(path).to_owned(), id);
        Ok(())
    }

    fn tree(&mut self, path: &str, mask: &str, words: &[&str], label: Option<&str>) -> Outcome {
        let mut options = TreeOptions::default();
        let mut words = words.iter();
        while let Some(&word) = words.next() {
            match word {
                "list" => options.flags |= 1,
                "background" => options.flags |= 2,
                "one-filesystem" => options.flags |= 4,
                "depth" => {
                    let number = words.next().and_then(|number| number.parse().ok());
                    options.max_depth = number.ok_or("depth and a number")?;
                }
                "without" => {
                    let name = words.next().ok_or("without and a name")?;
                    options
                        .without
                        .get_or_insert_default()
                        .push(name.to_string());
                }
                _ => return Err(format!("{word}: not an option of a tree")),
            }
        }
        let mask = masks::parse(mask).ok_or("not a mask")?;
        let added = self
            .handle
            .add_recursive(&c_path(&self.path(path)?), mask, &options);
        self.remember(label, path, added)
    }

    fn command(&mut self, words: &[&str], label: Option<&str>) -> Outcome {
        let io = |error: io::Error| errno_name(error.raw_os_error().unwrap_or(0));
        match *words {
            // The library.
            ["watch", path, mask] => {
                let mask = masks::parse(mask).ok_or("not a mask")?;
                let added = self.handle.add_watch(&c_path(&self.path(path)?), mask);
                self.remember(label, path, added)
            }
            ["tree", path, mask, ref options @ ..] => self.tree(path, mask, options, label),
            ["unwatch", name] => self.handle.rm_watch(self.id(name)?).map_err(errno_name),
            ["correct-path", name, path] => {
                let path = self.path(path)?;
                self.handle
                    .watch_set_path(self.id(name)?, &c_path(&path))
                    .map_err(errno_name)
            }
            ["collect"] => self.collect(),
            // Questions: the answer goes into the output.
            ["mask", name] => {
                let mask = self.handle.watch_mask(self.id(name)?).map_err(errno_name)?;
                self.answer(format!("mask {name}: {}", masks::format(mask)))
            }
            ["path", name] => {
                let path = self.handle.watch_path(self.id(name)?).map_err(errno_name)?;
                self.answer(format!("path {name}: {}", self.shown(&path)))
            }
            ["active", name] => {
                let active = self
                    .handle
                    .watch_is_active(self.id(name)?)
                    .map_err(errno_name)?;
                self.answer(format!(
                    "active {name}: {}",
                    if active { "yes" } else { "no" }
                ))
            }
            ["same", one, other] => {
                let same = self.id(one)? == self.id(other)?;
                self.answer(format!(
                    "same {one} {other}: {}",
                    if same { "yes" } else { "no" }
                ))
            }
            ["dirs", name] => {
                let mut listed = self
                    .handle
                    .directories(self.id(name)?)
                    .map_err(errno_name)?;
                listed.sort();
                let shown: Vec<String> = listed.iter().map(|path| self.shown(path)).collect();
                self.answer(format!("dirs {name}: {}", shown.join(" ")))
            }
            ["troubles", name] => {
                let listed = self.handle.troubles(self.id(name)?).map_err(errno_name)?;
                let shown = listed.iter();
                let shown = shown
                    .map(|(path, errno)| format!("{} {}", self.shown(path), errno_name(*errno)));
                let mut shown: Vec<String> = shown.collect();
                shown.sort();
                let all = if shown.is_empty() {
                    "none".into()
                } else {
                    shown.join(", ")
                };
                self.answer(format!("troubles {name}: {all}"))
            }
            ["watches"] => self.answer(format!("watches: {}", self.handle.watches().len())),
            ["kernel-watches"] => self.answer(format!(
                "kernel watches: {}",
                kernel::kernel_watches(self.handle.raw_fd())
            )),
            // Files, as in a shell; each does no more than the system calls it needs.
            ["mkdir", "-p", path] => fs::create_dir_all(self.path(path)?).map_err(io),
            ["mkdir", path] => fs::create_dir(self.path(path)?).map_err(io),
            ["rmdir", path] => fs::remove_dir(self.path(path)?).map_err(io),
            ["rm", "-r", path] => fs::remove_dir_all(self.path(path)?).map_err(io),
            ["rm", path] => fs::remove_file(self.path(path)?).map_err(io),
            ["mv", from, to] => fs::rename(self.path(from)?, self.path(to)?).map_err(io),
            ["swap", one, other] => {
                kernel::exchange(&self.path(one)?, &self.path(other)?).map_err(io)
            }
            ["ln", "-s", target, path] => {
                std::os::unix::fs::symlink(self.path(target)?, self.path(path)?).map_err(io)
            }
            ["ln", from, to] => fs::hard_link(self.path(from)?, self.path(to)?).map_err(io),
            ["create", path] => File::create_new(self.path(path)?).map(drop).map_err(io),
            ["write", path, text] => {
                let mut file = File::create(self.path(path)?).map_err(io)?;
                file.write_all(text.as_bytes()).map_err(io)
            }
            ["append", path, text] => {
                let mut file = OpenOptions::new()
                    .append(true)
                    .open(self.path(path)?)
                    .map_err(io)?;
                file.write_all(text.as_bytes()).map_err(io)
            }
            ["read", path] => {
                let mut file = File::open(self.path(path)?).map_err(io)?;
                file.read(&mut [0; 64]).map(drop).map_err(io)
            }
            ["truncate", path] => {
                // SAFETY: a NUL-terminated path.
                match unsafe { libc::truncate(c_path(&self.path(path)?).as_ptr(), 0) } {
                    0 => Ok(()),
                    _ => Err(io(io::Error::last_os_error())),
                }
            }
            ["touch", path] => {
                // SAFETY: a NUL-terminated path; NULL stands for now.
                let done = unsafe {
                    libc::utimensat(
                        libc::AT_FDCWD,
                        c_path(&self.path(path)?).as_ptr(),
                        std::ptr::null(),
                        0,
                    )
                };
                if done == 0 {
                    Ok(())
                } else {
                    Err(io(io::Error::last_os_error()))
                }
            }
            ["chmod", mode, path] => {
                let mode = u32::from_str_radix(mode, 8).map_err(|error| error.to_string())?;
                fs::set_permissions(self.path(path)?, fs::Permissions::from_mode(mode)).map_err(io)
            }
            ["open", path] => {
                let file = OpenOptions::new()
                    .read(true)
                    .append(true)
                    .open(self.path(path)?)
                    .map_err(io)?;
                self.open.insert(label.unwrap_or("file").to_owned(), file);
                Ok(())
            }
            ["open-dir", path] => File::open(self.path(path)?).map(drop).map_err(io),
            ["write-to", name, text] => {
                let file = self.open.get_mut(name).ok_or("no such open file")?;
                file.write_all(text.as_bytes()).map_err(io)
            }
            ["close", name] => self
                .open
                .remove(name)
                .map(drop)
                .ok_or("no such open file".into()),
            ["repeat", count, ref command @ ..] => {
                // The text `%` stands for the number.
                let count: usize = count.parse().map_err(|_| "repeat and a number")?;
                for number in 1..=count {
                    let numbered: Vec<String> = command
                        .iter()
                        .map(|word| word.replace('%', &number.to_string()))
                        .collect();
                    self.command(
                        &numbered.iter().map(String::as_str).collect::<Vec<_>>(),
                        None,
                    )?;
                }
                Ok(())
            }
            ["mount", path] => self.mount("tmpfs", &self.path(path)?, 0),
            ["bind", from, path] => {
                let from = self.path(from)?;
                self.mount(
                    from.to_str().expect("a path of ours"),
                    &self.path(path)?,
                    libc::MS_BIND,
                )
            }
            ["umount", path] => {
                let path = self.path(path)?;
                self.mounted.retain(|mounted| *mounted != path);
                // SAFETY: a NUL-terminated path.
                match unsafe { libc::umount2(c_path(&path).as_ptr(), 0) } {
                    0 => Ok(()),
                    _ => Err(io(io::Error::last_os_error())),
                }
            }
            ["user", name] => become_user(name),
            _ => Err("not a command".into()),
        }
    }

    fn answer(&mut self, line: String) -> Outcome {
        self.output.push(line);
        Ok(())
    }

    fn mount(&mut self, what: &str, path: &Path, flags: libc::c_ulong) -> Outcome {
        let what = std::ffi::CString::new(what).expect("no NUL");
        // SAFETY: NUL-terminated strings, no data.
        let done = unsafe {
            libc::mount(
                what.as_ptr(),
                c_path(path).as_ptr(),
                c"tmpfs".as_ptr(),
                flags,
                std::ptr::null(),
            )
        };
        if done != 0 {
            return Err(io::Error::last_os_error().to_string());
        }
        self.mounted.push(path.to_owned());
        Ok(())
    }
}

/// For this thread only: the wrappers of libc would change all threads.
fn become_user(name: &str) -> Outcome {
    let user: libc::uid_t = match name {
        "root" => 0,
        "nobody" => 65_534,
        _ => return Err("root or nobody".into()),
    };
    const SAME: libc::uid_t = libc::uid_t::MAX;
    // SAFETY: plain numbers.
    match unsafe { libc::syscall(libc::SYS_setresuid, SAME, user, SAME) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error().to_string()),
    }
}

/// Whether the output is what the script says; `{` and `}` enclose lines that come in any order.
fn as_expected(output: &[String], expected: &[String]) -> bool {
    let mut output = output.iter();
    let mut expected = expected.iter();
    while let Some(line) = expected.next() {
        if line == "{" {
            let mut group: Vec<&String> =
                expected.by_ref().take_while(|line| *line != "}").collect();
            let mut got: Vec<&String> = output.by_ref().take(group.len()).collect();
            group.sort();
            got.sort();
            if group != got {
                return false;
            }
        } else if output.next() != Some(line) {
            return false;
        }
    }
    output.next().is_none()
}

fn play(script: &Script, taking: Taking) -> Outcome {
    let blocking = script.needs.iter().any(|need| need == "blocking");
    let mut runner = Runner::new(taking, blocking);
    let result = runner.run(script);
    let matches = as_expected(&runner.output, &script.output);
    if result.is_ok() && matches {
        return Ok(());
    }
    let list = |lines: &[String]| {
        lines
            .iter()
            .map(|line| format!("    {line}\n"))
            .collect::<String>()
    };
    Err(format!(
        "taken by {taking:?}: {}\n  expected:\n{}  got:\n{}",
        result.err().unwrap_or("another output".into()),
        list(&script.output),
        list(&runner.output)
    ))
}

/// Own current directory, own user, and if the script mounts, own mounts: all of them belong to a thread.
fn in_own_thread(script: &Script, taking: Taking, mounts: bool) -> Outcome {
    std::thread::scope(|scope| {
        let thread = scope.spawn(move || {
            let flags = libc::CLONE_FS | if mounts { libc::CLONE_NEWNS } else { 0 };
            // SAFETY: changes this thread alone.
            if unsafe { libc::unshare(flags) } != 0 {
                return Err(format!("unshare: {}", io::Error::last_os_error()));
            }
            let none = std::ptr::null();
            let make_private = || {
                let flags = libc::MS_REC | libc::MS_PRIVATE;
                // SAFETY: NUL-terminated strings; the others may be NULL for a change of propagation.
                unsafe { libc::mount(none, c"/".as_ptr(), none, flags, none.cast()) }
            };
            if mounts && make_private() != 0 {
                return Err(format!(
                    "making the mounts private: {}",
                    io::Error::last_os_error()
                ));
            }
            play(script, taking)
        });
        thread.join().unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            Err(format!(
                "{taking:?}: panicked: {}",
                text.unwrap_or("see above".into())
            ))
        })
    })
}

fn main() {
    let arguments = Arguments::from_args();
    // SAFETY: never fails.
    let root = unsafe { libc::geteuid() } == 0;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut trials = Vec::new();
    for entry in fs::read_dir(&folder).expect("tests/scenarios") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|extension| extension != "txt") {
            continue;
        }
        let name = path
            .file_stem()
            .expect("a file")
            .to_string_lossy()
            .into_owned();
        let text = fs::read_to_string(&path).expect("a readable script");
        let skipped = text
            .lines()
            .any(|line| line == "needs root" || line == "needs mounts")
            && !root;
        if skipped {
            eprintln!("SKIPPED {name}: it needs root");
        }
        let trial = Trial::test(name, move || {
            let script = Script::parse(&text)?;
            let mounts = script.needs.iter().any(|need| need == "mounts");
            for taking in TAKINGS {
                in_own_thread(&script, taking, mounts).map_err(Failed::from)?;
            }
            Ok(())
        });
        trials.push(trial.with_ignored_flag(skipped));
    }
    assert!(!trials.is_empty(), "no scripts in {}", folder.display());
    trials.sort_by(|a, b| a.name().cmp(b.name()));
    libtest_mimic::run(&arguments, trials).exit();
}
