//! A Debian docker-registry serves the store's folder.

use std::fs;
use std::io::BufRead as _;
use std::io::BufReader;
use std::io::Read as _;
use std::io::Write as _;
use std::net::TcpStream;
use std::path::Path;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;
use std::time::SystemTime;

use bytes::Bytes;
use tidegate::oci::Digest;
use tidegate::oci::media;

use super::*;

/// A running docker-registry: ends with the test.
struct Registry {
    child: Child,
    address: String,
    _folder: TempDir,
}

impl Registry {
    /// Serves `root`; `None` where the machine has none, which CI does not forgive.
    fn serve(root: &Path) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.yml");
        let config = format!(
            "version: 0.1\nlog:\n  level: info\nstorage:\n  filesystem:\n    rootdirectory: {}\n\
             http:\n  addr: 127.0.0.1:0\n",
            root.display()
        );
        fs::write(&file, config).unwrap();
        let spawned = Command::new("docker-registry")
            .arg("serve")
            .arg(&file)
            .env("OTEL_TRACES_EXPORTER", "none")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        let Ok(mut child) = spawned else {
            assert!(std::env::var_os("CI").is_none(), "docker-registry missing");
            eprintln!("skipped: docker-registry is not installed");
            return None;
        };
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| {
                let at = line.split_once("listening on ")?.1;
                Some(at.split('"').next()?.to_owned())
            })
            .expect("docker-registry did not listen");
        std::thread::spawn(move || lines.for_each(drop));
        Some(Self {
            child,
            address,
            _folder: folder,
        })
    }

    /// The status, the header and the body of a `GET`.
    fn get(&self, path: &str, accept: &str) -> (u16, String, Vec<u8>) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: registry\r\nAccept: {accept}\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let end = answer.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
        let body = answer.split_off(end + 4);
        let header = String::from_utf8(answer).unwrap().to_lowercase();
        let status = header.split(' ').nth(1).unwrap().parse().unwrap();
        (status, header, body)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn a_real_registry_serves_the_folder() {
    let fixture = Fixture::new(None).await;
    let repository = repository("localhost:5000/library/nginx");
    let layer = vec![7; 300_000];
    let digest = fixture.image(&repository, "1.27", &[&layer]).await;
    let (index, child) = (media::OCI_INDEX, media::OCI_MANIFEST);
    let entry = descriptor(child, &Digest::of(b"not here"), 8);
    let sparse = format!(r#"{{"schemaVersion":2,"mediaType":"{index}","manifests":[{entry}]}}"#);
    let list = fixture
        .manifest(&repository, "sparse", index, sparse.clone())
        .await;
    let Some(registry) = Registry::serve(&fixture.config.path) else {
        return;
    };
    let base = "/v2/localhost_5000/library/nginx";

    let stored = fixture.store.manifest(&repository, &digest).await.unwrap();
    let stored = stored.unwrap();
    for reference in ["1.27", digest.as_str()] {
        let (status, header, body) = registry.get(&format!("{base}/manifests/{reference}"), child);
        assert_eq!((status, Bytes::from(body)), (200, stored.bytes.clone()));
        assert!(header.contains(&format!("docker-content-digest: {digest}")));
        assert!(header.contains(&format!("content-type: {child}")));
    }
    let (status, _, body) = registry.get(&format!("{base}/manifests/sparse"), index);
    assert_eq!((status, body), (200, sparse.into_bytes()), "{list}");
    let (status, _, body) = registry.get(&format!("{base}/blobs/{}", Digest::of(&layer)), "*/*");
    assert_eq!(status, 200);
    assert!(body == layer, "another layer came");
    let (status, _, body) = registry.get(&format!("{base}/tags/list"), "*/*");
    let tags: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(
        (status, &tags["tags"]),
        (200, &serde_json::json!(["1.27", "sparse"]))
    );
    let (_, _, body) = registry.get("/v2/_catalog", "*/*");
    let catalog: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(
        catalog["repositories"],
        serde_json::json!(["localhost_5000/library/nginx"])
    );
    let other = format!("/v2/other/blobs/{}", Digest::of(&layer));
    assert_eq!(registry.get(&other, "*/*").0, 404);
}

#[tokio::test]
async fn links_hold_a_digest_without_a_newline() {
    let fixture = Fixture::new(None).await;
    let repository = repository("docker.io/library/nginx");
    let digest = fixture.image(&repository, "1.27", &[b"layer"]).await;
    let base = fixture.v2().join("repositories/docker.io/library/nginx");
    let (hex, layer) = (digest.hex(), Digest::of(b"layer"));
    for (path, holds) in [
        (format!("_manifests/revisions/sha256/{hex}/link"), &digest),
        ("_manifests/tags/1.27/current/link".into(), &digest),
        (
            format!("_manifests/tags/1.27/index/sha256/{hex}/link"),
            &digest,
        ),
        (format!("_layers/sha256/{}/link", layer.hex()), &layer),
    ] {
        assert_eq!(fs::read_to_string(base.join(path)).unwrap(), holds.as_str());
    }
    assert_eq!(fs::read(fixture.blob_path(&layer)).unwrap(), b"layer");
    use std::os::unix::fs::PermissionsExt as _;
    let mode = fs::metadata(fixture.blob_path(&layer))
        .unwrap()
        .permissions()
        .mode();
    let plain = fixture.folder.path().join("plain");
    fs::write(&plain, "").unwrap();
    let usual = fs::metadata(plain).unwrap().permissions().mode();
    assert_eq!(mode, usual, "readable by others, as the umask says");
}

#[tokio::test]
async fn media_types_and_times_survive_a_restart() {
    let fixture = Fixture::new(None).await;
    let repository = repository("docker.io/library/nginx");
    let (tag, odd) = ("1".parse().unwrap(), "application/vnd.example+json");
    let digest = fixture.manifest(&repository, "1", odd, "{}".into()).await;
    let before = fixture.store.tag(&repository, &tag).await.unwrap().unwrap();
    let fixture = fixture.reopen().await;
    let after = fixture.store.tag(&repository, &tag).await.unwrap().unwrap();
    assert_eq!(
        (after.digest, after.confirmed),
        (digest.clone(), before.confirmed)
    );
    let manifest = fixture
        .store
        .manifest(&repository, &digest)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (&*manifest.media_type, &manifest.bytes[..]),
        (odd, &b"{}"[..])
    );
}

