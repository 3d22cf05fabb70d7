use prost::Message;
use tonic_types::{StatusExt, pb};

use super::*;

/// The most bytes of an error's details, its message included.
const BOUND: usize = 5 << 10;

fn violation(field: impl Into<String>, reason: &'static str, text: &str) -> Violation {
    Violation {
        field: field.into(),
        reason,
        description: text.to_owned(),
    }
}

fn reason(status: &Status) -> String {
    status.get_details_error_info().unwrap().reason
}

fn metadata(status: &Status, key: &str) -> String {
    let info = status.get_details_error_info().unwrap();
    info.metadata.get(key).cloned().unwrap_or_default()
}

#[test]
fn a_thousand_violations_are_counted_and_the_first_of_them_told() {
    let long = "é".repeat(10_000);
    for (field, text) in [
        ("x", "short"),
        ("x", long.as_str()),
        (long.as_str(), long.as_str()),
    ] {
        let all = (0..1_000).map(|n| violation(format!("flow.nodes[{n}].{field}"), "BAD", text));

        let status = Status::from(Error::InvalidFlow(all.collect()));

        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(reason(&status), "INVALID_FLOW");
        assert_eq!(metadata(&status, "violationCount"), "1000");
        assert!(
            status.details().len() <= BOUND,
            "{}",
            status.details().len()
        );
        let told = status.get_details_bad_request().unwrap().field_violations;
        assert!((3..=32).contains(&told.len()), "{}", told.len());
        assert_eq!(told[0].reason, "BAD");
        for named in ["flow.nodes[0]", "flow.nodes[2]", "and 997 more"] {
            assert!(status.message().contains(named), "{}", status.message());
        }
        assert!(!status.message().contains("flow.nodes[3]"));
    }
}

#[test]
fn short_violations_are_told_up_to_thirty_two() {
    let all = (0..40).map(|n| violation(format!("f{n}"), "BAD", "is bad"));

    let status = Status::from(Error::Invalid(all.collect()));

    let told = status.get_details_bad_request().unwrap().field_violations;
    assert_eq!(told.len(), 32);
}

#[test]
fn violations_of_one_kind_give_their_reason_to_the_error() {
    let one = |reason| violation("f", reason, "");
    let of = |error: Error| reason(&Status::from(error));

    assert_eq!(
        of(Error::Invalid(vec![one("INVALID_PAGE_TOKEN")])),
        "INVALID_PAGE_TOKEN"
    );
    assert_eq!(
        of(Error::InvalidFlow(vec![
            one("NOT_YET_SUPPORTED"),
            one("NOT_YET_SUPPORTED")
        ])),
        "NOT_YET_SUPPORTED"
    );
    assert_eq!(
        of(Error::InvalidFlow(vec![
            one("NOT_YET_SUPPORTED"),
            one("CYCLE")
        ])),
        "INVALID_FLOW"
    );
    assert_eq!(of(Error::Invalid(vec![one("REQUIRED")])), "INVALID_REQUEST");
}

#[test]
fn an_id_of_ten_kilobytes_is_shown_by_its_beginning() {
    let id = "\u{1}é".repeat(5_000);
    let etag = store::Error::EtagMismatch {
        flow_id: id.as_str().into(),
        given: id.clone(),
        current: "1-1".to_owned(),
    };
    for error in [
        Error::AppletNotFound(id.clone()),
        Error::Store(store::Error::FlowExists(id.as_str().into())),
        Error::Store(etag),
        Error::Engine(engine::Error::Rejected(id.clone())),
    ] {
        let status = Status::from(error);

        assert!(
            status.details().len() <= BOUND,
            "{}",
            status.details().len()
        );
        assert!(status.message().len() <= 600, "{}", status.message().len());
        assert!(!status.message().contains('\u{1}'));
    }
}

#[test]
fn what_exists_or_not_is_named() {
    let status = Status::from(Error::Store(store::Error::RevisionNotFound {
        flow_id: "orders".into(),
        revision: 9,
        latest: 2,
    }));

    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::NotFound, "REVISION_NOT_FOUND")
    );
    assert_eq!(metadata(&status, "latestRevision"), "2");
    let resource = status.get_details_resource_info().unwrap();
    assert_eq!(resource.resource_name, "orders/9");
}

#[test]
fn an_old_etag_is_answered_with_the_present_one() {
    let status = Status::from(Error::Store(store::Error::EtagMismatch {
        flow_id: "orders".into(),
        given: "1-1".to_owned(),
        current: "1-2".to_owned(),
    }));

    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::Aborted, "ETAG_MISMATCH")
    );
    assert_eq!(metadata(&status, "etag"), "1-2");
}

#[test]
fn a_limit_names_its_quota_and_when_to_try_again() {
    let status = Status::from(Error::Engine(crate::hub::TooMany(7).into()));

    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(metadata(&status, "limit"), "7");
    assert!(status.get_details_quota_failure().is_some());
    assert!(status.get_details_retry_info().is_some());
}

#[test]
fn a_passing_want_says_when_to_try_again() {
    for (error, expected) in [
        (Error::Draining { sequence: 3 }, "DRAINING"),
        (Error::Engine(engine::Error::Draining), "DRAINING"),
        (
            Error::Store(store::Error::no_answer("it")),
            "DATABASE_UNAVAILABLE",
        ),
    ] {
        let status = Status::from(error);

        assert_eq!(
            (status.code(), reason(&status).as_str()),
            (Code::Unavailable, expected)
        );
        assert!(status.get_details_retry_info().is_some());
    }
}

#[test]
fn a_bug_tells_nothing_of_its_cause() {
    let status = Status::from(Error::Store(store::Error::Corrupt("secret".to_owned())));

    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::Internal, "INTERNAL")
    );
    let whole = pb::Status::decode(status.details()).unwrap();
    assert!(!format!("{whole:?}{}", status.message()).contains("secret"));
}
