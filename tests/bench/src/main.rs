//! What Dripline costs, end to end, beside the same SQL alone.

fn main() {}
