use url::Url;

/// What the host name of a private ECR registry says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Host {
    /// The account, which is the registry's id: 12 digits.
    pub(super) account: String,
    pub(super) region: String,
    /// Whether it is an endpoint with cryptography by FIPS 140.
    pub(super) fips: bool,
    /// Whether it has IPv6 addresses too.
    pub(super) dual_stack: bool,
}

impl Host {
    /// `<account>.dkr.ecr.<region>.amazonaws.com` and its kin (Amazon ECR's user guide, "Endpoints").
    pub(super) fn of(url: &Url) -> Option<Self> {
        let labels: Vec<_> = url.host_str()?.split('.').collect();
        let (account, service, region) = match *labels.as_slice() {
            [account, "dkr", service, region, ..] => (account, service, region),
            [account, service, region, ..] => (account, service.strip_prefix("dkr-")?, region),
            _ => return None,
        };
        let fips = match service {
            "ecr" => false,
            "ecr-fips" => true,
            _ => return None,
        };
        let is_account = account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit());
        is_account.then(|| Self {
            account: account.to_owned(),
            region: region.to_owned(),
            fips,
            dual_stack: labels.get(1) != Some(&"dkr"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_say_whose_and_where_they_are() {
        for (host, region, fips, dual_stack) in [
            ("dkr.ecr.eu-west-1.amazonaws.com", "eu-west-1", false, false),
            (
                "dkr.ecr.cn-north-1.amazonaws.com.cn",
                "cn-north-1",
                false,
                false,
            ),
            (
                "dkr.ecr-fips.us-east-1.amazonaws.com",
                "us-east-1",
                true,
                false,
            ),
            ("dkr-ecr.us-east-2.on.aws", "us-east-2", false, true),
            ("dkr-ecr-fips.us-east-2.on.aws", "us-east-2", true, true),
        ] {
            let url = format!("https://123456789012.{host}:8443/")
                .parse()
                .unwrap();
            let expected = Host {
                account: "123456789012".to_owned(),
                region: region.to_owned(),
                fips,
                dual_stack,
            };
            assert_eq!(Host::of(&url), Some(expected), "{host}");
        }
        for url in [
            "https://public.ecr.aws",
            "https://ghcr.io",
            "https://12345.dkr.ecr.eu-west-1.amazonaws.com",
            "https://vpce-0a1b2c3d4e5f.dkr.ecr.eu-west-1.vpce.amazonaws.com",
            "https://123456789012.s3.eu-west-1.amazonaws.com",
        ] {
            assert_eq!(Host::of(&url.parse().unwrap()), None, "{url}");
        }
    }
}
