//! What is pinned: of which version it is, whose, and that nothing of it stays.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::Path,
    process::{Command, Output},
};

use aya::{
    maps::{Array, Map, MapData, loaded_maps},
    programs::{
        links::{FdLink, PinnedLink},
        loaded_links, loaded_programs,
    },
};

use super::{FileSystem, move_bytes};
use crate::support::{
    Agent, Lab,
    agent::{Scratch, free_port, program},
    until_true,
};

#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn what_another_version_has_pinned_is_not_gone_on_with() {
    let lab = Lab::new();
    let files = FileSystem::new();
    let config = lab.config() + &files.network();
    let agent = Agent::start(&config);
    let (a, b) = lab.connection();
    move_bytes(&a, &b, 100);
    agent.expect_moved(100, 0);
    drop(agent);
    let state = MapData::from_pin(files.directory().join("state")).unwrap();
    let mut state: Array<_, [u64; 6]> = Map::from_map_data(state).unwrap().try_into().unwrap();
    let mut value = state.get(&0, 0).unwrap();
    value[0] += 1;
    state.set(0, value, 0).unwrap();
    drop(state);
    let links = links(&files.directory());
    let agent = Agent::start(&config);
    agent.wait_for(": it is of another version of partymeter");
    move_bytes(&a, &b, 10);
    agent.expect_moved(10, 0);
    wait_until_gone(&links);
    drop(agent);
    // Half of it is as bad.
    fs::remove_file(files.directory().join("map-SOCKETS")).unwrap();
    let agent = Agent::start(&config);
    agent.wait_for(": a part of it is gone");
    move_bytes(&a, &b, 1);
    agent.expect_moved(1, 0);
}

/// Ids of the links that are pinned, and of the programs that they attach.
fn links(directory: &Path) -> Vec<(u32, u32)> {
    let entries = fs::read_dir(directory).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names
        .filter(|name| name.starts_with("link-"))
        .map(|name| {
            let link = FdLink::from(PinnedLink::from_pin(directory.join(name)).unwrap());
            let info = link.info().unwrap();
            (info.id(), info.program_id())
        })
        .collect()
}

/// The kernel frees what is not used any more in its own time.
fn wait_until_gone(links: &[(u32, u32)]) {
    let gone = || {
        let there: Vec<u32> = loaded_links()
            .filter_map(|link| Some(link.ok()?.id()))
            .filter(|id| links.iter().any(|(link, _)| link == id))
            .collect();
        let loaded: Vec<u32> = loaded_programs()
            .filter_map(|program| Some(program.ok()?.id()))
            .filter(|id| links.iter().any(|(_, program)| program == id))
            .collect();
        there.is_empty() && loaded.is_empty()
    };
    until_true(gone, || format!("some of {links:?} are there"));
}

fn partymeter(verb: &str, directory: &Path) -> Output {
    // Should it not be refused, it would run.
    Command::new("timeout")
        .arg("20")
        .arg(program())
        .args([verb, "--network-bpf-pin-path"])
        .arg(directory)
        .args(["--prometheus-listen", &format!("127.0.0.1:{}", free_port())])
        .output()
        .unwrap()
}

fn told(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end().to_owned()
}

#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn one_agent_at_a_time_and_detach_leaves_nothing() {
    let lab = Lab::new();
    let files = FileSystem::new();
    let directory = files.directory();
    let shown = directory.display();

    let nothing = partymeter("detach", &directory);
    assert!(nothing.status.success());
    assert_eq!(
        told(&nothing.stdout),
        format!("nothing to remove: there is no {shown}")
    );

    let agent = Agent::start(&(lab.config() + &files.network()));
    let busy = format!(
        "partymeter: network.bpf_pin_path: an agent is running with {shown}; help: stop it first, or set another directory, or \"\" for \
         none"
    );
    for verb in ["run", "detach"] {
        let refused = partymeter(verb, &directory);
        assert_eq!(refused.status.code(), Some(1), "{verb}");
        assert_eq!(told(&refused.stderr), busy, "{verb}");
    }
    let check = told(&partymeter("check", &directory).stdout);
    assert!(
        check.contains(busy.trim_start_matches("partymeter: ")),
        "{check}"
    );
    // Nothing is open that needs it.
    files.expect_tracepoint(false);
    let attached = links(&directory);
    assert!(attached.len() >= 3, "{:?}", files.names());
    let maps: Vec<u32> = ["COUNTERS", "SOCKETS", "CONTROL"]
        .map(|name| {
            let map = MapData::from_pin(directory.join(format!("map-{name}"))).unwrap();
            map.info().unwrap().id()
        })
        .to_vec();
    drop(agent);
    assert_eq!(links(&directory), attached, "they outlive it");

    let names = files.names();
    let of = |start: &str| names.iter().filter(|name| name.starts_with(start)).count();
    let (links, all) = (of("link-"), names.len());
    let removed = partymeter("detach", &directory);
    assert!(removed.status.success(), "{}", told(&removed.stderr));
    let line = format!(
        "removed {links} links and {} maps under {shown}",
        all - links
    );
    assert_eq!(told(&removed.stdout), line);
    assert!(!directory.exists());
    wait_until_gone(&attached);
    until_true(
        || !loaded_maps().any(|map| map.is_ok_and(|map| maps.contains(&map.id()))),
        || "maps are there",
    );
}

