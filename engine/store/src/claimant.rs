//! Who works on messages.

use std::{fmt, time::SystemTime};

use ulid::Ulid;

/// The name of one deliverer, unlike that of any other in any process: `HOST/PID/RANDOM`. Host and process are for
/// people; what makes it unique is the rest.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Claimant(String);

impl Claimant {
    /// A new name for a deliverer of this process.
    pub fn unique() -> Self {
        let host = gethostname::gethostname();
        // The random part of a ULID; the machine's time is nobody's business here.
        let random = Ulid::from_datetime(SystemTime::UNIX_EPOCH).random();
        Self(format!("{}/{}/{random:020x}", host.to_string_lossy(), std::process::id()))
    }

    /// The claimant with this name, as the store keeps it.
    pub fn named(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// The machine on which it is.
    pub fn host(&self) -> &str {
        self.0.split('/').next().unwrap_or_default()
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Claimant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_deliverers_have_the_same_name() {
        let (one, two) = (Claimant::unique(), Claimant::unique());
        assert_ne!(one, two);
        assert!(!one.host().is_empty() && one.as_str().starts_with(one.host()), "{one}");
        assert!(one.as_str().contains(&format!("/{}/", std::process::id())), "{one}");
    }
}
