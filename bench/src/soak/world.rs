//! The upstreams, and what they hold.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::PoisonError;

use bytes::Bytes;
use fake_registry::Content;
use fake_registry::ImageBuilder;
use fake_registry::Pki;
use fake_registry::Random;
use fake_registry::TokenServer;
use fake_registry::Upstream;
use fake_registry::digest_of;
use serde_json::json;
use std::time::Duration;

use super::pick;

/// All upstreams. `plain` has a mirror that stands in for it; `tokens` is over TLS and HTTP/2, and
/// lets nobody in without a token that soon expires.
pub(crate) struct World {
    pub(crate) plain: Upstream,
    pub(crate) mirror: Upstream,
    pub(crate) tokens: Upstream,
    pub(crate) token_server: TokenServer,
    pub(crate) pki: Pki,
    pub(crate) repositories: Vec<Repository>,
}

/// A repository, the same at all its upstreams.
pub(crate) struct Repository {
    /// What clients call its upstream.
    pub(crate) site: &'static str,
    pub(crate) name: String,
    pub(crate) versions: Vec<Version>,
    /// What the tag `latest` points to, as a place in `versions`, and all that it ever pointed to.
    latest: Mutex<(usize, BTreeSet<usize>)>,
}

/// An image: `v<n>` in its repository, where it is the nth.
pub(crate) struct Version {
    pub(crate) root: Manifest,
    /// The manifests that the root names, where it is an index.
    pub(crate) children: Vec<Manifest>,
    pub(crate) blobs: Vec<Blob>,
}

#[derive(Clone)]
pub(crate) struct Manifest {
    pub(crate) digest: String,
    media_type: String,
    bytes: Bytes,
}

#[derive(Clone)]
pub(crate) struct Blob {
    pub(crate) digest: String,
    pub(crate) content: Content,
}

impl Blob {
    /// Whether upstreams may flip bits of it. Parts that a client asks for by range can't be held
    /// against a digest by anybody but the client, so these blobs are asked for as a whole only.
    pub(crate) fn may_be_flipped(&self) -> bool {
        may_be_flipped(&self.digest)
    }
}

/// As [`Blob::may_be_flipped`], of a path that ends with a digest.
pub(crate) fn may_be_flipped(path: &str) -> bool {
    path.ends_with(|last: char| "02468ace".contains(last))
}

impl Repository {
    /// `latest` moves on; gives the digest it is to have.
    fn moves(&self, random: &mut Random) -> String {
        let to = pick(random, self.versions.len());
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        latest.0 = to;
        latest.1.insert(to);
        self.versions[to].root.digest.clone()
    }

    /// The digest of `latest` now.
    pub(crate) fn latest(&self) -> &str {
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        &self.versions[latest.0].root.digest
    }

    /// Whether `latest` is or ever was the manifest `digest`.
    pub(crate) fn was_latest(&self, digest: &str) -> bool {
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        latest
            .1
            .iter()
            .any(|at| self.versions[*at].root.digest == digest)
    }

    /// `<upstream>/<name>`.
    pub(crate) fn path(&self) -> String {
        format!("{}/{}", self.site, self.name)
    }
}

/// Repositories of each upstream.
const REPOSITORIES: usize = 6;
/// Images of each repository.
const VERSIONS: usize = 3;

impl World {
    /// All of it, made from `random`. About 600 MiB of images, which take no memory.
    pub(crate) async fn make(random: &mut Random) -> Self {
        let pki = Pki::new();
        let token_server = TokenServer::builder()
            .anonymous(&["*"])
            .expires_in(Duration::from_secs(5));
        let token_server = token_server.tls(&pki).start().await;
        let tokens = Upstream::builder().tls(&pki).bearer(&token_server);
        let mut world = Self {
            plain: Upstream::start().await,
            mirror: Upstream::start().await,
            tokens: tokens.start().await,
            token_server,
            pki,
            repositories: Vec::new(),
        };
        for number in 0..2 * REPOSITORIES {
            let site = if number % 2 == 0 {
                "plain.test"
            } else {
                "tokens.test"
            };
            let versions = (0..VERSIONS).map(|_| version(random, number % 3 == 0));
            let repository = Repository {
                site,
                name: format!("team/app{number}"),
                versions: versions.collect(),
                latest: Mutex::new((0, BTreeSet::from([0]))),
            };
            for upstream in world.holders(&repository) {
                repository.put(upstream);
            }
            world.repositories.push(repository);
        }
        world
    }

