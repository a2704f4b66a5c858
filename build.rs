//! Generates the C header into OUT_DIR, and names the shared object.
//!
//! The header reads from top to bottom like a manual: each file of src/capi that is named below makes a section, opened by
//! that file's `//!` comment, and in it stand constants, types, functions as cbindgen writes them. The constants and the
//! functions are those of the file itself, the types those of the file of the same name in src/capi/types. Nothing is
//! written to the source tree; a test compares include/asyncinotify.h with what comes out here.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// In the order of the header.
const SECTIONS: [&str; 5] = ["error", "inotify", "watch", "event", "recursive"];

fn main() {
    let root =
        PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    for input in ["build.rs", "cbindgen.toml", "src/capi"] {
        println!("cargo:rerun-if-changed={input}");
    }
    fs::write(out.join("asyncinotify.h"), header(&root)).expect("OUT_DIR can be written to");

    // cargo-c adds the very same option, so both ways of building give the same library.
    let major = env::var("CARGO_PKG_VERSION_MAJOR").expect("cargo sets CARGO_PKG_VERSION_MAJOR");
    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libasyncinotify.so.{major}");
}

fn header(root: &Path) -> String {
    let capi = root.join("src/capi");
    let manual = read(&capi.join("mod.rs"));
    let mut text = comment(&module_docs(&manual));
    text.push_str("\n#ifndef ASYNCINOTIFY_H\n#define ASYNCINOTIFY_H\n\n#include <stddef.h>\n#include <stdint.h>\n\n");
    text.push_str("#ifdef __cplusplus\nextern \"C\" {\n#endif\n");
    for name in SECTIONS {
        let path = capi.join(name).with_extension("rs");
        let source = read(&path);
        text.push_str("\n/* ");
        text.push_str(&"=".repeat(94));
        text.push('\n');
        text.push_str(&comment(&module_docs(&source))["/*\n".len()..]);
        text.push('\n');
        if name == SECTIONS[0] {
            text.push_str(&version());
        }
        let types = capi.join("types").join(name).with_extension("rs");
        text.push_str(&section(root, &[types, path], &source));
    }
    text.push_str(
        "\n#ifdef __cplusplus\n} /* extern \"C\" */\n#endif\n\n#endif /* ASYNCINOTIFY_H */\n",
    );
    text
}

/// The version of Cargo.toml, for the preprocessor.
fn version() -> String {
    let part =
        |name: &str| env::var(format!("CARGO_PKG_VERSION{name}")).expect("cargo sets the version");
    let (text, major, minor, patch) = (part(""), part("_MAJOR"), part("_MINOR"), part("_PATCH"));
    format!(
        "/** The version of this header; asyncinotify_version() has that of the library that is loaded. */\n\
         #define ASYNCINOTIFY_VERSION_MAJOR {major}\n\
         #define ASYNCINOTIFY_VERSION_MINOR {minor}\n\
         #define ASYNCINOTIFY_VERSION_PATCH {patch}\n\
         /** One number, to be compared with < and >: major << 16 | minor << 8 | patch */\n\
         #define ASYNCINOTIFY_VERSION_NUMBER \\\n    \
         (ASYNCINOTIFY_VERSION_MAJOR << 16 | ASYNCINOTIFY_VERSION_MINOR << 8 | ASYNCINOTIFY_VERSION_PATCH)\n\
         #define ASYNCINOTIFY_VERSION_STRING \"{text}\"\n\n"
    )
}

/// Constants, types and functions of one section; `source` is the text that declares the constants.
fn section(root: &Path, files: &[PathBuf], source: &str) -> String {
    let config =
        cbindgen::Config::from_file(root.join("cbindgen.toml")).expect("cbindgen.toml is valid");
    let bindings = files
        .iter()
        .filter(|file| file.exists())
        .fold(cbindgen::Builder::new(), |builder, file| {
            builder.with_src(file)
        })
        .with_config(config)
        .generate()
        .unwrap_or_else(|error| panic!("cbindgen can't read {files:?}: {error}"));
    let mut generated = Vec::new();
    bindings.write(&mut generated);
    let generated = String::from_utf8(generated).expect("cbindgen writes UTF-8");

    let mut text = String::new();
    let mut lines = generated
        .trim()
        .lines()
        .filter(|line| !is_fence(line))
        .peekable();
    while let Some(line) = lines.next() {
        // A comment of one line is written as one line.
        if line.trim_start() == "/**" {
            let first = lines.next().expect("a comment has a text");
            if lines.next_if(|line| line.trim_start() == "*/").is_some() {
                writeln!(text, "{} */", first.replacen(" *", "/**", 1))
                    .expect("a String takes all");
                continue;
            }
            writeln!(text, "{line}\n{}", first.replace("self_", "self"))
                .expect("a String takes all");
        } else if let Some(constant) = Constant::of(line, source) {
            // Constants stand as close together as they do in the source.
            if !constant.opens_group(source) {
                let end = text.trim_end().len();
                let start = text[..end]
                    .rfind("\n\n")
                    .filter(|start| !text[*start..end].contains("#define"));
                if let Some(start) = start {
                    text.remove(start);
                }
            }
            writeln!(text, "#define {} {}", constant.name, constant.value)
                .expect("a String takes all");
        } else {
            // `self` is the natural name in C, but taken in Rust; and the typedef's name is enough.
            let line = line.replace("self_", "self");
            let line = if line.starts_with("typedef struct") {
                line
            } else {
                line.replace("struct asyncinotify", "asyncinotify")
            };
            writeln!(text, "{line}").expect("a String takes all");
        }
    }
    text
}

/// A `#define` that cbindgen made of a constant.
struct Constant<'a> {
    name: &'a str,
    value: String,
    /// Where the source declares it.
    line: usize,
}

impl<'a> Constant<'a> {
    fn of(line: &'a str, source: &str) -> Option<Self> {
        let (name, value) = line.strip_prefix("#define ")?.split_once(' ')?;
        let prefix = format!("pub const {name}: ");
        let (line, declaration) = source
            .lines()
            .enumerate()
            .find(|(_, line)| line.starts_with(&prefix))?;
        let literal = declaration.split_once(" = ")?.1.trim_end_matches(';');
        let value = match () {
            // What is hexadecimal in Rust stays so in C; cbindgen alone writes decimal numbers.
            () if literal.starts_with("0x") => literal.to_owned(),
            () if value.starts_with('-') => format!("({value})"),
            () => value.to_owned(),
        };
        Some(Constant { name, value, line })
    }

    /// Whether there is an empty line above its comment.
    fn opens_group(&self, source: &str) -> bool {
        let above: Vec<&str> = source.lines().take(self.line).collect();
        above
            .iter()
            .rev()
            .find(|line| !line.starts_with("///"))
            .is_none_or(|line| line.is_empty())
    }
}

/// The `//!` lines of a file, without their marks.
fn module_docs(source: &str) -> Vec<&str> {
    source
        .lines()
        .map_while(|line| line.strip_prefix("//!"))
        .filter(|line| !is_fence(line))
        .collect()
}

/// Rustdoc needs to be told that code is C; a C header does not.
fn is_fence(line: &str) -> bool {
    line.trim_start_matches([' ', '*']).starts_with("```")
}

fn comment(lines: &[&str]) -> String {
    let mut text = String::from("/*\n");
    for line in lines {
        writeln!(text, "{}", format!(" *{line}").trim_end()).expect("a String takes all");
    }
    text.push_str(" */\n");
    text
}

fn read(path: &Path) -> String {
    fs::read_to_string(path)
        .unwrap_or_else(|error| panic!("can't read {}: {error}", path.display()))
}
