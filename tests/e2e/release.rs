//! An OpenShift release, as large as a real one, into a real registry.

use std::collections::BTreeMap;
use std::process::Stdio;

use fake_registry::Access;
use fake_registry::DockerRegistry;
use fake_registry::Image;
use fake_registry::Pki;
use fake_registry::Release;
use fake_registry::Upstream;
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

use crate::need::need;
use crate::scene::TIDEGATE;

const RELEASES: &str = "openshift-release-dev/ocp-release";
const PARTS: &str = "openshift-release-dev/ocp-v4.0-art-dev";
const COMPONENTS: usize = 190;

/// The command's report.
async fn sync(folder: &TempDir) -> Value {
    let mut command = Command::new(TIDEGATE);
    command
        .args(["sync", "--json"])
        .current_dir(folder.path())
        .env("DOCKER_CONFIG", folder.path())
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = command.output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn assert_there(target: &DockerRegistry, name: &str, tag: &str, image: &Image) {
    let place = format!("mirror/quay.io/{name}");
    let tagged = target.tag(&place, tag);
    assert_eq!(tagged.as_deref(), Some(image.digest()), "{tag}");
    for blob in &image.blobs {
        assert!(target.holds(&place, &blob.digest), "{tag}: {}", blob.digest);
    }
}

/// A folder with a configuration by which a release goes from `up` to `target`.
fn configured(pki: &Pki, up: &Upstream, target: &DockerRegistry) -> TempDir {
    let folder = TempDir::with_prefix("release-").expect("a folder of the test's");
    let ca = folder.path().join("ca.crt");
    std::fs::write(&ca, pki.ca_pem()).expect("a folder of the test's");
    let config = format!(
        "[store]\npath = \"store\"\n\
         [[upstream]]\nname = \"quay.io\"\nurl = {:?}\nplain_http = true\n\
         credentials = \"anonymous\"\n\
         [[target]]\nname = \"mirror\"\nurl = {:?}\nca = {ca:?}\ncredentials = \"anonymous\"\n\
         repository = \"mirror/{{upstream}}/{{repository}}\"\n\
         [[prefetch]]\nname = \"release\"\nfrom = \"openshift:4.20.8\"\nto = [\"mirror\"]\n\
         referrers = false\n",
        up.url(),
        target.url()
    );
    std::fs::write(folder.path().join("proxy.toml"), config).expect("a folder of the test's");
    folder
}

/// Each manifest and each blob was fetched once, whatever names it.
fn assert_each_fetched_once(up: &Upstream) {
    let mut fetched: BTreeMap<String, usize> = BTreeMap::new();
    for request in up.log() {
        assert_eq!(request.method, "GET", "{}", request.path);
        if let Some((_, what)) = request.path.rsplit_once('/') {
            *fetched.entry(what.to_owned()).or_default() += 1;
        }
    }
    fetched.retain(|_, times| *times > 1);
    assert!(fetched.is_empty(), "{fetched:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_release_is_brought_under_its_customary_tags() {
    if !need(&["docker-registry"]) {
        return;
    }
    let pki = Pki::new();
    let up = Upstream::start().await;
    let target = DockerRegistry::builder().tls(&pki, &[]).start().await;
    let built = Release::new("4.20.8", &format!("quay.io/{PARTS}"), COMPONENTS);
    built.image.push_to(&up, RELEASES, "4.20.8-x86_64");
    for (_, component) in &built.components {
        component.push_to(&up, PARTS, component.digest());
    }
    let folder = configured(&pki, &up, &target);

    let report = sync(&folder).await;
    let images = &report["sets"][0]["images"];
    assert_eq!(images["copied"], COMPONENTS + 1, "{images}");
    assert_there(&target, RELEASES, "4.20.8-x86_64", &built.image);
    for (name, component) in &built.components {
        assert_there(&target, PARTS, &format!("4.20.8-x86_64-{name}"), component);
    }

    assert_each_fetched_once(&up);
    let count = |access: &[Access], part: &str| {
        let puts = access.iter().filter(|it| it.method == "PUT");
        puts.filter(|it| it.path.contains(part)).count()
    };
    // What it logs may come a moment later.
    target
        .wait_for(|access| count(access, "/manifests/") > COMPONENTS)
        .await;
    let puts = |part: &str| count(&target.access(), part);
    // The last component is the first one under another name.
    let mut blobs: Vec<&str> = Vec::new();
    for image in built
        .components
        .iter()
        .map(|(_, it)| it)
        .chain([&built.image])
    {
        blobs.extend(image.blobs.iter().map(|blob| &*blob.digest));
    }
    blobs.sort_unstable();
    blobs.dedup();
    assert_eq!(puts("/blobs/uploads/"), blobs.len());
    assert_eq!(puts("/manifests/"), COMPONENTS + 1);

    // It is all there: one question at the source, and one for each tag at the target.
    up.clear_log();
    let before = target.access().len();
    let report = sync(&folder).await;
    let images = &report["sets"][0]["images"];
    assert_eq!(images["unchanged"], COMPONENTS + 1, "{images}");
    let asked: Vec<String> = up.log().iter().map(|it| it.method.to_string()).collect();
    assert_eq!(asked, ["HEAD"]);
    let asked = target.access().len() - before;
    assert!(asked <= COMPONENTS + 2, "{asked}");
}