    /// The upstreams that hold a repository.
    fn holders(&self, repository: &Repository) -> Vec<&Upstream> {
        match repository.site {
            "plain.test" => vec![&self.plain, &self.mirror],
            _ => vec![&self.tokens],
        }
    }

    /// All upstreams.
    pub(crate) fn upstreams(&self) -> [&Upstream; 3] {
        [&self.plain, &self.mirror, &self.tokens]
    }

    /// A tag moves.
    pub(crate) fn move_a_tag(&self, random: &mut Random) {
        let repository = &self.repositories[pick(random, self.repositories.len())];
        let digest = repository.moves(random);
        for upstream in self.holders(repository) {
            upstream.move_tag(&repository.name, "latest", &digest);
        }
    }

    /// Body bytes that upstreams sent since the last time, of answers that have ended.
    pub(crate) fn take_sent(&self) -> u64 {
        let logs = self.upstreams().map(|upstream| upstream.take_ended());
        self.token_server.take_ended();
        logs.iter()
            .flatten()
            .map(|recorded| recorded.body_bytes_sent)
            .sum()
    }
}

impl Repository {
    fn put(&self, upstream: &Upstream) {
        for (number, version) in self.versions.iter().enumerate() {
            for blob in &version.blobs {
                upstream.put_blob_as(&self.name, &blob.digest, blob.content.clone());
            }
            for manifest in &version.children {
                manifest.put(upstream, &self.name, &manifest.digest);
            }
            version
                .root
                .put(upstream, &self.name, &format!("v{number}"));
        }
        upstream.move_tag(&self.name, "latest", &self.versions[0].root.digest);
    }
}

impl Manifest {
    fn put(&self, upstream: &Upstream, name: &str, reference: &str) {
        upstream.put_manifest(name, reference, &self.media_type, self.bytes.clone());
    }
}

/// An index of two small images, or one image of large layers.
fn version(random: &mut Random, small: bool) -> Version {
    if small {
        let image = ImageBuilder::new(random.next_u64());
        let image = image
            .base(1, 2)
            .platforms(&["linux/amd64", "linux/arm64"])
            .build();
        let manifest = |part: &fake_registry::Part| Manifest {
            digest: part.digest.clone(),
            media_type: part.media_type.clone(),
            bytes: part.bytes.clone(),
        };
        let blobs = image.blobs.iter().map(|part| Blob {
            digest: part.digest.clone(),
            content: Content::Memory(part.bytes.clone()),
        });
        return Version {
            root: manifest(&image.root),
            children: image.manifests.iter().map(manifest).collect(),
            blobs: blobs.collect(),
        };
    }
    let mut blobs: Vec<Blob> = (0..3).map(|_| layer(random)).collect();
    let config = Content::Memory(json!({"seed": random.next_u64()}).to_string().into());
    blobs.push(Blob {
        digest: config.digest(),
        content: config,
    });
    let descriptor = |blob: &Blob, kind: &str| {
        let media_type = format!("application/vnd.oci.image.{kind}");
        json!({"mediaType": media_type, "digest": blob.digest, "size": blob.content.len()})
    };
    let (layers, config) = blobs.split_at(3);
    let layers: Vec<_> = layers
        .iter()
        .map(|it| descriptor(it, "layer.v1.tar"))
        .collect();
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let manifest = json!({
        "schemaVersion": 2, "mediaType": media_type, "layers": layers,
        "config": descriptor(&config[0], "config.v1+json"),
    });
    let bytes = Bytes::from(manifest.to_string());
    Version {
        root: Manifest {
            digest: digest_of(&bytes),
            media_type: media_type.to_owned(),
            bytes,
        },
        children: Vec::new(),
        blobs,
    }
}

/// A layer of 200 KiB to 12 MiB, most of them rather small.
fn layer(random: &mut Random) -> Blob {
    let most = if pick(random, 3) == 0 {
        12 << 20
    } else {
        5 << 20
    };
    let size = (200 << 10) + random.next_u64() % most;
    let content = Content::generated(size, random.next_u64());
    Blob {
        digest: content.digest(),
        content,
    }
}
