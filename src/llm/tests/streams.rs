//! Answers as they come: cut anywhere, whole or not.

use super::*;

#[tokio::test]
async fn an_answer_is_the_same_wherever_the_network_cuts_it() {
    for provider in Provider::LANGUAGE {
        for line_end in ["\n", "\r\n"] {
            let text = transcript(provider).replace('\n', line_end);
            let bytes = text.as_bytes();
            let expected = Answer {
                text: TEXT.to_owned(),
                finish_reason: match provider {
                    Provider::Anthropic => "end_turn",
                    Provider::Google => "STOP",
                    _ => "stop",
                }
                .to_owned(),
                is_truncated: false,
                model: Some(
                    match provider {
                        Provider::Anthropic => "claude-x",
                        Provider::Google => "gemini-x",
                        Provider::Ollama => "llama-x",
                        _ => "gpt-x",
                    }
                    .to_owned(),
                ),
                tokens: Some(Tokens {
                    input: 12,
                    output: 7,
                }),
            };

            let single = bytes.chunks(1).map(|byte| Ok(Bytes::copy_from_slice(byte)));
            let (answer, said) =
                read(provider, 200, content_type(provider), single.collect()).await;
            assert_eq!(answer.as_ref(), Ok(&expected), "{provider}");
            assert_eq!(said, TEXT);
            for at in 0..=bytes.len() {
                let pieces = [&bytes[..at], &bytes[at..]];
                let pieces = pieces.map(|piece| Ok(Bytes::copy_from_slice(piece)));
                let (answer, _) = read(provider, 200, content_type(provider), pieces.into()).await;
                assert_eq!(answer.as_ref(), Ok(&expected), "{provider} cut at {at}");
            }
        }
    }
}

#[tokio::test]
async fn what_breaks_off_is_no_answer() {
    for provider in Provider::LANGUAGE {
        let text = transcript(provider);
        let mut cuts = 0;
        for at in 0..text.len() {
            for breaks in [false, true] {
                let mut pieces = vec![Ok(Bytes::copy_from_slice(&text.as_bytes()[..at]))];
                if breaks {
                    pieces.push(Err(lost()));
                }
                let (answer, _) = read(provider, 200, content_type(provider), pieces).await;
                match answer {
                    // The provider had said that nothing is missing.
                    Ok(answer) => assert_eq!(answer.text, TEXT, "{provider} {at}"),
                    Err(failure) if failure.reason == Reason::StreamCut => cuts += 1,
                    // Half a character, or half a word of the protocol, before anything else.
                    Err(failure) => assert_eq!(
                        failure.reason,
                        Reason::AnswerMalformed,
                        "{provider} {at} {failure}"
                    ),
                }
            }
        }
        assert!(cuts > text.len(), "{provider}");
    }
}

#[tokio::test]
async fn nothing_after_the_end_harms() {
    for provider in Provider::LANGUAGE {
        let mut pieces = whole(&transcript(provider));
        pieces.push(Err(lost()));
        let (answer, _) = read(provider, 200, content_type(provider), pieces).await;
        assert_eq!(answer.unwrap().text, TEXT, "{provider}");
    }
}

#[tokio::test]
async fn what_is_no_answer_of_the_api_is_malformed() {
    let html = "<html><body>Welcome to the gateway</body></html>";
    for provider in Provider::LANGUAGE {
        let stream = content_type(provider);
        let broken = match provider {
            Provider::Ollama => "{\"message\":{\"content\":\"a\"}}\n{oops}\n",
            _ => "data: {oops}\n\n",
        };
        for (content_type, body) in [
            (stream, html),
            ("text/html", html),
            ("application/json", "[]"),
            ("application/json", "{}"),
            ("application/json", "oops"),
            (stream, broken),
        ] {
            let (answer, _) = read(provider, 200, content_type, whole(body)).await;
            let failure = answer.unwrap_err();
            assert_eq!(
                failure.reason,
                Reason::AnswerMalformed,
                "{provider} {content_type} {body}"
            );
            assert!(failure.answer.is_some());
        }
        let bytes = vec![Ok(Bytes::from_static(b"\xff\xfe\n\n"))];
        let (answer, _) = read(provider, 200, stream, bytes).await;
        assert_eq!(answer.unwrap_err().reason, Reason::AnswerMalformed);
        let (answer, _) = read(provider, 200, stream, Vec::new()).await;
        assert_eq!(answer.unwrap_err().reason, Reason::StreamCut);
    }
}

