//! The workloads behind one small door, so that native code and JavaScript drive them alike: choose one, lay out so many jobs,
//! run them. Only running is measured.

use wasm_bindgen::prelude::wasm_bindgen;

#[path = "../../workloads/mod.rs"]
mod workloads;

use workloads::{ALL, Job, Source};

/// The names of the workloads, in the order of their numbers.
pub fn names() -> impl Iterator<Item = &'static str> {
    ALL.iter().map(|workload| workload.name)
}

/// Runs one workload.
#[wasm_bindgen]
#[derive(Default)]
pub struct Bench {
    source: Option<Source>,
    jobs: Vec<Job>,
}

#[wasm_bindgen]
impl Bench {
    /// One that has nothing to run yet.
    #[wasm_bindgen(constructor)]
    pub fn new() -> Self {
        Self::default()
    }

    /// Chooses a workload by its number, and makes ready what all its jobs share.
    pub fn choose(&mut self, number: usize) {
        self.source = ALL.get(number).map(|workload| (workload.start)());
    }

    /// Lays out that many jobs, each with facts of its own.
    ///
    /// # Panics
    /// If no workload is chosen.
    pub fn lay_out(&mut self, count: usize) {
        self.jobs = (0..count).filter_map(|_| self.source.as_ref().map(|make| make())).collect();
        assert_eq!(self.jobs.len(), count, "a workload is chosen");
    }

    /// Runs what was laid out.
    pub fn run(&mut self) {
        self.jobs.drain(..).for_each(|job| job());
    }
}
