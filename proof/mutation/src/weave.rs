//! Puts each mutant into the source beside what it replaces, behind a switch: `(if crate::mutant::on(17) {a > b} else {a < b})`.
//!
//! What is woven in stands between `/*+17*/` and `/*-17*/`, so that an error of the compiler leads to the mutant that does not compile.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::ops::Range;

use proc_macro2::Span;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use crate::Mutant;

/// The module that the switches ask.
pub const SWITCH: &str = include_str!("switch.rs.txt");

/// The source of one file with these mutants in it.
pub fn weave(source: &str, mutants: &[&Mutant]) -> Result<String, String> {
    let file = syn::parse_file(source).map_err(|error| error.to_string())?;
    let mut finder = Finder {
        wanted: HashMap::new(),
        edits: Vec::new(),
    };
    let lines = line_starts(source);
    for mutant in mutants {
        // cargo-mutants counts characters; the source is ASCII up to there, or the column is looked up.
        let at = offset(source, &lines, mutant.line, mutant.column);
        if mutant.genre == "FnValue" {
            let text = format!(
                "if crate::mutant::on({}) {{ return {}; }}",
                mutant.id, mutant.replacement
            );
            finder.edits.push(Edit {
                range: at..at,
                mutants: vec![(mutant.id, String::new())],
                kind: Kind::Insert(text),
            });
        } else {
            finder.wanted.entry(at).or_default().push((*mutant).clone());
        }
    }
    finder.visit_file(&file);
    if let Some(lost) = finder.wanted.values().flatten().next() {
        return Err(format!("{} was not found in the syntax tree", lost.name));
    }
    let mut edits = finder.edits;
    edits.sort_by_key(|edit| {
        let insertion = matches!(edit.kind, Kind::Insert(_));
        let expression = matches!(edit.kind, Kind::Binary { .. } | Kind::Unary { .. });
        (
            edit.range.start,
            !insertion,
            Reverse(edit.range.end),
            expression,
        )
    });
    let woven = Woven {
        source,
        edits: &edits,
    };
    Ok(woven.render(0..source.len(), 0))
}

/// The mutants that the innermost switch around this byte of a woven source is for.
pub fn blamed(woven: &str, byte: usize) -> Option<Vec<u32>> {
    let mut open: Vec<&str> = Vec::new();
    let mut rest = 0;
    while let Some(found) = woven[rest..byte].find("/*") {
        let at = rest + found;
        rest = at + 2;
        match woven.as_bytes().get(at + 2) {
            Some(b'+') => {
                let end = at + woven[at..].find("*/").unwrap_or(0);
                if woven[at + 3..end]
                    .bytes()
                    .all(|b| b.is_ascii_digit() || b == b',')
                {
                    open.push(&woven[at + 3..end]);
                }
            }
            Some(b'-') => {
                open.pop();
            }
            _ => {}
        }
    }
    let ids = open.last()?.split(',').map(|id| id.parse().unwrap());
    Some(ids.collect())
}

/// The first mutant after this byte that leaves an arm of a match out.
pub fn next_arm(woven: &str, byte: usize) -> Option<u32> {
    let (_, after) = woven[byte..].split_once(" if !crate::mutant::on(")?;
    after.split_once(')')?.0.parse().ok()
}

fn line_starts(source: &str) -> Vec<usize> {
    let after_breaks = source.match_indices('\n').map(|(at, _)| at + 1);
    std::iter::once(0).chain(after_breaks).collect()
}

fn offset(source: &str, lines: &[usize], line: usize, column: usize) -> usize {
    let start = lines[line - 1];
    let of_line = &source[start..];
    let at = of_line.char_indices().nth(column - 1);
    start + at.map_or(of_line.len(), |(at, _)| at)
}

enum Kind {
    /// This text, at a place.
    Insert(String),
    Binary {
        left: Range<usize>,
        right: Range<usize>,
        assigns: bool,
    },
    /// An operator that is left out.
    Unary { operand: Range<usize> },
    /// A guard of a match arm; with these on, the arm is never taken.
    Guard { never: Vec<u32> },
    /// A field's value, taken from the rest instead.
    Field {
        instead: String,
        shorthand: Option<String>,
    },
}

struct Edit {
    range: Range<usize>,
    /// With what each puts in the place.
    mutants: Vec<(u32, String)>,
    kind: Kind,
}

struct Finder {
    /// By where they begin.
    wanted: HashMap<usize, Vec<Mutant>>,
    edits: Vec<Edit>,
}

impl Finder {
    fn take(&mut self, span: Span, genre: &str) -> Vec<(u32, String)> {
        let Some(here) = self.wanted.get_mut(&span.byte_range().start) else {
            return Vec::new();
        };
        let (taken, left): (Vec<_>, Vec<_>) =
            here.drain(..).partition(|mutant| mutant.genre == genre);
        *here = left;
        taken
            .into_iter()
            .map(|mutant| (mutant.id, mutant.replacement))
            .collect()
    }

    fn edit(&mut self, range: Range<usize>, mutants: Vec<(u32, String)>, kind: Kind) {
        self.edits.push(Edit {
            range,
            mutants,
            kind,
        });
    }
}

