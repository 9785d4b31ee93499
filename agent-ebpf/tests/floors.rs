//! The programs stand on floors: each file imports only from floors below its own, in the order that `programs/mod.rs`
//! lists. So there is no circle, and what a file builds on can be read first.

use std::{collections::BTreeMap, fs, path::Path};

/// The floor of each module, from the numbered list.
fn floors(text: &str) -> BTreeMap<String, usize> {
    let mut floors = BTreeMap::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("//! ")) {
        let Some((number, rest)) = line.split_once(". ") else {
            continue;
        };
        let (Ok(number), Some((names, _))) = (number.parse(), rest.split_once(": ")) else {
            continue;
        };
        for name in names.split('`').skip(1).step_by(2) {
            floors.insert(name.to_owned(), number);
        }
    }
    floors
}

/// The modules that a file names behind `crate::programs::`, and whether it names any by `super`.
fn imports(text: &str) -> (Vec<String>, bool) {
    let code: Vec<&str> = text
        .lines()
        .map(|line| line.split("//").next().unwrap_or(""))
        .collect();
    let code = code.join("\n").replace("pub(super)", "");
    let mut found = Vec::new();
    for rest in code.split("crate::programs::").skip(1) {
        let (mut depth, mut names) = (0, String::new());
        for character in rest.chars() {
            match character {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ if character.is_whitespace() || depth > 1 => {}
                _ => names.push(character),
            }
            if depth == 0 && matches!(character, '}' | ';' | '(' | ':') {
                break;
            }
        }
        let modules = names
            .split(',')
            .map(|name| name.split([':', ';', '(']).next());
        found.extend(
            modules
                .flatten()
                .filter(|it| !it.is_empty())
                .map(str::to_owned),
        );
    }
    (found, code.contains("super::"))
}

#[test]
fn each_file_imports_only_from_floors_below_its_own() {
    let programs = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/programs");
    let list = fs::read_to_string(programs.join("mod.rs")).unwrap();
    let floors = floors(&list);
    let hooks = fs::read_dir(programs.join("hooks")).unwrap();
    let mut files: Vec<_> = fs::read_dir(&programs).unwrap().chain(hooks).collect();
    files.retain(|entry| entry.as_ref().unwrap().path().is_file());
    assert!(files.len() > floors.len(), "hooks have several files");
    let mut wrong = Vec::new();
    for file in files {
        let path = file.unwrap().path();
        let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if stem == "mod" {
            continue;
        }
        let of = path.parent().unwrap().file_name().unwrap();
        let module = if of == "hooks" { "hooks" } else { &stem };
        let Some(floor) = floors.get(module) else {
            wrong.push(format!("{stem} is not in the list of programs/mod.rs"));
            continue;
        };
        let text = fs::read_to_string(&path).unwrap();
        if !["hooks", "walk", "socket"].contains(&module)
            && ["SockPtr::new", "SockPtr::never_null"]
                .iter()
                .any(|it| text.contains(it))
        {
            wrong.push(format!(
                "{stem} makes a SockPtr; only the context of a hook has one"
            ));
        }
        let (imports, by_super) = imports(&text);
        if by_super {
            wrong.push(format!("{stem} imports by `super`; say `crate::programs`"));
        }
        for import in imports {
            if import != module && floors.get(&import).is_none_or(|below| below >= floor) {
                wrong.push(format!("{stem} imports {import}, which is not below it"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn imports_are_found_however_they_are_written() {
    let text = "use crate::programs::{\n    a,\n    b::{self, x},\n    c::d as e,\n};\nuse crate::programs::e::f;\n\
                // crate::programs::g\nlet it = crate::programs::h(1); use crate::programs::i;";
    let (found, by_super) = imports(text);
    assert_eq!(found, ["a", "b", "c", "e", "h", "i"]);
    assert!(!by_super);
    assert!(imports("use super::a;").1);
}