#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn a_directory_in_no_bpf_file_system_is_one_line() {
    let place = Scratch::new("no-bpf");
    let mend = format!(
        "network.bpf_pin_path: {} is not in a BPF file system; help: mount one with `mount -t bpf bpf /sys/fs/bpf` and name a directory \
         there, or set it to \"\" to pin nothing",
        place.0.display()
    );
    for verb in ["run", "detach"] {
        let refused = partymeter(verb, &place.0);
        assert_eq!(refused.status.code(), Some(64), "{verb}");
        let line = told(&refused.stderr);
        assert_eq!(line, format!("partymeter: {mend}"), "{verb}");
    }
    let check = told(&partymeter("check", &place.0).stdout);
    assert!(check.contains(&mend), "{check}");
    // Nor one that others may remove the pins from.
    let files = FileSystem::new();
    let open = partymeter("run", &files.0.0);
    assert_eq!(open.status.code(), Some(64));
    assert!(
        told(&open.stderr).contains("others can write to"),
        "{}",
        told(&open.stderr)
    );
    // Nor one that a link leads to: the link may lead elsewhere the next time.
    let alias = files.0.0.join("link");
    fs::set_permissions(&files.0.0, fs::Permissions::from_mode(0o755)).unwrap();
    fs::create_dir(files.directory()).unwrap();
    fs::set_permissions(files.directory(), fs::Permissions::from_mode(0o700)).unwrap();
    symlink(files.directory(), &alias).unwrap();
    for verb in ["run", "detach"] {
        let refused = partymeter(verb, &alias);
        assert_eq!(refused.status.code(), Some(64), "{verb}");
        let line = told(&refused.stderr);
        assert!(
            line.contains("/link is a symbolic link; help: name the directory itself"),
            "{line}"
        );
    }
    let check = told(&partymeter("check", &alias).stdout);
    assert!(check.contains("is a symbolic link"), "{check}");
    assert!(files.directory().exists() && alias.is_symlink());
    let relative = partymeter("run", Path::new("counters"));
    assert_eq!(relative.status.code(), Some(64));
    assert!(told(&relative.stderr).contains("\"counters\" is not an absolute path"));
}

/// A map of somebody else's, pinned under that name.
fn foreign(directory: &Path, name: &str) {
    let map = Array::<_, u32>::create(7, 0).unwrap();
    map.pin(directory.join(name)).unwrap();
}

/// What no agent has made stays, whatever it is called.
#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn what_is_somebody_elses_is_left_alone() {
    let lab = Lab::new();
    let files = FileSystem::new();
    let directory = files.directory();
    let shown = directory.display();
    let others = ["link-1-other", "link-foo", "map-OTHER", "map-foo", "other"];
    // A directory that is another program's, and looks like ours.
    fs::create_dir(&directory).unwrap();
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o700)).unwrap();
    let like_ours = [
        "link-1-set_state",
        "map-COUNTERS",
        "names",
        "state",
        "trial",
    ];
    for name in others.iter().chain(&like_ours) {
        foreign(&directory, name);
    }
    let all = files.names();
    let detached = partymeter("detach", &directory);
    assert!(detached.status.success(), "{}", told(&detached.stderr));
    assert_eq!(
        told(&detached.stdout),
        format!(
            "removed 0 links and 0 maps under {shown}; left alone what is not partymeter's: {}",
            all.join(", ")
        )
    );
    assert_eq!(files.names(), all);
    // An agent does not take it for its own.
    let refused = partymeter("run", &directory);
    assert_eq!(refused.status.code(), Some(64), "{refused:?}");
    assert_eq!(files.names(), all);

    // Among what an agent has made.
    for name in like_ours {
        fs::remove_file(directory.join(name)).unwrap();
    }
    let agent = Agent::start(&(lab.config() + &files.network()));
    drop(agent);
    assert!(
        files.names().len() > 10 + others.len(),
        "{:?}",
        files.names()
    );
    let detached = told(&partymeter("detach", &directory).stdout);
    assert!(
        detached.ends_with(&format!(
            "; left alone what is not partymeter's: {}",
            others.join(", ")
        )),
        "{detached}"
    );
    assert_eq!(files.names(), others);
}

/// Another version may have given other names; what it has left is removed all the same.
#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn what_another_version_has_named_otherwise_goes() {
    let lab = Lab::new();
    let files = FileSystem::new();
    let directory = files.directory();
    drop(Agent::start(&(lab.config() + &files.network())));
    let links = files.names();
    let link = links.iter().find(|name| name.starts_with("link-")).unwrap();
    fs::rename(directory.join(link), directory.join("link-1-earlier_name")).unwrap();
    // Of this version it would be somebody else's.
    let state = MapData::from_pin(directory.join("state")).unwrap();
    let mut state: Array<_, [u64; 6]> = Map::from_map_data(state).unwrap().try_into().unwrap();
    let mut value = state.get(&0, 0).unwrap();
    value[0] += 1;
    state.set(0, value, 0).unwrap();
    drop(state);
    let attached = self::links(&directory);
    let removed = told(&partymeter("detach", &directory).stdout);
    assert!(!removed.contains("left alone"), "{removed}");
    assert!(!directory.exists());
    wait_until_gone(&attached);
}
