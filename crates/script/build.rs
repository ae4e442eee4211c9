//! Builds Lua 5.1 with our changes: the sources come with the crate `lua-src`, are copied to the
//! output directory, changed there, and compiled together with our shim.

#[path = "build/edits.rs"]
mod edits;

use edits::{EDITS, USERS};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::{env, fs};

/// Lua without what touches files, processes and its own insides, and without main programs.
const SOURCES: &[&str] = &[
    "lapi.c",
    "lauxlib.c",
    "lbaselib.c",
    "lcode.c",
    "ldebug.c",
    "ldo.c",
    "ldump.c",
    "lfunc.c",
    "lgc.c",
    "llex.c",
    "lmathlib.c",
    "lmem.c",
    "lobject.c",
    "lopcodes.c",
    "lparser.c",
    "lstate.c",
    "lstring.c",
    "lstrlib.c",
    "ltable.c",
    "ltablib.c",
    "ltm.c",
    "lundump.c",
    "lvm.c",
    "lzio.c",
];

fn main() {
    let out = PathBuf::from(variable("OUT_DIR")).join("lua");
    let ours = PathBuf::from(variable("CARGO_MANIFEST_DIR")).join("lua");
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=build/edits.rs");
    println!("cargo:rerun-if-changed=lua");

    copy_files(&lua_directory(), &out);
    copy_files(&ours, &out);
    for edit in EDITS {
        change(&out.join(edit.file), edit.anchor, edit.with);
    }
    for user in USERS {
        let lua = "#include \"lua.h\"\n";
        change(
            &out.join(user),
            lua,
            &format!("{lua}#include \"shoal.h\"\n"),
        );
    }
    cc::Build::new()
        .files(SOURCES.iter().map(|name| out.join(name)))
        .file(out.join("shim.c"))
        .include(&out)
        .define("LUA_USE_ULONGJMP", None)
        .opt_level(2)
        .warnings(false)
        .compile("shoal_lua");
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("cargo sets {name}"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|why| panic!("{}: {why}", path.display()))
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
}

/// Where cargo has put the sources of Lua 5.1. The crate has no function that says so, but cargo
/// tells where each crate's manifest is. It wants all of the workspace's dependencies for that, those of
/// the tests too, and fetches what a build has not needed so far.
fn lua_directory() -> PathBuf {
    let offline = metadata(&["--offline"]);
    let output = match offline.status.success() {
        true => offline,
        false => metadata(&[]),
    };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let manifest = text
        .split("\"manifest_path\":\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .map(Path::new)
        .find(|path| {
            let directory = path.parent().and_then(Path::file_name);
            directory.is_some_and(|name| name.to_string_lossy().starts_with("lua-src"))
        })
        .unwrap_or_else(|| {
            panic!(
                "cargo metadata names no lua-src: {}",
                String::from_utf8_lossy(&output.stderr)
            )
        });
    manifest.with_file_name("lua-5.1.5")
}

fn metadata(network: &[&str]) -> Output {
    Command::new(variable("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked"])
        .args(["--filter-platform", &variable("TARGET")])
        .args(network)
        .current_dir(variable("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs")
}

fn copy_files(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap_or_else(|why| panic!("{}: {why}", to.display()));
    let entries = fs::read_dir(from).unwrap_or_else(|why| panic!("{}: {why}", from.display()));
    for entry in entries {
        let path = entry.expect("the directory can be listed").path();
        let Some(name) = path.file_name().filter(|_| path.is_file()) else {
            continue;
        };
        write(
            &to.join(name),
            &String::from_utf8_lossy(&fs::read(&path).expect("it can be read")),
        );
    }
}

fn change(path: &Path, anchor: &str, with: &str) {
    let text = read(path);
    let found = text.matches(anchor).count();
    assert!(
        found == 1,
        "{}: found {found} times, not once:\n{anchor}",
        path.display()
    );
    write(path, &text.replacen(anchor, with, 1));
}
