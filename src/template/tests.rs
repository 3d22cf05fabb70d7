//! Tests of templates.

use proptest::prelude::*;
use serde_json::json;
use uuid::Uuid;

use super::*;

/// A scope with something under every name.
pub fn scope() -> Scope {
    let results = [
        ("fetch-1", json!({"items": [{"sku": "A1"}, {"sku": "B2"}]})),
        ("odd id", json!(7)),
    ];
    Scope {
        secrets: crate::template::Secrets::default(),
        input: Arc::new(json!({
            "n": 3, "flag": true, "nul": null, "text": "hi {{ input.n }}", "half": 0.5,
            "user": {"name": "Ada", "tags": ["math", "poetry"]},
        })),
        content: Arc::new(json!([1, 2])),
        results: Arc::new(
            results
                .into_iter()
                .map(|(node, output)| (NodeId::from(node), Arc::new(output)))
                .collect(),
        ),
        run_id: RunId::new(Uuid::nil()),
        node_id: NodeId::from("here"),
        item: Some((Arc::new(json!({"x": 1})), 4)),
        extra: BTreeMap::from([("source", Arc::new(json!("src")))]),
    }
}

fn render(text: &str) -> Result<Value, Error> {
    let mut budget = MAX_RENDERED_BYTES;
    Template::parse(text)?.render(&scope(), &mut budget)
}

