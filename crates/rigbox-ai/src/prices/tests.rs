use std::sync::LazyLock;

use super::*;

const HEAD: &str = r#"
as_of = "2026-01-01T00:00:00Z"
[sources.s]
title = "t"
read_at = "2026-01-01T00:00:00Z"
is_verified = true
"#;

/// A table of these rows.
pub(crate) fn table(rows: &str) -> Result<Table, TableError> {
    Table::parse(&format!("{HEAD}{rows}"))
}

/// A row of the table of the repository, as of its own date.
pub(crate) fn embedded(provider: &str, name: &str) -> Arc<Model> {
    static TABLE: LazyLock<Table> = LazyLock::new(|| Table::embedded().unwrap());
    let table = &*TABLE;
    table.model(&provider.parse().unwrap(), name, table.as_of).unwrap()
}

/// The one model `m` of `p`, with these lines.
pub(crate) fn model(lines: &str) -> Result<Arc<Model>, TableError> {
    let row = format!(
        "[[models]]\nprovider = \"p\"\nnames = [\"m\"]\nsources = [\"s\"]\n\
         max_input_tokens = 1000000\nmax_output_tokens = 1000\n{lines}"
    );
    let table = table(&row)?;
    Ok(table.model(&"p".parse().unwrap(), "m", table.as_of).unwrap())
}

fn per_million(model: &Model, class: Class, input: u64) -> u64 {
    model.tier(None, input).0.unwrap().of(class).pico()
}

#[test]
fn the_table_of_the_repository_is_valid() {
    let table = Table::embedded().unwrap();
    assert!(table.names(table.as_of).count() > 70);
    for (provider, name) in table.names(table.as_of) {
        let model = table.model(provider, name, table.as_of).unwrap();
        let Some(rates) = model.dearest(0) else {
            assert!(model.fee(Fee::Request).is_some());
            continue;
        };
        assert!(rates.of(Class::Input) > Price::FREE, "{provider} {name}");
        for class in Class::ALL.into_iter().filter(|_| model.max_output_tokens > 0) {
            assert!(rates.of(class) > Price::FREE, "{provider} {name} {}", class.as_str());
        }
        assert!(rates.of(Class::CacheRead) <= rates.of(Class::Input), "{provider} {name}");
        assert!(rates.of(Class::Reasoning) >= rates.of(Class::Output), "{provider} {name}");
        // What a vendor writes for an hour costs more than for minutes.
        assert!(rates.of(Class::CacheWrite1h) >= rates.of(Class::CacheWrite5m));
    }
}

#[test]
fn a06_a_cache_for_an_hour_has_a_price_of_its_own() {
    let opus = embedded("anthropic", "claude-opus-4-6");
    assert_eq!(per_million(&opus, Class::CacheWrite5m, 0), 6_250_000);
    assert_eq!(per_million(&opus, Class::CacheWrite1h, 0), 10_000_000);
}

#[test]
fn a16_a_key_that_is_not_known_makes_the_table_invalid() {
    let good = r#"rates = { input = "1", output = "2" }"#;
    assert!(model(good).is_ok());
    for bad in [
        r#"rate = { input = "1", output = "2" }"#,
        r#"rates = { input = "1", outputs = "2" }"#,
        r#"rates = { input = "1", output = "2", budget = "1" }"#,
        r#"rates = { input = "1" }"#,
        r#"rates = { input = 1, output = 2 }"#,
        r#"rates = { input = 1.5, output = 2.5 }"#,
        r#"rates = { input = "0.000001", output = "0.000002" }"#,
        "rates = { input = \"1\", output = \"2\" }\nfees = { web_searches = \"0.01\" }",
        "rates = { input = \"1\", output = \"2\" }\nlong = { above_input_tokens = 1 }",
        "",
    ] {
        assert!(model(bad).is_err(), "{bad}");
    }
    let unknown = format!("{HEAD}[budgets]\nx = 1\n");
    assert!(matches!(Table::parse(&unknown), Err(TableError::Form(_))));
}

