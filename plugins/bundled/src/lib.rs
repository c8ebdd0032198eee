//! The built-in plugins as compiled components.
//!
//! They are made with the same SDK as everybody's plugins and have no back door; that they are here saves installing
//! them. The build script compiles them for `wasm32-wasip2`.

/// A plugin that comes with Dripline.
#[derive(Debug, Clone, Copy)]
pub struct Bundled {
    /// Its name, as in its manifest.
    pub name: &'static str,
    /// The component.
    pub wasm: &'static [u8],
}

macro_rules! component {
    ($name:literal) => {
        include_bytes!(concat!(env!("OUT_DIR"), "/", $name, ".wasm"))
    };
}

/// Every plugin that comes with Dripline.
pub const PLUGINS: &[Bundled] = &[
    Bundled { name: "assign", wasm: component!("assign") },
    Bundled { name: "email", wasm: component!("email") },
    Bundled { name: "score", wasm: component!("score") },
    Bundled { name: "segment", wasm: component!("segment") },
    Bundled { name: "wait", wasm: component!("wait") },
];

/// A plugin that does whatever its configuration says, however wrong: for tests that such a plugin hurts nobody.
#[cfg(feature = "misbehaving")]
pub const MISBEHAVING: &[u8] = component!("misbehaving");
