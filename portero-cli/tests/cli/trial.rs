//! `portero try`.

use crate::porterod::porterod;
use crate::world::World;

#[test]
fn the_trial_runs_unattended_and_every_check_holds() {
    porterod();
    let world = World::empty();
    let said = world.run(&["try", "--yes"]);
    assert_eq!(said.code, 0, "{}\n{}", said.out, said.err);
    assert!(said.out.contains("no real value reached the agent"), "{}", said.out);
    assert!(!said.out.contains("FAILED"), "{}", said.out);
    assert!(said.out.contains("claude mcp add portero -- portero mcp"));
    // Nothing of it stays, and nothing of the person's own was touched.
    assert!(!world.path("state").exists() && !world.path("run").exists());
    let place = said.out.lines().find_map(|line| line.strip_prefix("Everything happens in ")).unwrap();
    let place = place.split_whitespace().next().unwrap();
    assert!(!std::path::Path::new(place).exists(), "{place} stays");
}

#[test]
fn without_a_terminal_the_trial_asks_for_yes() {
    let said = World::empty().run(&["try"]);
    assert_eq!(said.code, 2, "{}", said.out);
    assert!(said.err.contains("--yes"), "{}", said.err);
}
