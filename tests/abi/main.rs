//! What Rust exports is what the C compiler makes of the header: sizes, offsets, constants and signatures. Go and Zig are
//! compared with C by tests/abi/run.

use std::collections::BTreeSet;
use std::ffi::{c_char, c_int, c_void};
use std::path::Path;
use std::process::Command;

use ::asyncinotify::capi::inotify::asyncinotify;
use ::asyncinotify::capi::{error::*, event::*, inotify::*, recursive::*, watch::*};

/// What a type is to a register, in the words of c-table.
trait Class {
    const WORD: &'static str;
}

macro_rules! classes {
    ($($type:ty: $word:literal,)*) => { $(impl Class for $type { const WORD: &'static str = $word; })* };
}
classes! { (): "void", i32: "i32", u32: "u32", u64: "u64", usize: "usize", isize: "isize", }

impl<T> Class for *const T {
    const WORD: &'static str = "ptr";
}
impl<T> Class for *mut T {
    const WORD: &'static str = "ptr";
}
impl<T: Class> Class for [T; 4] {
    const WORD: &'static str = T::WORD;
}
impl<F: Signature> Class for Option<F> {
    const WORD: &'static str = "ptr";
}

trait Signature {
    fn words() -> String;
}

macro_rules! signatures {
    ($($($parameter:ident)*;)*) => { $(
        impl<R: Class, $($parameter: Class),*> Signature for unsafe extern "C" fn($($parameter),*) -> R {
            fn words() -> String {
                let parameters: &[&str] = &[$($parameter::WORD),*];
                format!("{} ({})", R::WORD, parameters.join(" "))
            }
        }
        impl<R: Class, $($parameter: Class),*> Signature for extern "C" fn($($parameter),*) -> R {
            fn words() -> String {
                <unsafe extern "C" fn($($parameter),*) -> R as Signature>::words()
            }
        }
    )* };
}
signatures! { ; A; A B; A B C; A B C D; A B C D E; }

fn words_of<F: Signature>(_: F) -> String {
    F::words()
}

fn word_of_field<T, F: Class>(_: fn(&T) -> &F) -> (usize, &'static str) {
    (size_of::<F>(), F::WORD)
}

macro_rules! constants {
    ($table:ident: $($name:ident)*) => { $($table.insert(format!("constant {} {}", stringify!($name), $name));)* };
}

macro_rules! structs {
    ($table:ident: $($name:ident { $($field:ident)* })*) => { $(
        $table.insert(format!("size {} {}", stringify!($name), size_of::<$name>()));
        $table.insert(format!("align {} {}", stringify!($name), align_of::<$name>()));
        $(
            let (size, word) = word_of_field(|it: &$name| &it.$field);
            let offset = std::mem::offset_of!($name, $field);
            $table.insert(format!("field {}.{} {offset} {size} {word}", stringify!($name), stringify!($field)));
        )*
        // All fields are named: a pattern without `..`.
        let _ = |$name { $($field: _),* }: $name| ();
    )* };
}

macro_rules! functions {
    ($table:ident: $($name:ident($($parameter:tt)*))*) => { $(
        let words = words_of($name as unsafe extern "C" fn($($parameter)*) -> _);
        $table.insert(format!("function {} {words}", stringify!($name)));
    )* };
}

macro_rules! callbacks {
    ($table:ident: $($name:ident($($parameter:ty),*) -> $result:ty;)*) => { $(
        // Of this very type, or it does not compile.
        let _: $name = None::<unsafe extern "C" fn($($parameter),*) -> $result>;
        let words = <unsafe extern "C" fn($($parameter),*) -> $result as Signature>::words();
        $table.insert(format!("callback {} {words}", stringify!($name)));
    )* };
}

fn of_rust() -> BTreeSet<String> {
    let mut table = BTreeSet::new();
    constants! { table:
        ASYNCINOTIFY_ACCESS ASYNCINOTIFY_MODIFY ASYNCINOTIFY_ATTRIB ASYNCINOTIFY_CLOSE_WRITE ASYNCINOTIFY_CLOSE_NOWRITE
        ASYNCINOTIFY_OPEN ASYNCINOTIFY_MOVED_FROM ASYNCINOTIFY_MOVED_TO ASYNCINOTIFY_CREATE ASYNCINOTIFY_DELETE
        ASYNCINOTIFY_DELETE_SELF ASYNCINOTIFY_MOVE_SELF ASYNCINOTIFY_CLOSE ASYNCINOTIFY_MOVE ASYNCINOTIFY_ALL
        ASYNCINOTIFY_UNMOUNT ASYNCINOTIFY_Q_OVERFLOW ASYNCINOTIFY_IGNORED ASYNCINOTIFY_ISDIR ASYNCINOTIFY_ONLYDIR
        ASYNCINOTIFY_DONT_FOLLOW ASYNCINOTIFY_EXCL_UNLINK ASYNCINOTIFY_MASK_CREATE ASYNCINOTIFY_MASK_ADD
        ASYNCINOTIFY_ONESHOT
        ASYNCINOTIFY_EVENT_SYNTHETIC ASYNCINOTIFY_EVENT_SYNC_BEGIN ASYNCINOTIFY_EVENT_SYNC_END ASYNCINOTIFY_EVENT_ERROR
        ASYNCINOTIFY_EVENT_HEALED
        ASYNCINOTIFY_INIT_CLOEXEC ASYNCINOTIFY_INIT_NONBLOCK ASYNCINOTIFY_INIT_DEFAULT
        ASYNCINOTIFY_TIMEOUT_INFINITE ASYNCINOTIFY_TIMEOUT_DISABLED
        ASYNCINOTIFY_RECURSIVE_LIST_EXISTING ASYNCINOTIFY_RECURSIVE_BACKGROUND ASYNCINOTIFY_RECURSIVE_ONE_FILESYSTEM
    }
    // The version is the crate's.
    let [major, minor, patch] =
        ["MAJOR", "MINOR", "PATCH"].map(|part| part_of_version(part, &mut table));
    let number = asyncinotify_version();
    assert_eq!(number, major << 16 | minor << 8 | patch);
    table.insert(format!("constant ASYNCINOTIFY_VERSION_NUMBER {number}"));
    table.insert(format!(
        "constant ASYNCINOTIFY_VERSION_STRING {}",
        env!("CARGO_PKG_VERSION")
    ));
    structs! { table:
        asyncinotify_event {
            watch wd mask cookie flags error reserved0 name name_len path path_len moved_from moved_from_len userdata reserved
        }
        asyncinotify_recursive_options { size flags max_depth filter filter_userdata filter_destroy }
    }
    callbacks! { table:
        asyncinotify_destroy(*mut c_void) -> ();
        asyncinotify_callback(*mut asyncinotify, *const asyncinotify_event, *mut c_void) -> c_int;
        asyncinotify_filter(*mut asyncinotify, *const c_char, usize, *mut c_void) -> c_int;
        asyncinotify_directory_callback(*mut asyncinotify, *const c_char, usize, *mut c_void) -> c_int;
        asyncinotify_trouble_callback(*mut asyncinotify, *const c_char, usize, c_int, *mut c_void) -> c_int;
    }
    functions! { table:
        asyncinotify_strerror(_) asyncinotify_last_error_message() asyncinotify_version() asyncinotify_version_string()
        asyncinotify_mask_format(_, _, _)
        asyncinotify_new(_, _) asyncinotify_close(_) asyncinotify_fd(_) asyncinotify_raw_fd(_)
        asyncinotify_cache_size(_) asyncinotify_set_cache_size(_, _)
        asyncinotify_sync_timeout(_, _) asyncinotify_set_sync_timeout(_, _)
        asyncinotify_debug_dump(_, _) asyncinotify_wake(_)
        asyncinotify_add_watch(_, _, _, _) asyncinotify_rm_watch(_, _)
        asyncinotify_watch_path(_, _, _, _) asyncinotify_watch_set_path(_, _, _)
        asyncinotify_watch_mask(_, _, _) asyncinotify_watch_wd(_, _) asyncinotify_watch_is_active(_, _)
        asyncinotify_watch_set_userdata(_, _, _, _) asyncinotify_watch_userdata(_, _, _)
        asyncinotify_watches(_, _, _)
        asyncinotify_get(_, _) asyncinotify_sync_get(_, _) asyncinotify_get_events(_, _, _)
        asyncinotify_watch_set_callback(_, _, _) asyncinotify_dispatch(_, _, _, _) asyncinotify_run(_, _, _)
        asyncinotify_event_dup(_, _) asyncinotify_event_free(_)
        asyncinotify_add_recursive(_, _, _, _, _) asyncinotify_watch_each_directory(_, _, _, _)
        asyncinotify_watch_each_trouble(_, _, _, _)
    }
    table
}

fn part_of_version(part: &str, table: &mut BTreeSet<String>) -> u32 {
    let value = match part {
        "MAJOR" => env!("CARGO_PKG_VERSION_MAJOR"),
        "MINOR" => env!("CARGO_PKG_VERSION_MINOR"),
        _ => env!("CARGO_PKG_VERSION_PATCH"),
    };
    table.insert(format!("constant ASYNCINOTIFY_VERSION_{part} {value}"));
    value.parse().unwrap()
}

fn of_c() -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = Command::new(root.join("tests/abi/c-table"))
        .arg(root.join("include"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect()
}

#[test]
fn c_and_rust_see_the_same() {
    let (c, rust) = (of_c(), of_rust());
    assert!(c.len() > 100, "{c:#?}");
    let only_c: Vec<_> = c.difference(&rust).collect();
    let only_rust: Vec<_> = rust.difference(&c).collect();
    assert!(
        only_c.is_empty() && only_rust.is_empty(),
        "C has: {only_c:#?}\nRust has: {only_rust:#?}"
    );
}
