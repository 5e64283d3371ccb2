use std::fmt;

/// Ranges of versions, of which one must hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranges {
    text: String,
    ranges: Vec<semver::VersionReq>,
}

impl std::str::FromStr for Ranges {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let range = text
            .parse()
            .map_err(|error: semver::Error| error.to_string())?;
        Ok(Self {
            text: text.to_owned(),
            ranges: vec![range],
        })
    }
}

impl fmt::Display for Ranges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
