//! The library's source sees by this cfg that it is compiled for models.

fn main() {
    println!("cargo:rustc-cfg=shuttle");
    println!("cargo:rustc-check-cfg=cfg(shuttle)");
    println!("cargo:rerun-if-changed=build.rs");
}
