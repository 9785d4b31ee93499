//! Looks single values up. A flag overrides a variable, a variable overrides the file, the file overrides the default.

use toml::de::DeTable;

use super::{
    error::InvalidValue,
    limits::Limit,
    options::{OPTIONS, Opt},
    raw::Options,
    reader::ConfigReader,
    value::Value,
};

/// Where values are looked up.
pub(super) struct Values<'r, 'a, 't> {
    pub(super) reader: &'r mut ConfigReader<'a>,
    pub(super) options: &'r Options,
    pub(super) table: &'r DeTable<'t>,
}

impl Values<'_, '_, '_> {
    /// Whether a key has a value other than the empty string.
    pub(super) fn is_set(&self, key: &str) -> bool {
        self.find(key)
            .is_some_and(|(_, value)| !matches!(value.text(), Ok("")))
    }

    /// A variable of OpenTelemetry: its name, which is its location, and its text.
    pub(super) fn otel_variable(&self, name: &str) -> Option<(String, String)> {
        let text = self.options.otel_variables.get(name)?;
        Some((name.to_owned(), text.clone()))
    }

    pub(super) fn take<T>(
        &mut self,
        location: &str,
        key: &str,
        result: Result<T, InvalidValue>,
    ) -> Option<T> {
        self.reader.take(location, key, result)
    }

    /// Location and value of a key that is given.
    pub(super) fn find(&self, key: &str) -> Option<(String, Value<'_>)> {
        if let Some(raw) = self.options.values.get(key) {
            return Some((raw.location.clone(), Value::Text(&raw.text)));
        }
        let value = match key.split_once('.') {
            None => self.table.get(key)?,
            Some((section, key)) => self.table.get(section)?.get_ref().as_table()?.get(key)?,
        };
        Some((
            self.reader.location(value.span().start),
            Value::Toml(value.get_ref()),
        ))
    }

    /// A value or its default; `None` after an error, and where the default is not a fixed value.
    pub(super) fn get<T>(
        &mut self,
        key: &str,
        parse: impl Fn(&Value<'_>) -> Result<T, InvalidValue>,
    ) -> Option<T> {
        let found = self.find(key);
        match found.map(|(location, value)| (location, parse(&value))) {
            Some((location, result)) => self.take(&location, key, result),
            None => parse(&Value::Text(default(key))).ok(),
        }
    }

    /// The valid items of a list or of its default.
    pub(super) fn list<T>(
        &mut self,
        key: &str,
        limit: Limit,
        parse: impl Fn(&Value<'_>) -> Result<T, InvalidValue>,
    ) -> Vec<T> {
        let length = self.find(key).map(|(at, value)| (at, value.length()));
        if let Some((location, length)) = length
            && self.reader.exceeds(limit, &location, key, length)
        {
            return Vec::new();
        }
        let found = self.find(key).map(|(location, value)| {
            let items = value.list().into_iter();
            let items: Vec<_> = items.map(|(at, item)| (at, parse(&item))).collect();
            (location, items)
        });
        let Some((location, items)) = found else {
            let default = Value::Text(default(key));
            return default
                .list()
                .iter()
                .filter_map(|(_, it)| parse(it).ok())
                .collect();
        };
        let mut values = Vec::new();
        for (at, item) in items {
            let location = at.map_or_else(|| location.clone(), |at| self.reader.location(at));
            values.extend(self.take(&location, key, item));
        }
        values
    }
}

fn default(key: &str) -> &'static str {
    OPTIONS
        .iter()
        .find(|option: &&Opt| option.key == key)
        .map_or("", |option| option.default)
}