fn rendered(text: &str) -> Value {
    render(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn one_token_gives_the_value_with_its_type() {
    assert_eq!(rendered("{{input.n}}"), json!(3));
    assert_eq!(rendered("{{ input.nul }}"), json!(null));
    assert_eq!(rendered("{{input.user.tags.1}}"), json!("poetry"));
    assert_eq!(rendered("{{content}}"), json!([1, 2]));
    assert_eq!(
        rendered("{{ results.fetch-1.output.items.0.sku }}"),
        json!("A1")
    );
    assert_eq!(rendered("{{node.id}}"), json!("here"));
    assert_eq!(rendered("{{index}}"), json!(4));
    assert_eq!(rendered("{{item.x}}"), json!(1));
    assert_eq!(rendered("{{source}}"), json!("src"));
}

#[test]
fn around_a_token_everything_is_text() {
    assert_eq!(
        rendered("n={{input.n}} {{input.flag}} {{input.nul}}{{input.gone}} {{input.half}}"),
        json!("n=3 true  0.5")
    );
    assert_eq!(
        rendered("{{input.user}}{{content}}"),
        json!(r#"{"name":"Ada","tags":["math","poetry"]}[1,2]"#)
    );
    assert_eq!(rendered(" {{input.n}}"), json!(" 3"));
}

#[test]
fn a_missing_path_names_itself() {
    for path in [
        "input.gone",
        "input.n.x",
        "input.user.tags.9",
        "results.nobody.output",
        "results.fetch-1.other",
    ] {
        assert_eq!(
            render(&format!("{{{{ {path} }}}}")),
            Err(Error::Missing {
                path: path.to_owned()
            })
        );
    }
}

#[test]
fn what_comes_out_is_not_rendered_again() {
    assert_eq!(rendered("{{ input.text }}"), json!("hi {{ input.n }}"));
    assert_eq!(rendered("> {{ input.text }}"), json!("> hi {{ input.n }}"));
}

#[test]
fn expressions_compute() {
    assert_eq!(rendered("{{ input.n * 2 + 1 }}"), json!(7));
    assert_eq!(rendered("{{ 4 / 2 }}"), json!(2));
    assert_eq!(rendered("{{ input.n > 2 and input.flag }}"), json!(true));
    assert_eq!(rendered("{{ input.user.name | upper }}"), json!("ADA"));
    assert_eq!(rendered("{{ results[\"odd id\"].output + 1 }}"), json!(8));
    assert_eq!(
        rendered("{{ results['fetch-1'].output['items'] | map(attribute='sku') | list }}"),
        json!(["A1", "B2"])
    );
    assert_eq!(
        rendered("x={{ input.user | tojson }}"),
        json!(r#"x={"name":"Ada","tags":["math","poetry"]}"#)
    );
    assert_eq!(rendered("{{ {'a': [1, none]} }}"), json!({"a": [1, null]}));
    assert_eq!(rendered("{{ '{{' }}"), json!("{{"));
    assert_eq!(rendered("b={{ not input.flag }}"), json!("b=false"));
}

#[test]
fn a_default_allows_what_is_missing() {
    assert_eq!(rendered("{{ input.gone | default('x') }}"), json!("x"));
    assert_eq!(rendered("{{ input.gone.deeper|d(1) }}"), json!(1));
    assert_eq!(rendered("{{ input.gone.deeper is defined }}"), json!(false));

    assert!(matches!(
        render("{{ input['gone'] }}"),
        Err(Error::Missing { .. })
    ));
    assert!(matches!(
        render("{{ input['gone'].deeper }}"),
        Err(Error::Missing { .. })
    ));
    assert_eq!(rendered("x{{ input['gone'].deeper }}"), json!("x"));
    assert!(render("{{ input.gone + 1 }}").is_err());
}

#[test]
fn an_expression_cannot_run_away() {
    for text in [
        "{{ 'x' * 100000000 }}",
        "{{ range(100000) | map('string') | list | join(range(100000) | join) }}",
        "{{ 'xxxxxxxxxx'|replace('x','xxxxxxxxxx')|replace('x','xxxxxxxxxx')|replace('x','xxxxxxxxxx')|replace('x','xxxxxxxxxx')|replace('x','xxxxxxxxxx')|replace('x','xxxxxxxxxx')|replace('x','xxxxxxxxxx')|replace('x','xxxxxxxxxx')|replace('x','xxxxxxxxxx') }}",
    ] {
        assert!(render(text).is_err(), "{text}");
    }
}

#[test]
fn numbers_that_json_lacks_are_errors() {
    assert!(matches!(
        render("{{ 1e308 * 10 }}"),
        Err(Error::Failed { .. })
    ));
    assert_eq!(
        rendered("{{ 9007199254740992 * 10 }}"),
        json!("90071992547409920")
    );
}

#[test]
fn reads_are_known() {
    let reads = |text: &str| Template::parse(text).unwrap().reads();

    let nodes = reads("{{ results.a-b.output.x }} {{ results.c.output + 1 }}").nodes;
    assert_eq!(
        nodes.into_iter().collect::<Vec<_>>(),
        [NodeId::from("a-b"), NodeId::from("c")]
    );
    assert!(reads("{{ results['odd id'].output }}").all_nodes);
    assert!(reads("{{ results }}").all_nodes);
    assert!(!reads("{{ range(3) }} {{ input }}").all_nodes);
    assert_eq!(
        reads("{{ secrets.key }} {{ secrets.other ~ '' }}")
            .secrets
            .len(),
        2
    );
    assert!(reads("{{ range(3) | list }}").check_names(&[]).is_ok());
    assert!(reads("{{ source }}").check_names(&[]).is_err());
    assert!(reads("{{ source }}").check_names(&EXTRA_NAMES).is_ok());
}

/// The parsers recurse: on the stack of an ordinary thread the longest and deepest that is let through must fit.
#[test]
fn hostile_expressions_do_not_overflow_the_stack() {
    let repeat = |piece: &str| piece.repeat(1_990 / piece.len());
    let hostile = [
        format!("{}1{}", "(".repeat(16), ")".repeat(16)),
        format!("{}1{}", "[".repeat(16), "]".repeat(16)),
        repeat("1+") + "1",
        repeat("1**") + "1",
        repeat("1 ~ ") + "1",
        format!("a{}", repeat("|d")),
        format!("a{}", repeat(".a")),
        format!("a{}", repeat("[0]")),
        format!("a{}", repeat("()")),
        format!("a{}", repeat(" is a")),
        repeat("a and ") + "a",
        repeat("a if a else ") + "a",
        repeat("not ") + "a",
        repeat("-") + "1",
        repeat("- ") + "1",
        repeat("(-") + "1",
        repeat("1<") + "1",
        repeat("a in ") + "a",
    ];
    let test = move || {
        for text in hostile {
            if let Ok(template) = Template::parse(&format!("{{{{ {text} + 1 }}}}")) {
                // Evaluated on the threads of `Cpu`, which have larger stacks; here they must not need them.
                let mut budget = MAX_RENDERED_BYTES;
                drop(template.render(&scope(), &mut budget));
            }
        }
    };
    std::thread::Builder::new()
        .stack_size(512 * 1024)
        .spawn(test)
        .unwrap()
        .join()
        .unwrap();
}

proptest! {
    #[test]
    fn parsing_and_rendering_never_panics(text in ".{0,60}", inner in "[a-z0-9_.|()\\[\\]{}'\"+* -]{0,40}") {
        for text in [text.clone(), format!("{text}{{{{{inner}}}}}")] {
            drop(render(&text));
        }
    }

    #[test]
    fn text_without_tokens_stays_as_it_is(text in "[^{}]*") {
        prop_assert_eq!(render(&text).unwrap(), json!(text));
    }

    #[test]
    fn a_value_survives_alone_and_becomes_text_in_company(value in crate::value::check::tests::any_json()) {
        let mut scope = scope();
        scope.content = Arc::new(value.clone());
        let mut budget = MAX_RENDERED_BYTES;

        let alone = Template::parse("{{ content }}").unwrap().render(&scope, &mut budget).unwrap();
        let mixed = Template::parse("<{{ content }}>").unwrap().render(&scope, &mut budget).unwrap();

        prop_assert_eq!(&alone, &value);
        prop_assert_eq!(mixed, json!(format!("<{}>", value::to_text(&value))));
    }
}

#[test]
fn what_stands_in_a_slice_is_read_too() {
    let reads = |text: &str| Template::parse(text).unwrap().reads();

    assert!(reads("{{ secrets.plain[:8] }}").secrets.contains("plain"));
    assert!(
        reads("{{ 'a' if secrets.plain[0] == 'p' else 'b' }}")
            .secrets
            .contains("plain")
    );
    let sliced = reads("{{ results.fetch.output[1:3] ~ 'results.quoted' ~ input.results }}");
    assert_eq!(sliced.nodes, BTreeSet::from(["fetch".into()]));
    assert!(!sliced.all_nodes);
}
