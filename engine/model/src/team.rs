//! Representatives and the teams that they form.

use serde::{Deserialize, Serialize};

/// Somebody who receives leads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Representative {
    /// The key by which files and expressions name the representative.
    pub key: String,
    /// The name for people.
    pub name: String,
    /// Where notifications go.
    pub email: Option<String>,
}

/// A pool of representatives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Team {
    /// The key by which workflows name the team.
    pub key: String,
    /// The name for people.
    pub name: String,
    /// Who takes part, in the file's order.
    pub members: Vec<Member>,
}

/// One representative's part in a team.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Key of the representative.
    pub rep: String,
    /// Share of the leads in relation to the other members'; 0 receives none.
    pub weight: u32,
}
