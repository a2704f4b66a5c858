//! The committed header is the one that build.rs makes, documents every function, and compiles alone, without a warning,
//! as C99 and as C++17.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const GENERATED: &str = include_str!(concat!(env!("OUT_DIR"), "/asyncinotify.h"));
const WARNINGS: [&str; 5] = ["-Wall", "-Wextra", "-pedantic", "-Werror", "-fsyntax-only"];

fn committed() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("include/asyncinotify.h")
}

/// `UPDATE_HEADER=1 cargo test --test header` writes it anew.
#[test]
fn the_committed_header_is_up_to_date() {
    if std::env::var_os("UPDATE_HEADER").is_some() {
        fs::write(committed(), GENERATED).unwrap();
    }
    let committed = fs::read_to_string(committed()).unwrap_or_default();
    let differs = committed
        .lines()
        .zip(GENERATED.lines())
        .find(|(committed, generated)| committed != generated);
    assert!(
        committed == GENERATED,
        "include/asyncinotify.h is not what build.rs generates; first difference: {differs:#?}\n\
         Update it with: UPDATE_HEADER=1 cargo test --test header"
    );
}

/// The header's declarations, each with the comment before it.
fn functions() -> Vec<(String, String)> {
    let mut functions = Vec::new();
    let (mut comment, mut in_comment) = (String::new(), false);
    for line in GENERATED.lines() {
        if line.starts_with("/**") {
            comment.clear();
            in_comment = true;
        }
        if in_comment {
            comment.push_str(line);
            comment.push('\n');
            in_comment = !line.ends_with("*/");
        } else if !line.starts_with([' ', '#'])
            && !line.starts_with("typedef")
            && let Some((declaration, _)) = line.split_once('(')
        {
            let name = declaration.rsplit([' ', '*']).next().unwrap();
            functions.push((name.to_owned(), comment.clone()));
        }
    }
    functions
}

#[test]
fn every_function_is_documented() {
    let functions = functions();
    assert!(functions.len() > 30, "{functions:?}");
    for (name, comment) in functions {
        let says = |word: &str| {
            assert!(
                comment.contains(word),
                "the comment of {name} lacks \"{word}\":\n{comment}"
            )
        };
        assert!(name.starts_with("asyncinotify_"), "{name}");
        says("Python: ");
        assert!(
            ["Never blocks", "Blocks ", "Does not wait"]
                .iter()
                .any(|text| comment.contains(text)),
            "{name} may block?"
        );
        if !["asyncinotify_close", "asyncinotify_event_free"].contains(&&*name) {
            says("@return ");
        }
    }
}

fn compile(compiler: &str, arguments: &[&str], source: &str) -> bool {
    if Command::new(compiler)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_err()
    {
        eprintln!("skipped: no {compiler} here");
        return false;
    }
    let mut child = Command::new(compiler)
        .args(arguments)
        .args(WARNINGS)
        .arg("-I")
        .arg(env!("OUT_DIR"))
        .arg("-")
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), source.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "{compiler} {arguments:?} on\n{source}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    true
}

/// Compiles with every compiler there is; at least one of C is there wherever Rust links.
fn compile_as_c(source: &str) {
    let compiled =
        ["cc", "gcc", "clang"].map(|compiler| compile(compiler, &["-std=c99", "-xc"], source));
    assert!(compiled.contains(&true), "no C compiler found");
}

fn compile_as_cpp(source: &str) {
    for compiler in ["c++", "g++", "clang++"] {
        compile(compiler, &["-std=c++17", "-xc++"], source);
    }
}

#[test]
fn it_compiles_alone_and_twice() {
    for source in [
        "#include \"asyncinotify.h\"\n",
        "#include \"asyncinotify.h\"\n#include \"asyncinotify.h\"\n",
    ] {
        // An empty translation unit is not C99.
        compile_as_c(&format!("{source}extern int not_empty;\n"));
        compile_as_cpp(source);
    }
}

