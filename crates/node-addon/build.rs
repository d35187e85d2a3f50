//! Linker flags of a Node addon: Node's own symbols are resolved when it is loaded.

fn main() {
    napi_build::setup();
}
