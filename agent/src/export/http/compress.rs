//! Compression with gzip, if the client accepts it (RFC 9110, 12.5.3).

use std::io::{self, Write as _};

use flate2::{Compression, write::GzEncoder};

/// Shorter pages are not compressed. Unit: bytes.
const SHORT: usize = 1024;

/// Whether a value of `Accept-Encoding` accepts gzip, and does not prefer `identity`.
pub(super) fn accepts_gzip(accepted: &str) -> bool {
    let (mut gzip, mut other, mut identity) = (None, None, None);
    for item in accepted.split(',') {
        let mut parts = item.split(';').map(str::trim);
        let coding = parts.next().unwrap_or_default().to_ascii_lowercase();
        let weight = parts.find_map(|part| {
            let (name, weight) = part.split_once('=')?;
            name.trim().eq_ignore_ascii_case("q").then_some(weight)
        });
        // An invalid weight counts as 0: in doubt, the page is not compressed.
        let weight = weight.map_or(1.0, |it| it.trim().parse::<f32>().unwrap_or(0.0));
        match coding.as_str() {
            "gzip" | "x-gzip" => gzip = Some(weight),
            "*" => other = Some(weight),
            "identity" => identity = Some(weight),
            _ => {}
        }
    }
    let gzip = gzip.or(other).unwrap_or(0.0);
    gzip > 0.0 && gzip >= identity.unwrap_or(0.0)
}

/// The compressed page; `None`: it is too short.
///
/// # Errors
/// Never: writing to memory cannot fail.
pub(super) fn gzip(page: &str) -> io::Result<Option<Vec<u8>>> {
    if page.len() < SHORT {
        return Ok(None);
    }
    // The fastest level: a page is mostly repeated names, which compress well at any level.
    let mut encoder = GzEncoder::new(Vec::with_capacity(page.len() / 6), Compression::fast());
    encoder.write_all(page.as_bytes())?;
    encoder.finish().map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_taken_where_it_is_asked_for_and_not_refused() {
        for accepted in [
            "gzip",
            "GZIP",
            "deflate, gzip;q=0.5",
            "*",
            "br;q=1.0, *;q=0.1",
            "gzip;q=1.0, identity; q=0.5",
            "identity;q=0, *",
            "gzip ; Q = 0.001",
        ] {
            assert!(accepts_gzip(accepted), "{accepted}");
        }
        for accepted in [
            "",
            "identity",
            "br, deflate",
            "gzip;q=0",
            "gzip;q=0.0, *",
            "*;q=0",
            "gzip;q=0.2, identity",
            "gzip;q=x",
            "gzipped",
        ] {
            assert!(!accepts_gzip(accepted), "{accepted}");
        }
    }

    #[test]
    fn short_pages_stay_as_they_are() {
        assert_eq!(gzip(&"x".repeat(SHORT - 1)).unwrap(), None);
        let page = "network_bytes_total 1\n".repeat(1000);
        assert!(gzip(&page).unwrap().unwrap().len() < page.len() / 10);
    }
}
