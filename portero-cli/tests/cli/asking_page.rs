//! The examples of `docs/asking.md` are read and decide as the page says.

use std::fs;
use std::path::Path;

use crate::test_support::TestHome;

/// The page's examples: the file's name behind "```json", and its content.
fn page_examples() -> Vec<(String, String)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/asking.md");
    let page = fs::read_to_string(path).expect("the page is there");
    let example = |part: &str| {
        let (name, rest) = part.split_once('\n')?;
        let (content, _) = rest.split_once("```")?;
        Some((name.to_owned(), content.to_owned()))
    };
    page.split("```json ").skip(1).filter_map(example).collect()
}

#[test]
fn the_examples_of_the_page_on_asking_are_read_and_decide_as_it_says() {
    let home = TestHome::empty();
    fs::write(
        home.path("config").join(".env"),
        "PROJECT=/home/ada/shop\nTELEGRAM_BOT_TOKEN=4711:not-a-real-token\n",
    )
    .unwrap();
    let examples = page_examples();
    let names: Vec<&str> = examples.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["policies.json", "cases.json", "portero.json"]);
    for (name, content) in &examples {
        fs::write(home.path("config").join(name), content).unwrap();
    }
    let checked = home.run(&["check"]);
    assert_eq!(checked.code, 0, "{}{}", checked.stdout, checked.stderr);
    let cases = home.path("config").join("cases.json");
    let tested = home.run(&["policy", "test", cases.to_str().unwrap()]);
    assert_eq!(tested.code, 0, "{}{}", tested.stdout, tested.stderr);
}
