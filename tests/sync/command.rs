//! `tidegate sync`, as people type it.

use std::path::Path;
use std::process::Output;

use fake_registry::Fault;
use fake_registry::Gate;
use fake_registry::Image;
use fake_registry::ImageBuilder;
use fake_registry::PATIENCE;
use fake_registry::Target;
use fake_registry::Tidegate;
use fake_registry::Upstream;
use fake_registry::When;
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

const TIDEGATE: &str = env!("CARGO_BIN_EXE_tidegate");

/// A folder with a `proxy.toml`, one upstream and one target.
struct Scene {
    up: Upstream,
    target: Target,
    folder: TempDir,
}

fn image(seed: u64) -> Image {
    ImageBuilder::new(seed).layers(2).layer_size(4096).build()
}

impl Scene {
    async fn new(sets: &str) -> Self {
        let (up, target) = (Upstream::start().await, Target::start().await);
        let folder = tempfile::tempdir().unwrap();
        let scene = Self { up, target, folder };
        scene.configure(sets);
        scene
    }

    fn configure(&self, sets: &str) {
        let config = self.config(sets);
        std::fs::write(self.folder.path().join("proxy.toml"), config).unwrap();
    }

    fn config(&self, sets: &str) -> String {
        format!(
            "[server]\nlisten = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n\
             [[upstream]]\nname = \"up.test\"\nurl = \"{}\"\nplain_http = true\n\
             [[target]]\nname = \"mirror\"\nurl = \"{}\"\nplain_http = true\n\
             repository = \"{{upstream}}/{{repository}}\"\n{sets}",
            self.up.url(),
            self.target.url()
        )
    }

    fn put(&self, image: &Image, tag: &str) {
        image.push_to(&self.up, "app", tag);
    }

    async fn sync(&self, args: &[&str]) -> Output {
        sync(self.folder.path(), args).await
    }
}

async fn sync(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(TIDEGATE);
    command
        .arg("sync")
        .args(args)
        .current_dir(folder)
        .kill_on_drop(true);
    let output = tokio::time::timeout(4 * PATIENCE, command.output());
    output.await.expect("it ends").expect("it starts")
}

fn set(name: &str, tags: &str) -> String {
    format!(
        "[[prefetch]]\nname = \"{name}\"\nfrom = \"up.test/app\"\ntags = {tags}\n\
         referrers = false\nto = [\"store\", \"mirror\"]\n"
    )
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("it ended by itself")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test]
async fn sets_are_named_and_exit_codes_tell_how_it_went() {
    let two = set("one", "[\"v1\"]") + &set("two", "[\"v1\", \"absent\"]");
    let scene = Scene::new(&two).await;
    scene.put(&image(1), "v1");
    let output = scene.sync(&[]).await;
    assert_eq!(code(&output), 2);
    let said = text(&output.stderr);
    assert!(
        said.contains("one, two") && said.contains("--all"),
        "{said}"
    );
    let output = scene.sync(&["three"]).await;
    assert_eq!(code(&output), 2);
    assert_eq!(scene.up.log().len() + scene.target.log().len(), 0);

    let output = scene.sync(&["one"]).await;
    assert_eq!(code(&output), 0, "{}", text(&output.stderr));
    let said = text(&output.stdout);
    assert!(said.contains("one: done; 1 images, 1 copied"), "{said}");
    let output = scene.sync(&["--all", "--json"]).await;
    assert_eq!(code(&output), 1, "{}", text(&output.stderr));
    let printed: Value = serde_json::from_slice(&output.stdout).expect("JSON alone");
    assert_eq!(printed["sets"][0]["outcome"], "done");
    assert_eq!(printed["sets"][1]["outcome"], "partly");
    let items = printed["sets"][1]["items"].as_array().expect("items");
    let failed = items.iter().find(|item| item["outcome"] == "failed");
    assert_eq!(
        failed.expect("the one that failed")["image"],
        "up.test/app:absent"
    );
    assert_eq!(items.len(), 2, "also what is unchanged: {printed:#}");

    scene.configure(&set("none", "[\"absent\"]"));
    assert_eq!(code(&scene.sync(&[]).await), 3);
    scene.configure("");
    let output = scene.sync(&[]).await;
    assert_eq!(code(&output), 2);
    assert!(text(&output.stderr).contains("[[prefetch]]"));
}

