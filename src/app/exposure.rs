use crate::config::Config;

/// What others than this machine's users can see or do, where that is easily overlooked.
pub(super) fn warnings(config: &Config) -> Vec<String> {
    let mut warnings = Vec::new();
    if let Some(address) = config.admin.listen
        && !address.ip().is_loopback()
        && config.admin.login.is_none()
    {
        warnings.push(format!(
            "whoever reaches {address} can look at the admin listener: set server.admin_login, or \
             let server.admin listen on 127.0.0.1"
        ));
    }
    let front = &config.front;
    let takes_passwords = front.login.as_ref().is_some_and(|login| login.by_header());
    let is_reachable = front.listen.iter().any(|at| !at.ip().is_loopback());
    if takes_passwords && is_reachable && front.tls.is_none() {
        warnings.push(
            "passwords and tokens cross the network readable by others: set server.tls".to_owned(),
        );
    }
    if let Some(intercept) = &front.intercept
        && !intercept.listen.ip().is_loopback()
    {
        warnings.push(format!(
            "whoever reaches {} can go on from here to public addresses: let server.intercept \
             listen on 127.0.0.1, or keep strangers from it",
            intercept.listen
        ));
    }
    warnings
}

#[cfg(test)]
mod tests {
    use crate::config::Source;

    use super::*;

    fn of(server: &str) -> Vec<String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), format!("[server]\n{server}")).unwrap();
        let config = Source::File(file.path().to_owned()).load();
        warnings(&config.unwrap())
    }

    #[test]
    fn what_others_can_reach_is_warned_of() {
        let said = of("admin = \"0.0.0.0:5001\"");
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].contains("0.0.0.0:5001"), "{said:?}");
        let login = "login = { tokens = \"x\" }";
        let said = of(&format!("listen = [\"127.0.0.1:1\", \"[::]:1\"]\n{login}"));
        assert!(
            said.len() == 1 && said[0].contains("server.tls"),
            "{said:?}"
        );
    }

    #[test]
    fn what_is_as_it_should_be_is_not() {
        let tls = "tls = { cert = \"a\", key = \"b\" }";
        for server in [
            "",
            "admin = \"off\"",
            "admin = \"[::1]:5001\"",
            "admin = \"0.0.0.0:5001\"\nadmin_login = { tokens = \"x\" }",
            "login = { tokens = \"x\" }",
            "listen = \"0.0.0.0:5000\"",
            &format!("listen = \"0.0.0.0:5000\"\nlogin = {{ tokens = \"x\" }}\n{tls}"),
        ] {
            assert_eq!(of(server), [""; 0], "{server}");
        }
    }
}
