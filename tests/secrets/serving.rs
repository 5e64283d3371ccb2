//! A proxy that serves, as verbose as it can be, while all goes well and while all goes wrong.

use fake_registry::Client;
use fake_registry::Tidegate;

use crate::scene::CLIENT;
use crate::scene::Redirected;
use crate::scene::Scene;

/// What a client got: the status, and whether the body came to its end.
struct Got(u16, bool);

/// A client with a login of its own, who checks all that it is told.
struct Asker<'a> {
    client: Client,
    url: String,
    scene: &'a Scene,
}

impl Asker<'_> {
    async fn get(&self, path: &str) -> Got {
        let request = self.client.get(format!("{}/v2/{path}", self.url));
        let reply = request.header("authorization", CLIENT).send().await;
        let Ok(reply) = reply else {
            return Got(0, false);
        };
        let status = reply.status.as_u16();
        for (name, value) in &reply.headers {
            self.scene
                .secrets
                .check(&format!("the header {name}"), value.as_bytes());
        }
        let (body, broke) = reply.bytes_until_error().await;
        self.scene
            .secrets
            .check(&format!("the body of {path}"), &body);
        Got(status, broke.is_none())
    }

    async fn pull(&self, upstream: &str) -> u16 {
        let repository = format!("{upstream}/library/app");
        let Got(status, _) = self.get(&format!("{repository}/manifests/latest")).await;
        for layer in self.scene.image.layers("linux/amd64") {
            self.get(&format!("{repository}/blobs/{layer}")).await;
        }
        self.get(&format!("{repository}/tags/list")).await;
        status
    }

    async fn fail(&self, redirected: &Redirected) {
        let zeros = format!("sha256:{}", "0".repeat(64));
        for path in [
            "wrong.test/library/app/manifests/latest".to_owned(),
            "gone.test/library/app/manifests/latest".to_owned(),
            "echo.test/library/app/manifests/latest".to_owned(),
            "echo.test/library/app/manifests/denied".to_owned(),
            "echo.test/library/app/manifests/limited".to_owned(),
            "echo.test/library/app/tags/list".to_owned(),
            format!("echo.test/library/app/blobs/{zeros}"),
            format!("toml.test/library/app/blobs/{zeros}"),
            "toml.test/library/app/manifests/nothing".to_owned(),
            format!("cdn.test/library/app/blobs/{}", redirected.refused),
            format!("cdn.test/library/app/blobs/{}", redirected.refused_plainly),
        ] {
            let Got(status, _) = self.get(&path).await;
            assert!((400..600).contains(&status), "{path}: {status}");
        }
        let cut = self
            .get(&format!("cdn.test/library/app/blobs/{}", redirected.cut))
            .await;
        assert!(
            !cut.1 || cut.0 >= 500,
            "a body that can't be had was completed"
        );
        for good in [&redirected.there, &redirected.with_login] {
            let Got(status, whole) = self
                .get(&format!("cdn.test/library/app/blobs/{good}"))
                .await;
            assert!(status == 200 && whole, "{status}");
        }
    }
}

async fn check_process(scene: &Scene, tidegate: &Tidegate) {
    let secrets = &scene.secrets;
    for path in ["/readyz", "/healthz", "/api/v1/status", "/", "/metrics"] {
        let reply = Client::new()
            .get(format!("{}{path}", tidegate.admin()))
            .send()
            .await
            .unwrap();
        secrets.check(path, reply.bytes().await.unwrap());
    }
    let pid = tidegate.process().pid();
    secrets.check(
        "its command line",
        std::fs::read(format!("/proc/{pid}/cmdline")).unwrap(),
    );
    secrets.check("its stderr", tidegate.log());
    secrets.check("its stdout", tidegate.process().stdout());
}

async fn serve(args: &[&str]) {
    let mut scene = Scene::set().await;
    let redirected = scene.redirect();
    let mut builder = Tidegate::builder(env!("CARGO_BIN_EXE_tidegate"), &scene.config);
    for (key, value) in &scene.env {
        builder = builder.env(key, value);
    }
    for arg in args {
        builder = builder.arg(arg);
    }
    let mut tidegate = builder.folder(scene.folder.path()).start().await;
    let asker = Asker {
        client: Client::builder().trust(&scene.pki).build(),
        url: tidegate.url().to_owned(),
        scene: &scene,
    };
    for upstream in &scene.open {
        assert_eq!(
            asker.pull(upstream).await,
            200,
            "{upstream}: {}",
            tidegate.log()
        );
    }
    asker.fail(&redirected).await;
    check_process(&scene, &tidegate).await;

    // A configuration that is refused, in a line with a secret; then one that is taken.
    let broken = scene.config.replace("{ token = ", "{ tokn = ");
    tidegate.reload(&broken);
    tidegate.wait_for_log("keeping the old configuration").await;
    let log = tidegate.log();
    assert!(log.contains("tokn") || log.contains("credentials"), "{log}");
    tidegate.reload(&scene.config);
    tidegate.wait_for_log("reloaded").await;
    assert_eq!(asker.pull("tokens.test").await, 200);
    check_process(&scene, &tidegate).await;
    assert!(
        scene
            .secrets
            .check_folder(&scene.folder.path().join("store"))
            > 10
    );

    tidegate.process_mut().terminate();
    tidegate
        .process_mut()
        .wait(fake_registry::PATIENCE * 3)
        .await;
    scene.secrets.check("its stderr at its end", tidegate.log());
    let journal = scene.folder.path().join("journal.jsonl");
    let journal = std::fs::read_to_string(journal).unwrap();
    assert!(journal.lines().count() > 50, "{journal}");
    scene.secrets.check("its journal", journal);
    assert!(
        tidegate.log().lines().count() > 50,
        "hardly anything was logged"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_told_by_a_verbose_log() {
    serve(&["-vv"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_told_by_the_most_verbose_log_in_json() {
    serve(&["-vvv", "--log-format", "json"]).await;
}