#[tokio::test]
async fn a_folder_that_a_registry_wrote_can_be_served() {
    let fixture = Fixture::new(None).await;
    let repository = repository("docker.io/library/nginx");
    let digest = fixture.image(&repository, "1", &[b"layer"]).await;
    let folder = fixture
        .v2()
        .join("repositories/docker.io/library/nginx/_manifests/revisions");
    fs::remove_file(folder.join("sha256").join(digest.hex()).join("media-type")).unwrap();
    let manifest = fixture
        .store
        .manifest(&repository, &digest)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(&*manifest.media_type, media::OCI_MANIFEST);
}

#[tokio::test]
async fn a_tag_that_did_not_move_is_only_confirmed() {
    let fixture = Fixture::new(None).await;
    let repository = repository("docker.io/library/nginx");
    let digest = fixture.image(&repository, "1", &[]).await;
    let link = fixture
        .v2()
        .join("repositories/docker.io/library/nginx/_manifests/tags/1/current/link");
    let old = SystemTime::now() - Duration::from_secs(3600);
    fs::File::open(&link).unwrap().set_modified(old).unwrap();
    let inode = std::os::unix::fs::MetadataExt::ino(&fs::metadata(&link).unwrap());
    let tag = "1".parse().unwrap();
    let store = &fixture.store;
    assert_eq!(
        store
            .tag(&repository, &tag)
            .await
            .unwrap()
            .unwrap()
            .confirmed,
        old
    );

    let now = SystemTime::now();
    store.put_tag(&repository, &tag, &digest).await.unwrap();
    assert!(
        store
            .tag(&repository, &tag)
            .await
            .unwrap()
            .unwrap()
            .confirmed
            >= now
    );
    let same = std::os::unix::fs::MetadataExt::ino(&fs::metadata(&link).unwrap());
    assert_eq!(inode, same, "the link was not written again");

    let other = Digest::of(b"other");
    store.put_tag(&repository, &tag, &other).await.unwrap();
    assert_eq!(
        store.tag(&repository, &tag).await.unwrap().unwrap().digest,
        other
    );
    assert_eq!(fs::read_to_string(&link).unwrap(), other.as_str());
}
