//! Conditions that a store can look for by itself: what of an expression can be said in these words.
//!
//! A filter selects at least those contacts for which the expression holds. Whether it holds, the expression says.

/// Which contacts to look at.
#[derive(Debug, Clone, PartialEq)]
pub enum Filter {
    /// All of them: nothing is known.
    Everyone,
    /// None of them.
    Nobody,
    /// Those that all of these select.
    All(Vec<Self>),
    /// Those that any of these selects.
    Any(Vec<Self>),
    /// Those that pass.
    Is(Test),
}

/// One question about a contact.
#[derive(Debug, Clone, PartialEq)]
pub enum Test {
    /// About an attribute. Its name is letters, digits and `_`.
    Attribute(String, Is),
    /// About the address.
    Email(Is),
    /// About the caller's key.
    ExternalId(Is),
    /// About the owner's key.
    Owner(Is),
    /// When the contact came to be, in milliseconds since the epoch.
    CreatedAt(Order, i64),
    /// A score, which is 0 where it was never given. Of one that fades, whether it can be so from when it last changed on.
    Score(String, Order, f64),
    /// Whether a score was ever given.
    Scored(String, bool),
    /// Whether consent was given; never asked is false.
    Consent(String, bool),
    /// Whether consent was ever asked for.
    Answered(String, bool),
    /// Whether the contact has a tag.
    Tag(String, bool),
    /// Whether the contact is a member of a segment.
    Member(String, bool),
    /// How many events of this name there were.
    Events {
        /// The name.
        name: String,
        /// Only those after this, in milliseconds since the epoch.
        after_ms: Option<i64>,
        /// Only those up to this, in milliseconds since the epoch.
        until_ms: i64,
        /// Compared how.
        order: Order,
        /// With what.
        count: f64,
    },
}

/// What a value is.
#[derive(Debug, Clone, PartialEq)]
pub enum Is {
    /// There is one; null is none.
    Present,
    /// There is none.
    Missing,
    /// A text.
    Text,
    /// One of these.
    AnyOf(Vec<Scalar>),
    /// There is one, and it is none of these.
    NoneOf(Vec<Scalar>),
    /// A number that compares so. The other side is below 2^53, up to which all whole numbers are exact.
    Number(Order, f64),
    /// A text that compares so, byte by byte.
    Compared(Order, String),
    /// A text that contains this, or one that does not.
    Contains(String, bool),
    /// A text that begins with this, or one that does not.
    StartsWith(String, bool),
    /// A text that ends with this, or one that does not.
    EndsWith(String, bool),
}

/// A value to compare with.
#[derive(Debug, Clone, PartialEq)]
pub enum Scalar {
    /// A text.
    Text(String),
    /// A number below 2^53.
    Number(f64),
    /// Yes or no.
    Boolean(bool),
}

/// How two values compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

impl Order {
    /// What holds exactly where this does not.
    pub fn opposite(self) -> Self {
        match self {
            Self::Equal => Self::NotEqual,
            Self::NotEqual => Self::Equal,
            Self::Less => Self::GreaterOrEqual,
            Self::LessOrEqual => Self::Greater,
            Self::Greater => Self::LessOrEqual,
            Self::GreaterOrEqual => Self::Less,
        }
    }

    /// The same with its sides changed.
    pub fn turned(self) -> Self {
        match self {
            Self::Less => Self::Greater,
            Self::LessOrEqual => Self::GreaterOrEqual,
            Self::Greater => Self::Less,
            Self::GreaterOrEqual => Self::LessOrEqual,
            same => same,
        }
    }

    /// As SQL writes it.
    pub fn sql(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "<>",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }

    /// Whether it holds between two values.
    pub fn holds<T: PartialOrd>(self, left: T, right: T) -> bool {
        match self {
            Self::Equal => left == right,
            Self::NotEqual => left != right,
            Self::Less => left < right,
            Self::LessOrEqual => left <= right,
            Self::Greater => left > right,
            Self::GreaterOrEqual => left >= right,
        }
    }
}

impl Filter {
    /// Those that all of these select.
    pub fn all(filters: impl IntoIterator<Item = Self>) -> Self {
        let mut all = Vec::new();
        for filter in filters {
            match filter {
                Self::Everyone => {}
                Self::Nobody => return Self::Nobody,
                Self::All(more) => all.extend(more),
                one => all.push(one),
            }
        }
        match all.len() {
            0 => Self::Everyone,
            1 => all.remove(0),
            _ => Self::All(all),
        }
    }

    /// Those that any of these selects.
    pub fn any(filters: impl IntoIterator<Item = Self>) -> Self {
        let mut any = Vec::new();
        for filter in filters {
            match filter {
                Self::Nobody => {}
                Self::Everyone => return Self::Everyone,
                Self::Any(more) => any.extend(more),
                one => any.push(one),
            }
        }
        match any.len() {
            0 => Self::Nobody,
            1 => any.remove(0),
            _ => Self::Any(any),
        }
    }
}

/// What a store can say about an expression.
#[derive(Debug, Clone, PartialEq)]
pub struct Narrowing {
    /// Selects at least those for whom it holds.
    pub filter: Filter,
    /// Whether it selects nobody else.
    pub is_exact: bool,
}
