//! Keys of the file that mean nothing, each with the key that may have been meant.

use std::borrow::Cow;

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{error::invalid, options::OPTIONS, reader::ConfigReader};

/// The lists of tables and their keys.
const LISTS: [(&str, &[&str]); 2] = [
    ("parties", &["id", "endpoints"]),
    ("protocols", &["name", "transport", "ports"]),
];

/// The most letters that may differ in a key that is suggested.
const NEAR: usize = 3;

impl ConfigReader<'_> {
    pub(super) fn unknown_keys(&mut self, table: &DeTable<'_>) {
        for (key, value) in table {
            let name: &str = key.get_ref();
            let section = format!("{name}.");
            let list = LISTS.iter().find(|(list, _)| *list == name);
            if let (DeValue::Array(entries), Some((_, known))) = (value.get_ref(), list) {
                let tables = entries.iter().filter_map(|it| it.get_ref().as_table());
                for (key, _) in tables.flatten() {
                    self.unless_known(key, &section, known.iter().copied());
                }
                continue;
            }
            let inside = OPTIONS
                .iter()
                .filter_map(|option| option.key.strip_prefix(&*section));
            match value.get_ref() {
                DeValue::Table(keys) if inside.clone().next().is_some() => {
                    for (key, _) in keys {
                        self.unless_known(key, &section, inside.clone());
                    }
                }
                _ => {
                    let top = OPTIONS
                        .iter()
                        .map(|option| option.key.split('.').next().unwrap_or_default());
                    self.unless_known(key, "", top.chain(LISTS.iter().map(|(list, _)| *list)));
                }
            }
        }
    }

    fn unless_known<'k>(
        &mut self,
        key: &Spanned<Cow<'_, str>>,
        section: &str,
        known: impl Iterator<Item = &'k str> + Clone,
    ) {
        let name: &str = key.get_ref();
        // The search for what was meant takes too long to do it for every error of a long file.
        if known.clone().any(|known| known == name) || self.skips_one() {
            return;
        }
        let near = known
            .map(|known| (strsim::damerau_levenshtein(known, name), known))
            .filter(|(distance, _)| *distance <= NEAR)
            .min();
        let help = near.map_or_else(
            || "remove it".to_owned(),
            |(_, known)| format!("did you mean {section}{known}?"),
        );
        let location = self.location(key.span().start);
        let key = format!("{section}{name}");
        self.report(location, &key, invalid("is an unknown key", help));
    }
}
