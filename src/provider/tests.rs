//! Which key goes where, and what things cost.

use super::prices::Prices;
use super::*;

fn providers(of: Provider, key: &str, base_url: Option<&str>) -> Providers {
    let mut settings = config::Providers::default();
    let (keys, urls) = match of {
        Provider::Openai => (&mut settings.openai_api_key, &mut settings.openai_base_url),
        _ => (
            &mut settings.custom_llm_api_key,
            &mut settings.custom_llm_base_url,
        ),
    };
    *keys = Some(Secret::new(key));
    *urls = base_url.map(|text| text.parse().unwrap());
    Providers::new(&settings).unwrap()
}

fn none() -> Providers {
    Providers::new(&config::Providers::default()).unwrap()
}

fn chosen<'a>(api_key: Option<&'a str>, base_url: Option<&'a str>) -> Chosen<'a> {
    Chosen {
        api_key,
        base_url,
        has_credentials: false,
    }
}

fn key(route: &Route) -> Option<&str> {
    route.key.as_ref().map(Secret::expose)
}

#[test]
fn a_key_of_the_environment_goes_to_the_environments_address_only() {
    let set = providers(Provider::Openai, "server", Some("http://gateway:8080/v1/"));

    let usual = set.route(Provider::Openai, chosen(None, None)).unwrap();
    assert_eq!((key(&usual), usual.via), (Some("server"), Via::Environment));
    assert_eq!(
        usual.url("chat/completions").as_str(),
        "http://gateway:8080/v1/chat/completions"
    );
    let same = chosen(None, Some("http://gateway:8080/v1"));
    let same = set.route(Provider::Openai, same).unwrap();
    assert_eq!((key(&same), same.via), (Some("server"), Via::Environment));

    for elsewhere in [
        "https://evil.example/v1",
        "http://gateway:8081/v1",
        "http://gateway:8080",
        "https://gateway:8080/v1",
        "https://api.openai.com/v1",
    ] {
        let refused = set.route(Provider::Openai, chosen(None, Some(elsewhere)));
        assert_eq!(refused.unwrap_err().reason(), "KEY_NOT_FOR_BASE_URL");
        let own = set.route(Provider::Openai, chosen(Some("own"), Some(elsewhere)));
        let own = own.unwrap();
        assert_eq!((key(&own), own.via), (Some("own"), Via::Policy));
    }
    let own = set
        .route(Provider::Openai, chosen(Some("own"), None))
        .unwrap();
    assert_eq!((key(&own), own.via), (Some("own"), Via::Environment));
}

#[test]
fn a_provider_that_needs_no_key_gets_none_elsewhere() {
    let set = providers(Provider::Custom, "server", Some("http://models:8000/v1"));

    let elsewhere = chosen(None, Some("http://other:8000/v1"));
    let elsewhere = set.route(Provider::Custom, elsewhere).unwrap();

    assert_eq!((key(&elsewhere), elsewhere.via), (None, Via::Policy));
    let usual = set.route(Provider::Custom, Chosen::default()).unwrap();
    assert_eq!((key(&usual), usual.via), (Some("server"), Via::Environment));
}

#[test]
fn what_is_not_configured_is_said() {
    let none = none();

    for provider in Provider::LANGUAGE.into_iter().chain(Provider::IMAGE) {
        let refusal = none.find_refusal(provider).map(|refusal| refusal.reason());
        let expected = (provider != Provider::Ollama).then_some("PROVIDER_NOT_CONFIGURED");
        assert_eq!(refusal, expected, "{provider}");
        assert_eq!(Provider::find(provider.name()), Some(provider));
    }
    // Nobody set it, so that the policy decides about it.
    let ollama = none.route(Provider::Ollama, Chosen::default()).unwrap();
    assert_eq!(ollama.via, Via::Policy);
    assert_eq!(
        ollama.url("api/chat").as_str(),
        "http://localhost:11434/api/chat"
    );
    let with_headers = Chosen {
        has_credentials: true,
        ..chosen(None, Some("https://proxy.example"))
    };
    assert!(none.route(Provider::Openai, with_headers).is_ok());
}

#[test]
fn an_address_is_checked() {
    for wrong in [
        "",
        "models",
        "ftp://models",
        "http://user:password@models",
        "http://models?key=1",
        "http://models#x",
    ] {
        assert!(route::base_url(wrong).is_err(), "{wrong}");
    }
    let refused = none().route(Provider::Ollama, chosen(None, Some("nonsense")));
    assert_eq!(refused.unwrap_err().reason(), "URL_INVALID");
}

#[test]
fn credentials_tell_keys_apart_and_show_none() {
    let of = |key| {
        let route = none().route(Provider::Openai, chosen(Some(key), None));
        route.unwrap().credential()
    };

    assert_eq!(of("one"), of("one"));
    assert_ne!(of("one"), of("two"));
    assert_eq!(format!("{:?}", of("one")), "Credential(openai)");
    let route = none().route(Provider::Openai, chosen(Some("sk-key"), None));
    assert!(!format!("{route:?}").contains("sk-key"));
}

#[test]
fn costs_follow_the_table() {
    let prices = Prices::parse(
        r#"{"openai/gpt-4o": {"input": 2.5, "output": 10}, "openai/dall-e-3": {"image": 0.04}}"#,
    )
    .unwrap();

    let cost = |model| prices.find_cost(Provider::Openai, model, 1_000, 201);
    assert_eq!(cost("gpt-4o"), Some(4_510));
    assert_eq!(cost("gpt-4o-mini"), None);
    assert_eq!(
        prices.find_image_cost(Provider::Openai, "dall-e-3", 2),
        Some(80_000)
    );
    for wrong in [
        "[]",
        r#"{"gpt-4o": {"input": 1}}"#,
        r#"{"nobody/gpt-4o": {"input": 1}}"#,
        r#"{"openai/gpt-4o": {"input": -1}}"#,
        r#"{"openai/gpt-4o": {"inputs": 1}}"#,
        r#"{"openai/gpt-4o": {"input": 1e300}}"#,
    ] {
        assert!(Prices::parse(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn the_catalogue_names_a_model_first_that_is_used_without_one() {
    let providers = providers(Provider::Openai, "key", None);

    let offers = providers.offers("llm");

    assert_eq!(offers.len(), 5);
    assert_eq!(offers[0].models[0].id, "gpt-4o");
    assert_eq!(offers[0].refusal, None);
    assert!(
        offers[1]
            .refusal
            .as_deref()
            .is_some_and(|why| why.contains("ANTHROPIC_API_KEY"))
    );
    assert_eq!(providers.offers("artist").len(), 3);
    assert!(providers.offers("merge").is_empty());
}

#[test]
fn settings_that_cannot_be_used_are_refused() {
    let address = config::Providers {
        ollama_base_url: Some("ftp://models".parse().unwrap()),
        ..config::Providers::default()
    };
    let limits = config::Providers {
        provider_limits: Some("openai".to_owned()),
        ..config::Providers::default()
    };
    let prices = config::Providers {
        prices: Some("/nowhere/prices.json".into()),
        ..config::Providers::default()
    };
    let blank = providers(Provider::Openai, " ", None);

    assert!(matches!(
        Providers::new(&address),
        Err(Error::BaseUrl { .. })
    ));
    assert!(matches!(Providers::new(&limits), Err(Error::Limits(_))));
    assert!(matches!(Providers::new(&prices), Err(Error::Prices(_))));
    assert!(blank.find_refusal(Provider::Openai).is_some());
}
