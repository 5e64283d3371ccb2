//! A file of references, as people have them: one a line, what `docker images` prints, Kubernetes
//! manifests, values of Helm charts.

use std::path::Path;

use super::Asked;
use crate::oci::Image;
use crate::oci::Reference;

mod lines;
mod mapping;

/// More than that is no list of images.
const LONGEST: u64 = 64 << 20;

/// What a line names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Where it stands, from 1.
    pub line: usize,
    /// The image; or why there is none.
    pub image: Result<Image, String>,
}

/// All images that `text` names, in its order. Registries that don't look like hosts are those that
/// `is_registry` says.
pub fn named_in(text: &str, is_registry: impl Fn(&str) -> bool) -> Vec<Named> {
    let all = lines::read(text).into_iter();
    let read = |(line, found): (usize, Result<String, String>)| Named {
        line,
        image: found.and_then(|found| {
            let image = Image::read(&found, &is_registry);
            let image = image.map_err(|error| error.to_string())?;
            Ok(image.or_latest())
        }),
    };
    all.map(read).collect()
}

/// Tells all images that a file names. It is read anew in each run.
pub(super) async fn discover(asked: Asked<'_>, file: &Path) {
    let what = file.display().to_string();
    let text = match read(file).await {
        Ok(text) => text,
        Err(why) => return asked.failed(what, why).await,
    };
    let flow = asked.flow();
    let is_registry = |name: &str| name.parse().is_ok_and(|name| flow.knows(&name));
    let all = named_in(&text, is_registry);
    if all.is_empty() {
        let why = "it names no image".to_owned();
        return asked.failed(what, why).await;
    }
    for Named { line, image } in all {
        let problem = match image {
            Ok(image) if flow.knows(&image.repository.upstream) => {
                if !tell(asked, &image).await {
                    return;
                }
                continue;
            }
            Ok(image) => unknown(&image),
            Err(problem) => problem,
        };
        asked.failed(format!("{what}:{line}"), problem).await;
    }
}

async fn tell(asked: Asked<'_>, image: &Image) -> bool {
    let repository = &image.repository;
    match (&image.digest, &image.tag) {
        (Some(digest), tag) => asked.by_digest(repository, digest, tag.clone()).await,
        (None, Some(tag)) => {
            let reference = Reference::Tag(tag.clone());
            asked.image(repository, &reference).await
        }
        (None, None) => true,
    }
}

fn unknown(image: &Image) -> String {
    let upstream = &image.repository.upstream;
    format!(
        "{image} is of {upstream}, which is no configured upstream; add an [[upstream]] of that name"
    )
}

async fn read(file: &Path) -> Result<String, String> {
    let file = file.to_owned();
    let read = tokio::task::spawn_blocking(move || text(&file));
    match read.await {
        Ok(Ok(text)) => Ok(text),
        Ok(Err(error)) => Err(error.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

/// All of a file. Blocks.
pub(super) fn text(file: &Path) -> std::io::Result<String> {
    let size = std::fs::metadata(file)?.len();
    if size > LONGEST {
        return Err(std::io::Error::other("it is too long for a list of images"));
    }
    std::fs::read_to_string(file)
}

#[cfg(test)]
mod tests;
