use std::fmt;
use std::path::PathBuf;

/// A place for images on disk, as people write it: `oci:DIR[:REF]` or `docker-archive:FILE[:NAME]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// An OCI image layout.
    Oci {
        /// Its folder.
        folder: PathBuf,
        /// Which image of it: its `org.opencontainers.image.ref.name`, or a digest.
        name: Option<String>,
    },
    /// A docker-archive.
    Archive {
        /// The tar file.
        file: PathBuf,
        /// Which image of it, as docker calls it: `name:tag`; or a digest.
        name: Option<String>,
    },
}

impl Location {
    /// Reads what people write; `None` where it is nothing on disk. The path ends at the first colon.
    ///
    /// # Errors
    /// When there is no path, or nothing behind the colon.
    pub fn parse(text: &str) -> Option<Result<Self, String>> {
        let (kind, rest) = text.split_once(':')?;
        if !matches!(kind, "oci" | "docker-archive") {
            return None;
        }
        let (path, name) = match rest.split_once(':') {
            Some((path, name)) => (path, Some(name)),
            None => (rest, None),
        };
        if path.is_empty() {
            return Some(Err(format!("'{text}' names no path; write {kind}:PATH")));
        }
        if name == Some("") {
            return Some(Err(format!("'{text}' ends with a colon and no name")));
        }
        let (path, name) = (PathBuf::from(path), name.map(ToOwned::to_owned));
        Some(Ok(match kind {
            "oci" => Self::Oci { folder: path, name },
            _ => Self::Archive { file: path, name },
        }))
    }

    /// Which image is meant, where it is said.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Oci { name, .. } | Self::Archive { name, .. } => name.as_deref(),
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, path) = match self {
            Self::Oci { folder, .. } => ("oci", folder),
            Self::Archive { file, .. } => ("docker-archive", file),
        };
        write!(f, "{kind}:{}", path.display())?;
        match self.name() {
            Some(name) => write!(f, ":{name}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_write() {
        for text in [
            "oci:dir",
            "oci:/a/b:1.0",
            "docker-archive:./a.tar",
            "docker-archive:a.tar:docker.io/library/nginx:1",
        ] {
            let read = Location::parse(text).unwrap().unwrap();
            assert_eq!(read.to_string(), text);
        }
        let named = Location::parse("docker-archive:a.tar:b/c:1").unwrap();
        assert_eq!(named.unwrap().name(), Some("b/c:1"));
        for text in ["oci:", "oci::x", "docker-archive:a.tar:"] {
            assert!(Location::parse(text).unwrap().is_err(), "{text}");
        }
        for text in ["nginx", "localhost:5000/a", "oci/a:1", "dir:/a"] {
            assert_eq!(Location::parse(text), None, "{text}");
        }
    }
}
