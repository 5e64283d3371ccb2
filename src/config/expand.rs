//! `${NAME}` and `${NAME:-default}` in string values.

use toml::de::DeTable;
use toml::de::DeValue;

use super::place::Flaw;

/// Looks up an environment variable.
pub(super) type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Expands all string values of `table`, in place. What a variable holds is not expanded again.
pub(super) fn table(table: &mut DeTable<'_>, environment: Environment<'_>) -> Result<(), Flaw> {
    for (_, entry) in table.iter_mut() {
        let span = entry.span();
        value(entry.get_mut(), span, environment)?;
    }
    Ok(())
}

fn value(
    value: &mut DeValue<'_>,
    span: std::ops::Range<usize>,
    environment: Environment<'_>,
) -> Result<(), Flaw> {
    match value {
        DeValue::String(string) if string.contains("${") => {
            let expanded = text(string, environment);
            *string = expanded.map_err(|problem| Flaw::new(span, problem))?.into();
        }
        DeValue::Array(entries) => {
            for entry in entries.iter_mut() {
                let span = entry.span();
                self::value(entry.get_mut(), span, environment)?;
            }
        }
        DeValue::Table(inner) => table(inner, environment)?,
        _ => {}
    }
    Ok(())
}

fn text(mut rest: &str, environment: Environment<'_>) -> Result<String, String> {
    let mut expanded = String::with_capacity(rest.len());
    while let Some((before, after)) = rest.split_once("${") {
        let (inside, behind) = after.split_once('}').ok_or(
            "`${` without a closing `}`; a variable is written ${NAME} or ${NAME:-default}",
        )?;
        expanded.push_str(before);
        expanded.push_str(&variable(inside, environment)?);
        rest = behind;
    }
    expanded.push_str(rest);
    Ok(expanded)
}

/// As in a shell: with `:-`, an empty variable counts as an unset one.
fn variable(inside: &str, environment: Environment<'_>) -> Result<String, String> {
    let (name, default) = match inside.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inside, None),
    };
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) || !name.bytes().all(word)
    {
        // It may be a part of a password: it is not repeated.
        return Err(
            "what stands in `${...}` is not the name of a variable; write ${NAME} or \
             ${NAME:-default}, and put a value that has `${` itself into a variable"
                .to_owned(),
        );
    }
    match (environment(name), default) {
        (Some(value), None) => Ok(value),
        (Some(value), Some(_)) if !value.is_empty() => Ok(value),
        (_, Some(default)) => Ok(default.to_owned()),
        (None, None) => Err(format!(
            "the environment variable {name} is not set; set it, or write ${{{name}:-default}}"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(name: &str) -> Option<String> {
        match name {
            "HOST" => Some("example.com".to_owned()),
            "EMPTY" => Some(String::new()),
            "NESTED" => Some("${HOST}".to_owned()),
            _ => None,
        }
    }

    #[test]
    fn expands_once() {
        for (from, to) in [
            ("", ""),
            ("plain $HOST $ }", "plain $HOST $ }"),
            ("https://${HOST}/${HOST}", "https://example.com/example.com"),
            ("${NONE:-a}${EMPTY:-b}${EMPTY}", "ab"),
            ("${NONE:-}", ""),
            ("${NESTED}", "${HOST}"),
        ] {
            assert_eq!(text(from, &environment).unwrap(), to);
        }
    }

    #[test]
    fn says_what_is_wrong() {
        for (from, said) in [
            ("a${NONE}", "NONE is not set"),
            ("${HOST", "without a closing"),
            ("${}", "not the name of a variable"),
            ("${A B}", "not the name of a variable"),
            ("${1}", "not the name of a variable"),
            ("p${hunter2!}", "not the name of a variable"),
        ] {
            let problem = text(from, &environment).unwrap_err();
            assert!(problem.contains(said), "{problem}");
            assert!(!problem.contains("hunter2"), "{problem}");
        }
    }
}
