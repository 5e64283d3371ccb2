//! The start and the end of a front.

use std::time::Duration;

use http_body_util::BodyExt as _;
use tidegate::front::Front;
use tidegate::ledger::Ledger;
use tokio::net::TcpStream;

use crate::client::begin;
use crate::client::over_h2;
use crate::client::request;
use crate::house::House;
use crate::house::Plan;

const SIZE: usize = 32 << 20;

#[tokio::test]
async fn what_is_under_way_is_finished() {
    // On a machine that does much else, 64 MiB take their time.
    let plan = Plan {
        drain: Duration::from_secs(60),
        ..Plan::default()
    };
    let house = plan.build().await;
    let blob: Vec<u8> = (0..SIZE).map(|i| (i / 251) as u8).collect();
    let digest = house.put_blob("docker.io/a/b", &blob).await;
    let (address, path) = (house.address, format!("/v2/a/b/blobs/{digest}"));
    let mut first = begin(address, "GET", &path, &[]).await.into_body();
    let stream = TcpStream::connect(address).await.unwrap();
    let second = over_h2(stream, request("GET", &path, &[]))
        .await
        .into_body();
    let idle = TcpStream::connect(address).await.unwrap();
    let begun = first.frame().await.unwrap().unwrap().into_data().unwrap();
    let (run, folder) = house.shut_down();
    let rest = first.collect().await.unwrap().to_bytes();
    assert!([begun, rest].concat() == blob);
    assert!(second.collect().await.unwrap().to_bytes() == blob);
    assert_eq!(run.await.unwrap(), 0);
    assert!(TcpStream::connect(address).await.is_err());
    drop((folder, idle));
}

#[tokio::test]
async fn what_takes_longer_than_the_drain_is_cut_and_counted() {
    let plan = Plan {
        drain: Duration::from_millis(200),
        ..Plan::default()
    };
    let house = plan.build().await;
    let digest = house.put_blob("docker.io/a/b", &vec![7; SIZE]).await;
    let path = format!("/v2/a/b/blobs/{digest}");
    let body = begin(house.address, "GET", &path, &[]).await.into_body();
    let (run, folder) = house.shut_down();
    assert_eq!(run.await.unwrap(), 1);
    assert!(body.collect().await.is_err(), "a cut body looked complete");
    drop(folder);
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let house = House::build().await;
    let plan = Plan {
        front: tidegate::front::Config {
            listen: vec![house.address],
            ..tidegate::front::Config::default()
        },
        ..Plan::default()
    };
    let bound = Front::bind(plan.front, house.flow.clone(), Ledger::new()).await;
    let error = bound.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
    let text = error.to_string();
    assert!(text.contains(&house.address.to_string()), "{text}");
}
