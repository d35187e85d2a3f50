//! Linker flags of a Node addon: Node's own symbols are resolved when it is loaded.

fn main() {
    // napi's macros write the exported types there while the crate is compiled, and do not make the folder.
    if let Some(folder) = std::env::var_os("NAPI_TYPE_DEF_TMP_FOLDER")
        && let Err(error) = std::fs::create_dir_all(&folder)
    {
        println!("cargo::warning=no types of the addon will be written: {}: {error}", folder.display());
    }
    napi_build::setup();
}
