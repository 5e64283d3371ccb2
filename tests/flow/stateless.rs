//! A store that keeps nothing: all who want the same at the same time share it, and nothing is left.

use fake_registry::Fault;
use fake_registry::Gate;
use fake_registry::When;
use futures_util::future::join_all;

use crate::rig::MIB;
use crate::rig::Rig;
use crate::rig::Setup;
use crate::rig::cache;

async fn stateless() -> Rig {
    let setup = Setup {
        keeps: false,
        ..Setup::default()
    };
    Rig::with(setup).await
}

/// The files of the spool that this process has open, and those with a name.
fn spooled(rig: &Rig) -> usize {
    let folder = rig.store().join("tidegate/spool");
    let named = std::fs::read_dir(&folder).expect("the folder").count();
    let open = std::fs::read_dir("/proc/self/fd").expect("this process");
    let paths = open.filter_map(|it| std::fs::read_link(it.ok()?.path()).ok());
    named + paths.filter(|path| path.starts_with(&folder)).count()
}

/// Waits until the last reader has let go.
async fn emptied(rig: &Rig) {
    rig.flow.settled().await;
    rig.books().await;
    let empty = async {
        while spooled(rig) > 0 || rig.shelf.usage().bytes > 0 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    let within = std::time::Duration::from_secs(60);
    let empty = tokio::time::timeout(within, empty).await;
    empty.unwrap_or_else(|_| panic!("{} files, {:?}", spooled(rig), rig.shelf.usage()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_herd_costs_one_get_and_nothing_is_left() {
    let rig = stateless().await;
    let digest = rig.up.put_generated_blob("demo/app", 8 * MIB, 8101);
    let gate = Gate::new();
    rig.up
        .fault(When::get(&digest).times(1), Fault::stall_after(MIB, &gate));
    let path = format!("demo/app/blobs/{digest}");
    let mut first = rig.get(&path).await;
    first.read_exactly(1000).await.unwrap();
    let pulls = (0..16).map(|_| async { rig.get(&path).await });
    let herd = join_all(pulls).await;
    assert_eq!(spooled(&rig), 1, "one file, without a name");
    gate.open();
    for reply in herd {
        assert_eq!(cache(&reply), "JOIN");
        assert_eq!(reply.digest().await.unwrap(), digest);
    }
    // As long as somebody reads it, it is there for others.
    let late = rig.get(&path).await;
    assert_eq!(late.digest().await.unwrap(), digest);
    assert_eq!(rig.asked(), (0, 1));
    assert_eq!(first.bytes().await.unwrap().len() as u64, 8 * MIB - 1000);
    emptied(&rig).await;
    let again = rig.get(&path).await;
    assert_eq!(cache(&again), "MISS");
    assert_eq!(again.digest().await.unwrap(), digest);
    assert_eq!(rig.asked(), (0, 2));
    emptied(&rig).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_and_manifests_are_remembered() {
    let rig = stateless().await;
    rig.put_image("demo/app", "v1", &[]);
    for _ in 0..2 {
        let reply = rig.manifest("demo/app/manifests/v1").await;
        assert_eq!(reply.status.as_u16(), 200);
    }
    assert_eq!(rig.asked(), (1, 1), "a HEAD is enough the second time");
    let list = rig.get("_catalog").await.json().await.unwrap();
    assert_eq!(list["repositories"][0], "up.test/demo/app");
    let rig = rig.restarted().await;
    rig.manifest("demo/app/manifests/v1").await;
    assert_eq!(rig.asked(), (1, 2), "and nothing after a restart");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_room_is_passed_on() {
    let setup = Setup {
        keeps: false,
        max_size: Some(MIB),
        ..Setup::default()
    };
    let rig = Rig::with(setup).await;
    let digest = rig.up.put_generated_blob("demo/app", 2 * MIB, 8102);
    let reply = rig.get(&format!("demo/app/blobs/{digest}")).await;
    assert_eq!(cache(&reply), "BYPASS");
    assert_eq!(reply.digest().await.unwrap(), digest);
    emptied(&rig).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_of_another_repository_opens_for_nobody_else() {
    let rig = stateless().await;
    let digest = rig.up.put_generated_blob("demo/app", 2 * MIB, 8103);
    let gate = Gate::new();
    rig.up
        .fault(When::get(&digest), Fault::stall_after(MIB, &gate));
    let mut own = rig.get(&format!("demo/app/blobs/{digest}")).await;
    own.read_exactly(1000).await.unwrap();
    rig.put_image("evil/app", "v1", &[&digest]);
    let other = rig.get(&format!("evil/app/blobs/{digest}")).await;
    assert_eq!(other.status.as_u16(), 404);
    gate.open();
    assert_eq!(own.bytes().await.unwrap().len() as u64, 2 * MIB - 1000);
}
