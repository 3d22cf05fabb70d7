//! `SecretService`: what it takes and what it tells.

use synapps::proto::{
    AddSecretVersionRequest, DeleteSecretRequest, DisableSecretRequest, EnableSecretRequest,
    GetSecretRequest, ListSecretsRequest, Secret, SecretState,
};
use tonic::{Code, Status};

use super::{create, store};
use crate::support::calls::{Calls, assert_error, metadata, violated_fields};
use crate::support::server::TestServer;

/// Adds a version to a secret.
pub async fn add(server: &Calls, name: &str, value: &str) -> Result<Secret, Status> {
    let request = AddSecretVersionRequest {
        name: name.to_owned(),
        value: value.to_owned(),
    };
    let added = server.secrets().add_secret_version(request).await?;
    Ok(added.into_inner().secret.unwrap())
}

/// Disables a version of a secret, or all.
pub async fn disable(server: &Calls, name: &str, version: i32) -> Result<Secret, Status> {
    let name = name.to_owned();
    let request = DisableSecretRequest { name, version };
    let disabled = server.secrets().disable_secret(request).await?;
    Ok(disabled.into_inner().secret.unwrap())
}

/// Enables a version of a secret, or all.
pub async fn enable(server: &Calls, name: &str, version: i32) -> Result<Secret, Status> {
    let name = name.to_owned();
    let request = EnableSecretRequest { name, version };
    let enabled = server.secrets().enable_secret(request).await?;
    Ok(enabled.into_inner().secret.unwrap())
}

/// Deletes a secret.
pub async fn delete(server: &Calls, name: &str) -> Result<(), Status> {
    let name = name.to_owned();
    let request = DeleteSecretRequest { name };
    server.secrets().delete_secret(request).await?;
    Ok(())
}

async fn get(server: &Calls, name: &str) -> Result<Secret, Status> {
    let name = name.to_owned();
    let found = server
        .secrets()
        .get_secret(GetSecretRequest { name })
        .await?;
    Ok(found.into_inner().secret.unwrap())
}

async fn list(server: &Calls, page_size: i32, page_token: &str) -> (Vec<String>, String) {
    let request = ListSecretsRequest {
        page_size,
        page_token: page_token.to_owned(),
    };
    let listed = server.secrets().list_secrets(request).await;
    let listed = listed.unwrap().into_inner();
    let names = listed.secrets.into_iter().map(|secret| secret.name);
    (names.collect(), listed.next_page_token)
}

