//! From the workspace's files to what is published: what is different, what would become of whom, and the change itself,
//! all of it in one transaction.

mod audience;
mod author;
mod caps;
mod changes;
mod drift;
mod lines;
mod plan;
mod print;
mod release;
mod runs;

pub(crate) use author::author;
pub(crate) use changes::{Catalog, Changes, Choice, Files};
pub(crate) use drift::Drift;
pub(crate) use lines::lines;
pub(crate) use plan::{Plan, PlanFile, TemplateText};
pub(crate) use print::{print_difference, print_lines, print_plan, print_released, print_texts};
pub(crate) use release::{Intent, at_start, index, new_version, publish, restore};
