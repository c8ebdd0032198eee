//! Enums that the store keeps as small numbers and people read as words.

/// Defines an enum whose variants have a code (their position, so new ones go at the end) and a name.
macro_rules! coded {
    ($(#[$doc:meta])* pub enum $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
        pub enum $name {
            $($(#[$variant_doc])* #[serde(rename = $word)] $variant,)*
        }

        impl $name {
            /// All of them; the position is the code in the store.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The code in the store.
            pub fn code(self) -> i64 {
                self as i64
            }

            /// The one with this code.
            pub fn from_code(code: i64) -> Option<Self> {
                usize::try_from(code).ok().and_then(|index| Self::ALL.get(index)).copied()
            }

            /// The name for people and for JSON.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)*
                }
            }
        }
    };
}

pub(crate) use coded;
