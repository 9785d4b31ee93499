//! What each error says.

use super::*;

#[test]
fn each_error_is_one_line_with_location_and_help() {
    let party = |endpoints: &str| format!("[[parties]]\nid = \"1\"\nendpoints = [{endpoints}]\n");
    let two = |first: &str, second: &str| {
        format!(
            "{}[[parties]]\nid = \"2\"\nendpoints = [{second}]\n",
            party(first)
        )
    };
    let protocol = |ports: &str| format!("[[protocols]]\nname = \"p\"\nports = [{ports}]\n");
    let overlap = "give each address to one party, or each party its port";
    let cases = [
        ("interval = \"2h\"".to_owned(), "f:1: interval: 2h is out of range; help: give 200ms to 1h".to_owned()),
        ("interval = 5".to_owned(), "f:1: interval: an integer is not a duration; help: write \"1s\" or \"200ms\"".to_owned()),
        ("\nnode = 7".to_owned(), "f:2: node: an integer is not a string; help: write it in quotes".to_owned()),
        ("node = \"\"".to_owned(), "f:1: node: is empty; help: leave it out or give a name".to_owned()),
        ("colour = 1".to_owned(), "f:1: colour: is an unknown key; help: remove it".to_owned()),
        ("[network]\nenabeld = true".to_owned(), "f:2: network.enabeld: is an unknown key; help: did you mean network.enabled?".to_owned()),
        ("[network]\nenabled = \"yes\"".to_owned(), "f:2: network.enabled: a string is not a boolean; help: write true or false, without quotes".to_owned()),
        ("[network]\nmax_auto_parties = 5000".to_owned(), "f:2: network.max_auto_parties: 5000 is out of range; help: give 1 to 4096".to_owned()),
        ("[network]\non_unresolved = \"hope\"".to_owned(), "f:2: network.on_unresolved: \"hope\" is not one of its values; help: give refuse, retry".to_owned()),
        ("[prometheus]\nlisten = \"9464\"".to_owned(), "f:2: prometheus.listen: \"9464\" is not an address with a port; help: write it like \"127.0.0.1:9464\" or \"[::1]:9464\"".to_owned()),
        ("[log]\nlevel = \"loud\"".to_owned(), "f:2: log.level: \"loud\" is not one of its values; help: give off, error, warn, info, debug, trace".to_owned()),
        ("[ledger]\nmax_size = \"65GiB\"".to_owned(), "f:2: ledger.max_size: 65GiB is out of range; help: give 1 MiB to 64 GiB".to_owned()),
        ("[ledger]\nmax_size = \"0.5MiB\"".to_owned(), "f:2: ledger.max_size: 0.5MiB is out of range; help: give 1 MiB to 64 GiB".to_owned()),
        ("[ledger]\nmax_size = \"much\"".to_owned(), "f:2: ledger.max_size: \"much\" is not a size; help: write one like \"256MiB\" or \"1GiB\"".to_owned()),
        ("[ledger]\nmax_size = 256".to_owned(), "f:2: ledger.max_size: an integer is not a size; help: write \"256MiB\" or \"1GiB\"".to_owned()),
        ("[network]\nledger = \"/l\"".to_owned(), "f:2: network.ledger: is an unknown key; help: remove it".to_owned()),
        ("[log]\nkernel = \"off\"".to_owned(), "f:2: log.kernel: is an unknown key; help: did you mean log.level?".to_owned()),
        (party("\"10.0.1.5/24\""), "f:3: parties.endpoints: 10.0.1.5/24 has host bits set; help: write 10.0.1.0/24".to_owned()),
        (party("\"10.0.1\""), "f:3: parties.endpoints: \"10.0.1\" is not an address or prefix; help: write one like 10.0.0.2, 10.0.1.0/24 or [2001:db8::7]:5001".to_owned()),
        (party("\"10.0.1.0/24:5000\""), "f:3: parties.endpoints: \"10.0.1.0/24:5000\" is a prefix with a port; help: give single addresses their ports, or the prefix none".to_owned()),
        (party("\"10.0.0.1:0\""), "f:3: parties.endpoints: \"10.0.0.1:0\" has no valid port; help: give 1 to 65535 after the colon".to_owned()),
        (party("\"a b\""), "f:3: parties.endpoints: \"a b\" is not an address, prefix or host name; help: write one like 10.0.0.2, 10.0.1.0/24, [2001:db8::7]:5001 or party1.example.org:5001".to_owned()),
        (party(""), "f:1: parties.endpoints: a party without endpoints; help: give endpoints = [\"10.0.0.2\"]".to_owned()),
        ("[[parties]]\nendpoints = [\"10.0.0.2\"]".to_owned(), "f:1: parties.id: is missing; help: give id = \"…\"".to_owned()),
        ("[[parties]]\nid = \"unknown\"\nendpoints = [\"10.0.0.2\"]".to_owned(), "f:2: parties.id: \"unknown\" is reserved; help: give another".to_owned()),
        (two("\"10.0.0.2\"", "\"10.0.0.2\""), format!("f:4: parties.endpoints: 10.0.0.2/32 of party \"2\" overlaps 10.0.0.2/32 of party \"1\"; help: {overlap}")),
        (two("\"10.0.0.0/8\"", "\"10.1.0.0/16\""), format!("f:4: parties.endpoints: 10.1.0.0/16 of party \"2\" overlaps 10.0.0.0/8 of party \"1\"; help: {overlap}")),
        (two("\"10.0.0.2:5000\"", "\"10.0.0.2:5000\""), format!("f:4: parties.endpoints: 10.0.0.2 port 5000 of party \"2\" overlaps 10.0.0.2 port 5000 of party \"1\"; help: {overlap}")),
        (two("\"h:5000\"", "\"h\""), format!("f:4: parties.endpoints: h of party \"2\" overlaps h of party \"1\"; help: {overlap}")),
        (protocol("\"20-10\""), "f:3: protocols.ports: the range 20-10 is reversed; help: write \"10-20\"".to_owned()),
        (protocol("70000"), "f:3: protocols.ports: \"70000\" is not a port; help: give 1 to 65535, or a range like \"5000-5009\"".to_owned()),
        (protocol("5000") + "[[protocols]]\nname = \"q\"\nports = [\"4000-6000\"]", "f:4: protocols.ports: port 5000 of \"q\" is \"p\"'s too; help: give each port to one protocol".to_owned()),
        ("[[protocols]]\nname = \"p\"\ntransport = \"sctp\"\nports = [1]".to_owned(), "f:3: protocols.transport: \"sctp\" is not a transport; help: write \"tcp\" or \"udp\"".to_owned()),
        ("[[protocols]]\nname = \"other\"\nports = [1]".to_owned(), "f:2: protocols.name: \"other\" is reserved; help: give another".to_owned()),
    ];
    for (text, expected) in cases {
        assert_eq!(errors(&text), [expected], "{text}");
    }
}

