//! The providers and their models, as `DescribeApplet` tells them.

use synapps::proto::DescribeAppletRequest;

use crate::support::server::TestServer;

#[tokio::test(flavor = "multi_thread")]
async fn an_applet_tells_its_providers_and_what_they_lack() {
    let server = TestServer::builder()
        .flag("--anthropic-api-key=key")
        .start()
        .await;
    let describe = async |kind: &str| {
        let request = DescribeAppletRequest {
            r#type: kind.to_owned(),
        };
        let answer = server.applets().describe_applet(request).await.unwrap();
        answer.into_inner().applet.unwrap().providers
    };

    let providers = describe("llm").await;

    let names: Vec<_> = providers.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["openai", "anthropic", "google", "ollama", "custom"]);
    let [openai, anthropic, ..] = &providers[..] else {
        panic!("{providers:?}");
    };
    assert!(!openai.configured && openai.reason.contains("OPENAI_API_KEY"));
    assert!(anthropic.configured && anthropic.reason.is_empty());
    assert_eq!(openai.models[0].id, "gpt-4o");
    assert!(openai.models[0].context_window > 0 && openai.models[0].supports_vision);
    assert_eq!(describe("writer").await.len(), 1);
    assert!(describe("merge").await.is_empty());
}
