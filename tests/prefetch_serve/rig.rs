use std::time::Duration;
use std::time::Instant;

use fake_registry::Client;
use fake_registry::ImageBuilder;
use fake_registry::PATIENCE;
use fake_registry::Reply;
use fake_registry::Tidegate;
use fake_registry::Upstream;
use http::Method;
use serde_json::Value;

/// The repository that sets are about.
pub(crate) const REPOSITORY: &str = "demo/app";

/// A proxy over one registry, `up.test`, with sets.
pub(crate) struct Rig {
    pub(crate) upstream: Upstream,
    pub(crate) tidegate: Tidegate,
}

/// One `[[prefetch]]` over all tags of the repository that `tags` lists, with `more`.
pub(crate) fn set(name: &str, tags: &[&str], more: &str) -> String {
    let tags: Vec<_> = tags.iter().map(|tag| format!("\"{tag}\"")).collect();
    let tags = tags.join(", ");
    format!(
        "[[prefetch]]\nname = \"{name}\"\nfrom = \"up.test/{REPOSITORY}\"\ntags = [{tags}]\n\
         referrers = false\n{more}\n"
    )
}

/// `t0`, `t1` and so on.
pub(crate) fn many(count: u64) -> Vec<String> {
    (0..count).map(|index| format!("t{index}")).collect()
}

impl Rig {
    /// With these sets, over a registry that has `tags`, each another image.
    pub(crate) async fn new(tags: &[&str], sets: &str) -> Self {
        let upstream = Upstream::start().await;
        for (seed, tag) in (1..).zip(tags) {
            let image = ImageBuilder::new(seed).layers(1).layer_size(2000).build();
            image.push_to(&upstream, REPOSITORY, tag);
        }
        Self::over(upstream, sets).await
    }

    pub(crate) async fn over(upstream: Upstream, sets: &str) -> Self {
        let config = Self::config(&upstream, sets);
        let builder = Tidegate::builder(env!("CARGO_BIN_EXE_tidegate"), &config);
        let tidegate = builder.env("TZ", "UTC").start().await;
        Self { upstream, tidegate }
    }

    /// `proxy.toml`.
    pub(crate) fn config(upstream: &Upstream, sets: &str) -> String {
        format!(
            "[server]\nlisten = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n\
             drain_timeout = \"30s\"\n\
             [[upstream]]\nname = \"up.test\"\nurl = \"{}\"\nplain_http = true\n\
             credentials = \"anonymous\"\n{sets}",
            upstream.url()
        )
    }

    /// Takes over other sets.
    pub(crate) async fn reload(&mut self, sets: &str) {
        let config = Self::config(&self.upstream, sets);
        let reloads = self.tidegate.log().matches("reloaded").count();
        self.tidegate.reload(&config);
        let is_so = |log: &str| log.matches("reloaded").count() > reloads;
        while !is_so(&self.tidegate.log()) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Asks the admin listener.
    pub(crate) async fn ask(&self, method: Method, path: &str) -> Reply {
        let url = format!("{}{path}", self.tidegate.admin());
        Client::new().request(method, url).send().await.unwrap()
    }

    /// Runs a set now: the status, and when the run that is under way began.
    pub(crate) async fn trigger(&self, set: &str) -> (u16, String) {
        let path = format!("/api/v1/prefetch/{set}");
        let reply = self.ask(Method::POST, &path).await;
        let status = reply.status.as_u16();
        let location = reply.header("location").map(str::to_owned);
        let body = reply.json().await.unwrap();
        assert_eq!(
            (&body["set"], &body["see"]),
            (&set.into(), &path.clone().into())
        );
        assert_eq!(location, Some(path));
        (status, body["begun"].as_str().unwrap().to_owned())
    }

    /// How a set does.
    pub(crate) async fn state(&self, set: &str) -> Value {
        let reply = self
            .ask(Method::GET, &format!("/api/v1/prefetch/{set}"))
            .await;
        assert_eq!(reply.status, 200);
        reply.json().await.unwrap()
    }

    /// Waits until a set does so.
    pub(crate) async fn until(&self, set: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + 2 * PATIENCE;
        loop {
            let state = self.state(set).await;
            if is_so(&state) {
                return state;
            }
            let log = self.tidegate.log();
            assert!(Instant::now() < deadline, "never: {state:#}\n{log}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The report of the run that began then.
    pub(crate) async fn report(&self, set: &str, begun: &str) -> Value {
        let is_so = |state: &Value| state["last"]["report"]["begun"] == begun;
        let state = self.until(set, is_so).await;
        state["last"]["report"].clone()
    }

    /// How often manifests were asked for, by `GET`.
    pub(crate) fn manifests(&self) -> usize {
        let log = self.upstream.log();
        let is_one = |it: &&fake_registry::Recorded| {
            it.method == Method::GET && it.path.contains("/manifests/")
        };
        log.iter().filter(is_one).count()
    }
}
