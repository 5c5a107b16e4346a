//! With all bugs off, the planted core is the core: what it plays is the same, packet by packet.

const SEED: u64 = 1;
const RUNS: u64 = 300;

#[test]
fn with_all_bugs_off_the_planted_core_is_the_core() {
    let core = {
        use resound_sim::engine::{Trial, soak::Soak};
        Soak::new(SEED).runs(RUNS).run(&Trial::echo()).expect("nothing has to hold").digest
    };
    let planted = {
        use resound_planted_sim::engine::{Trial, soak::Soak};
        Soak::new(SEED).runs(RUNS).run(&Trial::echo()).expect("nothing has to hold").digest
    };
    assert_eq!(core, planted);
}
