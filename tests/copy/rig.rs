use std::collections::BTreeMap;
use std::path::Path;
use std::path::PathBuf;
use std::process::Stdio;

use fake_registry::DockerRegistry;
use fake_registry::Image;
use fake_registry::Push;
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

/// A folder to work in.
pub(crate) struct Place(TempDir);

/// What a command said.
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self(TempDir::with_prefix("copy-test-").unwrap())
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// `tidegate` with `args`, in words.
    pub(crate) fn tidegate(&self, args: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        command.args(args.split_whitespace());
        self.dress(&mut command);
        // Nobody's credentials are used.
        command.env("DOCKER_CONFIG", self.0.path());
        command
    }

    /// Another program with `args`, in words.
    pub(crate) async fn run(&self, program: &str, args: &str) -> Said {
        let mut command = Command::new(program);
        command.args(args.split_whitespace());
        self.dress(&mut command);
        Said::of(command).await
    }

    fn dress(&self, command: &mut Command) {
        command
            .current_dir(self.0.path())
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .kill_on_drop(true);
    }

    /// `tidegate copy --plain-http` with `args`, in words.
    pub(crate) async fn copy(&self, args: &str) -> Said {
        Said::of(self.tidegate(&format!("copy --plain-http {args}"))).await
    }

    /// The result of a copy that went well.
    #[track_caller]
    pub(crate) fn copied(&self, args: &str) -> impl Future<Output = Value> {
        let command = self.tidegate(&format!("copy --plain-http --json {args}"));
        async move { serde_json::from_str(&Said::of(command).await.well()).unwrap() }
    }

    /// The files below a folder, by their names.
    pub(crate) fn files(&self, name: &str) -> BTreeMap<String, Vec<u8>> {
        let mut all = BTreeMap::new();
        collect(&self.at(name), "", &mut all);
        all
    }
}

fn collect(folder: &Path, prefix: &str, all: &mut BTreeMap<String, Vec<u8>>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = format!("{prefix}{}", path.file_name().unwrap().to_str().unwrap());
        if path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            collect(&path, &format!("{name}/"), all);
        } else if path.is_file() {
            all.insert(name, std::fs::read(path).unwrap());
        }
    }
}

impl Said {
    pub(crate) async fn of(mut command: Command) -> Self {
        let output = command.output().await.unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self {
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }

    /// What stdout had, where all went well.
    #[track_caller]
    pub(crate) fn well(self) -> String {
        assert_eq!(self.code, Some(0), "{}{}", self.stdout, self.stderr);
        self.stdout
    }

    /// What stderr had, where it ended with `code`.
    #[track_caller]
    pub(crate) fn failed(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{}{}", self.stdout, self.stderr);
        self.stderr
    }
}

/// A real registry, in plain HTTP.
pub(crate) async fn registry() -> DockerRegistry {
    DockerRegistry::builder().start().await
}

/// Puts `image` into it.
pub(crate) async fn push(registry: &DockerRegistry, image: &Image, repository: &str, tag: &str) {
    let push = Push::to(&registry.url(), registry.client());
    image.push_http(&push, repository, tag).await.unwrap();
}

/// The files that a layout of `images` has, by their names: its blobs.
pub(crate) fn blobs(images: &[&Image]) -> BTreeMap<String, Vec<u8>> {
    let all = images.iter().flat_map(|image| {
        let parts = image.blobs.iter().chain(&image.manifests);
        parts.chain([&image.root])
    });
    all.map(|part| {
        let name = format!("blobs/{}", part.digest.replace(':', "/"));
        (name, part.bytes.to_vec())
    })
    .collect()
}

/// Fails unless `found`, the files of a layout, has these blobs and no other.
#[track_caller]
pub(crate) fn assert_blobs(mut found: BTreeMap<String, Vec<u8>>, images: &[&Image]) {
    found.retain(|name, _| name.starts_with("blobs/"));
    let expected = blobs(images);
    let names = |all: &BTreeMap<String, Vec<u8>>| Vec::from_iter(all.keys().cloned());
    assert_eq!(names(&found), names(&expected));
    assert!(found == expected, "bytes differ");
}
