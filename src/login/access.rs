use globset::Glob;
use globset::GlobSet;
use globset::GlobSetBuilder;

use crate::oci::Repository;

use super::User;

/// Who may pull what, as it is configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Patterns of users' names.
    pub who: Vec<String>,
    /// Patterns of what they may pull: `<upstream>/<repository>`.
    pub allow: Vec<String>,
    /// Patterns of what this rule does not give them, even where `allow` has it.
    pub deny: Vec<String>,
}

/// Who may pull what: each user gets what all rules together give that name the user. Without any
/// rule, everybody gets everything.
///
/// In a pattern, `*` stands for any characters, `/` too.
#[derive(Clone, Debug, Default)]
pub struct Access(Vec<Compiled>);

#[derive(Clone, Debug)]
struct Compiled {
    rule: Rule,
    who: GlobSet,
    allow: GlobSet,
    deny: GlobSet,
}

impl Access {
    /// Access by these rules.
    ///
    /// # Errors
    /// When a pattern is none; the error says which, and why.
    pub fn new(rules: Vec<Rule>) -> Result<Self, globset::Error> {
        let compiled = rules.into_iter().map(|rule| {
            Ok(Compiled {
                who: globs(&rule.who)?,
                allow: globs(&rule.allow)?,
                deny: globs(&rule.deny)?,
                rule,
            })
        });
        compiled.collect::<Result<_, _>>().map(Self)
    }

    /// Whether there is no rule.
    pub fn is_open(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `user` may pull `repository`, which is `<upstream>/<name>`. Nobody is named by no
    /// rule.
    pub fn permits(&self, user: Option<&User>, repository: &str) -> bool {
        self.is_open()
            || user.is_some_and(|user| {
                self.0.iter().any(|table| {
                    table.who.is_match(user.as_str())
                        && table.allow.is_match(repository)
                        && !table.deny.is_match(repository)
                })
            })
    }

    /// As [`Access::permits`].
    pub fn permits_repository(&self, user: Option<&User>, repository: &Repository) -> bool {
        self.is_open() || self.permits(user, &repository.to_string())
    }
}

impl PartialEq for Access {
    fn eq(&self, other: &Self) -> bool {
        let rules = self.0.iter().map(|table| &table.rule);
        rules.eq(other.0.iter().map(|table| &table.rule))
    }
}

impl Eq for Access {}

fn globs(patterns: &[String]) -> Result<GlobSet, globset::Error> {
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        set.add(Glob::new(pattern)?);
    }
    set.build()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(who: &[&str], allow: &[&str], deny: &[&str]) -> Rule {
        let strings = |texts: &[&str]| texts.iter().map(ToString::to_string).collect();
        Rule {
            who: strings(who),
            allow: strings(allow),
            deny: strings(deny),
        }
    }

    #[test]
    fn a_user_gets_what_all_rules_together_give() {
        let access = Access::new(vec![
            rule(&["*"], &["docker.io/library/*"], &["docker.io/library/s*"]),
            rule(&["alice", "ci-*"], &["ghcr.io/org/*"], &[]),
            rule(&["root"], &["*"], &[]),
        ])
        .unwrap();
        let may = |user: &str, what: &str| access.permits(Some(&User::new(user)), what);
        for user in ["alice", "ci-7", "bob", "root"] {
            assert!(may(user, "docker.io/library/nginx"), "{user}");
            assert_eq!(may(user, "docker.io/library/secret"), user == "root");
            assert_eq!(may(user, "ghcr.io/org/app/deep"), user != "bob", "{user}");
            assert_eq!(may(user, "quay.io/a"), user == "root");
        }
        assert!(!may("alices", "ghcr.io/org/app") && !may("ci", "ghcr.io/org/app"));
        assert!(!access.permits(None, "docker.io/library/nginx"));
    }

    #[test]
    fn whom_no_rule_names_gets_nothing_and_without_rules_everybody_everything() {
        let access = Access::new(vec![rule(&["alice"], &["*"], &[])]).unwrap();
        assert!(!access.permits(Some(&User::new("bob")), "docker.io/a"));
        assert!(Access::default().permits(Some(&User::new("bob")), "docker.io/a"));
        assert!(Access::default().permits(None, "docker.io/a"));
        assert!(Access::new(vec![rule(&["["], &[], &[])]).is_err());
    }
}
