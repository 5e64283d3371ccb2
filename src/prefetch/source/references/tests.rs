use super::*;

/// Line and image, or line and problem.
fn read(text: &str) -> Vec<String> {
    let say = |named: Named| match named.image {
        Ok(image) => format!("{} {image}", named.line),
        Err(problem) => format!("{} ! {problem}", named.line),
    };
    named_in(text, |name| name == "corp")
        .into_iter()
        .map(say)
        .collect()
}

#[test]
fn one_in_each_line() {
    let digest = format!("sha256:{}", "a".repeat(64));
    let text = format!(
        "# What the cluster runs.\n\nnginx\n  docker.io/library/redis:7.2   # the cache\n\
         quay.io/a/b@{digest}\n- ghcr.io/a/b:1@{digest}\n\"corp/app:2\"\nteam/app:<none>\n\
         two images\nUPPER\n"
    );
    let found = read(&text);
    assert_eq!(
        found[..5],
        [
            "3 docker.io/library/nginx:latest".to_owned(),
            "4 docker.io/library/redis:7.2".to_owned(),
            format!("5 quay.io/a/b@{digest}"),
            format!("6 ghcr.io/a/b:1@{digest}"),
            "7 corp/app:2".to_owned(),
        ]
    );
    assert!(found[5].starts_with("9 ! expected one image"), "{found:?}");
    assert!(found[6].starts_with("10 ! "), "{found:?}");
    assert_eq!(found.len(), 7);
    assert!(read("").is_empty());
}

#[test]
fn what_docker_images_prints() {
    let docker = "REPOSITORY          TAG       IMAGE ID       CREATED        SIZE\n\
                  nginx               1.27      0123456789ab   2 weeks ago    192MB\n\
                  <none>              <none>    aaaaaaaaaaaa   2 weeks ago    1MB\n\
                  quay.io/team/app    <none>    bbbbbbbbbbbb   2 weeks ago    1MB\n";
    assert_eq!(read(docker), ["2 docker.io/library/nginx:1.27"]);
    let (_, without_head) = docker.split_once('\n').unwrap();
    assert_eq!(read(without_head), ["1 docker.io/library/nginx:1.27"]);
    let digest = format!("sha256:{}", "b".repeat(64));
    let digests = format!(
        "REPOSITORY TAG DIGEST IMAGE ID CREATED SIZE\na/b <none> {digest} 0123456789ab now 1MB\n\
         a/b 1 {digest} 0123456789ab now 1MB\n"
    );
    let found = [
        format!("2 docker.io/a/b@{digest}"),
        "3 docker.io/a/b:1".to_owned(),
    ];
    assert_eq!(read(&digests), found);
    let crictl = "IMAGE               TAG     IMAGE ID        SIZE\n\
                  registry.k8s.io/pause 3.10  873ed75102791   320kB\n";
    assert_eq!(read(crictl), ["2 registry.k8s.io/pause:3.10"]);
    let newer = "IMAGE          ID             DISK USAGE   CONTENT SIZE   EXTRA\n\
                 nginx:latest   0123456789ab   279MB        72.3MB\n";
    assert_eq!(read(newer), ["2 docker.io/library/nginx:latest"]);
    let ctr = "REF TYPE DIGEST SIZE PLATFORMS LABELS\n\
               docker.io/library/nginx:1 application/x sha256:00 1MiB linux/amd64 -\n";
    assert_eq!(read(ctr), ["2 docker.io/library/nginx:1"]);
}

#[test]
fn what_kubernetes_manifests_say() {
    let digest = format!("sha256:{}", "c".repeat(64));
    let pods = format!(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: web  # image: no/image\nspec:\n  \
         initContainers:\n  - image: 'busybox:1.36'\n    name: init\n  containers:\n    - name: web\n      \
         image: \"foo/bar:1.2@{digest}\"\n      args:\n        - --port=80\n        - nginx\n---\n\
         # another\nkind: Pod\nspec:\n  containers:\n  - image: ghcr.io/x/y\n    imagePullPolicy: Always\n  \
         - image: {{{{ .Values.image }}}}\n"
    );
    let found = read(&pods);
    assert_eq!(
        found[..3],
        [
            "7 docker.io/library/busybox:1.36".to_owned(),
            format!("11 docker.io/foo/bar:1.2@{digest}"),
            "20 ghcr.io/x/y:latest".to_owned(),
        ]
    );
    assert!(found[3].starts_with("22 ! this is a template"), "{found:?}");
    assert_eq!(found.len(), 4);
    let json = "{\n  \"kind\": \"Pod\",\n  \"spec\": {\n    \"image\": \"nginx:1\",\n    \"tag\": 3\n  }\n}\n";
    assert_eq!(read(json), ["4 docker.io/library/nginx:1"]);
    let grepped = "        image: nginx:1\n      - image: redis:7\n";
    let found = ["1 docker.io/library/nginx:1", "2 docker.io/library/redis:7"];
    assert_eq!(read(grepped), found);
    let listed = "version: 1\nimages:\n  - nginx:1\n  - \"redis:7\"\nother:\n  - none\n";
    let found = ["3 docker.io/library/nginx:1", "4 docker.io/library/redis:7"];
    assert_eq!(read(listed), found);
}

#[test]
fn what_values_of_charts_say() {
    let values = "\
global:
  imageRegistry: \"\"
image:
  registry: docker.io
  repository: bitnami/nginx
  pullPolicy: IfNotPresent
  tag: 1.27.0-debian-12
metrics:
  image:
    tag: \"1.10\"
    repository: quay.io/x/exporter
  enabled: true
sidecars:
  - name: one
    repository: a/one
    tag: v1
  - repository: a/two
    tag: 2
app:
  repository: ghcr.io/a/app
  tag: \"\"
dependencies:
  - name: common
    repository: https://charts.example/bitnami
    version: 2.x.x
db:
  image: postgres:16
";
    assert_eq!(
        read(values),
        [
            "5 docker.io/bitnami/nginx:1.27.0-debian-12",
            "11 quay.io/x/exporter:1.10",
            "15 docker.io/a/one:v1",
            "17 docker.io/a/two:2",
            "20 ! ghcr.io/a/app has no tag here: the chart means its appVersion; write `tag` \
             beside it",
            "27 docker.io/library/postgres:16",
        ]
    );
    let digest = "d".repeat(64);
    let digests = format!("a:\n  repository: x.io/y\n  tag: 1\n  digest: sha256:{digest}\n");
    assert_eq!(read(&digests), [format!("2 x.io/y:1@sha256:{digest}")]);
}

mod properties {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever the file holds, each line is told at most once, and in order.
        #[test]
        fn any_file_can_be_read(text in "([ -~]{0,24}\n| {0,4}(- )?(image|repository|tag): ?[a-z:./]{0,9}\n|\u{e9}|\t){0,12}") {
            let lines: Vec<usize> = named_in(&text, |_| false).iter().map(|it| it.line).collect();
            prop_assert!(lines.is_sorted(), "{:?}", lines);
            prop_assert!(lines.iter().all(|line| *line <= text.lines().count()));
        }
    }
}
