//! Fuzzing: many random inputs for one check, the same ones each time.

use std::io::Write as _;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use proptest::strategy::Strategy;
use proptest::test_runner::Config;
use proptest::test_runner::RngSeed;
use proptest::test_runner::TestCaseError;
use proptest::test_runner::TestRunner;

/// The seed of a run that isn't told another one: the runs of `./tests/run` are all alike.
const SEED: u64 = 20_260_101;

/// How many inputs, and which ones. `TIDEGATE_FUZZ_CASES` sets their number for a long run, whose
/// seed is another one each time; `TIDEGATE_FUZZ_SEED` repeats such a run.
#[derive(Clone, Copy, Debug)]
pub struct Fuzz {
    /// How many inputs.
    pub cases: u32,
    /// Where they begin.
    pub seed: u64,
}

impl Fuzz {
    /// `cases` inputs, unless the environment says otherwise.
    ///
    /// # Panics
    /// Where the environment says what is no number.
    pub fn new(cases: u32) -> Self {
        let long = number("TIDEGATE_FUZZ_CASES");
        let seed = match (number("TIDEGATE_FUZZ_SEED"), long) {
            (Some(seed), _) => seed,
            (None, Some(_)) => now(),
            (None, None) => SEED,
        };
        let cases = long.map_or(cases, |cases| cases.try_into().unwrap_or(u32::MAX));
        Self { cases, seed }
    }

    /// As [`Fuzz::new`]; a long run has this many times fewer inputs, for one of them costs that
    /// much more than elsewhere.
    pub fn costly(cases: u32, times: u32) -> Self {
        let all = Self::new(cases);
        let is_long = number("TIDEGATE_FUZZ_CASES").is_some();
        let cases = if is_long {
            (all.cases / times).max(1)
        } else {
            cases
        };
        Self { cases, ..all }
    }

    /// Checks each input that `inputs` gives; a check fails by a panic. Says how many there were,
    /// also where the test's output is captured.
    ///
    /// # Panics
    /// At the first input that fails, with the smallest one like it and the seed.
    pub fn run<S: Strategy>(self, target: &str, inputs: &S, check: impl Fn(S::Value)) {
        let config = Config {
            cases: self.cases,
            rng_seed: RngSeed::Fixed(self.seed),
            failure_persistence: None,
            max_global_rejects: self.cases.max(65_536),
            ..Config::default()
        };
        let found = TestRunner::new(config).run(inputs, |input| {
            check(input);
            Ok::<(), TestCaseError>(())
        });
        let (cases, seed) = (self.cases, self.seed);
        if let Err(error) = found {
            panic!(
                "{target}: {error}\nrepeat it with TIDEGATE_FUZZ_SEED={seed} and TIDEGATE_FUZZ_CASES={cases}"
            );
        }
        self.tell(target);
    }

    /// Says how many inputs there were, for checks that make their inputs themselves.
    pub fn tell(self, target: &str) {
        let Self { cases, seed } = self;
        // Not by eprintln!, which a test that passes does not show.
        let _ = writeln!(
            std::io::stderr(),
            "\nfuzzed: {target}: {cases} inputs, seed {seed}"
        );
    }
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    let number = text.parse();
    Some(number.unwrap_or_else(|_| panic!("{variable} must be a number, it is '{text}'")))
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_nanos() as u64)
}