#[test]
fn constants_work_in_if_and_switch_and_equal_the_kernels() {
    let mut source = String::from("#include \"asyncinotify.h\"\n#include <sys/inotify.h>\n");
    let bits = [
        "ACCESS",
        "MODIFY",
        "ATTRIB",
        "CLOSE_WRITE",
        "CLOSE_NOWRITE",
        "OPEN",
        "MOVED_FROM",
        "MOVED_TO",
        "CREATE",
        "DELETE",
        "DELETE_SELF",
        "MOVE_SELF",
        "UNMOUNT",
        "Q_OVERFLOW",
        "IGNORED",
        "ISDIR",
        "ONLYDIR",
        "DONT_FOLLOW",
        "EXCL_UNLINK",
        "MASK_CREATE",
        "MASK_ADD",
        "ONESHOT",
    ];
    let equal = |ours: &str, kernel: &str| {
        format!(
            "typedef char is_{ours}[(ASYNCINOTIFY_{ours}) == (unsigned)({kernel}) ? 1 : -1];\n\
             #if !(ASYNCINOTIFY_{ours})\n#error ASYNCINOTIFY_{ours}\n#endif\n"
        )
    };
    for bit in bits {
        source.push_str(&equal(bit, &format!("IN_{bit}")));
    }
    for (ours, kernel) in [
        ("CLOSE", "IN_CLOSE"),
        ("MOVE", "IN_MOVE"),
        ("ALL", "IN_ALL_EVENTS"),
        ("INIT_CLOEXEC", "IN_CLOEXEC"),
        ("INIT_NONBLOCK", "IN_NONBLOCK"),
        ("INIT_DEFAULT", "(IN_CLOEXEC | IN_NONBLOCK)"),
        ("TIMEOUT_INFINITE", "-1"),
        ("TIMEOUT_DISABLED", "-2"),
        ("EVENT_SYNTHETIC", "1"),
        ("EVENT_SYNC_BEGIN", "2"),
        ("EVENT_SYNC_END", "4"),
        ("EVENT_ERROR", "8"),
        ("EVENT_HEALED", "0x80"),
        ("RECURSIVE_LIST_EXISTING", "1"),
        ("RECURSIVE_BACKGROUND", "2"),
        ("RECURSIVE_ONE_FILESYSTEM", "4"),
    ] {
        if ours.starts_with("TIMEOUT") {
            // Signed: compared as what it is.
            source.push_str(&format!(
                "#if ASYNCINOTIFY_{ours} != {kernel}\n#error ASYNCINOTIFY_{ours}\n#endif\n"
            ));
        } else {
            source.push_str(&equal(ours, kernel));
        }
    }
    source.push_str(
        "#if ASYNCINOTIFY_VERSION_NUMBER < (0 << 16 | 1 << 8 | 0)\n#error version\n#endif\n",
    );
    source.push_str("int name(uint32_t mask);\nint name(uint32_t mask)\n{\n    switch (mask) {\n");
    for (number, bit) in bits.iter().enumerate() {
        source.push_str(&format!(
            "    case ASYNCINOTIFY_{bit}: return {};\n",
            number + 1
        ));
    }
    source.push_str("    default: return 0;\n    }\n}\n");
    compile_as_c(&source);
    compile_as_cpp(&source);
}

#[test]
fn the_example_in_its_first_comment_compiles() {
    let manual = GENERATED.split_once("*/").unwrap().0;
    let (_, example) = manual.split_once("EXAMPLE").unwrap();
    let (example, _) = example.split_once("cc watch.c").unwrap();
    let source: String = example
        .lines()
        .map(|line| format!("{}\n", line.strip_prefix(" *").unwrap_or(line)))
        .collect();
    assert!(source.contains("int main(void)"));
    assert!(
        source
            .lines()
            .filter(|line| !line.trim().is_empty())
            .count()
            <= 25
    );
    compile_as_c(&source);
    compile_as_cpp(&source);
}
