//! Checks that the links of the documentation lead to a file of the project and to a heading in it.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use anyhow::bail;
use pulldown_cmark::{Event, Parser, Tag, TagEnd};
use xshell::cmd;

use crate::project::Project;

/// Fails if a link in a Markdown file of the project is broken; links to the web are not followed.
pub(crate) fn check(project: &Project) -> anyhow::Result<()> {
    if !project.has("git") {
        bail!("git, which lists the pages to check, is not installed; install the package git");
    }
    let listed = cmd!(
        project.sh,
        "git ls-files --cached --others --exclude-standard *.md"
    )
    .quiet()
    .read()?;
    let mut broken = Vec::new();
    for file in listed.lines().map(|name| project.root.join(name)) {
        let text = project.sh.read_file(&file)?;
        for link in links(&text) {
            if let Err(reason) = follow(&file, &link) {
                broken.push(format!("{}: {link}: {reason}", file.display()));
            }
        }
    }
    if !broken.is_empty() {
        bail!("{}", broken.join("\n"));
    }
    Ok(())
}

/// The destinations of all links within the project.
fn links(text: &str) -> Vec<String> {
    let destination = |event| match event {
        Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => Some(dest_url),
        _ => None,
    };
    Parser::new(text)
        .filter_map(destination)
        .map(|link| link.to_string())
        .filter(|link| !link.contains("://") && !link.starts_with("mailto:"))
        .collect()
}

fn follow(from: &Path, link: &str) -> Result<(), String> {
    let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
    let target: PathBuf = if path.is_empty() {
        from.to_owned()
    } else {
        from.parent().unwrap_or(Path::new("")).join(path)
    };
    if !target.exists() {
        return Err("no such file".to_owned());
    }
    if anchor.is_empty() {
        return Ok(());
    }
    let text = std::fs::read_to_string(&target).map_err(|error| error.to_string())?;
    if headings(&text).contains(anchor) {
        Ok(())
    } else {
        Err("no such heading".to_owned())
    }
}

/// The anchors that GitHub gives to headings.
fn headings(text: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    let mut heading: Option<String> = None;
    for event in Parser::new(text) {
        match event {
            Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
            Event::End(TagEnd::Heading(_)) => anchors.extend(heading.take()),
            Event::Text(part) | Event::Code(part) => {
                if let Some(anchor) = &mut heading {
                    let kept = part.chars().flat_map(char::to_lowercase);
                    let kept = kept.filter(|it| it.is_alphanumeric() || " -_".contains(*it));
                    anchor.extend(kept.map(|it| if it == ' ' { '-' } else { it }));
                }
            }
            _ => {}
        }
    }
    anchors
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_must_lead_to_a_file_and_a_heading() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("a.md");
        let text = "# The `top` of it\n[a](#the-top-of-it) [b](b.md) [c](https://example.org)\n";
        std::fs::write(&file, text).unwrap();
        let all = links(text);
        assert_eq!(all, ["#the-top-of-it", "b.md"]);
        assert_eq!(follow(&file, &all[0]), Ok(()));
        assert!(follow(&file, &all[1]).is_err());
        assert!(follow(&file, "#elsewhere").is_err());
    }
}
