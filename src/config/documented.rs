//! `proxy.toml` and `docs/configuration.md` say what is true.

use serde::de::Visitor;
use serde::forward_to_deserialize_any;

use super::*;

const EXAMPLE: &str = include_str!("../../proxy.toml");
const PAGE: &str = include_str!("../../docs/configuration.md");

fn parse(text: &str) -> Config {
    let environment = |name: &str| name.starts_with("REGISTRY_").then(|| "secret".to_owned());
    read(text, Path::new("proxy.toml"), &environment).unwrap()
}

/// Without the `#` of keys and tables that are commented out; prose has a space behind it.
fn uncommented(text: &str) -> String {
    let lines = text.lines().map(|line| match line.strip_prefix('#') {
        Some(rest) if !rest.is_empty() && !rest.starts_with(' ') => rest,
        _ => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_example_is_the_default() {
    let (example, default) = (parse(EXAMPLE), parse(""));
    assert_eq!(format!("{example:#?}"), format!("{default:#?}"));
}

#[test]
fn the_example_stands_with_all_keys_in_place() {
    let config = parse(&uncommented(EXAMPLE));
    assert!(config.front.tls.is_some());
    assert!(config.front.login.is_some() && config.admin.login.is_some());
    assert!(!config.front.access.is_open());
    assert_eq!(config.upstreams.len(), upstream::BUILT_IN.len() + 5);
    assert_eq!(config.targets.len(), 2);
    assert_eq!(config.prefetch.len(), 4);
}

#[test]
fn every_key_is_in_the_example() {
    let text = uncommented(EXAMPLE);
    for (table, keys) in tables() {
        for key in keys {
            let written = text.lines().any(|line| {
                line.starts_with(&format!("{key} = "))
                    || [format!("{{ {key} = "), format!(", {key} = ")]
                        .iter()
                        .any(|inline| line.contains(inline))
            });
            assert!(written, "{table}: {key} is not in proxy.toml");
        }
    }
}

#[test]
fn the_recipes_for_targets_are_right() {
    let page = include_str!("../../docs/targets.md");
    let recipes = page.split("```toml\n").skip(1);
    let recipes: Vec<_> = recipes.filter_map(|it| it.split("```").next()).collect();
    assert!(recipes.len() > 7, "{}", recipes.len());
    for recipe in recipes {
        assert_eq!(parse(recipe).targets.len(), 1, "{recipe}");
    }
}

#[test]
fn the_examples_of_sets_are_right() {
    let upstreams = "[[upstream]]\nname = \"registry.example.com\"\n";
    let targets = ["ecr-east", "harbor"]
        .map(|name| format!("[[target]]\nname = \"{name}\"\nurl = \"https://{name}.example\"\n"));
    for page in [include_str!("../../docs/prefetch.md"), PAGE] {
        let blocks = page.split("```toml\n").skip(1);
        let blocks = blocks.filter_map(|it| it.split("```").next());
        let sets: Vec<_> = blocks.filter(|it| it.contains("[[prefetch]]")).collect();
        assert!(!sets.is_empty());
        for set in sets {
            let lacking = targets.iter().filter(|target| {
                let name = target.lines().nth(1).unwrap_or_default();
                !set.contains(name)
            });
            let lacking: String = lacking.map(String::as_str).collect();
            assert!(
                !parse(&format!("{set}\n{lacking}")).prefetch.is_empty(),
                "{set}"
            );
        }
    }
    // What stands in the table of what is wanted, and of sources.
    let guide = include_str!("../../docs/prefetch.md");
    let rows = guide
        .lines()
        .filter_map(|row| row.strip_suffix("` |")?.split_once("| `tags = "));
    let filters: Vec<_> = rows.map(|(_, tags)| tags.replace("\\|", "|")).collect();
    assert!(filters.len() > 6, "{filters:?}");
    for tags in filters {
        let set = format!("[[prefetch]]\nname = \"a\"\nfrom = \"nginx\"\ntags = {tags}\n");
        assert_eq!(parse(&set).prefetch.len(), 1, "{tags}");
    }
    let sources = &PAGE[PAGE.find("### Sources").expect("it is there")..];
    let rows = sources.lines().filter(|row| row.starts_with("| `\""));
    let forms = rows.filter_map(|row| row.split('`').nth(1));
    let forms: Vec<_> = forms.filter(|form| !form.contains("...")).collect();
    assert!(forms.len() > 5, "{forms:?}");
    for form in forms {
        let all = BUILT_IN_TOO.map(|name| format!("[[upstream]]\nname = \"{name}\"\n"));
        let set = format!("[[prefetch]]\nname = \"a\"\nfrom = {form}\n{upstreams}");
        assert_eq!(parse(&(set + &all.concat())).prefetch.len(), 1, "{form}");
    }
}

/// The upstreams that the page's sources name.
const BUILT_IN_TOO: [&str; 3] = ["docker.io", "quay.io", "quay.example.com"];

#[test]
fn every_key_is_documented() {
    for (table, keys) in tables() {
        let heading = format!("\n## `{table}`\n");
        let start = PAGE.find(&heading).expect(&heading) + heading.len();
        let section = &PAGE[start..];
        let section = &section[..section.find("\n## ").unwrap_or(section.len())];
        for key in keys {
            let row = [
                format!("| `{key}` |"),
                format!("| `tls.{key}` |"),
                format!("| `login.{key}` |"),
                format!("| `tags.{key}` |"),
                format!("{{ {key} = "),
                format!(", {key} = "),
            ];
            let documented = row.iter().any(|row| section.contains(row));
            assert!(documented, "{table}: {key} is not documented");
        }
    }
}

/// The keys of each table, as the deserializer knows them, by the table that documents them.
fn tables() -> [(&'static str, &'static [&'static str]); 13] {
    [
        ("[server]", fields::<file::Server>()),
        ("[server]", fields::<file::Tls>()),
        ("[server]", fields::<file::Login>()),
        ("[server]", fields::<file::AdminLogin>()),
        ("[store]", fields::<file::Store>()),
        ("[ledger]", fields::<file::Ledger>()),
        ("[defaults]", fields::<file::Defaults>()),
        ("[[upstream]]", fields::<file::Upstream>()),
        ("[[upstream]]", fields::<credentials::Table>()),
        ("[[access]]", fields::<file::Access>()),
        ("[[target]]", fields::<file::Target>()),
        ("[[prefetch]]", fields::<file::Prefetch>()),
        ("[[prefetch]]", fields::<prefetch::file::Filter>()),
    ]
}

fn fields<T: serde::de::DeserializeOwned>() -> &'static [&'static str] {
    let mut asked = None;
    let _ = T::deserialize(Listener(&mut asked));
    asked.expect("a struct")
}

/// Hears which fields a struct asks for, and gives none.
struct Listener<'l>(&'l mut Option<&'static [&'static str]>);

impl<'de> serde::Deserializer<'de> for Listener<'_> {
    type Error = serde::de::value::Error;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Self::Error> {
        *self.0 = Some(fields);
        Err(serde::de::Error::custom("nothing"))
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
        Err(serde::de::Error::custom("nothing"))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}
