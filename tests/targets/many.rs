//! A lot at once.

use fake_registry::ImageBuilder;
use fake_registry::Target;

use crate::rig::Rig;
use crate::rig::assert_there;
use crate::rig::pulled;

/// However much is owed, few errands are under way, and few blobs are read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_owed_errands_are_done_a_few_at_a_time() {
    let target = Target::builder().only_hash().start().await;
    let images: Vec<_> = (0..1000)
        .map(|seed| ImageBuilder::new(seed).layers(1).layer_size(2000).build())
        .collect();
    let rig = Rig::new(&target, &images);
    for (number, image) in images.iter().enumerate() {
        let name = format!("app-{}", number % 50);
        let tag = number.to_string();
        rig.targets
            .pulled(pulled(&name, Some(&tag), image.digest()));
    }
    assert_eq!(rig.state().owed, 1000);
    // The state tells of the first ones only.
    assert!(rig.state().errands.len() <= 100);
    rig.start();
    let mut most = 0;
    while rig.state().owed > 0 {
        most = most.max(rig.state().under_way);
        target.wait_for(|_| true).await;
        tokio::task::yield_now().await;
    }
    rig.done().await;
    assert!((2..=64).contains(&most), "{most} errands at once");
    let read = rig.shelf.most_read();
    assert!((2..=16).contains(&read), "{read} blobs at once");
    for (number, image) in images.iter().enumerate().step_by(97) {
        let name = format!("app-{}", number % 50);
        assert_there(&target, &name, &number.to_string(), image);
    }
    assert_eq!(target.uploaded_twice(), 0);
    rig.close().await;
}
