//! The container image: the last stage of the Dockerfile, built with the binary under test.

use std::net::Ipv4Addr;
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use std::time::Instant;

use tempfile::TempDir;

use crate::dockerd::Dockerd;
use crate::layout::Layout;
use crate::layout::Platforms;
use crate::layout::assert_blobs;
use crate::need::need;
use crate::sandbox;
use crate::scene::IMAGE;
use crate::scene::TIDEGATE;
use crate::skopeo;
use crate::upstream::HOST;
use crate::upstream::Upstream;

/// The user of the image, which must own the volume.
const USER: u32 = 65532;

#[tokio::test(flavor = "multi_thread")]
async fn the_container_image_serves_and_is_healthy() {
    if !need(&["dockerd", "docker", "skopeo", "docker-registry"]) {
        return;
    }
    let upstream = Upstream::start().await;
    let folder = TempDir::with_prefix("container-").unwrap();
    let none = folder.path().join("daemon.json");
    std::fs::write(&none, "{}").unwrap();
    let engine = Dockerd::start(&none, &upstream.ca()).await;
    build(&engine, folder.path()).await;

    // What it does without a file of the user's.
    let check = [
        "run",
        "--rm",
        "--network=none",
        "tidegate",
        "check",
        "--offline",
    ];
    let said = sandbox::run(engine.docker(check)).await;
    assert!(said.contains("/var/lib/tidegate can be written"), "{said}");

    let (port, admin) = (free_port(), free_port());
    let settings = folder.path().join("settings");
    configure(&upstream, &settings, port, admin);
    let mount = format!("{}:/etc/tidegate:ro", settings.display());
    let hosts = format!("{HOST}:127.0.0.1");
    let run = engine.docker([
        "run",
        "--detach",
        "--name=tidegate",
        "--network=host",
        "--read-only",
        "--cap-drop=ALL",
        "--add-host",
        &hosts,
        "--volume",
        &mount,
        // Only how often it is asked: what is asked is the image's own.
        "--health-interval=1s",
        "tidegate",
    ]);
    sandbox::run(run).await;
    healthy(&engine).await;

    let copied = folder.path().join("copied");
    let source = format!("docker://127.0.0.1:{port}/{IMAGE}");
    let mut copy = skopeo::copy_all(&source, &copied);
    copy.arg("--src-tls-verify=false");
    sandbox::run(copy).await;
    let direct: &Layout = &upstream.direct;
    assert_blobs(&direct.part(Platforms::All), &copied);

    belongs_to_user(&engine).await;
    sandbox::run(engine.docker(["stop", "--time=30", "tidegate"])).await;
    let state = inspect(&engine, "{{.State.ExitCode}} {{.Config.User}}").await;
    assert_eq!(state, "0 65532:65532", "{}", logs(&engine).await);
    sandbox::run(engine.docker(["rm", "--force", "--volumes", "tidegate"])).await;
}

/// Builds the image `tidegate` as the Dockerfile does, but for the compiler.
async fn build(engine: &Dockerd, folder: &Path) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let context = folder.join("build");
    let mut bundle = Command::new(root.join("deploy/bundle.sh"));
    bundle.arg(TIDEGATE).arg(context.join("out"));
    sandbox::run(bundle).await;
    std::fs::write(
        context.join("Dockerfile"),
        "FROM scratch\nCOPY out/ /out/\n",
    )
    .unwrap();
    // `COPY --from=build` takes an image of that name where no stage has it.
    let tag = ["build", "--quiet", "--tag=build"];
    sandbox::run(with_path(engine.docker(tag), &context)).await;

    let dockerfile = std::fs::read_to_string(root.join("Dockerfile")).unwrap();
    let (_, last) = dockerfile.rsplit_once("\nFROM ").unwrap();
    let context = folder.join("last");
    std::fs::create_dir(&context).unwrap();
    std::fs::write(context.join("Dockerfile"), format!("FROM {last}")).unwrap();
    let tag = ["build", "--quiet", "--tag=tidegate"];
    sandbox::run(with_path(engine.docker(tag), &context)).await;
}

fn with_path(mut command: Command, path: &Path) -> Command {
    command.arg(path);
    command
}

/// The image's own configuration, with the test's upstream in place of the public ones.
fn configure(upstream: &Upstream, settings: &Path, port: u16, admin: u16) {
    std::fs::create_dir(settings).unwrap();
    std::fs::copy(upstream.ca(), settings.join("ca.crt")).unwrap();
    let text = format!(
        "[server]\nlisten = \"127.0.0.1:{port}\"\nadmin = \"127.0.0.1:{admin}\"\n\
         [store]\npath = \"/var/lib/tidegate\"\n{}",
        upstream.table(HOST, Path::new("ca.crt")),
    );
    std::fs::write(settings.join("proxy.toml"), text).unwrap();
    for file in std::fs::read_dir(settings).unwrap() {
        let readable = std::fs::Permissions::from_mode(0o644);
        std::fs::set_permissions(file.unwrap().path(), readable).unwrap();
    }
    // It is mounted into the container, where another user reads it.
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(settings, open).unwrap();
}

async fn healthy(engine: &Dockerd) {
    let start = Instant::now();
    loop {
        let state = inspect(engine, "{{.State.Status}} {{.State.Health.Status}}").await;
        if state == "running healthy" {
            return;
        }
        assert!(
            state.starts_with("running") && start.elapsed() < Duration::from_secs(60),
            "{}\n{}",
            inspect(engine, "{{json .State}}").await,
            logs(engine).await
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// The store is in the volume, and each file in it the user's.
async fn belongs_to_user(engine: &Dockerd) {
    let volume = inspect(
        engine,
        "{{range .Mounts}}{{if eq .Destination \"/var/lib/tidegate\"}}{{.Source}}{{end}}{{end}}",
    )
    .await;
    let mut folders = vec![std::path::PathBuf::from(volume)];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        assert_eq!(folder.metadata().unwrap().uid(), USER, "{folder:?}");
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                assert_eq!(path.metadata().unwrap().uid(), USER, "{path:?}");
                files += 1;
            }
        }
    }
    assert!(files > 0, "the store is not in the volume");
}

async fn inspect(engine: &Dockerd, format: &str) -> String {
    let inspect = engine.docker(["inspect", "--format", format, "tidegate"]);
    sandbox::run(inspect).await.trim().to_owned()
}

/// What the container wrote, its standard error last.
async fn logs(engine: &Dockerd) -> String {
    let mut logs = Command::new("sh");
    logs.args(["-c", "exec 2>&1; exec \"$0\" \"$@\""]);
    let docker = engine.docker(["logs", "tidegate"]);
    logs.arg(docker.get_program()).args(docker.get_args());
    match sandbox::attempt(logs).await {
        Ok(text) | Err(text) => text,
    }
}

/// The health check must know the port beforehand.
fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap().port()
}
