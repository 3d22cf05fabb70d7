//! What a step shows while it works reaches a watcher on another replica.

use serde_json::json;
use synapps::proto::watch_run_response::Message;

use super::{Seen, delta, pair, speaks, telling, text};
use crate::llm::model::ModelServer;
use crate::support::flows::chain;
use crate::support::wire;
use crate::watch::{past, request, watch};

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_seen_on_another_replica_before_the_step_ends_also_by_who_comes_late() {
    let model = ModelServer::start().await;
    let (owner, other) = pair(&speaks(&model)).await;
    let speech = model.speech();
    let run_id = owner.save_and_start(telling("flow"), &json!("Hi")).await;

    let mut seen = Seen::of(&other, &run_id).await;
    assert!(!seen.polling);
    speech.say("Hel");
    seen.text_becomes("Hel").await;
    speech.say("lo, ");
    seen.text_becomes("Hello, ").await;
    let mut late = Seen::of(&other, &run_id).await;
    late.text_becomes("Hello, ").await;
    let first = late.messages.iter().find_map(delta).unwrap();
    assert_eq!((first.offset, first.text.as_str()), (0, "Hello, "));
    speech.say("Ada");
    speech.end();

    let late = late.rest().await;
    let events = seen.succeeded(&other, &run_id).await;
    assert!(crate::support::history::has(&events, "step_succeeded ask"));
    let run = owner.get(&run_id).await;
    assert_eq!(wire::json(run.output.as_ref()), json!("Hello, Ada"));
    assert_eq!(text(&late), "Hello, Ada");
    let ended = late.iter().position(|message| {
        matches!(&message.message, Some(Message::Event(event)) if super::is_end_of_ask(event))
    });
    assert!(
        late[ended.unwrap()..]
            .iter()
            .all(|message| delta(message).is_none())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_that_another_model_begins_anew_begins_anew_on_another_replica() {
    let model = ModelServer::start().await;
    let (owner, other) = pair(&speaks(&model)).await;
    let (first, second) = (model.speech(), model.speech());
    let fallback = json!([{"provider": "custom", "model": "other"}]);
    let config = json!({"provider": "custom", "model": "some-model", "fallback": fallback});
    let flow = chain("flow", &[("ask", "llm", config)]);
    let run_id = owner.save_and_start(flow, &json!("Hi")).await;

    let mut seen = Seen::of(&other, &run_id).await;
    first.say("It beg");
    seen.text_becomes("It beg").await;
    drop(first);
    second.say("Again");
    seen.text_becomes("Again").await;
    second.end();

    seen.succeeded(&other, &run_id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_wants_tokens_gets_them_though_others_watch_without() {
    let model = ModelServer::start().await;
    let (owner, other) = pair(&speaks(&model)).await;
    let speech = model.speech();
    let run_id = owner.save_and_start(telling("flow"), &json!("Hi")).await;

    let mut without = watch(&other, request(&run_id)).await.unwrap();
    let (_, caught_up) = past(&mut without).await;
    assert!(!caught_up.polling);
    speech.say("Hel");
    let mut with = Seen::of(&other, &run_id).await;
    with.text_becomes("Hel").await;
    speech.say("lo");
    with.text_becomes("Hello").await;
    speech.end();

    with.succeeded(&other, &run_id).await;
    let (rest, error) = crate::watch::to_the_end(without).await;
    assert!(error.is_none(), "{error:?}");
    assert!(rest.iter().all(|message| delta(message).is_none()));
}
