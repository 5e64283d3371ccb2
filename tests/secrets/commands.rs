//! Commands that end: `check`, `store`, and those that refuse their configuration.

use std::process::Command;
use std::process::Output;

use crate::scene::Scene;

impl Scene {
    fn run(&self, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        command.args(args).current_dir(self.folder.path());
        command.envs(self.env.iter().map(|(key, value)| (key, value)));
        command.output().unwrap()
    }

    /// Runs it, and checks all that it says.
    fn said(&self, args: &[&str]) -> Output {
        let output = self.run(args);
        let what = args.join(" ");
        self.secrets
            .check(&format!("stdout of {what}"), &output.stdout);
        self.secrets
            .check(&format!("stderr of {what}"), &output.stderr);
        output
    }

    fn write(&self, config: &str) {
        std::fs::write(self.folder.path().join("proxy.toml"), config).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_told_by_check() {
    let scene = Scene::set().await;
    scene.write(&scene.config);
    for args in [
        &["check"][..],
        &["check", "-vvv"],
        &["check", "--json", "-vvv", "--log-format", "json"],
        &["check", "--offline", "-vv"],
    ] {
        let output = scene.said(args);
        let expected = if args.contains(&"--offline") { 0 } else { 1 };
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(expected), "{args:?}: {stderr}");
    }
    let said = String::from_utf8(scene.run(&["check"]).stdout).unwrap();
    for (word, upstream) in [
        ("ok", "toml.test"),
        ("failed", "wrong.test"),
        ("failed", "echo.test"),
    ] {
        let line = said.lines().find(|line| line.contains(upstream)).unwrap();
        assert!(line.starts_with(word), "{line}");
    }
    for args in [
        &["store", "ls"][..],
        &["store", "du"],
        &["client", "docker"],
    ] {
        scene.said(args);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_told_by_a_configuration_that_is_refused() {
    let mut scene = Scene::set().await;
    let secret = scene
        .secrets
        .keep("a password in a wrong place", "pw-at-a-wrong-place-2b2b");
    let upstream = |line: &str| format!("[[upstream]]\nname = \"a.io\"\n{line}\n");
    let refused = [
        upstream(&format!("credentials = \"{secret}\"")),
        upstream(&format!(
            "credentials = {{ username = \"me\", password = [\"{secret}\"] }}"
        )),
        upstream(&format!(
            "credentials = {{ username = \"me\", pasword = \"{secret}\" }}"
        )),
        upstream(&format!(
            "credentials = {{ token = \"{secret}\", file = \"x\" }}"
        )),
        upstream(&format!("credentials = {{ token = \"{secret} }}")),
        upstream(&format!("credentials = {{ token = \"{secret}\" ")),
        upstream(&format!("credentials = {{ helper = \"../{secret}\" }}")),
        upstream(&format!("credentials = {{ password = \"${{{secret}\" }}")),
        upstream(&format!("credentials = {{ password = \"${{{secret}}}\" }}")),
        upstream(&format!(
            "credentials = {{ password = \"${{:-{secret}}}\" }}"
        )),
        upstream(&format!("credentials = {{ password = \"\\x{secret}\" }}")),
        upstream(&format!("url = \"https://me:{secret}@a.io\"")),
        upstream(&format!("url = \"https://{secret}@a.io\"")),
        upstream(&format!("url = \"https://a.io?token={secret}\"")),
        upstream(&format!("fallback = [\"https://me:{secret}@a.io\"]")),
        upstream(&format!("tag_ttl = \"{secret}\"")),
        upstream(&format!("max_concurrent = \"{secret}\"")),
        format!("[server]\nlisten = \"{secret}\"\n"),
        format!("[store]\nmax_size = \"{secret}\"\n"),
    ];
    for config in &refused {
        scene.write(config);
        for args in [&["check", "-vv"][..], &["serve", "-vv"]] {
            let output = scene.said(args);
            assert_eq!(output.status.code(), Some(2), "{config}");
            let stderr = String::from_utf8(output.stderr).unwrap();
            assert!(stderr.contains("proxy.toml:"), "{stderr}");
        }
    }
}
