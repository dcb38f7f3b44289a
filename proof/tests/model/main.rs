//! Random programs against a plain sequential model: order, outcome, exactly once, report.
//!
//! A program spawns (from the test and from workers), nests supervisors, registers hooks and takes them back, ends workers, has them
//! panic, tells them to stop, drops handles, and shuts any supervisor down from anywhere. The [`model`] says what must come of it; the
//! [`machine`] does the same with the library and compares. 256 programs by default; `PROPTEST_CASES=100000` is the long form.

mod machine;
mod model;

use machine::Machine;
use proptest::test_runner::Config;
use proptest_state_machine::prop_state_machine;

prop_state_machine! {
    #![proptest_config(Config {
        // A program that hangs takes long to be found out, and so does each that is tried to make it shorter.
        max_shrink_time: 120_000,
        ..Config::default()
    })]

    #[test]
    fn random_programs_do_as_the_model_says(sequential 1..40 => Machine);
}
