//! The `dripline` binary, used as people use it.

mod api;
mod campaign;
mod check;
mod dates;
mod doctor;
mod experiments;
mod faults_file;
mod faults_server;
mod fields;
mod import;
mod init;
mod mail;
mod plugin;
mod prune;
mod publishing;
mod scores;
mod segment;
mod simulate;
mod support;
mod why;