#[test]
fn what_contradicts_itself_is_refused() {
    let rates = r#"rates = { input = "1", output = "2" }"#;
    for (lines, part) in [
        (
            r#"long = { above_input_tokens = 9, rates = { input = "0.5", output = "2" } }"#,
            "not cheaper",
        ),
        (
            "long = { above_input_tokens = 9, rates = { input = \"1\", output = \"2\" } }\n\
             tiers.flex = { rates = { input = \"1\", output = \"1\" } }",
            "what a long input costs",
        ),
        (
            r#"tiers.flex = { rates = { input = "1", output = "1" }, long = { input = "1", output = "1" } }"#,
            "need the model's",
        ),
    ] {
        let error = model(&format!("{rates}\n{lines}")).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
    let twice = r#"
        [[models]]
        provider = "p"
        names = ["m", "m"]
        sources = ["s"]
        max_input_tokens = 1
        rates = { input = "1", output = "1" }
    "#;
    assert!(table(twice).unwrap_err().to_string().contains("there twice"));
    assert!(table(&twice.replace(r#"["s"]"#, r#"["gone"]"#)).is_err());
    assert!(table(&twice.replace(r#""p""#, r#""P/""#)).is_err());
}

#[test]
fn a17_a_model_without_a_price_is_refused_unless_its_provider_has_a_default() {
    let table = Table::embedded().unwrap();
    let openai: ProviderName = "openai".parse().unwrap();
    for name in ["gpt-99", "GPT-5.4", "gpt-5.4 ", "*", "", "gpt-5.4-2026-13-99"] {
        assert!(table.model(&openai, name, table.as_of).is_err(), "{name}");
    }
    let fallback = super::tests::table(
        "[[models]]\nprovider = \"openai\"\nnames = [\"*\"]\nsources = [\"s\"]\n\
         max_input_tokens = 9\nrates = { input = \"100\", output = \"200\" }",
    );
    let table = table.overlaid(fallback.unwrap());
    let found = table.model(&openai, "gpt-99", table.as_of).unwrap();
    assert!(found.is_fallback && found.name() == ANY);
    assert!(!table.model(&openai, "gpt-5.4", table.as_of).unwrap().is_fallback);
    assert!(table.names(table.as_of).all(|(_, name)| name != ANY));
}

#[test]
fn a17_a_class_without_a_price_costs_no_less_than_what_it_is_part_of() {
    let model =
        model(r#"rates = { input = "3", output = "15", cache_write_5m = "3.75" }"#).unwrap();
    for (class, pico) in [
        (Class::CacheRead, 3_000_000),
        (Class::CacheWrite1h, 3_750_000),
        (Class::AudioInput, 3_750_000),
        (Class::Reasoning, 15_000_000),
        (Class::AudioOutput, 15_000_000),
        (Class::ImageOutput, 15_000_000),
    ] {
        assert_eq!(per_million(&model, class, 0), pico, "{}", class.as_str());
    }
}

#[test]
fn a18_a_long_input_prices_the_whole_call_and_the_threshold_itself_is_short() {
    let gemini = embedded("google", "gemini-2.5-pro");
    assert_eq!(per_million(&gemini, Class::Input, 200_000), 1_250_000);
    assert_eq!(per_million(&gemini, Class::Input, 200_001), 2_500_000);
    assert_eq!(per_million(&gemini, Class::Output, 200_001), 15_000_000);
    let gpt = embedded("openai", "gpt-5.4");
    assert_eq!(per_million(&gpt, Class::Output, 272_000), 15_000_000);
    assert_eq!(per_million(&gpt, Class::Output, 272_001), 22_500_000);
}

#[test]
fn a19_the_tier_that_the_answer_names_has_its_price_and_an_unknown_one_the_dearest() {
    let gpt = embedded("openai", "gpt-5.4");
    for (tier, input, is_known) in [
        (None, 2_500_000, true),
        (Some("default"), 2_500_000, true),
        (Some("flex"), 1_250_000, true),
        (Some("PRIORITY"), 5_000_000, true),
        (Some("ON_DEMAND_PRIORITY"), 5_000_000, true),
        (Some("scale"), 5_000_000, false),
    ] {
        let (rates, known) = gpt.tier(tier, 0);
        assert_eq!((rates.unwrap().of(Class::Input).pico(), known), (input, is_known), "{tier:?}");
    }
    assert_eq!(gpt.tier(Some("priority"), 272_001).0.unwrap().of(Class::Input).pico(), 10_000_000);
}

#[test]
fn a20_searches_have_prices() {
    let fee = |provider, name, fee| embedded(provider, name).fee(fee).map(Price::pico);
    let thousandth = 1_000_000_000;
    assert_eq!(fee("anthropic", "claude-opus-4-6", Fee::WebSearch), Some(10 * thousandth));
    assert_eq!(fee("google", "gemini-3.1-pro-preview", Fee::WebSearch), Some(14 * thousandth));
    assert_eq!(fee("brave", "web/search", Fee::Request), Some(5 * thousandth));
    assert_eq!(fee("openai", "gpt-5.4", Fee::CodeInterpreter), None);
    assert_eq!(embedded("google", "gemini-2.5-pro").searches_priced(7), 1);
    assert_eq!(embedded("google", "gemini-3.1-pro-preview").searches_priced(7), 7);
}

#[test]
fn the_newest_row_that_has_begun_counts() {
    let row = |from: &str, input: &str| {
        format!(
            "[[models]]\nprovider = \"p\"\nnames = [\"m\"]\nsources = [\"s\"]\nfrom = \"{from}\"\n\
             max_input_tokens = 9\nrates = {{ input = \"{input}\", output = \"{input}\" }}\n"
        )
    };
    let rows = row("2026-09-01T00:00:00Z", "3") + &row("2026-01-01T00:00:00Z", "2");
    let table = table(&rows).unwrap();
    for (at, input) in [
        ("2025-12-31T23:59:59Z", None),
        ("2026-01-01T00:00:00Z", Some(2_000_000)),
        ("2026-08-31T23:59:59.999999Z", Some(2_000_000)),
        ("2026-09-01T00:00:00Z", Some(3_000_000)),
    ] {
        let found = table.model(&"p".parse().unwrap(), "m", at.parse().unwrap()).ok();
        assert_eq!(found.map(|model| per_million(&model, Class::Input, 0)), input, "{at}");
    }
}

#[test]
fn an_unknown_name_is_cut_in_the_error() {
    let table = Table::embedded().unwrap();
    let long = "é".repeat(10_000);
    let error = table.model(&"openai".parse().unwrap(), &long, table.as_of).unwrap_err();
    assert_eq!(error.name.chars().count(), NAME_SHOWN_CHARS);
}
