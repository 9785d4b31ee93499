//! Versions of kernels, as users and package names write them.

use std::{fmt, str::FromStr};

use anyhow::ensure;

/// The numbers of a version, most significant first: 6.1.0-50 is after 6.1.0-0.deb11.52.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version(Vec<u32>);

impl Version {
    /// Every number in a package's version.
    pub(super) fn of(name: &str) -> Self {
        let numbers = name.split(|character: char| !character.is_ascii_digit());
        Self(numbers.filter_map(|number| number.parse().ok()).collect())
    }

    /// Whether this version belongs to a series.
    pub(super) fn is_of(&self, series: &Self) -> bool {
        self.0.starts_with(&series.0)
    }
}

impl<const N: usize> From<[u32; N]> for Version {
    fn from(numbers: [u32; N]) -> Self {
        Self(numbers.into())
    }
}

impl FromStr for Version {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let numbers: Result<Vec<u32>, _> = text.split(['.', '-']).map(str::parse).collect();
        let numbers = numbers.unwrap_or_default();
        ensure!(
            !numbers.is_empty(),
            "not a kernel version; it looks like 6.1 or 7"
        );
        Ok(Self(numbers))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers: Vec<String> = self.0.iter().map(u32::to_string).collect();
        f.write_str(&numbers.join("."))
    }
}

#[cfg(test)]
mod tests {
    use super::Version;

    #[test]
    fn the_newest_of_a_series_is_found_by_numbers() {
        let series: Version = "6.1".parse().unwrap();
        let names = ["6.1.0-0.deb11.52", "6.1.0-9", "6.1.0-50", "6.12.95+deb12"];
        let newest = names
            .into_iter()
            .filter(|name| Version::of(name).is_of(&series))
            .max_by_key(|name| Version::of(name));
        assert_eq!(newest, Some("6.1.0-50"));
        assert!(Version::of("5.10.0-46") < Version::from([5, 12]));
    }

    #[test]
    fn only_numbers_are_a_version() {
        assert_eq!("7".parse::<Version>().unwrap().to_string(), "7");
        for wrong in ["", "six", "6.x", "6."] {
            assert!(wrong.parse::<Version>().is_err(), "{wrong}");
        }
    }
}
