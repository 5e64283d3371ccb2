//! A proxy at work, of which each exchange is known.

use std::fs;
use std::time::Instant;

use fake_registry::Client;
use fake_registry::Fault;
use fake_registry::PATIENCE;
use fake_registry::Reply;
use fake_registry::Tidegate;
use fake_registry::Upstream;
use fake_registry::When;
use http::Method;
use tempfile::TempDir;

use crate::page::Page;

pub(crate) const MIB: u64 = 1 << 20;
pub(crate) const MANIFEST: &str = r#"{"schemaVersion":2}"#;
const MEDIA_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
/// Of a run that did all, in a life of the proxy before.
const REPORT: &str = r#"{"cause":"schedule","ended":"2026-01-01T00:00:00Z",
    "last_success":"2026-01-01T00:00:00Z","report":{"set":"none","outcome":"done",
    "begun":"2026-01-01T00:00:00Z","seconds":1.0,"images":{},"traffic":{}}}"#;
pub(crate) const TOKEN: &str = "Bearer open-sesame";

/// The proxy, and what it talks to: `main.test` (the default) and `limited.test` run, `down.test`
/// can't be reached.
pub(crate) struct Scene {
    pub(crate) tidegate: Tidegate,
    pub(crate) main: Upstream,
    pub(crate) limited: Upstream,
    client: Client,
    _folder: TempDir,
}

