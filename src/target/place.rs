use std::fmt;
use std::str::FromStr;

use crate::oci::Name;
use crate::oci::NameError;
use crate::oci::Repository;

/// Where a target keeps what comes from a repository: a template of names, such as
/// `mirror/{upstream}/{repository}`.
///
/// Guarantees: `{repository}` stands in it, nothing in braces but that and `{upstream}`, and names
/// made of it are legal unless they are too long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    text: String,
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Literal(String),
    Upstream,
    Repository,
}

/// Why a text is no [`Place`]. It completes a sentence that names the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlaceError {
    /// All repositories would be the same.
    #[error("`{{repository}}` must stand in it, or all repositories would become one")]
    OneForAll,
    /// There is no such variable.
    #[error(
        "there is no `{{{0}}}`; `{{upstream}}` and `{{repository}}` stand for what is mirrored"
    )]
    Unknown(String),
    /// A brace has no other one.
    #[error("a brace is open or stands alone; write `{{upstream}}` or `{{repository}}`")]
    Brace,
    /// What stands beside the variables makes no repository's name.
    #[error("it makes no legal names: {0}")]
    Illegal(NameError),
}

impl Place {
    /// Reads a template.
    ///
    /// # Errors
    /// When its names would be wrong.
    pub fn parse(text: &str) -> Result<Self, PlaceError> {
        let place = Self {
            text: text.to_owned(),
            pieces: pieces(text)?,
        };
        if !place.pieces.contains(&Piece::Repository) {
            return Err(PlaceError::OneForAll);
        }
        // Whatever the variables stand for begins and ends with a letter or a digit, as these do.
        place.filled("u", "r").map_err(PlaceError::Illegal)?;
        Ok(place)
    }

    /// The name that `repository` has there. A port's colon is written as `_`.
    ///
    /// # Errors
    /// When it would be longer than names may be.
    pub fn of(&self, repository: &Repository) -> Result<Name, NameError> {
        let upstream = repository.upstream.path_component();
        self.filled(&upstream, repository.name.as_str())
    }

    /// Whether `{upstream}` stands in it: without, repositories of two upstreams could become one.
    pub fn tells_upstreams_apart(&self) -> bool {
        self.pieces.contains(&Piece::Upstream)
    }

    fn filled(&self, upstream: &str, repository: &str) -> Result<Name, NameError> {
        let pieces = self.pieces.iter().map(|piece| match piece {
            Piece::Literal(text) => text.as_str(),
            Piece::Upstream => upstream,
            Piece::Repository => repository,
        });
        pieces.collect::<String>().parse()
    }
}

fn pieces(text: &str) -> Result<Vec<Piece>, PlaceError> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((literal, behind)) = rest.split_once('{') {
        let (variable, behind) = behind.split_once('}').ok_or(PlaceError::Brace)?;
        pieces.push(Piece::Literal(literal.to_owned()));
        pieces.push(match variable {
            "upstream" => Piece::Upstream,
            "repository" => Piece::Repository,
            other => return Err(PlaceError::Unknown(other.to_owned())),
        });
        rest = behind;
    }
    pieces.push(Piece::Literal(rest.to_owned()));
    let is_brace = |piece: &Piece| matches!(piece, Piece::Literal(text) if text.contains('}'));
    match pieces.iter().any(is_brace) {
        true => Err(PlaceError::Brace),
        false => Ok(pieces),
    }
}

impl FromStr for Place {
    type Err = PlaceError;

    fn from_str(text: &str) -> Result<Self, PlaceError> {
        Self::parse(text)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(place: &str, upstream: &str, name: &str) -> Result<String, NameError> {
        let repository = Repository::new(upstream.parse().unwrap(), name.parse().unwrap());
        let place = Place::parse(place).unwrap();
        place.of(&repository).map(|name| name.to_string())
    }

    #[test]
    fn a_repository_has_one_name_there() {
        for (place, upstream, name, expected) in [
            (
                "{upstream}/{repository}",
                "docker.io",
                "library/nginx",
                "docker.io/library/nginx",
            ),
            ("{repository}", "quay.io", "a", "a"),
            ("mirror-{repository}", "quay.io", "a/b", "mirror-a/b"),
            (
                "a/{upstream}/b/{repository}/c",
                "localhost:5000",
                "x",
                "a/localhost_5000/b/x/c",
            ),
        ] {
            assert_eq!(of(place, upstream, name).as_deref(), Ok(expected));
        }
        let long = "a".repeat(250);
        assert!(of("{upstream}/{repository}", "docker.io", &long).is_err());
    }

    #[test]
    fn what_makes_no_names_is_no_place() {
        for (text, said) in [
            ("", "must stand in it"),
            ("mirror", "must stand in it"),
            ("{upstream}", "must stand in it"),
            ("{repo}", "there is no `{repo}`"),
            ("{repository", "a brace is open"),
            ("repository}{repository}", "a brace is open"),
            ("{{repository}}", "there is no `{{repository}`"),
            ("Mirror/{repository}", "no legal names"),
            ("/{repository}", "no legal names"),
            ("{repository}/", "no legal names"),
            ("a..{repository}", "no legal names"),
            ("{upstream}//{repository}", "no legal names"),
            ("{repository}:5000", "no legal names"),
        ] {
            let error = Place::parse(text).unwrap_err().to_string();
            assert!(error.contains(said), "{text}: {error}");
        }
    }

    #[test]
    fn knows_whether_it_tells_upstreams_apart() {
        assert!(
            !Place::parse("a/{repository}")
                .unwrap()
                .tells_upstreams_apart()
        );
        let place = Place::parse("{upstream}/{repository}").unwrap();
        assert!(place.tells_upstreams_apart());
        assert_eq!(place.to_string(), "{upstream}/{repository}");
    }
}
