//! A segment as its file says it.

use serde::{Deserialize, Serialize};

use crate::{contact::Needs, digest::Digest};

/// A segment: a named set of contacts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// Format of this JSON; see [`FORMAT`].
    pub format: u32,
    /// The name.
    pub name: String,
    /// One sentence for people.
    pub description: Option<String>,
    /// CEL: who is a member. Without it the segment is static: steps put members in.
    pub rule: Option<String>,
    /// What of a contact the rule looks at.
    pub needs: Needs,
    /// The segments whose membership the rule asks for.
    pub depends_on: Vec<String>,
}

/// The format that today's code writes.
pub const FORMAT: u32 = 1;

impl Segment {
    /// What tells one definition from another: the digest of its canonical JSON.
    pub fn digest(&self) -> Digest {
        // Serialising these types cannot fail: there are no maps with keys that are not text.
        Digest::of(&serde_json::to_vec(self).unwrap_or_default())
    }
}

/// Puts segments into an order in which each comes after those on which it depends.
///
/// # Errors
/// The names of segments that depend on each other in a circle, from one of them to itself.
pub fn in_order(segments: Vec<Segment>) -> Result<Vec<Segment>, Vec<String>> {
    let mut ordered: Vec<Segment> = Vec::with_capacity(segments.len());
    let mut left = segments;
    while !left.is_empty() {
        let waits = |segment: &Segment| {
            segment.depends_on.iter().any(|name| left.iter().any(|other| other.name == *name))
        };
        let (waiting, ready): (Vec<_>, Vec<_>) = left.iter().cloned().partition(waits);
        if ready.is_empty() {
            return Err(circle(&waiting));
        }
        ordered.extend(ready);
        left = waiting;
    }
    Ok(ordered)
}

/// Follows dependencies, of which there is at least one for each, until a name comes again.
fn circle(segments: &[Segment]) -> Vec<String> {
    let mut way: Vec<String> = Vec::new();
    let mut at = segments.first();
    while let Some(segment) = at {
        if let Some(place) = way.iter().position(|name| *name == segment.name) {
            let mut circle = way.split_off(place);
            circle.push(segment.name.clone());
            return circle;
        }
        way.push(segment.name.clone());
        at = segments.iter().find(|other| segment.depends_on.contains(&other.name));
    }
    way
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(name: &str, depends_on: &[&str]) -> Segment {
        Segment {
            format: FORMAT,
            name: name.into(),
            description: None,
            rule: Some("true".into()),
            needs: Needs::default(),
            depends_on: depends_on.iter().map(|name| (*name).to_owned()).collect(),
        }
    }

    #[test]
    fn what_others_depend_on_comes_first_and_circles_are_named() {
        let names = |segments: Vec<Segment>| {
            in_order(segments).map(|all| all.into_iter().map(|segment| segment.name).collect::<Vec<_>>())
        };
        let all = vec![segment("c", &["b", "static"]), segment("b", &["a"]), segment("a", &[])];
        assert_eq!(names(all), Ok(vec!["a".into(), "b".into(), "c".into()]));
        let all =
            vec![segment("x", &["a"]), segment("a", &["b"]), segment("b", &["c"]), segment("c", &["a"])];
        assert_eq!(names(all), Err(vec!["a".into(), "b".into(), "c".into(), "a".into()]));
        assert_eq!(names(vec![segment("a", &["a"])]), Err(vec!["a".into(), "a".into()]));
    }
}
