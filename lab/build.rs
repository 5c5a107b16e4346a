//! With what the lab is built: the compiler, and the runtimes' crates as Cargo.lock has them. The report says so.

use std::path::Path;
use std::process::Command;
use std::{env, fs};

/// What the runtimes are made of, as far as it decides what is measured.
const CRATES: [&str; 6] = ["tokio", "mio", "async-io", "async-executor", "polling", "socket2"];

fn main() {
    let root = env::var_os("CARGO_MANIFEST_DIR").expect("Cargo sets it");
    let lock = Path::new(&root).join("../Cargo.lock");
    println!("cargo::rerun-if-changed={}", lock.display());
    println!("cargo::rerun-if-changed=build.rs");
    let locked = fs::read_to_string(lock).unwrap_or_default();
    println!("cargo::rustc-env=RESOUND_LAB_CRATES={}", versions(&locked).join(", "));

    let rustc = env::var_os("RUSTC").expect("Cargo sets it");
    let said = Command::new(rustc).arg("--version").output().map(|ran| ran.stdout).unwrap_or_default();
    let set = |name| env::var(name).unwrap_or_default();
    let how = format!("{}, opt-level {}", set("PROFILE"), set("OPT_LEVEL"));
    println!("cargo::rustc-env=RESOUND_LAB_BUILT={}, {how}", String::from_utf8_lossy(&said).trim());
}

/// `tokio 1.51.0`; a crate that is not there is left out, one that is there twice has two versions.
fn versions(locked: &str) -> Vec<String> {
    let packages = locked.split("[[package]]").map(|package| {
        let field = |name: &str| {
            let line = package.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = "));
            line.map(|value| value.trim_matches('"').to_owned()).unwrap_or_default()
        };
        (field("name"), field("version"))
    });
    let packages: Vec<_> = packages.collect();
    let of = |name: &&str| {
        let versions: Vec<_> =
            packages.iter().filter(|(of, _)| of == name).map(|(_, version)| version.as_str()).collect();
        (!versions.is_empty()).then(|| format!("{name} {}", versions.join(" and ")))
    };
    CRATES.iter().filter_map(of).collect()
}
