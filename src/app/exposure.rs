use crate::config::Config;

/// Warns of what others than this machine's users can see or do, where that is easily overlooked.
pub(super) fn warn_of(config: &Config) {
    if let Some(address) = config.admin.listen
        && !address.ip().is_loopback()
        && config.admin.login.is_none()
    {
        tracing::warn!(
            "whoever reaches {address} can look at the admin listener: set server.admin_login, or \
             let server.admin listen on 127.0.0.1"
        );
    }
    let front = &config.front;
    let takes_passwords = front.login.as_ref().is_some_and(|login| login.by_header());
    let is_reachable = front.listen.iter().any(|at| !at.ip().is_loopback());
    if takes_passwords && is_reachable && front.tls.is_none() {
        tracing::warn!("passwords and tokens cross the network readable by others: set server.tls");
    }
}