fn enabled(secret: &Secret) -> Vec<(i32, bool)> {
    let versions = secret.versions.iter();
    versions.map(|one| (one.number, one.enabled)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_told_without_its_value() {
    let server = TestServer::start().await;

    let created = create(
        &server,
        "key-1",
        "hunter22",
        &["a.example", "*.b.example:8443"],
    );
    let created = created.await.unwrap();
    let found = get(&server, "key-1").await.unwrap();

    assert_eq!(created, found);
    assert_eq!(found.name, "key-1");
    assert_eq!(found.description, "the secret key-1");
    assert_eq!(found.hosts, ["a.example", "*.b.example:8443"]);
    assert_eq!(
        (found.latest_version, enabled(&found)),
        (1, vec![(1, true)])
    );
    assert_eq!(found.state(), SecretState::Active);
    assert!(found.create_time.is_some() && found.update_time == found.create_time);
    assert!(!format!("{found:?}").contains("hunter22"));
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_are_added_disabled_and_enabled() {
    let server = TestServer::start().await;
    store(&server, "key", "value-1").await;

    let added = add(&server, "key", "value-2").await.unwrap();
    let one_off = disable(&server, "key", 2).await.unwrap();
    let again = disable(&server, "key", 2).await.unwrap();
    let all_off = disable(&server, "key", 0).await.unwrap();
    let one_on = enable(&server, "key", 1).await.unwrap();
    let all_on = enable(&server, "key", 0).await.unwrap();

    assert_eq!(enabled(&added), [(2, true), (1, true)]);
    assert_eq!(enabled(&one_off), [(2, false), (1, true)]);
    assert_eq!(again, one_off);
    assert_eq!(one_off.state(), SecretState::Active);
    assert_eq!(enabled(&all_off), [(2, false), (1, false)]);
    assert_eq!(all_off.state(), SecretState::Disabled);
    assert_eq!(enabled(&one_on), [(2, false), (1, true)]);
    assert_eq!(enabled(&all_on), [(2, true), (1, true)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_versions_make_room() {
    let server = TestServer::start().await;
    store(&server, "key", "value-1").await;
    for number in 2..=21 {
        add(&server, "key", &format!("value-{number}"))
            .await
            .unwrap();
    }

    let found = get(&server, "key").await.unwrap();
    let gone = disable(&server, "key", 1).await.unwrap_err();

    let numbers: Vec<_> = found.versions.iter().map(|one| one.number).collect();
    assert_eq!(numbers, (2..=21).rev().collect::<Vec<_>>());
    assert_error(&gone, Code::NotFound, "SECRET_VERSION_NOT_FOUND");
    assert_eq!(metadata(&gone, "latestVersion"), "21");
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_listed_by_name_over_pages() {
    let server = TestServer::start().await;
    for name in ["c", "a", "b"] {
        store(&server, name, "value").await;
    }

    let (first, token) = list(&server, 2, "").await;
    let (second, end) = list(&server, 2, &token).await;
    let forged = ListSecretsRequest {
        page_size: -1,
        page_token: "x".to_owned(),
    };
    let forged = server.secrets().list_secrets(forged).await.unwrap_err();

    assert_eq!(
        (first, second),
        (vec!["a".into(), "b".into()], vec!["c".into()])
    );
    assert_eq!(end, "");
    assert_eq!(violated_fields(&forged), ["page_size", "page_token"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_stored_is_refused_without_showing_it() {
    let server = TestServer::start().await;
    store(&server, "taken", "value").await;

    let taken = create(&server, "taken", "hunter22", &[]).await.unwrap_err();
    assert_error(&taken, Code::AlreadyExists, "SECRET_ALREADY_EXISTS");
    assert_eq!(metadata(&taken, "name"), "taken");

    for (name, value, hosts, fields) in [
        ("", "", &[][..], vec!["name", "value"]),
        ("a b", "hunter22", &[], vec!["name"]),
        ("a", "abc", &[], vec!["value"]),
        ("a", "ab\0cd", &[], vec!["value"]),
        ("a", "[redacted]", &[], vec!["value"]),
        (
            "a",
            "hunter22",
            &["ok.example", "https://x"],
            vec!["hosts[1]"],
        ),
    ] {
        let refused = create(&server, name, value, hosts).await.unwrap_err();

        assert_error(&refused, Code::InvalidArgument, "INVALID_REQUEST");
        assert_eq!(violated_fields(&refused), fields);
        assert!(!format!("{refused:?}").contains("hunter22"));
    }
    let long = create(&server, "a", &"x".repeat(65_537), &[])
        .await
        .unwrap_err();
    assert_eq!(violated_fields(&long), ["value"]);
    create(&server, "a", &"x".repeat(65_536), &[])
        .await
        .unwrap();
    create(&server, &"n".repeat(100), "four", &[])
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_exist_is_named() {
    let server = TestServer::start().await;
    store(&server, "gone", "hunter22").await;
    delete(&server, "gone").await.unwrap();

    for refused in [
        get(&server, "gone").await.unwrap_err(),
        add(&server, "gone", "hunter22").await.unwrap_err(),
        disable(&server, "gone", 0).await.unwrap_err(),
        enable(&server, "gone", 3).await.unwrap_err(),
        delete(&server, "gone").await.unwrap_err(),
    ] {
        assert_error(&refused, Code::NotFound, "SECRET_NOT_FOUND");
        assert_eq!(metadata(&refused, "name"), "gone");
    }
    let again = store(&server, "gone", "hunter33").await;
    assert_eq!(again.latest_version, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_key_nothing_is_stored() {
    let server = TestServer::builder().without("--secrets-key").start().await;

    let refused = create(&server, "key", "hunter22", &[]).await.unwrap_err();

    assert_error(&refused, Code::FailedPrecondition, "SECRETS_NOT_CONFIGURED");
    assert_eq!(list(&server, 0, "").await, (vec![], String::new()));
}
