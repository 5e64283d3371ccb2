use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::GeneralPurpose;
use base64::engine::GeneralPurposeConfig;

/// What an `Authorization` header brings.
#[derive(PartialEq, Eq)]
pub(super) enum Credentials {
    /// A user with a password (RFC 7617).
    Basic { name: String, password: Vec<u8> },
    /// A bearer token (RFC 6750, section 2.1).
    Bearer(Vec<u8>),
}

/// Clients pad, or don't.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

impl Credentials {
    /// Reads a header's value; `None` where it is neither form, or malformed.
    pub(super) fn parse(value: &[u8]) -> Option<Self> {
        let space = value.iter().position(|byte| *byte == b' ')?;
        let (scheme, rest) = value.split_at(space);
        let rest = rest.trim_ascii();
        if scheme.eq_ignore_ascii_case(b"bearer") {
            return (!rest.is_empty()).then(|| Self::Bearer(rest.to_vec()));
        }
        if !scheme.eq_ignore_ascii_case(b"basic") {
            return None;
        }
        let pair = BASE64.decode(rest).ok()?;
        let colon = pair.iter().position(|byte| *byte == b':')?;
        let name = std::str::from_utf8(&pair[..colon]).ok()?;
        Some(Self::Basic {
            name: name.to_owned(),
            password: pair[colon + 1..].to_vec(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn basic(text: &str) -> Option<(String, Vec<u8>)> {
        match Credentials::parse(text.as_bytes())? {
            Credentials::Basic { name, password } => Some((name, password)),
            Credentials::Bearer(_) => None,
        }
    }

    #[test]
    fn reads_both_forms() {
        let alice = Some(("alice".to_owned(), b"s:3cret".to_vec()));
        assert_eq!(basic("Basic YWxpY2U6czozY3JldA=="), alice);
        assert_eq!(basic("bAsIc  YWxpY2U6czozY3JldA "), alice);
        assert_eq!(basic("Basic Og=="), Some((String::new(), Vec::new())));
        let token = Credentials::parse(b"bearer abc.def");
        assert!(token == Some(Credentials::Bearer(b"abc.def".to_vec())));
    }

    #[test]
    fn what_is_malformed_is_nobody() {
        for text in [
            "",
            "Basic",
            "Basic ",
            "Basic !",
            "Basic YWxpY2U=",
            "Basic /zpw",
            "Bearer ",
            "Digest username=x",
            "YWxpY2U6czozY3JldA==",
        ] {
            assert!(Credentials::parse(text.as_bytes()).is_none(), "{text}");
        }
    }
}
