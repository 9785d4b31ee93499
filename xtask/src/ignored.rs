//! The tests that cannot run on this machine. libtest decides at compile time which tests are ignored. So the test
//! programs are asked what each ignored test needs; tests whose needs are met run, and the others are skipped and listed
//! at the end. A skipped test never counts as passed.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use anyhow::bail;
use xshell::cmd;

use crate::{
    needs::{self, Unmet},
    project::{Project, say},
};

/// How many names of tests are listed for each need; where there are more, only their number is.
const NAMES: usize = 12;

/// A test that cannot run here.
struct Test {
    name: String,
    /// The first need that is not met.
    unmet: Unmet,
}

/// The requested tests that cannot run here.
pub(crate) struct Ignored(Vec<Test>);

impl Ignored {
    /// Asks every test program. `arguments` are those with which it will run.
    pub(crate) fn find(project: &Project, arguments: &[String]) -> anyhow::Result<Self> {
        let mut known: BTreeMap<String, Option<Unmet>> = BTreeMap::new();
        let mut tests = Vec::new();
        let mut all = BTreeSet::new();
        for program in programs(project)? {
            all.extend(listed(
                &cmd!(project.sh, "{program} --list").quiet().read()?,
            ));
            let asked = asked(project, &program, arguments)?;
            for (name, reason) in reasons(project, &program)? {
                for need in needs::of_reason(&reason) {
                    let looked = match known.get(need) {
                        Some(looked) => looked.clone(),
                        None => needs::look(project, need)?,
                    };
                    known.insert(need.to_owned(), looked.clone());
                    if let Some(unmet) = looked
                        && asked.contains(&name)
                    {
                        tests.push(Test { name, unmet });
                        break;
                    }
                }
            }
        }
        let ignored = Self(tests);
        ignored.must_not_hide(&all)?;
        Ok(ignored)
    }

    /// `--skip` skips every test whose name contains the text. Such a name must not hide another test.
    fn must_not_hide(&self, all: &BTreeSet<String>) -> anyhow::Result<()> {
        let names: BTreeSet<&String> = self.0.iter().map(|test| &test.name).collect();
        let hides = |name: &&String| names.iter().find(|skipped| name.contains(skipped.as_str()));
        for name in all.iter().filter(|name| !names.contains(name)) {
            if let Some(skipped) = hides(&name) {
                bail!("{name} would be ignored with {skipped}, whose name it contains: rename one");
            }
        }
        Ok(())
    }

    /// Fails if a test must not be skipped: one that is requested by its name and, with `--strict`, one whose need
    /// root and `cargo xtask setup` would meet.
    pub(crate) fn refuse(&self, arguments: &[String], strict: bool) -> anyhow::Result<()> {
        let refused = by_need(self.0.iter().filter(|test| {
            let by_name = arguments.iter().any(|argument| test.is_called(argument));
            by_name || (strict && test.unmet.can_be_had)
        }));
        let lines: Vec<String> = refused
            .into_iter()
            .map(|(Unmet { need, why, .. }, names)| {
                let verb = if let [name] = names[..] {
                    format!("{name} needs")
                } else {
                    format!("{} and {} others need", names[0], names.len() - 1)
                };
                format!("\n  - {verb} {need}: {why}")
            })
            .collect();
        if !lines.is_empty() {
            bail!("tests that must run cannot:{}", lines.concat());
        }
        Ok(())
    }

    /// The options that make the test programs skip these tests.
    pub(crate) fn options(&self) -> impl Iterator<Item = &str> {
        self.0.iter().flat_map(|test| ["--skip", &test.name])
    }

    /// Lists how many are ignored, and why.
    pub(crate) fn list(&self) {
        say(format_args!("ignored tests: {}", self.0.len()));
        for (Unmet { need, why, .. }, names) in by_need(&self.0) {
            let count = names.len();
            let names = if count > NAMES {
                String::new()
            } else {
                format!("\n      {}", names.join("\n      "))
            };
            say(format_args!("  - {count} need {need}: {why}{names}"));
        }
    }
}

/// The names of tests, by the need that is not met.
fn by_need<'t>(tests: impl IntoIterator<Item = &'t Test>) -> BTreeMap<&'t Unmet, Vec<&'t str>> {
    let mut names: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for Test { name, unmet } in tests {
        names.entry(unmet).or_default().push(name.as_str());
    }
    names
}

impl Test {
    /// Whether `argument` is its name, with or without the path of its modules.
    fn is_called(&self, argument: &str) -> bool {
        let rest = self.name.strip_suffix(argument);
        rest.is_some_and(|path| path.is_empty() || path.ends_with("::"))
    }
}

