use std::path::PathBuf;
use std::process::Stdio;

use fake_registry::Image;
use fake_registry::Target;
use fake_registry::Upstream;
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

/// Where the images are at the upstream.
pub(crate) const APP: &str = "team/app";
/// Where they are at the target.
pub(crate) const MIRRORED: &str = "a.io/team/app";

/// Two sides that no network joins: here an upstream, there a target and an upstream that has
/// nothing. Each side has a store and a `proxy.toml` with the same sets.
pub(crate) struct Gap {
    pub(crate) up: Upstream,
    pub(crate) target: Target,
    closed: Upstream,
    folder: TempDir,
}

/// What a command said.
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Gap {
    /// With these keys of a set that is called `base`.
    pub(crate) async fn with(set: &str) -> Self {
        let gap = Self {
            up: Upstream::start().await,
            target: Target::start().await,
            closed: Upstream::start().await,
            folder: TempDir::with_prefix("airgap-test-").unwrap(),
        };
        gap.configure(set);
        gap
    }

    /// Takes other keys.
    pub(crate) fn configure(&self, set: &str) {
        let upstream = |url: &str| {
            ["a.io", "quay.io"].map(|name| {
                format!(
                    "[[upstream]]\nname = {name:?}\nurl = {url:?}\nplain_http = true\n\
                     credentials = \"anonymous\"\n"
                )
            })
        };
        let store = "[server]\nlisten = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n\
                     [store]\npath = \"store\"\n";
        let here = format!(
            "{store}{}[[prefetch]]\nname = \"base\"\n{set}\n",
            upstream(&self.up.url()).concat()
        );
        let there = format!(
            "{store}{}[[target]]\nname = \"mirror\"\nurl = {:?}\nplain_http = true\n\
             credentials = \"anonymous\"\nrepository = \"{{upstream}}/{{repository}}\"\n\
             [[prefetch]]\nname = \"base\"\nto = [\"store\", \"mirror\"]\n{set}\n",
            upstream(&self.closed.url()).concat(),
            self.target.url(),
        );
        for (side, config) in [("here", here), ("there", there)] {
            std::fs::create_dir_all(self.at(side)).unwrap();
            std::fs::write(self.at(side).join("proxy.toml"), config).unwrap();
        }
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `tidegate` with `args`, in words, in the folder of a side; `..` is what both see.
    pub(crate) async fn run(&self, side: &str, args: &str) -> Said {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        command
            .args(args.split_whitespace())
            .current_dir(self.at(side))
            .env("NO_COLOR", "1")
            .env("DOCKER_CONFIG", self.folder.path())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let output = command.output().await.unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Said {
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }

    /// Brings the set into the store here.
    pub(crate) async fn sync(&self) {
        self.run("here", "sync base").await.well();
    }

    /// Exports the set to `..`.
    pub(crate) async fn export(&self, to: &str) -> Value {
        let args = format!("store export --set base {to} --json");
        serde_json::from_str(&self.run("here", &args).await.well()).unwrap()
    }

    /// Imports what is at `from`.
    pub(crate) async fn import(&self, from: &str) -> Value {
        let args = format!("store import {from} --json");
        serde_json::from_str(&self.run("there", &args).await.well()).unwrap()
    }

    /// Brings the set to the target from the store there.
    pub(crate) async fn offline(&self) -> Value {
        let said = self.run("there", "sync --offline base --json").await;
        let report = serde_json::from_str(&said.well()).unwrap();
        self.nobody_was_asked();
        report
    }

    #[track_caller]
    pub(crate) fn nobody_was_asked(&self) {
        let asked = self.closed.log();
        assert!(asked.is_empty(), "{}", fake_registry::lines(&asked));
    }

    /// Fails unless the target has all of `image`, under this tag.
    #[track_caller]
    pub(crate) fn assert_there(&self, repository: &str, tag: &str, image: &Image) {
        let tagged = self.target.tag(repository, tag);
        assert_eq!(tagged.as_deref(), Some(image.digest()), "{tag}");
        self.assert_whole(repository, image);
    }

    /// Fails unless the target has all of `image`.
    #[track_caller]
    pub(crate) fn assert_whole(&self, repository: &str, image: &Image) {
        for part in image.manifests.iter().chain([&image.root]) {
            let there = self.target.manifest(repository, &part.digest);
            let there = there.map(|(_, bytes)| bytes);
            assert!(there.as_ref() == Some(&part.bytes), "{}", part.digest);
        }
        for blob in &image.blobs {
            let there = self.target.blob(repository, &blob.digest);
            assert!(there.as_ref() == Some(&blob.bytes), "{}", blob.digest);
        }
    }
}

impl Said {
    /// What stdout had, where all went well.
    #[track_caller]
    pub(crate) fn well(self) -> String {
        assert_eq!(self.code, Some(0), "{}{}", self.stdout, self.stderr);
        self.stdout
    }

    /// What was said, where it ended with `code`.
    #[track_caller]
    pub(crate) fn failed(self, code: i32) -> String {
        let said = format!("{}{}", self.stdout, self.stderr);
        assert_eq!(self.code, Some(code), "{said}");
        said
    }
}
