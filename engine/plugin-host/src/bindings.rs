//! The contract `plugins/wit/step.wit` as Rust types and calls.
//!
//! Arguments borrow, so that a column goes from the engine's memory into the guest's in one copy.

wasmtime::component::bindgen!({
    path: "../../plugins/wit",
    world: "step",
    exports: { default: async },
    ownership: Borrowing { duplicate_if_necessary: true },
});

pub(crate) use dripline::step::types as wit;