/// Builds the test programs and returns their paths.
fn programs(project: &Project) -> anyhow::Result<Vec<PathBuf>> {
    let sh = &project.sh;
    let built = cmd!(
        sh,
        "cargo test --workspace --release --no-run --message-format json-render-diagnostics"
    );
    let messages = built.read()?;
    let programs = messages.lines().filter_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        let is_test = message["profile"]["test"].as_bool()?;
        is_test.then(|| message["executable"].as_str().map(PathBuf::from))?
    });
    Ok(programs.collect())
}

/// The ignored tests of a program that these arguments select.
fn asked(
    project: &Project,
    program: &PathBuf,
    arguments: &[String],
) -> anyhow::Result<BTreeSet<String>> {
    let sh = &project.sh;
    let arguments = arguments
        .iter()
        .filter(|argument| !matches!(argument.as_str(), "--ignored" | "--include-ignored"));
    let list = cmd!(sh, "{program} {arguments...} --list --ignored").quiet();
    Ok(listed(&list.read()?))
}

/// The names in a program's list of its tests.
fn listed(list: &str) -> BTreeSet<String> {
    let names = list.lines().filter_map(|line| line.strip_suffix(": test"));
    names.map(str::to_owned).collect()
}

/// The ignored tests of a program, each with its reason, which the program prints when it is asked to run them.
fn reasons(project: &Project, program: &PathBuf) -> anyhow::Result<Vec<(String, String)>> {
    let names = asked(project, program, &[])?;
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let sh = &project.sh;
    let chosen = &names;
    let output = cmd!(sh, "{program} --exact {chosen...}").quiet().read()?;
    let reasons: Vec<_> = output.lines().filter_map(reason).collect();
    if reasons.len() != names.len() {
        let (found, wanted) = (reasons.len(), names.len());
        bail!(
            "{}: of {wanted} ignored tests, {found} give a reason; add one to each `#[ignore]`",
            program.display()
        );
    }
    Ok(reasons)
}

/// A test and its reason, from the line in which libtest reports it as ignored.
fn reason(line: &str) -> Option<(String, String)> {
    let (name, reason) = line.strip_prefix("test ")?.split_once(" ... ignored, ")?;
    Some((name.to_owned(), reason.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ignored(name: &str, can_be_had: bool) -> Ignored {
        let unmet = Unmet {
            need: "this".into(),
            why: "it is missing".into(),
            can_be_had,
        };
        let name = name.to_owned();
        Ignored(vec![Test { name, unmet }])
    }

    #[test]
    fn a_reason_is_read_as_libtest_prints_it() {
        let line = "test a::b ... ignored, needs root, Python: `cargo xtask test` runs it";
        let (name, reason) = reason(line).unwrap();
        assert_eq!(name, "a::b");
        assert_eq!(needs::of_reason(&reason), ["root", "Python"]);
        assert_eq!(super::reason("test a::b ... ok"), None);
        let list = "a::b: test\nc: test\nd: benchmark\n\n2 tests, 1 benchmark\n";
        assert_eq!(listed(list), ["a::b", "c"].map(str::to_owned).into());
    }

    #[test]
    fn a_test_that_is_requested_by_name_is_not_ignored() {
        let ignored = ignored("user::promtool", false);
        let refuses = |argument: &str| ignored.refuse(&[argument.into()], false).is_err();
        assert!(refuses("user::promtool") && refuses("promtool"));
        assert!(!refuses("user") && !refuses("tool") && !refuses("--nocapture"));
        assert_eq!(
            ignored.options().collect::<Vec<_>>(),
            ["--skip", "user::promtool"]
        );
    }

    #[test]
    fn a_test_whose_name_contains_that_of_another_is_not_skipped_with_it() {
        let ignored = ignored("user::promtool", false);
        let all = |names: [&str; 2]| names.map(str::to_owned).into();
        assert!(
            ignored
                .must_not_hide(&all(["user::promtool", "user"]))
                .is_ok()
        );
        let hidden = all(["user::promtool", "user::promtool_too"]);
        assert!(ignored.must_not_hide(&hidden).is_err());
    }

    #[test]
    fn strict_ignores_only_what_setup_cannot_provide() {
        assert!(ignored("a", false).refuse(&[], true).is_ok());
        assert!(ignored("a", true).refuse(&[], false).is_ok());
        let error = ignored("a", true).refuse(&[], true).unwrap_err();
        let wanted = "tests that must run cannot:\n  - a needs this: it is missing";
        assert_eq!(error.to_string(), wanted);
    }
}
