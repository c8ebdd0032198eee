//! Of a contact's attributes only those that are needed.

use std::collections::BTreeMap;

use dripline_model::{contact::Needs, field::ValueTypes};
use serde::{
    Deserializer,
    de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor},
};
use serde_json::{Map, Value};

/// Which types values have, by the attribute's name.
pub(crate) fn types<'a, N: AsRef<str> + ?Sized + 'a>(
    attributes: impl IntoIterator<Item = (&'a N, &'a Value)>,
) -> BTreeMap<&'a str, ValueTypes> {
    let mut types: BTreeMap<&str, ValueTypes> = BTreeMap::new();
    for (name, value) in attributes {
        *types.entry(name.as_ref()).or_default() |= ValueTypes::of(value);
    }
    types
}

/// Reads the attributes that are needed. To skip the others here is cheaper than a JSON path for each in SQL, and no
/// name is odd.
pub(crate) struct SelectedAttributes<'a>(pub(crate) &'a Needs);

impl<'de> DeserializeSeed<'de> for SelectedAttributes<'_> {
    type Value = Map<String, Value>;

    fn deserialize<D: Deserializer<'de>>(self, attributes: D) -> Result<Self::Value, D::Error> {
        attributes.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for SelectedAttributes<'_> {
    type Value = Map<String, Value>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("attributes")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Map::new())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut all: A) -> Result<Self::Value, A::Error> {
        let mut attributes = Map::new();
        while let Some(wanted) = all.next_key_seed(Wanted(self.0))? {
            match wanted {
                Some(name) => drop(attributes.insert(name, all.next_value()?)),
                None => drop(all.next_value::<IgnoredAny>()?),
            }
        }
        Ok(attributes)
    }
}

/// Reads a name, if it is needed.
struct Wanted<'a>(&'a Needs);

impl<'de> DeserializeSeed<'de> for Wanted<'_> {
    type Value = Option<String>;

    fn deserialize<D: Deserializer<'de>>(self, name: D) -> Result<Self::Value, D::Error> {
        name.deserialize_str(self)
    }
}

impl Visitor<'_> for Wanted<'_> {
    type Value = Option<String>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        let is_wanted = self.0.all_attributes || self.0.attributes.contains(name);
        Ok(is_wanted.then(|| name.to_owned()))
    }
}