#[tokio::test]
async fn errors_within_a_stream_have_their_reason() {
    for (provider, frame, reason) in [
        (
            Provider::Openai,
            r#"data: {"error":{"message":"The server is tired","type":"server_error"}}"#,
            Reason::ProviderUnavailable,
        ),
        (
            Provider::Anthropic,
            r#"data: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#,
            Reason::ProviderUnavailable,
        ),
        (
            Provider::Google,
            r#"data: {"error":{"code":429,"message":"Quota","status":"RESOURCE_EXHAUSTED"}}"#,
            Reason::RateLimited,
        ),
        (
            Provider::Ollama,
            r#"{"error":"model runner has unexpectedly stopped"}"#,
            Reason::ProviderUnavailable,
        ),
        (
            Provider::Google,
            r#"data: {"promptFeedback":{"blockReason":"SAFETY"}}"#,
            Reason::ContentFiltered,
        ),
        (
            Provider::Openai,
            r#"data: {"choices":[{"delta":{},"finish_reason":"content_filter"}]}"#,
            Reason::ContentFiltered,
        ),
        (
            Provider::Openai,
            r#"data: {"choices":[{"delta":{"refusal":"I cannot"},"finish_reason":"stop"}]}"#,
            Reason::ContentFiltered,
        ),
        (
            Provider::Anthropic,
            r#"data: {"type":"message_delta","delta":{"stop_reason":"refusal"}}"#,
            Reason::ContentFiltered,
        ),
        (
            Provider::Openai,
            r#"data: {"choices":[{"delta":{"content":" "},"finish_reason":"length"}]}"#,
            Reason::EmptyAnswer,
        ),
    ] {
        let (answer, _) = read(
            provider,
            200,
            content_type(provider),
            whole(&format!("{frame}\n\n")),
        )
        .await;
        assert_eq!(answer.unwrap_err().reason, reason, "{frame}");
    }
}

#[tokio::test]
async fn a_server_that_does_not_stream_is_understood() {
    for (provider, body) in [
        (
            Provider::Custom,
            json!({"model": "m", "choices": [{"message": {"role": "assistant", "content": TEXT}, "finish_reason": "length"}],
                   "usage": {"prompt_tokens": 12, "completion_tokens": 7}}),
        ),
        (
            Provider::Anthropic,
            json!({"type": "message", "model": "m", "content": [{"type": "text", "text": TEXT}], "stop_reason": "max_tokens",
                   "usage": {"input_tokens": 12, "output_tokens": 7}}),
        ),
        (
            Provider::Google,
            json!({"candidates": [{"content": {"parts": [{"text": TEXT}]}, "finishReason": "MAX_TOKENS"}],
                   "usageMetadata": {"promptTokenCount": 12, "candidatesTokenCount": 7}}),
        ),
        (
            Provider::Ollama,
            json!({"model": "m", "message": {"content": TEXT}, "done": true, "done_reason": "length",
                   "prompt_eval_count": 12, "eval_count": 7}),
        ),
    ] {
        let body = serde_json::to_string_pretty(&body).unwrap();
        let (answer, said) = read(
            provider,
            200,
            "application/json; charset=utf-8",
            whole(&body),
        )
        .await;

        let answer = answer.unwrap();
        assert_eq!(
            (answer.text.as_str(), said.as_str()),
            (TEXT, TEXT),
            "{provider}"
        );
        assert!(answer.is_truncated);
        assert_eq!(
            answer.tokens,
            Some(Tokens {
                input: 12,
                output: 7
            })
        );
    }
}

#[tokio::test]
async fn an_answer_has_its_bounds() {
    let piece = "x".repeat(500_000);
    let frame = format!(r#"data: {{"choices":[{{"delta":{{"content":"{piece}"}}}}]}}"#);
    let pieces = (0..20).map(|_| Ok(Bytes::from(format!("{frame}\n\n"))));
    let (answer, said) = read(Provider::Openai, 200, "text/event-stream", pieces.collect()).await;
    assert_eq!(answer.unwrap_err().reason, Reason::AnswerTooLarge);
    assert!(said.len() <= MAX_TEXT_BYTES);

    let noise = Bytes::from(": noise\n".repeat(128 * 1024));
    let pieces = (0..100).map(|_| Ok(noise.clone()));
    let (answer, _) = read(Provider::Openai, 200, "text/event-stream", pieces.collect()).await;
    assert_eq!(answer.unwrap_err().reason, Reason::AnswerTooLarge);

    let pieces = (0..20).map(|_| Ok(noise.clone()));
    let (answer, _) = read(Provider::Openai, 200, "application/json", pieces.collect()).await;
    assert_eq!(answer.unwrap_err().reason, Reason::AnswerTooLarge);

    let pieces = (0..100).map(|_| Ok(noise.clone()));
    let (answer, _) = read(Provider::Openai, 500, "text/plain", pieces.collect()).await;
    let failure = answer.unwrap_err();
    assert_eq!(failure.reason, Reason::ProviderUnavailable);
    assert!(failure.answer.unwrap().len() < 5_000);
}
