//! The access log of a docker-registry.

/// A line of its access log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// The method.
    pub method: String,
    /// The path, without the query.
    pub path: String,
    /// The query, without its `?`; empty where there is none.
    pub query: String,
    /// The answer's status.
    pub status: u16,
    /// The length of the answer's body, in bytes.
    pub bytes: u64,
    /// The client's `User-Agent`.
    pub user_agent: String,
}

impl Access {
    /// From a line in the combined log format.
    pub(super) fn parse(line: &str) -> Option<Self> {
        let mut quoted = line.split('"');
        let mut request = quoted.nth(1)?.split(' ');
        let mut numbers = quoted.next()?.split_whitespace();
        let (method, target) = (request.next()?, request.next()?);
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        Some(Self {
            method: method.to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
            status: numbers.next()?.parse().ok()?,
            bytes: numbers.next()?.parse().ok()?,
            user_agent: quoted.nth(2).unwrap_or_default().to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_combined_log_format() {
        let line = "127.0.0.1 - - [21/Nov/2025:10:00:00 +0000] \"GET /v2/a/tags/list?n=1 HTTP/1.1\" \
                    200 34 \"\" \"curl/8\"";
        let access = Access::parse(line).unwrap();
        assert_eq!(
            (access.method.as_str(), access.path.as_str()),
            ("GET", "/v2/a/tags/list")
        );
        assert_eq!(
            (access.query.as_str(), access.status, access.bytes),
            ("n=1", 200, 34)
        );
        assert_eq!(access.user_agent, "curl/8");
        assert_eq!(Access::parse("time=now level=info"), None);
    }
}
