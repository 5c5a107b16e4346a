//! Lists the committed scenarios for `library.rs`: their names, and the files that the compiler is to include.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    // The same sources are built as another package, in `planted/sim`.
    let roots = ["scenarios", "../../scenarios"].map(|folder| here.join(folder));
    let root = roots.into_iter().find(|root| root.is_dir()).ok_or(io::ErrorKind::NotFound)?;
    let mut files = Vec::new();
    list(&root, "", &mut files)?;
    files.sort();
    let mut entries = String::from("&[\n");
    for (name, path) in &files {
        let _ = writeln!(entries, "    Entry {{ name: {name:?}, text: include_str!({path:?}) }},");
    }
    entries.push_str("]\n");
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    fs::write(out.join("library.rs"), entries)
}

/// The scenarios of a folder and of those in it: names with `/`, and paths. Cargo is to look again when a folder changes.
fn list(folder: &Path, prefix: &str, files: &mut Vec<(String, PathBuf)>) -> io::Result<()> {
    println!("cargo::rerun-if-changed={}", folder.display());
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let Some(stem) = path.file_stem().and_then(|stem| stem.to_str()) else { continue };
        let name = format!("{prefix}{stem}");
        if path.is_dir() {
            list(&path, &format!("{name}/"), files)?;
        } else if path.extension().is_some_and(|extension| extension == "scn") {
            files.push((name, path));
        }
    }
    Ok(())
}
