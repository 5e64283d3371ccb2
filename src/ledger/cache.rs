//! What caches on the way say of an answer.

use http::HeaderMap;
use http::header::AGE;

use super::Cdn;
use super::Receipt;

/// Headers in which content delivery networks say whether they had it. `Cache-Status` is RFC 9211;
/// the others are Cloudflare's, and what CloudFront, Fastly, Akamai, Azure, Varnish and others use.
const HEADERS: [&str; 4] = [
    "cf-cache-status",
    "cache-status",
    "x-cache",
    "x-cache-status",
];
/// Words for what a cache had: "Hit from cloudfront", "TCP_MEM_HIT from a1-2-3-4", "REVALIDATED".
const HITS: [&str; 4] = ["hit", "stale", "updating", "revalidated"];
/// Words for what a cache asked for: "TCP_REFRESH_MISS", "EXPIRED", "fwd=uri-miss".
const MISSES: [&str; 8] = [
    "miss", "expired", "bypass", "dynamic", "pass", "nostore", "nocache", "fwd",
];

impl Receipt {
    /// Takes what caches say of the answer from its headers: [`Receipt::cdn`] and [`Receipt::age`].
    pub fn note_caches(&mut self, headers: &HeaderMap) {
        self.cdn = cdn(headers);
        let age = headers.get(AGE).and_then(|value| value.to_str().ok());
        self.age = age.and_then(|text| text.trim().parse().ok());
    }
}

/// Where several caches speak (Fastly's shield and its edge), one that had it is enough: nobody
/// behind it was asked.
fn cdn(headers: &HeaderMap) -> Option<Cdn> {
    let values = HEADERS.iter().flat_map(|name| headers.get_all(*name));
    let texts = values.filter_map(|value| value.to_str().ok());
    let mut found = None;
    for said in texts.flat_map(|text| text.split(',')) {
        match verdict(said) {
            Some(Cdn::Hit) => return Some(Cdn::Hit),
            None => {}
            miss => found = miss,
        }
    }
    found
}

fn verdict(said: &str) -> Option<Cdn> {
    let said = said.to_ascii_lowercase();
    // What follows is the cache's name: "Miss from a-cache-that-hits".
    let said = said.split(" from ").next()?;
    let mut words = said.split(|c: char| !c.is_ascii_alphanumeric());
    let is_one_of = |words: &[&str], word: &str| words.iter().any(|known| word.ends_with(known));
    words.find_map(|word| {
        if is_one_of(&HITS, word) {
            Some(Cdn::Hit)
        } else if is_one_of(&MISSES, word) {
            Some(Cdn::Miss)
        } else {
            None
        }
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;

    fn said(lines: &[(&'static str, &'static str)]) -> Option<Cdn> {
        let line = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), value.parse().unwrap())
        };
        cdn(&lines.iter().map(line).collect())
    }

    #[test]
    fn knows_what_caches_say() {
        let (hit, miss) = (Some(Cdn::Hit), Some(Cdn::Miss));
        for (name, value, verdict) in [
            ("cf-cache-status", "HIT", hit),
            ("cf-cache-status", "REVALIDATED", hit),
            ("cf-cache-status", "STALE", hit),
            ("cf-cache-status", "UPDATING", hit),
            ("cf-cache-status", "MISS", miss),
            ("cf-cache-status", "EXPIRED", miss),
            ("cf-cache-status", "BYPASS", miss),
            ("cf-cache-status", "DYNAMIC", miss),
            ("cf-cache-status", "NONE/UNKNOWN", None),
            ("x-cache", "Hit from cloudfront", hit),
            ("x-cache", "RefreshHit from cloudfront", hit),
            ("x-cache", "OriginShieldHit from cloudfront", hit),
            ("x-cache", "Miss from cloudfront", miss),
            ("x-cache", "Miss from hit.example", miss),
            ("x-cache", "Error from cloudfront", None),
            ("x-cache", "HIT", hit),
            ("x-cache", "MISS, HIT", hit),
            ("x-cache", "HIT, MISS", hit),
            ("x-cache", "MISS, MISS", miss),
            (
                "x-cache",
                "TCP_HIT from a23-1.deploy.akamaitechnologies.com (AkamaiGHost/11)",
                hit,
            ),
            ("x-cache", "TCP_MEM_HIT from a1-2-3-4", hit),
            ("x-cache", "TCP_REFRESH_MISS from a1-2-3-4", miss),
            ("x-cache", "TCP_MISS", miss),
            ("x-cache", "CONFIG_NOCACHE", miss),
            ("x-cache-status", "hit", hit),
            ("cache-status", "ExampleCache; hit; ttl=376", hit),
            ("cache-status", "OriginCache; fwd=uri-miss; stored", miss),
            ("cache-status", "Origin; fwd=miss, Edge; hit", hit),
            ("x-cache", "", None),
            ("x-cache", "white", None),
            ("x-other", "HIT", None),
        ] {
            assert_eq!(said(&[(name, value)]), verdict, "{name}: {value}");
        }
        assert_eq!(said(&[]), None);
        let both = [("x-cache", "MISS"), ("cf-cache-status", "HIT")];
        assert_eq!(said(&both), hit);
    }
}
