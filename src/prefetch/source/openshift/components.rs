use serde::Deserialize;

use crate::oci::Digest;
use crate::oci::Repository;
use crate::oci::Tag;

/// What `image-references` names.
#[derive(Debug)]
pub(in crate::prefetch::source) struct Components {
    /// What the release calls itself.
    pub(in crate::prefetch::source) version: String,
    /// Each of them, in their order.
    pub(in crate::prefetch::source) all: Vec<Component>,
}

/// An image that a release consists of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::prefetch::source) struct Component {
    /// Such as `etcd`.
    pub(in crate::prefetch::source) name: String,
    /// Where it is.
    pub(in crate::prefetch::source) repository: Repository,
    /// Which one.
    pub(in crate::prefetch::source) digest: Digest,
}

/// An `ImageStream` of OpenShift (image.openshift.io/v1).
#[derive(Deserialize)]
struct ImageStream {
    kind: String,
    #[serde(default)]
    metadata: Metadata,
    #[serde(default)]
    spec: Spec,
}

#[derive(Default, Deserialize)]
struct Metadata {
    #[serde(default)]
    name: String,
}

#[derive(Default, Deserialize)]
struct Spec {
    #[serde(default)]
    tags: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    name: String,
    from: Option<From>,
}

#[derive(Deserialize)]
struct From {
    kind: String,
    #[serde(default)]
    name: String,
}

/// What the file in a release image names. Entries that are no images are left out.
///
/// # Errors
/// When it is another file, names nothing, or names an image without its digest: says which.
pub(in crate::prefetch::source) fn read(file: &[u8]) -> Result<Components, String> {
    let wrong = |why: &str| format!("its {} {why}", super::layers::PLACE);
    let stream: ImageStream = serde_json::from_slice(file)
        .map_err(|error| wrong(&format!("is no list of components: {error}")))?;
    if stream.kind != "ImageStream" {
        let kind = &stream.kind;
        return Err(wrong(&format!(
            "is of the kind '{kind}', not 'ImageStream'"
        )));
    }
    let mut all = Vec::with_capacity(stream.spec.tags.len());
    for Entry { name, from } in stream.spec.tags {
        let Some(from) = from.filter(|from| from.kind == "DockerImage") else {
            continue;
        };
        let (repository, digest) = parts(&from.name).map_err(|why| {
            let what = format!("names the component '{name}' as '{}': {why}", from.name);
            wrong(&what)
        })?;
        let component = Component {
            name,
            repository,
            digest,
        };
        component.legal().map_err(|why| wrong(&why))?;
        all.push(component);
    }
    match all.is_empty() {
        true => Err(wrong("names no component at all")),
        false => Ok(Components {
            version: stream.metadata.name,
            all,
        }),
    }
}

impl Component {
    /// Its customary tag beside a release image with the tag `release`: `4.20.8-x86_64-etcd`.
    pub(in crate::prefetch::source) fn tag_beside(&self, release: &Tag) -> Option<Tag> {
        format!("{release}-{}", self.name).parse().ok()
    }

    /// Whether there can be a tag with its name.
    fn legal(&self) -> Result<(), String> {
        match format!("0-{}", self.name).parse::<Tag>() {
            Ok(_) => Ok(()),
            Err(error) => Err(format!("names a component '{}': {error}", self.name)),
        }
    }
}

/// `REGISTRY/NAME@DIGEST`, where a tag may be as well.
fn parts(text: &str) -> Result<(Repository, Digest), String> {
    let (place, digest) = text
        .split_once('@')
        .ok_or("an image without a digest is none that was released")?;
    let digest: Digest = digest.parse().map_err(|error| format!("{error}"))?;
    let (upstream, name) = place.split_once('/').ok_or("no registry is named")?;
    let name = name.split_once(':').map_or(name, |(name, _tag)| name);
    let upstream = upstream.parse().map_err(|error| format!("{error}"))?;
    let name = name.parse().map_err(|error| format!("{error}"))?;
    Ok((Repository::new(upstream, name), digest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(kind: &str, tags: &str) -> String {
        format!(
            r#"{{"kind":"{kind}","apiVersion":"image.openshift.io/v1",
                "metadata":{{"name":"4.20.8","creationTimestamp":"2026-01-05T09:12:44Z"}},
                "spec":{{"lookupPolicy":{{"local":false}},"tags":[{tags}]}}}}"#
        )
    }

    fn entry(name: &str, kind: &str, image: &str) -> String {
        format!(
            r#"{{"name":"{name}","annotations":{{"io.openshift.build.commit.id":"0123"}},
                "from":{{"kind":"{kind}","name":"{image}"}},"generation":2,
                "importPolicy":{{}},"referencePolicy":{{"type":"Source"}}}}"#
        )
    }

    #[test]
    fn reads_the_components_of_a_release() {
        let digest = Digest::of(b"etcd");
        let place = "quay.io/openshift-release-dev/ocp-v4.0-art-dev";
        let entries = [
            entry("etcd", "DockerImage", &format!("{place}@{digest}")),
            entry("alias", "ImageStreamTag", "cli:latest"),
            r#"{"name":"empty"}"#.to_owned(),
            entry("cli", "DockerImage", &format!("{place}:v4@{digest}")),
        ];
        let read = read(file("ImageStream", &entries.join(",")).as_bytes()).unwrap();
        assert_eq!(read.version, "4.20.8");
        let names: Vec<_> = read.all.iter().map(|it| it.name.as_str()).collect();
        assert_eq!(names, ["etcd", "cli"]);
        for component in &read.all {
            assert_eq!(component.repository.to_string(), place);
            assert_eq!(component.digest, digest);
        }
        let release = "4.20.8-x86_64".parse().unwrap();
        let tag = read.all[0].tag_beside(&release).unwrap();
        assert_eq!(tag.as_str(), "4.20.8-x86_64-etcd");
    }

    #[test]
    fn says_what_is_wrong() {
        let refused = |text: &str| read(text.as_bytes()).unwrap_err();
        let digest = Digest::of(b"");
        let tagged = entry("etcd", "DockerImage", "quay.io/a/b:latest");
        let said = refused(&file("ImageStream", &tagged));
        assert!(
            said.contains("'etcd'") && said.contains("without a digest"),
            "{said}"
        );
        let short = entry("etcd", "DockerImage", "quay.io/a/b@sha256:12");
        assert!(refused(&file("ImageStream", &short)).contains("'etcd'"));
        let local = entry("etcd", "DockerImage", &format!("etcd@{digest}"));
        assert!(refused(&file("ImageStream", &local)).contains("no registry"));
        let odd = entry("et cd", "DockerImage", &format!("quay.io/a/b@{digest}"));
        assert!(refused(&file("ImageStream", &odd)).contains("'et cd'"));
        assert!(refused(&file("ConfigMap", "")).contains("'ConfigMap'"));
        assert!(refused(&file("ImageStream", "")).contains("no component"));
        assert!(refused("{").contains("no list of components"));
    }
}
