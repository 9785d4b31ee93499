//! The agent's page as figures: the value of one series, by name and labels. Pure.

use anyhow::Context as _;

/// One page in a text format.
pub(super) struct Page(String);

impl Page {
    pub(super) fn new(body: &[u8]) -> anyhow::Result<Self> {
        let text = str::from_utf8(body).context("the metrics page is no text")?;
        Ok(Self(text.to_owned()))
    }

    /// The value of the first series of this name that has all these labels, or `None`.
    pub(super) fn find(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        self.series(name, labels).next()?.parse().ok()
    }

    /// As [`find`](Self::find), where its absence is an error.
    pub(super) fn value(&self, name: &str, labels: &[(&str, &str)]) -> anyhow::Result<f64> {
        self.find(name, labels)
            .with_context(|| format!("the metrics page has no {name} with {labels:?}"))
    }

    /// How many series of this name have these labels.
    pub(super) fn count(&self, name: &str, labels: &[(&str, &str)]) -> usize {
        self.series(name, labels).count()
    }

    fn series<'a>(
        &'a self,
        name: &'a str,
        labels: &'a [(&str, &str)],
    ) -> impl Iterator<Item = &'a str> {
        self.0.lines().filter_map(move |line| {
            let rest = line.strip_prefix(name)?;
            let (written, value) = match rest.strip_prefix('{') {
                Some(rest) => rest.rsplit_once("} ")?,
                None => ("", rest.strip_prefix(' ')?),
            };
            let has = |(key, value): &(&str, &str)| {
                let label = format!("{key}=\"{value}\"");
                written.split(',').any(|it| it == label)
            };
            labels
                .iter()
                .all(has)
                .then(|| value.split(' ').next().unwrap_or(value))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &[u8] = b"# HELP a A.\na_total{x=\"1\",y=\"2\"} 3\na_total{x=\"1\",y=\"3\"} 4 1700\nab 5\na_total_b{x=\"1\"} 6\n";

    #[test]
    fn finds_a_series_by_name_and_labels() {
        let page = Page::new(PAGE).unwrap();
        assert_eq!(page.find("a_total", &[("x", "1"), ("y", "3")]), Some(4.0));
        assert_eq!(page.find("a_total", &[("y", "4")]), None);
        assert_eq!(page.find("ab", &[]), Some(5.0));
        assert_eq!(page.count("a_total", &[("x", "1")]), 2);
        assert!(page.value("a", &[]).is_err());
    }
}
