use fake_registry::Upstream;

use crate::rig::Rig;
use crate::rig::set;
use crate::rig::upstream;

#[tokio::test]
async fn a_file_is_read_anew_each_time_and_says_its_lines() {
    let (hub, other) = (Upstream::start().await, Upstream::start().await);
    let digest = format!("sha256:{}", "a".repeat(64));
    let toml = upstream("docker.io", &hub)
        + &upstream("corp", &other)
        + &set(
            "cluster",
            "from = \"file:images.txt\"\nimmutable = \"*.*.*\"",
        )
        + &set("none", "from = [\"file:missing.txt\", \"file:empty.txt\"]");
    let text = format!(
        "nginx\ncorp/team/app:1.2.3\nghcr.io/a/b:1\nnginx:latest\ncorp/x:1@{digest}\n<oops>\n"
    );
    let files = [("images.txt", &*text), ("empty.txt", "# nothing\n")];
    let rig = Rig::new(&toml, &files).await;
    let told = rig.discover("cluster").await;
    let names = [
        "corp/team/app:1.2.3".to_owned(),
        format!("corp/x:1@{digest}"),
        "docker.io/library/nginx:latest".to_owned(),
    ];
    assert_eq!(told.names(), names);
    let immutable: Vec<_> = told.wanted.iter().filter(|it| it.immutable).collect();
    assert_eq!(immutable.len(), 2);
    let [(third, unknown), (sixth, wrong)] = &told.failed[..] else {
        panic!("{told:?}")
    };
    let file = rig.path("images.txt").display().to_string();
    assert_eq!(*third, format!("{file}:3"));
    assert!(
        unknown.contains("ghcr.io, which is no configured upstream"),
        "{unknown}"
    );
    assert_eq!(*sixth, format!("{file}:6"));
    assert!(wrong.contains("is not a repository name"), "{wrong}");
    std::fs::write(rig.path("images.txt"), "image: corp/later:1\n").unwrap();
    assert_eq!(rig.discover("cluster").await.well(), ["corp/later:1"]);
    let none = rig.discover("none").await.failed;
    assert_eq!(none[0].1, "it names no image");
    assert!(none[1].1.contains("No such file"), "{none:?}");
    assert!(hub.log().is_empty() && other.log().is_empty());
}