#[test]
fn what_a_file_says_is_shown_as_plain_text_of_limited_length() {
    let long = "x".repeat(100_000);
    for text in [
        "\"a\\n\\u001b[2J\" = 1".to_owned(),
        "[network]\n\"\u{202e}on\" = 1".to_owned(),
        format!("{long} = 1"),
        format!("interval = \"{long}\""),
    ] {
        let found = errors(&text);
        assert_eq!(found.len(), 1, "{found:?}");
        let deceives = |c: char| c.is_control() || c == '\u{202e}';
        assert!(!found[0].contains(deceives), "{found:?}");
        assert!(found[0].len() < 4096, "{} bytes", found[0].len());
    }
    assert_eq!(
        errors("\"a\\nb\" = 1"),
        [r"f:1: a\nb: is an unknown key; help: did you mean gpu?"]
    );
}

#[test]
fn ten_errors_are_ten_lines() {
    let text = "interval = \"1ms\"\nnode = 1\nx = 1\n[[parties]]\nid = \"\"\nendpoints = [\"10.0.0.1/8\", \"a b\"]\n\
                [[protocols]]\nname = \"p\"\nports = [0, \"9-1\"]\n[network]\nenabled = 1\nmax_auto_parties = 0\n\
                [log]\nformat = \"xml\"\n";
    let lines = errors(text);
    let places: Vec<&str> = lines
        .iter()
        .map(|line| line.split(' ').next().unwrap())
        .collect();
    assert_eq!(lines.len(), 11, "{lines:#?}");
    for location in [
        "f:1:", "f:2:", "f:3:", "f:5:", "f:6:", "f:9:", "f:11:", "f:12:", "f:14:",
    ] {
        assert!(places.contains(&location), "{location} in {lines:#?}");
    }
}

#[test]
fn an_error_of_toml_has_its_line() {
    let lines = errors("interval = \"1s\"\n[[parties\n");
    assert!(
        !lines.is_empty() && lines[0].starts_with("f:2: is not TOML: "),
        "{lines:?}"
    );
}

#[test]
fn a_file_of_nothing_but_errors_is_refused_at_once() {
    let mut text = String::new();
    for number in 0..50_000 {
        writeln!(text, "k{number} = 1").unwrap();
    }
    let found = errors(&text);
    assert_eq!(found.len(), 101);
    let errors = read("f", &text, &Options::default(), &host()).unwrap_err();
    let count: usize = errors.iter().map(|error| error.count).sum();
    assert_eq!(count, 50_000);
    assert!(found[100].ends_with("has 49900 more errors; help: fix these first"));
}
