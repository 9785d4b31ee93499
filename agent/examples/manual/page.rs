//! One manual page: what `clap_mangen` makes of a command, and the sections that clap does not know.

use std::io;

use clap::{Arg, Command, builder::PossibleValue};
use clap_mangen::Man;
use partymeter::manual::{self, Section};
use roff::{Inline, Roff, bold, roman};

/// The name of a command's page, and its text. The command must be built, so that it knows its full name. The date looks
/// like 2026-01-31.
pub(crate) fn page(command: &Command, date: &str) -> io::Result<(String, Vec<u8>)> {
    // The synopsis of `run` would list forty options.
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ").to_owned();
    let shown = command.clone().override_usage(usage).mut_args(values);
    let man = Man::new(shown)
        .date(date)
        .source(concat!("partymeter ", env!("CARGO_PKG_VERSION")))
        .manual("partymeter");
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut text)?;
    }
    let name = command.get_bin_name().unwrap_or_else(|| command.get_name());
    let verb = name.split_once(' ').map_or("", |(_, verb)| verb);
    let mut more = Roff::new();
    for section in manual::sections(verb) {
        render(section, &mut more);
    }
    see_also(verb, &mut more);
    more.to_writer(&mut text)?;
    Ok((man.get_filename(), text))
}

/// Possible values as the help on the terminal shows them. As a list they would be one line each.
fn values(arg: Arg) -> Arg {
    let values = arg.get_possible_values();
    let Some(help) = arg.get_help().filter(|_| takes_words(&arg)) else {
        return arg;
    };
    let names: Vec<&str> = values.iter().map(PossibleValue::get_name).collect();
    let help = format!("{help} [possible values: {}]", names.join(", "));
    arg.help(help).hide_possible_values(true)
}

fn takes_words(arg: &Arg) -> bool {
    arg.get_action().takes_values() && !arg.get_possible_values().is_empty()
}

fn render(Section { title, entries }: &Section, page: &mut Roff) {
    let title = match *title {
        // As man-pages(7) has it.
        "Exit codes" => "EXIT STATUS".to_owned(),
        title => title.to_uppercase(),
    };
    page.control("SH", [title.as_str()]);
    for (term, meaning) in *entries {
        if !term.is_empty() {
            page.control("TP", []);
            page.text([bold(*term)]);
        }
        page.text(inlines(meaning));
    }
}

/// What stands between backticks is bold.
fn inlines(text: &str) -> Vec<Inline> {
    let parts = text.split('`').enumerate();
    let inline = |(place, part): (usize, &str)| match place % 2 {
        0 => roman(part),
        _ => bold(part),
    };
    parts.map(inline).collect()
}

/// The page above this one; from the main page, its documentation.
fn see_also(verb: &str, page: &mut Roff) {
    let mut above = vec!["partymeter"];
    above.extend(verb.split(' '));
    above.pop();
    page.control("SH", ["SEE ALSO"]);
    if verb.is_empty() {
        page.text([
            bold("bpftool"),
            roman("(8), "),
            bold("promtool"),
            roman("(1)"),
        ]);
    } else {
        page.text([bold(above.join("-")), roman("(1)")]);
    }
}
