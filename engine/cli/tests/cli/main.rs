//! The `dripline` binary, used as people use it.

mod campaign;
mod check;
mod import;
mod init;
mod mail;
mod plugin;
mod prune;
mod support;
