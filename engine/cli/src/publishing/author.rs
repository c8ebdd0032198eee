//! Who publishes.

use std::{env, path::Path, process::Command};

/// Who publishes, where nobody says otherwise: the author that git would name in this folder, else the login name.
pub(crate) fn author(folder: &Path) -> String {
    let name = git(folder, "user.name");
    let email = git(folder, "user.email");
    match (name, email) {
        (Some(name), Some(email)) => format!("{name} <{email}>"),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => login().unwrap_or_else(|| "unknown".to_owned()),
    }
}

/// A value of git's configuration; none where there is no git, or no such value.
fn git(folder: &Path, key: &str) -> Option<String> {
    let answer = Command::new("git").arg("-C").arg(folder).args(["config", "--get", key]).output().ok()?;
    let value = String::from_utf8(answer.stdout).ok()?;
    let value = value.trim();
    (answer.status.success() && !value.is_empty()).then(|| value.to_owned())
}

fn login() -> Option<String> {
    ["LOGNAME", "USER", "USERNAME"]
        .iter()
        .find_map(|name| env::var(name).ok().filter(|name| !name.is_empty()))
}