#[tokio::test]
async fn a_rehearsal_says_what_would_be_brought_and_changes_nothing() {
    let scene = Scene::new(&set("set", "[\"v1\", \"v2\"]")).await;
    let image = |seed| {
        let image = ImageBuilder::new(seed).base(9, 1);
        image.layers(1).layer_size(4096).build()
    };
    let (one, two, three) = (image(1), image(2), image(3));
    scene.put(&one, "v1");
    scene.put(&two, "v2");
    let set = scene.rehearsed().await;
    assert_eq!(set["images"]["copied"], 2);
    let blobs = bytes(&[&one, &two]);
    assert_eq!(set["traffic"]["uploaded_bytes"], blobs, "{set:#}");
    let manifests = (one.root.bytes.len() + two.root.bytes.len()) as u64;
    assert_eq!(set["traffic"]["fetched_bytes"], blobs + manifests);
    // Nothing has been made.
    let left: Vec<_> = std::fs::read_dir(scene.folder.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");

    assert_eq!(code(&scene.sync(&[]).await), 0);
    let before = files(scene.folder.path());
    let set = scene.rehearsed().await;
    assert_eq!(set["images"]["copied"], 0, "{set:#}");
    assert_eq!(set["images"]["unchanged"], 2);
    assert_eq!(set["traffic"]["fetched_bytes"], 0, "{set:#}");
    scene.put(&three, "v2");
    let set = scene.rehearsed().await;
    assert_eq!(set["images"]["copied"], 1, "{set:#}");
    let new = bytes(&[&one, &three]) - bytes(&[&one]);
    assert_eq!(set["traffic"]["uploaded_bytes"], new);
    assert!(before == files(scene.folder.path()), "a file was changed");
}

/// The length of all blobs of `images`, each once.
fn bytes(images: &[&Image]) -> u64 {
    let all = images.iter().flat_map(|image| &image.blobs);
    let mut all: Vec<_> = all.map(|it| (&it.digest, it.bytes.len() as u64)).collect();
    all.sort_unstable();
    all.dedup();
    all.iter().map(|(_, size)| size).sum()
}

impl Scene {
    /// What a rehearsal says of the first set. No blob is fetched, and no target is asked.
    async fn rehearsed(&self) -> Value {
        self.up.clear_log();
        self.target.clear_log();
        let output = self.sync(&["--dry-run", "--json"]).await;
        assert_eq!(code(&output), 0, "{}", text(&output.stderr));
        let printed: Value = serde_json::from_slice(&output.stdout).expect("JSON alone");
        assert_eq!(self.target.log().len(), 0);
        assert_eq!(self.up.count(|it| it.path.contains("/blobs/")), 0);
        let set = printed["sets"][0].clone();
        assert_eq!(set["dry_run"], true);
        set
    }
}

/// All files below a folder, with their content.
fn files(folder: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut all = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false => all.push((path.clone(), std::fs::read(path).unwrap())),
            }
        }
    }
    all.sort();
    all
}

#[tokio::test]
async fn a_proxy_that_runs_is_asked_to_do_it() {
    let scene = Scene::new("").await;
    scene.put(&image(1), "v1");
    let port = fake_registry::ReservedPort::new();
    let address = port.address();
    drop(port);
    let sets = set("one", "[\"v1\"]") + &set("two", "[\"absent\"]");
    let config = scene.config(&sets);
    let config = config.replace("admin = \"127.0.0.1:0\"", &format!("admin = \"{address}\""));
    let proxy = Tidegate::builder(TIDEGATE, &config);
    let proxy = proxy.folder(scene.folder.path()).start().await;
    let output = scene.sync(&["one", "--json"]).await;
    assert_eq!(code(&output), 0, "{}", text(&output.stderr));
    let printed: Value = serde_json::from_slice(&output.stdout).expect("JSON alone");
    assert_eq!(printed["sets"][0]["images"]["copied"], 1, "{printed:#}");
    let output = scene.sync(&["--all"]).await;
    assert_eq!(code(&output), 1, "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("up.test/app:absent"));
    drop(proxy);
}

#[tokio::test]
async fn a_signal_ends_it_and_what_was_done_stays_known() {
    let scene = Scene::new(&set("set", "[\"v1\", \"v2\"]")).await;
    let (one, two) = (image(1), image(2));
    scene.put(&one, "v1");
    scene.put(&two, "v2");
    let gate = Gate::new();
    let stall = Fault::stall_after(100, &gate);
    scene.up.fault(When::get(&two.blobs[1].digest), stall);
    let mut command = Command::new(TIDEGATE);
    command
        .arg("sync")
        .current_dir(scene.folder.path())
        .kill_on_drop(true);
    command.stdout(std::process::Stdio::piped());
    let child = command.spawn().expect("it starts");
    let begun = async {
        while scene.up.gets_of(&two.blobs[1].digest).is_empty()
            || scene.target.tag("up.test/app", "v1").is_none()
        {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, begun)
        .await
        .expect("it begins");
    let id = child.id().expect("it runs").to_string();
    std::process::Command::new("kill")
        .args(["-INT", &id])
        .status()
        .expect("kill");
    let output = tokio::time::timeout(2 * PATIENCE, child.wait_with_output());
    let output = output.await.expect("it ends").expect("it ended");
    assert_eq!(code(&output), 1);
    let said = text(&output.stdout);
    assert!(
        said.contains("interrupted") && said.contains("left out  up.test/app:v2"),
        "{said}"
    );
    gate.open();
    scene.up.clear_faults();
    scene.up.clear_log();
    assert_eq!(code(&scene.sync(&[]).await), 0);
    assert_eq!(scene.target.uploaded_twice(), 0);
    for blob in &one.blobs {
        assert_eq!(scene.up.gets_of(&blob.digest).len(), 0);
    }
}
