//! The page of each model, as a golden file; `UPDATE_GOLDEN=1 cargo test` regenerates them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use partymeter_fake_nvml::{Scenario, models::Model, scenario::Load};

use super::{Fake, library};
use crate::user::prometheus::promtool;

#[test]
fn every_model_has_its_page() {
    for model in Model::ALL {
        let mut scenario = Scenario::of(model, 1);
        scenario.frozen = Some(1000.0);
        scenario.gpus[0].load = Load::Curve;
        let fake = Fake::with(scenario, "dcgm_names = true", &library());
        fake.after_rounds(0, 2);
        let page = fake.agent.get("/metrics");
        let (_, page) = page.split_once("\r\n\r\n").unwrap();
        let of_gpus = |line: &&str| {
            let name = line
                .trim_start_matches("# HELP ")
                .trim_start_matches("# TYPE ");
            name.starts_with("gpu_") || name.starts_with("DCGM_")
        };
        let page = lines(page, &of_gpus);
        compare(model.name(), &page);
    }
}

/// The pages that the test above compares with.
#[test]
#[ignore = "needs Prometheus: `cargo xtask test` runs it"]
fn promtool_finds_nothing_on_any_models_page() {
    for model in Model::ALL {
        let page = fs::read_to_string(golden(model.name())).unwrap();
        // DCGM names violate Prometheus conventions.
        promtool(&lines(&page, &|line| !line.contains("DCGM_")));
    }
}

/// The file with a model's page.
fn golden(model: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/gpu.{model}.txt"))
}

fn lines(page: &str, wanted: &dyn Fn(&&str) -> bool) -> String {
    let lines: Vec<&str> = page.lines().filter(wanted).collect();
    lines.join("\n") + "\n"
}

fn compare(model: &str, page: &str) {
    let file = golden(model);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&file, page).unwrap();
        return;
    }
    let golden = fs::read_to_string(&file).unwrap();
    for (number, (line, wanted)) in page.lines().zip(golden.lines()).enumerate() {
        assert_eq!(line, wanted, "{}:{}", file.display(), number + 1);
    }
    assert_eq!(page.len(), golden.len(), "{}: the length", file.display());
}
