use super::*;

const SOURCE: &str = "\
fn f(a: u32, b: u32) -> bool {
    a < b && !(a == 7)
}
fn g(x: Option<u32>) -> Pair {
    match x {
        Some(n) if n > 1 => Pair { left: n, ..Pair::default() },
        Some(0) => { let mut m = 1; m += 2; Pair { right: m, ..Pair::default() } }
        _ => Pair::default(),
    }
}
";

/// Of the place where this stands, the `nth` time.
fn mutant(id: u32, genre: &str, at: &str, replacement: &str) -> Mutant {
    let offset = SOURCE.find(at).expect("it stands there");
    let before = &SOURCE[..offset];
    Mutant {
        id,
        name: format!("{genre} at {at}"),
        file: String::new(),
        genre: genre.into(),
        replacement: replacement.into(),
        line: before.matches('\n').count() + 1,
        column: offset - before.rfind('\n').map_or(0, |at| at + 1) + 1,
    }
}

fn woven(mutants: &[Mutant]) -> String {
    let woven = weave(SOURCE, &mutants.iter().collect::<Vec<_>>()).expect("all are found");
    syn::parse_file(&woven).expect("it is Rust");
    woven
}

fn without_marks(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("/*") {
        plain += before;
        rest = after.split_once("*/").expect("a mark ends").1;
    }
    plain + rest
}

#[test]
fn each_kind_of_mutant_stands_beside_what_it_replaces() {
    for (mutant, expected) in [
        (
            mutant(1, "FnValue", "a < b", "true"),
            "if crate::mutant::on(1) { return true; } a < b && !(a == 7)",
        ),
        (
            mutant(2, "BinaryOperator", "< b", ">"),
            "(if crate::mutant::on(2) {(a) > (b)} else {(a) < (b)}) && !(a == 7)",
        ),
        (
            mutant(3, "UnaryOperator", "!(a", ""),
            "a < b && (if crate::mutant::on(3) {(a == 7)} else {!((a == 7))})",
        ),
        (
            mutant(4, "MatchArmGuard", "n > 1", "false"),
            "Some(n) if (if crate::mutant::on(4) {false} else {n > 1}) =>",
        ),
        (
            mutant(5, "MatchArm", "Some(0)", ""),
            "Some(0) if !crate::mutant::on(5)  =>",
        ),
        (
            mutant(6, "BinaryOperator", "+= 2", "-="),
            "(if crate::mutant::on(6) {m -= 2} else {m += 2});",
        ),
        (
            mutant(7, "StructField", "left: n", ""),
            "left: if crate::mutant::on(7) {(Pair::default()).left} else {n}, ..",
        ),
    ] {
        let text = without_marks(&woven(&[mutant]));
        assert!(text.contains(expected), "{expected:?}: {text}");
    }
}

#[test]
fn one_inside_another_is_in_every_branch_of_it() {
    let text = woven(&[
        mutant(1, "BinaryOperator", "&& !", "||"),
        mutant(2, "BinaryOperator", "< b", "=="),
        mutant(3, "BinaryOperator", "< b", ">"),
    ]);
    assert_eq!(text.matches("on(1)").count(), 1);
    assert_eq!(text.matches("on(2)").count(), 2);
    assert_eq!(text.matches("on(3)").count(), 2);
}

#[test]
fn the_compiler_s_error_leads_to_the_innermost() {
    let text = woven(&[
        mutant(1, "BinaryOperator", "&& !", "||"),
        mutant(2, "UnaryOperator", "!(a", ""),
    ]);
    let at = |what: &str| text.find(what).expect("it is there");
    assert_eq!(blamed(&text, at("a == 7")), Some(vec![2]));
    assert_eq!(blamed(&text, at("||")), Some(vec![1]));
    assert_eq!(blamed(&text, at("fn g")), None);
}

#[test]
fn what_is_not_found_is_said() {
    let lost = mutant(1, "UnaryOperator", "a < b", "");
    let error = weave(SOURCE, &[&lost]).expect_err("there is no such operator");
    assert!(error.contains("was not found"), "{error}");
}
