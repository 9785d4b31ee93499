//! Creating, replacing and removing the socket.

use std::{
    fs,
    os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, symlink},
};

use super::*;

/// A temporary directory.
struct TestDirectory(PathBuf);

impl TestDirectory {
    fn new(name: &str) -> Self {
        let name = format!("partymeter-admin-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        drop(fs::remove_dir_all(&path));
        Self(path)
    }

    fn admin(&self) -> Admin {
        Admin {
            socket: AdminSocket::At(self.0.join("s")),
            group: None,
        }
    }

    fn make(&self) {
        fs::create_dir(&self.0).unwrap();
        fs::set_permissions(&self.0, fs::Permissions::from_mode(0o755)).unwrap();
    }
}

impl Drop for TestDirectory {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

fn opened(admin: &Admin) -> Socket {
    match open(admin) {
        Ok(Opened::At(socket)) => socket,
        other => panic!("{other:?}"),
    }
}

fn refused(admin: &Admin) -> String {
    let why = open(admin).unwrap_err().to_string();
    assert_eq!(probe(admin).result.unwrap_err(), why);
    why
}

#[test]
fn only_its_owner_may_open_it_and_it_is_removed() {
    let directory = TestDirectory::new("mode");
    let admin = directory.admin();
    assert!(probe(&admin).result.unwrap().ends_with("/s, for root"));
    assert!(!directory.0.exists());
    let socket = opened(&admin);
    let data = fs::symlink_metadata(socket.path()).unwrap();
    assert!(data.file_type().is_socket());
    assert_eq!(data.mode() & 0o777, 0o600);
    assert!(refused(&admin).contains("another agent listens on"));
    drop(socket);
    assert!(!directory.0.join("s").exists());
    drop(opened(&admin));
}

#[test]
fn a_group_gets_access() {
    let directory = TestDirectory::new("group");
    let own = nix::unistd::getegid();
    let admin = Admin {
        group: Some(own.to_string()),
        ..directory.admin()
    };
    let socket = opened(&admin);
    let data = fs::symlink_metadata(socket.path()).unwrap();
    assert_eq!((data.mode() & 0o777, data.gid()), (0o660, own.as_raw()));
    let admin = Admin {
        group: Some("no such group".to_owned()),
        ..directory.admin()
    };
    assert!(refused(&admin).contains("admin.group: there is no group \"no such group\""));
}

#[test]
fn a_stale_socket_is_replaced() {
    let directory = TestDirectory::new("stale");
    directory.make();
    let path = directory.0.join("s");
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    drop(opened(&directory.admin()));
    // A listener without the lock.
    let other = UnixListener::bind(&path).unwrap();
    assert!(refused(&directory.admin()).contains("another agent listens on"));
    drop(other);
    drop(opened(&directory.admin()));
}

#[test]
fn nothing_else_is_removed() {
    let directory = TestDirectory::new("foreign");
    directory.make();
    let path = directory.0.join("s");
    fs::write(&path, "precious").unwrap();
    assert!(refused(&directory.admin()).contains("exists and is not a socket"));
    fs::remove_file(&path).unwrap();
    symlink("elsewhere", &path).unwrap();
    assert!(refused(&directory.admin()).contains("exists and is not a socket"));
    assert!(fs::symlink_metadata(&path).unwrap().is_symlink());
    fs::remove_file(&path).unwrap();
    // Nor a socket that has replaced it meanwhile.
    let socket = opened(&directory.admin());
    fs::remove_file(&path).unwrap();
    let other = UnixListener::bind(&path).unwrap();
    drop(socket);
    assert!(path.exists());
    drop(other);
    fs::set_permissions(&directory.0, fs::Permissions::from_mode(0o777)).unwrap();
    assert!(refused(&directory.admin()).contains("others can write to"));
}
