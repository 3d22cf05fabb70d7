//! Waiting for one's turn, with a clock that stands still.

use std::sync::LazyLock;

use super::*;
use crate::provider::{Chosen, Providers};

fn credential(key: &str) -> Credential {
    static PROVIDERS: LazyLock<Providers> =
        LazyLock::new(|| Providers::new(&crate::config::Providers::default()).unwrap());
    let chosen = Chosen {
        api_key: Some(key),
        ..Chosen::default()
    };
    PROVIDERS
        .route(Provider::Openai, chosen)
        .unwrap()
        .credential()
}

/// Whole seconds, up or down by what was rounded off.
fn seconds_since(start: Instant) -> u128 {
    (start.elapsed().as_millis() + 500) / 1_000
}

fn within(seconds: u64) -> std::time::Instant {
    (Instant::now() + Duration::from_secs(seconds)).into_std()
}

#[test]
fn the_setting_is_read_or_refused() {
    let limits: Limits = "openai=requests:60,tokens:100000; anthropic=tokens:5;"
        .parse()
        .unwrap();

    let openai = limits.rates[&Provider::Openai];
    assert_eq!((openai.requests, openai.tokens), (Some(60), Some(100_000)));
    assert_eq!(limits.rates[&Provider::Anthropic].requests, None);
    for wrong in [
        "openai",
        "nobody=requests:1",
        "openai=requests:0",
        "openai=requests:x",
        "openai=chairs:5",
        "openai=requests:1,requests:2",
        "openai=requests:1;openai=tokens:2",
        "openai=tokens:99999999999",
    ] {
        assert!(wrong.parse::<Limits>().is_err(), "{wrong}");
    }
}

#[tokio::test(start_paused = true)]
async fn requests_wait_for_their_share_of_the_minute() {
    let limits: Limits = "openai=requests:2".parse().unwrap();
    let key = credential("one");
    let start = Instant::now();

    for _ in 0..4 {
        limits.admit(&key, 10, within(600)).await.unwrap();
    }

    assert_eq!(start.elapsed().as_secs(), 60);
    assert!(
        limits
            .admit(&credential("another"), 10, within(0))
            .await
            .is_ok()
    );
}

#[tokio::test(start_paused = true)]
async fn what_comes_too_late_is_refused_at_once() {
    let limits: Limits = "openai=requests:1".parse().unwrap();
    let key = credential("one");
    limits.admit(&key, 10, within(1)).await.unwrap();

    let refused = limits.admit(&key, 10, within(59)).await.unwrap_err();

    assert_eq!(refused.wait.as_millis().div_ceil(1_000), 60);
    assert!(
        limits.admit(&key, 10, within(61)).await.is_ok(),
        "nothing was taken"
    );
}

#[tokio::test(start_paused = true)]
async fn who_stops_waiting_gives_its_place_back() {
    let limits: Limits = "openai=requests:1,tokens:100".parse().unwrap();
    let key = credential("one");
    limits.admit(&key, 100, within(1)).await.unwrap();

    let gone = tokio::time::timeout(Duration::from_secs(10), limits.admit(&key, 50, within(600)));
    assert!(gone.await.is_err());

    let start = Instant::now();
    limits.admit(&key, 50, within(600)).await.unwrap();
    assert_eq!(seconds_since(start), 50);
}

#[tokio::test(start_paused = true)]
async fn tokens_are_settled_and_may_leave_a_debt() {
    let limits: Limits = "openai=tokens:60".parse().unwrap();
    let key = credential("one");
    let first = limits.admit(&key, 10_000, within(1)).await.unwrap();
    first.settle(90);

    let start = Instant::now();
    limits.admit(&key, 30, within(600)).await.unwrap();

    assert_eq!(seconds_since(start), 60);
}

#[tokio::test(start_paused = true)]
async fn a_blocked_key_waits_for_everybody_also_those_who_wait_already() {
    let limits: Limits = "openai=requests:1".parse().unwrap();
    let key = credential("one");
    limits.admit(&key, 1, within(1)).await.unwrap();
    let start = Instant::now();

    let waiting = limits.admit(&key, 1, within(600));
    let block = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        limits.block(&key, Duration::from_secs(99));
    };
    let (admitted, ()) = tokio::join!(waiting, block);

    admitted.unwrap();
    assert_eq!(seconds_since(start), 100);
    limits.block(&key, Duration::from_secs(1_000_000));
    let refused = limits.admit(&key, 1, within(10)).await.unwrap_err();
    assert!(refused.wait <= MAX_BLOCK);
}
