//! How secrets lie in the database: sealed, apart by namespace, and gone when they are deleted.

use synapps::ids::Namespace;
use synapps::secrets::sealing::{self, Place};
use synapps::secrets::{KeyRing, Vault};
use synapps::store::secrets::{self, Content, Sealed, Use};

use super::service::{add, delete};
use super::store;
use crate::support::database::Database;
use crate::support::server::TestServer;

/// A secret in a namespace.
async fn put(database: &Database, keys: &KeyRing, namespace: &Namespace, value: &str) {
    let place = Place {
        namespace,
        name: "key",
        version: 1,
    };
    let sealed = sealing::seal(keys, place, value);
    let content = Content {
        name: "key",
        description: "",
        hosts: &[],
    };
    let mut conn = database.store().await.conn().await.unwrap();
    let created = secrets::create(&mut conn, namespace, content, &sealed).await;
    created.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn values_are_sealed_and_gone_when_deleted() {
    let server = TestServer::start().await;
    store(&server, "key", "hunter22").await;
    add(&server, "key", "hunter33").await.unwrap();
    let sql = server.sql().await;

    let rows = sql
        .query("SELECT sealed FROM secret_versions", &[])
        .await
        .unwrap();
    delete(&server, "key").await.unwrap();
    let left = sql
        .query(
            "SELECT 1 FROM secret_versions UNION ALL SELECT 1 FROM secrets",
            &[],
        )
        .await
        .unwrap();

    assert_eq!(rows.len(), 2);
    for row in rows {
        let sealed: Vec<u8> = row.get(0);
        assert!(!sealed.windows(6).any(|window| window == b"hunter"));
    }
    assert!(left.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn namespaces_do_not_share_secrets() {
    let database = Database::migrated().await;
    let keys = KeyRing::parse(&KeyRing::generate(), "here").unwrap();
    let (one, other) = (Namespace::from("one"), Namespace::from("other"));
    put(&database, &keys, &one, "value of one").await;
    put(&database, &keys, &other, "value of other").await;
    let store = database.store().await;
    let vault = Vault::new(Some(keys));
    let names = ["key".to_owned()].into();

    let known = vault.known(&store, &one, &names, &names).await.unwrap();
    let mut conn = store.conn().await.unwrap();
    secrets::delete(&mut conn, &other, "key").await.unwrap();
    let still = vault.known(&store, &one, &names, &names).await.unwrap();
    let gone = vault.known(&store, &other, &names, &names).await.unwrap();

    let redactor = known.redactor();
    assert_eq!(redactor.text("value of one"), "[redacted]");
    assert_eq!(redactor.text("value of other"), "value of other");
    assert!(still.grant(&names).is_ok());
    assert_eq!(gone.grant(&names).unwrap_err().reason(), "SECRET_NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_process_changes_is_noticed_at_the_next_use() {
    let database = Database::migrated().await;
    let keys = KeyRing::parse(&KeyRing::generate(), "here").unwrap();
    let namespace = Namespace::default_namespace();
    put(&database, &keys, &namespace, "old value").await;
    let store = database.store().await;
    let vault = Vault::new(Some(keys.clone()));
    let names = ["key".to_owned()].into();
    let of_templates = async || {
        let known = vault.known(&store, &namespace, &names, &names).await;
        let known = known.unwrap();
        let granted = known.grant(&names)?;
        let value = granted.for_templates().find("key");
        Ok::<_, synapps::secrets::Denied>((value, known.redactor().clone()))
    };
    let (before, _) = of_templates().await.unwrap();

    let mut conn = store.conn().await.unwrap();
    let seal = |version| -> Sealed {
        let place = Place {
            namespace: &namespace,
            name: "key",
            version,
        };
        sealing::seal(&keys, place, "new value")
    };
    let added = secrets::add_version(&mut conn, &namespace, "key", seal).await;
    added.unwrap();
    let (after, redactor) = of_templates().await.unwrap();
    let disabled = secrets::set_use(&mut conn, &namespace, "key", None, Use::Disabled).await;
    disabled.unwrap();
    let denied = of_templates().await.unwrap_err();

    assert_eq!(before, Some("old value".into()));
    assert_eq!(after, Some("new value".into()));
    assert_eq!(
        redactor.text("old value, new value"),
        "[redacted], [redacted]"
    );
    assert_eq!(denied.reason(), "SECRET_DISABLED");
}
