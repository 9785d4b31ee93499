//! The error counters of NVLinks, and links that a GPU lacks.

use nvml_wrapper_sys::bindings::field_id::*;
use partymeter_fake_nvml::{Scenario, models::Model};

use super::{Fake, answer, field_answer};

#[test]
fn link_errors_are_reported_by_type() {
    let types = [
        (NVML_FI_DEV_NVLINK_ERROR_DL_REPLAY, "replay"),
        (NVML_FI_DEV_NVLINK_ERROR_DL_RECOVERY, "recovery"),
        (NVML_FI_DEV_NVLINK_ERROR_DL_CRC, "crc_flit"),
        (
            NVML_FI_DEV_NVLINK_COUNT_MALFORMED_PACKET_ERRORS,
            "malformed_packet",
        ),
        (
            NVML_FI_DEV_NVLINK_COUNT_BUFFER_OVERRUN_ERRORS,
            "buffer_overrun",
        ),
        (NVML_FI_DEV_NVLINK_COUNT_RCV_ERRORS, "receive"),
        (NVML_FI_DEV_NVLINK_COUNT_RCV_REMOTE_ERRORS, "receive_remote"),
        (
            NVML_FI_DEV_NVLINK_COUNT_LOCAL_LINK_INTEGRITY_ERRORS,
            "local_link_integrity",
        ),
        (
            NVML_FI_DEV_NVLINK_COUNT_LINK_RECOVERY_FAILED_EVENTS,
            "link_recovery_failed",
        ),
        (NVML_FI_DEV_NVLINK_COUNT_SYMBOL_ERRORS, "symbol"),
    ];
    by_link(Model::B200, 18, |link| {
        let of_type = |(place, (field, kind)): (u32, &(u32, &'static str))| {
            (*field, Some(link), *kind, 100 * link + place + 1)
        };
        (0..).zip(&types).map(of_type).collect()
    });
}

#[test]
fn links_before_hopper_have_their_own_field_ids() {
    let types = [
        (
            NVML_FI_DEV_NVLINK_REPLAY_ERROR_COUNT_L0,
            NVML_FI_DEV_NVLINK_REPLAY_ERROR_COUNT_L6,
            "replay",
        ),
        (
            NVML_FI_DEV_NVLINK_RECOVERY_ERROR_COUNT_L0,
            NVML_FI_DEV_NVLINK_RECOVERY_ERROR_COUNT_L6,
            "recovery",
        ),
        (
            NVML_FI_DEV_NVLINK_CRC_FLIT_ERROR_COUNT_L0,
            NVML_FI_DEV_NVLINK_CRC_FLIT_ERROR_COUNT_L6,
            "crc_flit",
        ),
        (
            NVML_FI_DEV_NVLINK_CRC_DATA_ERROR_COUNT_L0,
            NVML_FI_DEV_NVLINK_CRC_DATA_ERROR_COUNT_L6,
            "crc_data",
        ),
        (
            NVML_FI_DEV_NVLINK_ECC_DATA_ERROR_COUNT_L0,
            NVML_FI_DEV_NVLINK_ECC_DATA_ERROR_COUNT_L6,
            "ecc_data",
        ),
    ];
    by_link(Model::A100, 12, |link| {
        let of_type = |(place, (low, high, kind)): (u32, &(u32, u32, &'static str))| {
            let field = if link < 6 {
                low + link
            } else {
                high + link - 6
            };
            (field, None, *kind, 100 * link + place + 1)
        };
        (0..).zip(&types).map(of_type).collect()
    });
}

/// Compares the errors of every link and type. `of_link` returns (field, scope, type, errors).
fn by_link(
    model: Model,
    links: u32,
    of_link: impl Fn(u32) -> Vec<(u32, Option<u32>, &'static str, u32)>,
) {
    let mut scenario = Scenario::of(model, 1);
    scenario.frozen = Some(1234.5);
    for link in 0..links {
        let of_link = of_link(link).into_iter();
        let answers =
            of_link.map(|(field, scope, _, errors)| field_answer(field, scope, errors.into()));
        scenario.gpus[0].field_answers.extend(answers);
    }
    let fake = Fake::start(scenario);
    fake.after_rounds(0, 2);
    for link in 0..links {
        for (field, _, kind, errors) in of_link(link) {
            let series =
                format!("gpu_nvlink_errors_total{{gpu_id=\"0\",link=\"{link}\",type=\"{kind}\"}}");
            assert_eq!(
                fake.series(&series),
                Some(errors.into()),
                "{series}, of {field}"
            );
        }
    }
}

#[test]
fn links_that_a_gpu_lacks_are_absent() {
    let mut scenario = Scenario::of(Model::H100, 2);
    scenario.gpus[0].links = Some(6);
    // A link that the GPU has and that is down is 0.
    scenario.gpus[1].answers = vec![answer("nvmlDeviceGetNvLinkState", 0)];
    let fake = Fake::start(scenario);
    let link = |gpu: u32, link: u32| {
        fake.series(&format!(
            "gpu_nvlink_up{{gpu_id=\"{gpu}\",link=\"{link}\"}}"
        ))
    };
    assert_eq!((link(0, 0), link(0, 5)), (Some(1.0), Some(1.0)));
    assert_eq!((link(0, 6), link(0, 17)), (None, None));
    assert_eq!((link(1, 0), link(1, 17)), (Some(0.0), Some(0.0)));
}
