//! Which fields to request of a device. All are read with one call; a field that the device does not support is
//! requested once.

use nvml_wrapper_sys::bindings::{NVML_NVLINK_MAX_LINKS, field_id::NVML_FI_DEV_NVLINK_LINK_COUNT};

use super::{
    field::{Field, FieldValue},
    field_ids::{DEVICE, LINK, LINK_BEFORE_HOPPER},
};

/// The request for the number of NVLinks.
pub(super) const fn link_count() -> FieldValue {
    FieldValue::new(NVML_FI_DEV_NVLINK_LINK_COUNT, 0, Field::LinkCount, None)
}

/// Every field that a device with so many links can have.
pub(super) fn requests(links: u32) -> Vec<FieldValue> {
    let device = DEVICE
        .iter()
        .map(|(id, field)| FieldValue::new(*id, 0, *field, None));
    let links = 0..links.min(NVML_NVLINK_MAX_LINKS);
    let scoped = links.clone().flat_map(|link| {
        LINK.iter()
            .map(move |(id, field)| FieldValue::new(*id, link, *field, Some(link)))
    });
    let by_id = links.filter(|link| *link < 12).flat_map(|link| {
        LINK_BEFORE_HOPPER.iter().map(move |(low, high, field)| {
            let id = if link < 6 {
                low + link
            } else {
                high + link - 6
            };
            FieldValue::new(id, 0, *field, Some(link))
        })
    });
    device.chain(scoped).chain(by_id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_before_hopper_have_their_own_ids() {
        let of = |link| {
            requests(12)
                .into_iter()
                .filter(|request| request.link == Some(link) && request.scope == 0)
                .filter(|request| request.field == Field::LinkErrors("replay"))
                .map(|request| request.id)
                .collect::<Vec<_>>()
        };
        // NVML_FI_DEV_NVLINK_REPLAY_ERROR_COUNT_L5, _L6 and _L11 in nvml.h.
        assert_eq!((of(5), of(6), of(11)), (vec![51], vec![108], vec![113]));
    }

    #[test]
    fn no_more_links_are_requested_than_nvml_supports() {
        assert!(requests(0).iter().all(|request| request.link.is_none()));
        assert_eq!(requests(99).len(), requests(18).len());
    }
}
