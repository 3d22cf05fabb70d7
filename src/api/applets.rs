//! `AppletService`: the catalogue of applets.

mod tryout;

use prost_types::Struct;
use serde_json::Value;
use tonic::{Request, Response, Status};

use super::convert::{effect, flow, required, time};
use super::status::{Error, Result};
use super::{Api, MAX_ANSWER_BYTES, page};
use crate::applet::registry::Entry;
use crate::flow::Violation;
use crate::proto::applet_service_server::AppletService;
use crate::proto::{
    Applet, DescribeAppletRequest, DescribeAppletResponse, FailureReason, Handle,
    ListAppletsRequest, ListAppletsResponse, Model, Node, Position, Provider, TestAppletRequest,
    TestAppletResponse,
};
use crate::provider::catalogue::{self, Offer};

/// Bytes of an answer's page token, with room to spare.
const TOKEN_BYTES: usize = 2_048;

#[tonic::async_trait]
impl AppletService for Api {
    async fn list_applets(
        &self,
        request: Request<ListAppletsRequest>,
    ) -> Result<Response<ListAppletsResponse>, Status> {
        let entries = self.engine.registry().entries();
        Ok(Response::new(list(entries, request.into_inner())?))
    }

    async fn describe_applet(
        &self,
        request: Request<DescribeAppletRequest>,
    ) -> Result<Response<DescribeAppletResponse>, Status> {
        let kind = request.into_inner().r#type;
        if kind.is_empty() {
            return Err(Error::field(required("type")).into());
        }
        match self.engine.registry().find(&kind) {
            Some(entry) => Ok(Response::new(DescribeAppletResponse {
                applet: Some(applet(entry)),
            })),
            None => Err(Error::AppletNotFound(kind).into()),
        }
    }

    async fn test_applet(
        &self,
        request: Request<TestAppletRequest>,
    ) -> Result<Response<TestAppletResponse>, Status> {
        let namespace = self.namespace(&request);
        let tried = self.try_out(namespace, request.into_inner()).await?;
        Ok(Response::new(tried))
    }
}

/// A page of the entries, which are ordered by kind: the cursor is the last kind of the page before.
fn list(entries: &[Entry], mut request: ListAppletsRequest) -> Result<ListAppletsResponse> {
    const RPC: &str = "ListApplets";
    let size = std::mem::take(&mut request.page_size);
    let token = std::mem::take(&mut request.page_token);
    let size = page::size(size, "page_size");
    let after = page::cursor(RPC, &request, &token);
    let (size, after) = match (size, after) {
        (Ok(size), Ok(after)) => (size, after),
        (size, after) => {
            let violations: Vec<Violation> = size.err().into_iter().chain(after.err()).collect();
            return Err(Error::Invalid(violations));
        }
    };
    let rest = entries
        .iter()
        .filter(|entry| after.as_deref().is_none_or(|after| entry.kind > after));
    let mut applets: Vec<Applet> = rest.clone().take(size).map(applet).collect();
    let whole = page::cut(&mut applets, 0, MAX_ANSWER_BYTES - TOKEN_BYTES);
    let more = !whole || rest.count() > applets.len();
    let next = applets.last().filter(|_| more);
    let next = next.map(|last| page::token(RPC, &request, &last.r#type));
    Ok(ListAppletsResponse {
        applets,
        next_page_token: next.unwrap_or_default(),
    })
}

fn applet(entry: &Entry) -> Applet {
    let description = &entry.description;
    Applet {
        r#type: entry.kind.to_owned(),
        version: description.version,
        title: description.title.to_owned(),
        description: description.text.to_owned(),
        config_schema: Some(flow::object(&entry.config_schema)),
        handles: description
            .handles
            .iter()
            .map(|&(name, meaning)| Handle {
                name: name.to_owned(),
                description: meaning.to_owned(),
            })
            .collect(),
        effect: effect(description.effect).into(),
        failure_reasons: description
            .reasons
            .iter()
            .map(|&(reason, meaning)| FailureReason {
                reason: reason.to_owned(),
                description: meaning.to_owned(),
            })
            .collect(),
        default_timeout: Some(time::duration(description.default_timeout)),
        max_timeout: Some(time::duration(description.max_timeout)),
        example: Some(example(entry.kind, &(description.example)())),
        providers: entry.offers.iter().map(provider).collect(),
    }
}

fn provider(offer: &Offer) -> Provider {
    let model = |model: &catalogue::Model| Model {
        id: model.id.to_owned(),
        name: model.name.to_owned(),
        context_window: model.context_window,
        max_output_tokens: model.max_output_tokens,
        supports_streaming: model.supports_streaming,
        supports_vision: model.supports_vision,
    };
    Provider {
        name: offer.provider.name().to_owned(),
        configured: offer.refusal.is_none(),
        reason: offer.refusal.clone().unwrap_or_default(),
        models: offer.models.iter().map(model).collect(),
    }
}

/// A node that can be copied: named after its kind.
fn example(kind: &str, data: &Value) -> Node {
    let data: Struct = flow::object(data);
    Node {
        id: kind.to_owned(),
        r#type: kind.to_owned(),
        position: Some(Position::default()),
        data: Some(data),
        ..Node::default()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::applet::{Description, Effect};

    fn entry(kind: &'static str) -> Entry {
        Entry {
            kind,
            description: Description {
                version: 1,
                title: "Title",
                text: "Text.",
                handles: &[("true", "when so")],
                effect: Effect::Pure,
                reasons: &[("BROKEN", "when not")],
                example: || json!({"value": 1}),
                raw: &[],
                deferred: &[],
                default_timeout: Duration::from_secs(30),
                max_timeout: Duration::from_mins(1),
            },
            config_schema: json!({"type": "object"}),
            offers: Vec::new(),
        }
    }

    fn page(entries: &[Entry], page_size: i32, token: &str) -> (Vec<String>, String) {
        let request = ListAppletsRequest {
            page_size,
            page_token: token.to_owned(),
        };
        let answer = list(entries, request).unwrap();
        let kinds = answer.applets.into_iter().map(|one| one.r#type).collect();
        (kinds, answer.next_page_token)
    }

    #[test]
    fn pages_follow_each_other_to_the_end() {
        let entries = [entry("a"), entry("b"), entry("c")];

        let (first, token) = page(&entries, 2, "");
        let (second, end) = page(&entries, 2, &token);
        let (all, none) = page(&entries, 3, "");

        assert_eq!(
            (first, second),
            (vec!["a".into(), "b".into()], vec!["c".into()])
        );
        assert_eq!((all.len(), end.as_str(), none.as_str()), (3, "", ""));
    }

    #[test]
    fn an_applet_is_told_with_a_node_to_copy() {
        let applet = applet(&entry("a"));

        let example = applet.example.unwrap();
        assert_eq!((example.id.as_str(), example.r#type.as_str()), ("a", "a"));
        assert_eq!(example.data, Some(flow::object(&json!({"value": 1}))));
        assert_eq!(applet.handles[0].name, "true");
        assert_eq!(applet.effect, i32::from(crate::proto::Effect::Pure));
    }
}
