//! Directories that are trusted, and that are not.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, chown, symlink},
};

use super::*;

/// A temporary directory.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let name = format!("partymeter-safe-dir-{}-{name}", std::process::id());
        let path = fs::canonicalize(std::env::temp_dir()).unwrap().join(name);
        drop(fs::remove_dir_all(&path));
        fs::create_dir(&path).unwrap();
        set_mode(&path, 0o755);
        Self(path)
    }

    fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn told(result: Result<File, UnsafeDirectory>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn missing_components_are_created_with_the_mode() {
    let place = Place::new("made");
    let path = place.join("a/b");
    assert!(open(&path).unwrap_err().is_missing());
    probe(&path).unwrap();
    assert!(!place.join("a").exists(), "a probe changes nothing");
    open_or_create(&path, 0o700).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&place.join("a")), mode(&path)), (0o700, 0o700));
    // It exists from now on.
    open_or_create(&path, 0o755).unwrap();
    open(&path).unwrap();
    assert_eq!(mode(&path), 0o700);
    fs::write(place.join("file"), "").unwrap();
    assert!(told(open(&place.join("file"))).contains("Not a directory"));
}

#[test]
fn a_symbolic_link_is_rejected_except_on_the_path() {
    let place = Place::new("link");
    fs::create_dir(place.join("real")).unwrap();
    fs::create_dir(place.join("real/inner")).unwrap();
    symlink("real", place.join("link")).unwrap();
    let link = place.join("link");
    for result in [open(&link), open_or_create(&link, 0o700)] {
        let refusal = format!(
            "{} is a symbolic link; help: name the directory itself",
            link.display()
        );
        assert_eq!(told(result), refusal);
    }
    // If its target does not exist either, nothing is created.
    symlink("nowhere", place.join("dangling")).unwrap();
    assert!(told(open_or_create(&place.join("dangling"), 0o700)).contains("is a symbolic link"));
    assert!(!place.join("nowhere").exists());
    open(&place.join("link/inner")).unwrap();
    open(&place.join("link/../real/inner")).unwrap();
    symlink(place.join("link"), place.join("again")).unwrap();
    open(&place.join("again/inner")).unwrap();
    symlink("loop", place.join("loop")).unwrap();
    assert!(told(open(&place.join("loop/inner"))).contains("symbolic link"));
}

#[test]
fn a_directory_that_others_can_write_to_is_rejected() {
    let place = Place::new("writable");
    let path = place.join("inner");
    fs::create_dir(&path).unwrap();
    for mode in [0o777, 0o770, 0o1777, 0o702] {
        set_mode(&path, mode);
        let line = told(open(&path));
        let shown = format!("others can write to {} (mode {mode:04o})", path.display());
        assert!(line.starts_with(&shown), "{line}");
        assert!(probe(&path).is_err());
    }
    set_mode(&path, 0o700);
    open(&path).unwrap();
    // A parent that others can write to needs the sticky bit.
    set_mode(&place.0, 0o1777);
    open(&path).unwrap();
    set_mode(&place.0, 0o777);
    let line = told(open(&path));
    let shown = format!("others can write to {} (mode 0777)", place.0.display());
    assert!(line.starts_with(&shown), "{line}");
    assert!(told(open_or_create(&place.join("new"), 0o700)).starts_with(&shown));
    assert!(!place.join("new").exists());
}

#[test]
#[ignore = "needs root: `cargo xtask test` runs it"]
fn a_foreign_owner_is_rejected_on_the_whole_path() {
    assert!(
        geteuid().is_root(),
        "needs root: only root can give a directory away"
    );
    let place = Place::new("owner");
    let path = place.join("inner");
    fs::create_dir(&path).unwrap();
    set_mode(&path, 0o700);
    chown(&path, Some(65_534), None).unwrap();
    assert!(told(open(&path)).contains("belongs to the user 65534"));
    chown(&path, Some(0), None).unwrap();
    chown(&place.0, Some(65_534), None).unwrap();
    assert!(told(open(&path)).contains("belongs to the user 65534"));
    chown(&place.0, Some(0), None).unwrap();
    // A link of another user, as in /tmp.
    set_mode(&place.0, 0o1777);
    let link = place.join("link");
    symlink(&place.0, &link).unwrap();
    std::os::unix::fs::lchown(&link, Some(65_534), None).unwrap();
    assert!(told(open(&link.join("inner"))).contains("belongs to the user 65534"));
}