impl<'ast> Visit<'ast> for Finder {
    fn visit_expr_binary(&mut self, node: &'ast syn::ExprBinary) {
        let mutants = self.take(node.op.span(), "BinaryOperator");
        if !mutants.is_empty() {
            use syn::BinOp::*;
            let assigns = matches!(
                node.op,
                AddAssign(_)
                    | SubAssign(_)
                    | MulAssign(_)
                    | DivAssign(_)
                    | RemAssign(_)
                    | BitXorAssign(_)
                    | BitAndAssign(_)
                    | BitOrAssign(_)
                    | ShlAssign(_)
                    | ShrAssign(_)
            );
            let kind = Kind::Binary {
                left: node.left.span().byte_range(),
                right: node.right.span().byte_range(),
                assigns,
            };
            self.edit(node.span().byte_range(), mutants, kind);
        }
        visit::visit_expr_binary(self, node);
    }

    fn visit_expr_unary(&mut self, node: &'ast syn::ExprUnary) {
        let mutants = self.take(node.op.span(), "UnaryOperator");
        if !mutants.is_empty() {
            let operand = node.expr.span().byte_range();
            self.edit(node.span().byte_range(), mutants, Kind::Unary { operand });
        }
        visit::visit_expr_unary(self, node);
    }

    fn visit_arm(&mut self, node: &'ast syn::Arm) {
        let never: Vec<u32> = self
            .take(node.span(), "MatchArm")
            .into_iter()
            .map(|(id, _)| id)
            .collect();
        match &node.guard {
            Some((_, guard)) => {
                let mutants = self.take(guard.span(), "MatchArmGuard");
                if !mutants.is_empty() || !never.is_empty() {
                    self.edit(guard.span().byte_range(), mutants, Kind::Guard { never });
                }
            }
            None => {
                for id in never {
                    let end = node.pat.span().byte_range().end;
                    let text = format!(" if !crate::mutant::on({id})");
                    self.edit(end..end, vec![(id, String::new())], Kind::Insert(text));
                }
            }
        }
        visit::visit_arm(self, node);
    }

    fn visit_expr_struct(&mut self, node: &'ast syn::ExprStruct) {
        if let Some(rest) = &node.rest {
            let rest = rest.span().source_text().unwrap_or_default();
            for field in &node.fields {
                let mutants = self.take(field.span(), "StructField");
                if mutants.is_empty() {
                    continue;
                }
                let syn::Member::Named(name) = &field.member else {
                    continue;
                };
                let kind = Kind::Field {
                    instead: format!("({rest}).{name}"),
                    shorthand: field.colon_token.is_none().then(|| name.to_string()),
                };
                self.edit(field.expr.span().byte_range(), mutants, kind);
            }
        }
        visit::visit_expr_struct(self, node);
    }
}

struct Woven<'a> {
    source: &'a str,
    /// In the order of the source, what is outside before what is inside.
    edits: &'a [Edit],
}

impl Woven<'_> {
    /// This part of the source, with the edits from `next` on that lie in it.
    fn render(&self, range: Range<usize>, mut next: usize) -> String {
        let (mut text, mut at) = (String::new(), range.start);
        while let Some(edit) = self.edits.get(next) {
            next += 1;
            if edit.range.start < at || edit.range.end > range.end {
                continue;
            }
            text += &self.source[at..edit.range.start];
            text += &self.switched(edit, next);
            at = edit.range.end;
        }
        text + &self.source[at..range.end]
    }

    fn switched(&self, edit: &Edit, next: usize) -> String {
        let inside = |range: &Range<usize>| self.render(range.clone(), next);
        let choice = |id: u32, mutant: String| {
            format!("if crate::mutant::on({id}) {{/*+{id}*/{mutant}/*-{id}*/}} else ")
        };
        let mut text = String::new();
        let orig = match &edit.kind {
            Kind::Insert(inserted) => inserted.clone(),
            Kind::Binary {
                left,
                right,
                assigns,
            } => {
                let (l, r) = (inside(left), inside(right));
                let op = self.source[left.end..right.start].trim();
                let apply = |op: &str| match assigns {
                    true => format!("{l} {op} {r}"),
                    false => format!("({l}) {op} ({r})"),
                };
                for (id, op) in &edit.mutants {
                    text += &choice(*id, apply(op));
                }
                format!("{{{}}}", apply(op))
            }
            Kind::Unary { operand } => {
                for (id, _) in &edit.mutants {
                    text += &choice(*id, inside(operand));
                }
                let op = &self.source[edit.range.start..operand.start];
                format!("{{{op}({})}}", inside(operand))
            }
            Kind::Guard { never } => {
                for (id, value) in &edit.mutants {
                    text += &choice(*id, value.clone());
                }
                for id in never {
                    text += &choice(*id, "false".into());
                }
                format!("{{{}}}", inside(&edit.range))
            }
            Kind::Field { instead, shorthand } => {
                for (id, _) in &edit.mutants {
                    text += &choice(*id, instead.clone());
                }
                text = shorthand
                    .iter()
                    .map(|name| format!("{name}: "))
                    .collect::<String>()
                    + &text;
                format!("{{{}}}", inside(&edit.range))
            }
        };
        let mut ids: Vec<String> = edit.mutants.iter().map(|(id, _)| id.to_string()).collect();
        if let Kind::Guard { never } = &edit.kind {
            ids.extend(never.iter().map(u32::to_string));
        }
        let ids = ids.join(",");
        match &edit.kind {
            Kind::Insert(_) => format!("/*+{ids}*/{orig} /*-{ids}*/"),
            Kind::Field { .. } => format!("/*+{ids}*/{text}{orig}/*-{ids}*/"),
            _ => format!("/*+{ids}*/({text}{orig})/*-{ids}*/"),
        }
    }
}

#[cfg(test)]
mod tests {
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
}
