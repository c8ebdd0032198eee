//! Which segments a workflow puts contacts into, so that a name that nobody fills can be said to be one.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    PluginInfo, Source,
    marks::{self, Mark},
    source::Report,
    yaml::{self, Kind, Node},
};

/// The static segments that steps of this workflow fill or empty, whatever else may be wrong with it.
pub fn filled_by(source: &Source, plugins: &BTreeMap<String, PluginInfo>) -> BTreeSet<String> {
    let mut filled = BTreeSet::new();
    let Some(tree) = yaml::parse(source, &mut Report::new(source)) else { return filled };
    let mut open: Vec<&Node> = vec![&tree];
    while let Some(node) = open.pop() {
        match &node.kind {
            Kind::Scalar(..) => {}
            Kind::List(items) => open.extend(items),
            Kind::Mapping(entries) => {
                for entry in entries {
                    open.push(&entry.value);
                    let Some(info) = plugins.get(&entry.key) else { continue };
                    let config = entry.value.value();
                    let marked = marks::find(&info.manifest.config_schema, &config);
                    filled.extend(
                        marked.into_iter().filter(|marked| marked.mark == Mark::Segment).filter_map(
                            |marked| config.pointer(&marked.pointer)?.as_str().map(str::to_owned),
                        ),
                    );
                }
            }
        }
    }
    filled
}
