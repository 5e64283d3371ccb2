use std::collections::HashMap;
use std::path::Path;
use std::str::FromStr as _;
use std::sync::Arc;

use bcrypt::HashParts;

use crate::files::unusable;

/// Users with their hashes, as `htpasswd -B` writes them.
#[derive(Default)]
pub(super) struct Users {
    hashes: HashMap<Arc<str>, Arc<str>>,
    /// All hashes, to work with where there is no such user.
    all: Vec<Arc<str>>,
}

/// `htpasswd` allows no more either: one check takes seconds then.
const HIGHEST_COST: u32 = 17;
/// What to work with where there is no user at all: of random bytes, at bcrypt's usual cost.
const NOBODY: &str = "$2y$10$4TrXJu2eMRX8mkRIaWTu5Ov0QhlnxRD5.KmA/wvBGMzMpv99mP2Hm";

impl Users {
    /// Reads the text of the file `path`.
    ///
    /// # Errors
    /// When a line is no user with a bcrypt hash. File and line are named, the hash is not.
    pub(super) fn parse(path: &Path, text: &str) -> std::io::Result<Self> {
        let mut users = Self::default();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim_end();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let wrong = |problem: &str| {
                let place = path.display();
                let place = format!("{place}:{}", number + 1);
                unusable(Path::new(&place), problem)
            };
            let (name, hash) = line
                .split_once(':')
                .filter(|(name, _)| !name.is_empty())
                .ok_or_else(|| wrong("this is no user with a password's hash, name:hash"))?;
            check(hash).map_err(&wrong)?;
            let hash: Arc<str> = hash.into();
            if users.hashes.insert(name.into(), hash.clone()).is_some() {
                return Err(wrong(&format!("the user {name} is here twice")));
            }
            users.all.push(hash);
        }
        Ok(users)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// The hash of `name`, where there is such a user.
    pub(super) fn hash(&self, name: &str) -> Option<&Arc<str>> {
        self.hashes.get(name)
    }

    /// The hash of `name` where `password` is right. Where there is no such user, it works as long
    /// all the same: on somebody's hash, which `seed` picks, so that names can't be told from the
    /// time it takes.
    pub(super) fn verify(&self, name: &str, password: &[u8], seed: u8) -> Option<Arc<str>> {
        let known = self.hash(name);
        let stand_in = || match self.all.len() {
            0 => NOBODY,
            count => &self.all[usize::from(seed) % count],
        };
        let hash = known.map_or_else(stand_in, |hash| &**hash);
        let is_right = bcrypt::verify(password, hash).unwrap_or(false);
        known.filter(|_| is_right).cloned()
    }
}

/// What is wrong with a hash, in words that do not repeat it.
fn check(hash: &str) -> Result<(), &'static str> {
    let is_bcrypt = ["$2y$", "$2a$", "$2b$"]
        .iter()
        .any(|prefix| hash.starts_with(prefix));
    if !is_bcrypt {
        return Err("only bcrypt hashes are accepted here; make this one with 'htpasswd -B'");
    }
    match HashParts::from_str(hash) {
        Ok(parts) if (4..=HIGHEST_COST).contains(&parts.get_cost()) => Ok(()),
        Ok(_) => Err("the cost of this bcrypt hash is not within 4 and 17"),
        Err(_) => Err("this bcrypt hash is broken; make it anew with 'htpasswd -B'"),
    }
}