impl Scene {
    /// The proxy has room for three blobs of a MiB, and a journal.
    pub(crate) async fn set() -> Self {
        let (main, limited) = (Upstream::start().await, Upstream::start().await);
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("tokens"), "alice:open-sesame\n").unwrap();
        fs::write(folder.path().join("images.txt"), "").unwrap();
        let reports = folder.path().join("tidegate-data/tidegate/prefetch");
        fs::create_dir_all(&reports).unwrap();
        fs::write(reports.join("none.json"), REPORT).unwrap();
        let config = config(&[("main.test", &main.url()), ("limited.test", &limited.url())]);
        let tidegate = Tidegate::builder(env!("CARGO_BIN_EXE_tidegate"), &config)
            .folder(folder.path())
            .start()
            .await;
        Self {
            tidegate,
            main,
            limited,
            client: Client::new(),
            _folder: folder,
        }
    }

    /// What the configuration is, with `more` at its end.
    pub(crate) fn config_with(&self, more: &str) -> String {
        let (main, limited) = (self.main.url(), self.limited.url());
        config(&[("main.test", &main), ("limited.test", &limited)]) + more
    }

    /// A blob of a MiB in `main.test`.
    pub(crate) fn blob(&self, seed: u64) -> String {
        self.main.put_generated_blob("demo/app", MIB, seed)
    }

    /// Asks for `path` below `/v2/`, logged in.
    pub(crate) async fn ask(&self, method: &str, path: &str) -> Reply {
        let url = format!("{}/v2/{path}", self.tidegate.url());
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let request = self.client.request(method, url);
        request.header("authorization", TOKEN).send().await.unwrap()
    }

    /// Asks for `path`, and reads the answer to its end.
    pub(crate) async fn get(&self, path: &str) -> (u16, u64) {
        let reply = self.ask("GET", path).await;
        let status = reply.status.as_u16();
        (status, reply.bytes().await.unwrap().len() as u64)
    }

    /// Pulls a blob of `main.test`.
    pub(crate) async fn pull(&self, digest: &str) {
        let reply = self.ask("GET", &format!("demo/app/blobs/{digest}")).await;
        assert_eq!(reply.status, 200);
        assert!(reply.digest().await.unwrap() == digest);
    }

    /// All clients hang up.
    pub(crate) fn hang_up(&mut self) {
        self.client = Client::new();
    }

    /// A scrape, as text.
    pub(crate) async fn scrape(&self) -> String {
        let url = format!("{}/metrics", self.tidegate.admin());
        let reply = Client::new().get(url).send().await.unwrap();
        assert_eq!(reply.status, 200);
        reply.text().await.unwrap()
    }

    /// Scrapes until `is_so`: what an exchange came to is known a moment after its client has it
    /// all.
    pub(crate) async fn until(&self, is_so: impl Fn(&Page) -> bool) -> Page {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let text = self.scrape().await;
            let page = Page::parse(&text);
            if is_so(&page) {
                return page;
            }
            assert!(Instant::now() < deadline, "it never came to that:\n{text}");
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }

    /// Waits until no blob is being fetched: then what was fetched is stored.
    pub(crate) async fn settled(&self) -> Page {
        let is_so = |page: &Page| page.value("tidegate_fills_in_flight") == 0.0;
        self.until(is_so).await
    }

    /// A fill that two follow-up pulls hit, one that is cut and resumed, one that comes wrong and is
    /// refused, and one for which the least recently used goes; a tag; a registry that has had too
    /// much, one that is not there, one that nobody has configured; a strange method; nobody's and
    /// a wrong login.
    pub(crate) async fn play(&mut self) {
        let digest = self
            .main
            .put_manifest("demo/app", "v1", MEDIA_TYPE, MANIFEST);
        let first = self.blob(1);
        self.pull(&first).await;
        self.settled().await;
        self.pull(&first).await;
        self.pull(&first).await;

        let cut = self.blob(2);
        let half = When::get(&cut).times(1);
        self.main.fault(half, Fault::cut_after(MIB / 2));
        self.pull(&cut).await;
        self.settled().await;

        let wrong = self.blob(3);
        let flip = Fault::flip_bit_at(MIB / 2);
        self.main.fault(When::get(&wrong).times(1), flip);
        let reply = self.ask("GET", &format!("demo/app/blobs/{wrong}")).await;
        assert!(reply.bytes().await.is_err());
        self.settled().await;
        self.pull(&wrong).await;
        self.settled().await;
        self.pull(&self.blob(4)).await;
        self.settled().await;

        assert_eq!(self.get("demo/app/manifests/v1").await.0, 200);
        let head = self.ask("HEAD", "demo/app/manifests/v1").await;
        assert_eq!(head.status, 200);
        let by_digest = format!("demo/app/manifests/{digest}");
        assert_eq!(self.get(&by_digest).await.0, 200);

        let told = Fault::status(429)
            .header("retry-after", "3600")
            .header("ratelimit-limit", "100;w=21600")
            .header("ratelimit-remaining", "7;w=21600");
        self.limited.fault(When::any(), told);
        assert_eq!(self.get("a/manifests/v1?ns=limited.test").await.0, 429);
        assert_eq!(self.get("a/manifests/v1?ns=down.test").await.0, 502);
        assert_eq!(self.get("a/manifests/v1?ns=evil.example").await.0, 404);
        assert_eq!(self.ask("BREW", "").await.status, 405);

        let url = format!("{}/v2/", self.tidegate.url());
        let nobody = self.client.get(&url).send().await.unwrap();
        assert_eq!(nobody.status, 401);
        let guess = self
            .client
            .get(&url)
            .header("authorization", "Bearer guess");
        assert_eq!(guess.send().await.unwrap().status, 401);
        self.hang_up();
    }
}

fn config(upstreams: &[(&str, &str)]) -> String {
    let mut text = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n\
         login = {{ tokens = \"tokens\" }}\nmax_connections = 64\n\
         max_connections_per_client = 16\n[store]\nmax_size = \"{}B\"\n\
         [ledger]\njournal = \"journal.jsonl\"\n",
        3 * MIB + MIB / 2
    );
    for (name, url) in upstreams
        .iter()
        .chain(&[("down.test", "http://127.0.0.1:1")])
    {
        let is_default = *name == "main.test";
        text += &format!(
            "[[upstream]]\nname = \"{name}\"\nurl = \"{url}\"\nplain_http = true\n\
             default = {is_default}\ncredentials = \"anonymous\"\n"
        );
    }
    // Nothing is pulled from there.
    text += "[[target]]\nname = \"far\"\nurl = \"http://127.0.0.1:2\"\nplain_http = true\n\
             credentials = \"anonymous\"\nonly = [\"down.test/*\"]\n";
    // It fails, and asks nobody: nothing is in the file.
    text += "[[prefetch]]\nname = \"none\"\nfrom = \"file:images.txt\"\nevery = \"1h\"\n\
             jitter = \"0s\"\n";
    text
}
