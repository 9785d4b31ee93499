//! Field values that are 0 on a sound GPU: each gets a figure of its own, so that none can stand in another's place.

use nvml_wrapper_sys::bindings::field_id::*;
use partymeter_fake_nvml::{Figure, Scenario, models::Model};

use super::{Fake, answer, code, fails};

/// A field, what it is to say, the series without `gpu_id`, and what that is to read.
type Case = (u32, i64, &'static str, f64);

fn figure(field: u32, scope: Option<u32>, value: i64) -> Figure {
    Figure {
        field,
        scope,
        value,
    }
}

/// Starts one GPU with such figures and compares.
fn check(model: Model, cases: &[Case]) {
    let mut scenario = Scenario::of(model, 1);
    scenario.frozen = Some(1234.5);
    let said = cases
        .iter()
        .map(|(field, value, ..)| figure(*field, None, *value));
    scenario.gpus[0].figures = said.collect();
    let fake = Fake::start(scenario);
    fake.after_rounds(0, 2);
    for (field, _, series, wanted) in cases {
        let series = series.replace("ID", "gpu_id=\"0\"");
        assert_eq!(fake.series(&series), Some(*wanted), "{series}, of {field}");
    }
}

#[test]
fn each_field_of_a_device_has_its_own_series() {
    check(
        Model::H100,
        &[
            (
                NVML_FI_DEV_REMAPPED_COR,
                3,
                "gpu_remapped_rows{ID,cause=\"correctable\"}",
                3.0,
            ),
            (
                NVML_FI_DEV_REMAPPED_UNC,
                5,
                "gpu_remapped_rows{ID,cause=\"uncorrectable\"}",
                5.0,
            ),
            (
                NVML_FI_DEV_REMAPPED_PENDING,
                1,
                "gpu_row_remap_pending{ID}",
                1.0,
            ),
            (
                NVML_FI_DEV_REMAPPED_FAILURE,
                0,
                "gpu_row_remap_failure{ID}",
                0.0,
            ),
            (
                NVML_FI_DEV_PCIE_REPLAY_COUNTER,
                7,
                "gpu_pcie_replays_total{ID}",
                7.0,
            ),
            (
                NVML_FI_DEV_GET_GPU_RECOVERY_ACTION,
                4,
                "gpu_recovery_action{ID}",
                4.0,
            ),
            (
                NVML_FI_DEV_TEMPERATURE_SHUTDOWN_TLIMIT,
                -9,
                "gpu_temperature_margin_celsius{ID,limit=\"shutdown\"}",
                -9.0,
            ),
            (
                NVML_FI_DEV_TEMPERATURE_SLOWDOWN_TLIMIT,
                -3,
                "gpu_temperature_margin_celsius{ID,limit=\"slowdown\"}",
                -3.0,
            ),
            (
                NVML_FI_DEV_TEMPERATURE_MEM_MAX_TLIMIT,
                2,
                "gpu_temperature_margin_celsius{ID,limit=\"memory_max\"}",
                2.0,
            ),
            (
                NVML_FI_DEV_TEMPERATURE_GPU_MAX_TLIMIT,
                6,
                "gpu_temperature_margin_celsius{ID,limit=\"gpu_max\"}",
                6.0,
            ),
        ],
    );
}

#[test]
fn time_of_lower_clocks_is_told_by_reason() {
    check(
        Model::H100,
        &[
            (
                NVML_FI_DEV_PERF_POLICY_THERMAL,
                1_500_000_000,
                "gpu_throttle_seconds_total{ID,reason=\"thermal\"}",
                1.5,
            ),
            (
                NVML_FI_DEV_PERF_POLICY_SYNC_BOOST,
                2_500_000_000,
                "gpu_throttle_seconds_total{ID,reason=\"sync_boost\"}",
                2.5,
            ),
            (
                NVML_FI_DEV_PERF_POLICY_BOARD_LIMIT,
                3_500_000_000,
                "gpu_throttle_seconds_total{ID,reason=\"board_limit\"}",
                3.5,
            ),
            (
                NVML_FI_DEV_PERF_POLICY_LOW_UTILIZATION,
                4_500_000_000,
                "gpu_throttle_seconds_total{ID,reason=\"low_utilization\"}",
                4.5,
            ),
            (
                NVML_FI_DEV_PERF_POLICY_RELIABILITY,
                5_500_000_000,
                "gpu_throttle_seconds_total{ID,reason=\"reliability\"}",
                5.5,
            ),
            // The ids that these three have with this driver; the bindings have the earlier ones.
            (
                269,
                6_500_000_000,
                "gpu_throttle_seconds_total{ID,reason=\"sw_thermal_slowdown\"}",
                6.5,
            ),
            (
                270,
                7_500_000_000,
                "gpu_throttle_seconds_total{ID,reason=\"hw_thermal_slowdown\"}",
                7.5,
            ),
            (
                271,
                8_500_000_000,
                "gpu_throttle_seconds_total{ID,reason=\"hw_power_brake_slowdown\"}",
                8.5,
            ),
        ],
    );
}

#[test]
fn a_row_that_cannot_be_replaced_is_not_one_that_waits() {
    check(
        Model::A100,
        &[
            (
                NVML_FI_DEV_REMAPPED_PENDING,
                0,
                "gpu_row_remap_pending{ID}",
                0.0,
            ),
            (
                NVML_FI_DEV_REMAPPED_FAILURE,
                1,
                "gpu_row_remap_failure{ID}",
                1.0,
            ),
        ],
    );
}

#[test]
fn pages_are_retired_by_cause() {
    check(
        Model::T4,
        &[
            (
                NVML_FI_DEV_RETIRED_SBE,
                11,
                "gpu_retired_pages{ID,cause=\"single_bit\"}",
                11.0,
            ),
            (
                NVML_FI_DEV_RETIRED_DBE,
                13,
                "gpu_retired_pages{ID,cause=\"double_bit\"}",
                13.0,
            ),
        ],
    );
}

#[test]
fn errors_of_a_link_are_told_by_type() {
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
fn before_hopper_each_link_has_ids_of_its_own() {
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

/// Compares the errors of every link and type: (field, scope, type, errors).
fn by_link(
    model: Model,
    links: u32,
    of_link: impl Fn(u32) -> Vec<(u32, Option<u32>, &'static str, u32)>,
) {
    let mut scenario = Scenario::of(model, 1);
    scenario.frozen = Some(1234.5);
    for link in 0..links {
        let of_link = of_link(link).into_iter();
        let said = of_link.map(|(field, scope, _, errors)| figure(field, scope, errors.into()));
        scenario.gpus[0].figures.extend(said);
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

/// Signed, also where NVML's types are not.
#[test]
fn below_zero_is_told() {
    let mut scenario = Scenario::of(Model::H100, 1);
    scenario.gpus[0].figures = vec![figure(NVML_FI_DEV_MEMORY_TEMP, None, -7)];
    scenario.gpus[0].answers = vec![
        answer("nvmlDeviceGetTemperature", -5),
        answer("nvmlDeviceGetTemperatureThreshold", -1),
        answer("nvmlDeviceGetMarginTemperature", -3),
    ];
    let fake = Fake::start(scenario);
    fake.after_rounds(0, 2);
    for (series, wanted) in [
        ("gpu_temperature_celsius{ID,sensor=\"gpu\"}", -5.0),
        ("gpu_temperature_celsius{ID,sensor=\"memory\"}", -7.0),
        ("gpu_temperature_limit_celsius{ID,limit=\"shutdown\"}", -1.0),
        ("gpu_temperature_current_margin_celsius{ID}", -3.0),
    ] {
        let series = series.replace("ID", "gpu_id=\"0\"");
        assert_eq!(fake.series(&series), Some(wanted), "{series}");
    }
}

#[test]
fn links_that_it_does_not_have_are_not_down() {
    let mut scenario = Scenario::of(Model::H100, 2);
    scenario.gpus[0].links = Some(6);
    // One that it has and that is down is.
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

#[test]
fn the_license_of_a_virtual_gpu_is_told() {
    let mut scenario = Scenario::of(Model::L40s, 3);
    scenario.gpus[1].license = Some(false);
    scenario.gpus[2].license = Some(true);
    let fake = Fake::start(scenario);
    let licensed = |gpu: u32| fake.series(&format!("gpu_vgpu_licensed{{gpu_id=\"{gpu}\"}}"));
    let wanted = [None, Some(0.0), Some(1.0)];
    assert_eq!([0, 1, 2].map(licensed), wanted);
}

/// The new name is there and does not work: the old one does.
#[test]
fn what_has_two_names_is_asked_for_by_both() {
    let mut scenario = Scenario::of(Model::H100, 1);
    scenario.gpus[0].reasons = 4;
    scenario.rules = [
        "nvmlDeviceGetCurrentClocksEventReasons",
        "nvmlDeviceGetSupportedClocksEventReasons",
    ]
    .map(|function| fails(function, 0, code::NOT_SUPPORTED))
    .into();
    let fake = Fake::start(scenario);
    fake.after_rounds(0, 2);
    for (reason, wanted) in [("sw_power_cap", 1.0), ("hw_slowdown", 0.0)] {
        let series = format!("gpu_throttle_active{{gpu_id=\"0\",reason=\"{reason}\"}}");
        assert_eq!(fake.series(&series), Some(wanted), "{series}");
    }
}

#[test]
fn fans_are_told_apart() {
    let mut scenario = Scenario::of(Model::L40s, 1);
    scenario.gpus[0].fans = vec![37, 105];
    let fake = Fake::start(scenario);
    fake.after_rounds(0, 2);
    let fan = |fan: u32| {
        fake.series(&format!(
            "gpu_fan_speed_ratio{{gpu_id=\"0\",fan=\"{fan}\"}}"
        ))
    };
    assert_eq!((fan(0), fan(1), fan(2)), (Some(0.37), Some(1.05), None));
}
