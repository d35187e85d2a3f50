//! Puts llama.cpp's shared libraries and the CPU plug-ins beside the binaries and tells them to look there, so that the
//! folder of the executable is all that has to be shipped and no build path is baked in.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, io};

/// The one plug-in with AMX code is left out, and the best without is chosen instead. ggml hands the processor its tile
/// configuration through an intrinsic of which GCC 12 believes that it reads eight bytes only, so the rest is optimised
/// away and the first matrix product ends the process with SIGILL (<https://github.com/ggml-org/llama.cpp/pull/26954>).
const MISCOMPILED: &str = "libggml-cpu-sapphirerapids.so";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=build.rs");
    // RPATH rather than RUNPATH: libllama itself needs libggml, and RUNPATH does not reach dependencies of dependencies.
    println!("cargo:rustc-link-arg=-Wl,--disable-new-dtags,-rpath,$ORIGIN");

    println!("cargo:rerun-if-changed=src/memory_breakdown.cpp");
    let include = PathBuf::from(env::var("DEP_LLAMA_ROOT")?).join("include");
    cc::Build::new()
        .cpp(true)
        .std("c++17")
        .include(include)
        .file("src/memory_breakdown.cpp")
        .try_compile("uat_memory_breakdown")?;

    // The plug-ins wait for each other with GCC's OpenMP runtime, which a machine without a compiler may lack.
    let openmp = compiler_file("libgomp.so.1")?;
    let libraries = PathBuf::from(env::var("DEP_LLAMA_ROOT")?).join("lib");
    let plugins = PathBuf::from(env::var("DEP_LLAMA_BACKENDS_DIR")?);
    println!("cargo:rerun-if-changed={}", plugins.display());

    let out = PathBuf::from(env::var("OUT_DIR")?);
    let profile = out.ancestors().nth(3).ok_or("OUT_DIR is not inside a profile folder")?;
    // The binary, the test executables and the examples lie in three folders, and `$ORIGIN` means each one's own.
    for folder in [profile.to_path_buf(), profile.join("deps"), profile.join("examples")] {
        if !folder.is_dir() {
            continue;
        }
        for library in files_in(&libraries, is_soname)? {
            link(&library, &folder)?;
        }
        link(&openmp, &folder)?;
        // What an earlier llama.cpp left would be loaded too, and does not fit.
        for stale in files_in(&folder, |name| is_plugin(name) && !plugins.join(name).exists())? {
            fs::remove_file(stale)?;
        }
        for plugin in files_in(&plugins, is_plugin)? {
            link(&plugin, &folder)?;
        }
    }
    Ok(())
}

/// Where the C compiler has a file of its runtime.
fn compiler_file(name: &str) -> Result<PathBuf, Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-env-changed=CC");
    let compiler = env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    let output = Command::new(&compiler).arg(format!("-print-file-name={name}")).output()?;
    let path = PathBuf::from(String::from_utf8(output.stdout)?.trim());
    // A compiler that does not know the file repeats its bare name.
    if path.is_file() {
        Ok(path)
    } else {
        Err(format!("{compiler} has no {name}: install GCC's OpenMP runtime (libgomp1)").into())
    }
}

/// `libllama.so.0` but neither `libllama.so` (only the linker wants it) nor `libllama.so.0.6.0` (the same file again).
fn is_soname(name: &str) -> bool {
    name.split_once(".so.").is_some_and(|(_, version)| version.bytes().all(|byte| byte.is_ascii_digit()))
}

/// `libggml-cpu-haswell.so` or `libggml-vulkan.so`, but not `libggml-base.so`, which is for the linker.
fn is_plugin(name: &str) -> bool {
    name.starts_with("libggml-") && name.ends_with(".so") && ![MISCOMPILED, "libggml-base.so"].contains(&name)
}

fn files_in(folder: &Path, wanted: impl Fn(&str) -> bool) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.file_name().and_then(OsStr::to_str).is_some_and(&wanted) {
            files.push(path);
        }
    }
    Ok(files)
}

/// Replaces the file by a new link instead of writing into it: a running engine may have the old one mapped.
fn link(source: &Path, folder: &Path) -> io::Result<()> {
    let name = source.file_name().unwrap_or_default();
    let fresh = folder.join(format!(".{}.new", name.to_string_lossy()));
    if fresh.exists() {
        fs::remove_file(&fresh)?;
    }
    // The name that the loader asks for is a symbolic link to the file with the full version.
    let file = source.canonicalize()?;
    if fs::hard_link(&file, &fresh).is_err() {
        fs::copy(&file, &fresh)?;
    }
    fs::rename(&fresh, folder.join(name))?;
    // Renaming a link onto another link of the same file leaves both.
    if fresh.exists() { fs::remove_file(&fresh) } else { Ok(()) }
}
