//! The contract (`plugins/wit/step.wit`) as Rust types, for a plugin that needs what [`crate::Step`] does not offer.

#![expect(missing_docs, clippy::too_many_arguments, reason = "generated; the contract documents the types")]

wit_bindgen::generate!({
    path: "../wit",
    world: "step",
    pub_export_macro: true,
    default_bindings_module: "dripline_sdk::bindings",
    additional_derives: [PartialEq],
});
