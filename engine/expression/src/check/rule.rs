//! What the rule of a segment must not say: what leaves open when its value changes, or on what it depends.

use cel::{IdedExpr, common::ast::Expr};
use dripline_model::contact::{SEGMENT_JOINED, SEGMENT_LEFT};

use super::Checker;
use crate::{
    ProblemKind,
    clock::{self, Clock},
    source::{self, Occurrence, Path, Source},
};

impl Checker<'_> {
    /// Checks a compiled rule.
    pub(super) fn rule(&mut self, tree: &IdedExpr, clock: &Clock) {
        for node in &clock.unclear {
            let help = "compare it: now - contact.created_at > duration(\"30d\"), or ask for a part of it: now.getMonth()";
            self.problem_of(
                ProblemKind::Syntax,
                self.places.whole(node),
                "it cannot be told when this changes",
                Some(help.to_owned()),
            );
        }
        let mut nodes = vec![tree];
        while let Some(node) = nodes.pop() {
            clock::children_of(node, &mut nodes);
            let Expr::Ident(name) = &node.expr else { continue };
            let Some((message, help)) = source::named(&self.sources, name).and_then(complaint) else {
                continue;
            };
            self.problem_of(ProblemKind::Syntax, self.places.whole(node), message, Some(help));
        }
    }
}

fn complaint(source: &Source) -> Option<(&'static str, String)> {
    let path = match source {
        Source::Path(path) | Source::Has(path, _) | Source::Optional(path) => Some(path),
        _ => None,
    };
    let history = match (source, path) {
        (Source::Tally(history, _), _) | (_, Some(Path::Occurrence(Occurrence { history, .. }, _))) => {
            Some(history)
        }
        _ => None,
    };
    if history.is_some_and(|history| [SEGMENT_JOINED, SEGMENT_LEFT].contains(&history.name.as_str())) {
        let help = "ask whether the contact is a member: \"hot-leads\" in contact.segments";
        return Some(("a segment cannot depend on the events of segments", help.to_owned()));
    }
    match path? {
        Path::Segments => Some((
            "a segment has to name the segments on which it depends",
            "write \"hot-leads\" in contact.segments".to_owned(),
        )),
        Path::Contact => {
            Some(("a segment has to name the fields on which it depends", "write contact.NAME".to_owned()))
        }
        _ => None,
    }
}
