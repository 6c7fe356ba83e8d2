//! Both engines train.

use super::site::{DIGITS, Site, TRAINED};

#[test]
fn the_cpu_engine_trains() {
    trains_with("cpu");
}

#[test]
fn the_gpu_engine_trains() {
    trains_with("gpu");
}

fn trains_with(engine: &str) {
    let site = Site::start(DIGITS);
    let page = site.join_with(&format!("?engine={engine}"));
    let first = site.wait_for_round(&page, 1);
    assert_eq!(first.engine.as_deref(), Some(engine));
    let trained = site
        .wait(&page, "accuracy 0.9", TRAINED, |state| state.accuracy.is_some_and(|accuracy| accuracy >= 0.9));
    assert_eq!(trained.engine.as_deref(), Some(engine));
    site.wait_for_agreement(&[&page]);
}
