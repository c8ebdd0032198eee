//! The `dripline` binary, used as people use it.

mod campaign;
mod check;
mod import;
mod init;
mod plugin;
mod support;
